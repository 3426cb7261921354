//! The layout of snapshots and of cache entries: `fbs/snapshot.fbs` and `fbs/cache_entry.fbs` in numbers.

use crate::message::Role;

/// The version of a snapshot's schema that this release writes, and the newest that it reads.
pub const VERSION: u16 = 1;

/// The same of a cache entry's.
pub(super) const ENTRY_VERSION: u16 = 1;

/// At bytes 4 to 8 of a snapshot, after the root's offset.
pub(super) const IDENTIFIER: [u8; 4] = *b"RCSS";

/// The same of a cache entry.
pub(super) const ENTRY_IDENTIFIER: [u8; 4] = *b"RCCE";

/// Bytes before which no table lies: the root's offset and the identifier.
pub(super) const HEADER: usize = 8;

/// Bytes of a length, and of an offset.
pub(super) const WORD: usize = 4;

/// Bytes before a vtable's first entry: its own length and its tables'.
pub(super) const VTABLE_HEADER: usize = 4;

/// Bytes a buffer may have: offsets to vtables are signed.
pub(super) const MOST_BYTES: usize = i32::MAX as usize;

/// The keys of a message whose values may be null, in the order of the bits of `nulls`.
pub const NULLABLE: [&str; 5] = ["content", "name", "refusal", "tool_calls", "tool_call_id"];

#[expect(clippy::cast_possible_truncation, reason = "there are five")]
pub(super) const N_ROLES: u8 = Role::ALL.len() as u8;

/// Values that the bits of all nullable keys make.
pub(super) const N_NULLS: u8 = 1 << NULLABLE.len();

/// One field of a table.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Its entry in vtables, from 0.
    pub(super) slot: usize,
    pub(super) kind: Kind,
}

/// What a field holds; all but numbers are offsets to it.
#[derive(Debug)]
pub(super) enum Kind {
    /// A number of as many bytes.
    Scalar(usize),
    /// A byte of which this release knows so many values, from 0.
    Known(u8),
    Text,
    /// Numbers of as many bytes each.
    Numbers(usize),
    /// Tables of these fields.
    Tables(&'static [&'static Field]),
}

impl Kind {
    /// Bytes of the field in its table.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Scalar(size) => *size,
            Self::Known(_) => 1,
            Self::Text | Self::Numbers(_) | Self::Tables(_) => WORD,
        }
    }
}

/// Constants in the order of the schema, which is that of their slots, and the list of them.
macro_rules! fields {
    ($($constant:ident = $name:literal, $kind:expr;)*) => {
        fields!(@ 0; $($constant = $name, $kind;)*);
        pub(in super::super) const ALL: &[&Field] = &[$(&$constant),*];
    };
    (@ $slot:expr; $constant:ident = $name:literal, $kind:expr; $($rest:tt)*) => {
        pub(in super::super) static $constant: Field = Field { name: $name, slot: $slot, kind: $kind };
        fields!(@ $slot + 1; $($rest)*);
    };
    (@ $slot:expr;) => {};
}

pub(super) mod tool_call {
    use super::{Field, Kind};
    fields! {
        ID = "id", Kind::Text;
        NAME = "name", Kind::Text;
        ARGUMENTS = "arguments", Kind::Text;
        IS_CUSTOM = "is_custom", Kind::Scalar(1);
        EXTRA = "extra", Kind::Text;
    }
}

pub(super) mod turn {
    use super::{Field, Kind, N_NULLS, N_ROLES, tool_call};
    fields! {
        ROLE = "role", Kind::Known(N_ROLES);
        TEXT = "text", Kind::Text;
        PARTS = "parts", Kind::Text;
        NAME = "name", Kind::Text;
        REFUSAL = "refusal", Kind::Text;
        TOOL_CALLS = "tool_calls", Kind::Tables(tool_call::ALL);
        TOOL_CALL_ID = "tool_call_id", Kind::Text;
        EXTRA = "extra", Kind::Text;
        TOKENS = "tokens", Kind::Scalar(4);
        IS_PINNED = "is_pinned", Kind::Scalar(1);
        TIME_MS = "time_ms", Kind::Scalar(8);
        NULLS = "nulls", Kind::Known(N_NULLS);
    }
}

pub(super) mod snapshot {
    use super::{Field, Kind, turn};
    fields! {
        VERSION = "version", Kind::Scalar(2);
        SESSION_ID = "session_id", Kind::Text;
        ROLE = "role", Kind::Text;
        TOKENIZER = "tokenizer", Kind::Text;
        TURNS = "turns", Kind::Tables(turn::ALL);
        SUMMARY = "summary", Kind::Text;
        VECTOR_DIM = "vector_dim", Kind::Scalar(4);
        VECTORS = "vectors", Kind::Numbers(4);
        PAYLOAD = "payload", Kind::Numbers(1);
        CREATED_MS = "created_ms", Kind::Scalar(8);
        UPDATED_MS = "updated_ms", Kind::Scalar(8);
    }
}

pub(super) mod cache_entry {
    use super::{Field, Kind};
    fields! {
        VERSION = "version", Kind::Scalar(2);
        KEY = "key", Kind::Numbers(1);
        VALUE = "value", Kind::Numbers(1);
        VALUE_IS_TEXT = "value_is_text", Kind::Scalar(1);
        VECTOR = "vector", Kind::Numbers(4);
        TENANT = "tenant", Kind::Numbers(1);
        MODEL_ID = "model_id", Kind::Numbers(1);
        COST = "cost", Kind::Scalar(8);
        DEADLINE_NS = "deadline_ns", Kind::Scalar(8);
        IS_PINNED = "is_pinned", Kind::Scalar(1);
        AGE = "age", Kind::Scalar(4);
        USES = "uses", Kind::Scalar(4);
        IS_MAIN = "is_main", Kind::Scalar(1);
        PRIORITY = "priority", Kind::Scalar(8);
    }
}
