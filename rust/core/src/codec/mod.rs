//! Sessions as bytes that are read in place, in the `FlatBuffers` format: fbs/snapshot.fbs.

mod encode;
mod file;
mod format;
mod layout;
mod pen;
mod table;
mod verify;
mod view;
mod writer;

pub use encode::{SnapshotParts, ToolCallParts, TurnParts, Turns};
pub use file::read;
pub use format::VERSION;
pub use verify::verify;
pub use view::{List, Snapshot, ToolCall, Turn, Vectors};
pub use writer::Plan;
