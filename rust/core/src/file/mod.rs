//! Files: replaced at once, and read in place.

mod mapped;
mod replace;

pub use mapped::Mapped;
pub use replace::replace;
pub(crate) use replace::sync_folder_of;
