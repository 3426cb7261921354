//! Sessions as bytes that are read in place: the `FlatBuffers` format, by the schema fbs/snapshot.fbs.

mod encode;
mod layout;
mod pen;
mod writer;

pub use encode::{SnapshotParts, ToolCallParts, TurnParts, Turns};
pub use writer::Plan;
