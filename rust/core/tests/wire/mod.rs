//! What the official library makes of the schemas in fbs/: `flatc` writes the files beside this one.
#![allow(warnings, unsafe_code, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated code")]

#[rustfmt::skip]
mod cache_entry_generated;
#[rustfmt::skip]
mod snapshot_generated;
#[rustfmt::skip]
mod task_generated;

pub use cache_entry_generated::rolecore::wire as cache_entry;
pub use snapshot_generated::rolecore::wire as snapshot;
pub use task_generated::rolecore::wire as task;
