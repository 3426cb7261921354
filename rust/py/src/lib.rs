//! The module `rolecore._core`: a thin Python boundary over `rolecore-core`, one file a capability.
#![allow(clippy::doc_markdown, clippy::doc_link_with_quotes, reason = "doc comments here are Python docstrings")]

use pyo3::prelude::*;

mod arguments;
mod batch;
mod buffers;
mod build_info;
mod cache;
mod cache_arguments;
mod cache_lock;
mod cache_report;
mod clock;
mod codec;
mod embedder;
mod entries;
mod entry;
mod errors;
mod gate;
mod hashing;
mod history;
mod history_file;
mod memory;
mod message;
mod options;
mod report;
mod retain;
mod rolling;
mod route;
mod semantic;
mod source;
mod specials;
mod stream;
mod summary;
mod text;
mod tokens;
mod told;
mod tool_call;
mod tools;
mod turn;
mod turns;
mod vector;
mod window;

#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::batch::{Batch, BatchWriter, open_batch};
    #[pymodule_export]
    use crate::build_info::build_info;
    #[pymodule_export]
    use crate::cache::VectorCache;
    #[pymodule_export]
    use crate::codec::{Snapshot, encode_snapshot, encode_snapshot_buffers, open_snapshot};
    #[pymodule_export]
    use crate::entry::{Entry, Hit};
    #[pymodule_export]
    use crate::gate::{gate_reason, passes};
    #[pymodule_export]
    use crate::hashing::HashingEmbedder;
    #[pymodule_export]
    use crate::history::History;
    #[pymodule_export]
    use crate::memory::{read_memory, rss_bytes};
    #[pymodule_export]
    use crate::report::Report;
    #[pymodule_export]
    use crate::retain::{RetainController, compute_retain_ratio};
    #[pymodule_export]
    use crate::rolling::RollingWindow;
    #[pymodule_export]
    use crate::route::{RoleIndex, Routed};
    #[pymodule_export]
    use crate::semantic::{nearest, put_new, settle};
    #[pymodule_export]
    use crate::stream::TokenStream;
    #[pymodule_export]
    use crate::tokens::{Tokenizer, tokenizer};
    #[pymodule_export]
    use crate::tool_call::ToolCall;
    #[pymodule_export]
    use crate::turn::plan_turn;
    #[pymodule_export]
    use crate::turns::{Turn, Turns};
    #[pymodule_export]
    use crate::window::Window;

    #[pymodule_export]
    const CUT_MARK: &str = rolecore_core::CUT_MARK;

    #[pymodule_export]
    const CUT_KEY: &str = rolecore_core::CUT_KEY;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name Python looks for")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::build_info::warn_if_debug(m.py())
    }
}
