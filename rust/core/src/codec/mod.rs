//! Sessions as bytes that are read in place, in the `FlatBuffers` format: fbs/snapshot.fbs.

mod format;
mod table;
mod verify;
mod view;

pub use format::VERSION;
pub use verify::verify;
pub use view::{List, Snapshot, ToolCall, Turn, Vectors};
