//! What the official library makes of the schemas in fbs/: `flatc` writes the files beside this one.
#![allow(warnings, unsafe_code, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated code")]

#[rustfmt::skip]
mod snapshot_generated;

pub use snapshot_generated::rolecore::wire as snapshot;
