//! Sessions, and entries of a cache, as bytes that are read in place, in the `FlatBuffers` format: fbs/.

mod batch;
mod cache_entry;
mod encode;
mod file;
mod format;
mod layout;
mod pen;
mod table;
mod tables;
mod verify;
mod view;
mod writer;

pub use batch::{Batch, BatchIndex, BatchWriter};
pub(crate) use cache_entry::{CacheEntry, CacheEntryParts, ENTRY_ALIGN};
pub use encode::{SnapshotParts, Source, ToolCallParts, TurnParts, Turns};
pub use file::read;
pub use format::{NULLABLE, VERSION};
pub use pen::Byte;
pub(crate) use pen::{ROOM_FOR_LEN, room_of_text};
pub(crate) use tables::Tables;
pub use verify::verify;
pub use view::{List, ListPlace, Snapshot, ToolCall, Turn, Vectors};
pub use writer::Plan;
