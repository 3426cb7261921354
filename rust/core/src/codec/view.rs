//! A snapshot's fields by name. Opening and each field cost the same whatever the snapshot's size, but for the check of a text's UTF-8.

use super::format::{HEADER, IDENTIFIER, MOST_BYTES, N_NULLS, N_ROLES, VERSION, WORD, snapshot, tool_call, turn};
use super::table::{Place, Table, Tables};
use crate::error::{Error, Result};
use crate::message::Role;

/// A session in bytes that somebody else keeps.
///
/// Only what is read is checked, when it is read: each accessor gives [`Error::Codec`] where the bytes it needs are damaged, and
/// no bytes make one panic or read elsewhere. [`verify`](super::verify()) checks all at once.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a>(pub(super) Table<'a>);

impl<'a> Snapshot<'a> {
    /// Opens the snapshot that begins at the first byte.
    ///
    /// # Errors
    /// [`Error::Codec`] where the bytes are too few or too many for a snapshot, are none, or one of a newer [`VERSION`].
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let n_bytes = bytes.len();
        if !(HEADER..=MOST_BYTES).contains(&n_bytes) {
            return Err(Error::Codec(format!(
                "the buffer has {n_bytes} bytes, a snapshot has {HEADER} to {MOST_BYTES}; pass all bytes of one snapshot"
            )));
        }
        if bytes[HEADER - IDENTIFIER.len()..HEADER] != IDENTIFIER {
            let identifier = IDENTIFIER.escape_ascii();
            return Err(Error::Codec(format!(
                "the buffer is no snapshot: its bytes 4 to 8 are not {identifier}; pass what encode_snapshot returned"
            )));
        }
        let opened = Self(Table::root(bytes)?);
        let version = opened.version()?;
        if version > VERSION {
            return Err(Error::Codec(format!(
                "the snapshot's version is {version}, this release reads up to {VERSION}; upgrade rolecore"
            )));
        }
        Ok(opened)
    }

    /// Opens bytes that [`Snapshot::open`] has opened before: their identifier and version are not looked at again.
    ///
    /// # Errors
    /// [`Error::Codec`] where there is no root table any more.
    #[inline]
    pub fn reopen(bytes: &'a [u8]) -> Result<Self> {
        Table::root(bytes).map(Self)
    }

    /// The least version of the schema that a reader has to know.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn version(&self) -> Result<u16> {
        self.0.u16(&snapshot::VERSION, 1)
    }

    /// The session's name.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn session_id(&self) -> Result<Option<&'a str>> {
        self.0.text(&snapshot::SESSION_ID)
    }

    /// The role that the session is held with.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn role(&self) -> Result<Option<&'a str>> {
        self.0.text(&snapshot::ROLE)
    }

    /// The name of the tokenizer that counted.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn tokenizer(&self) -> Result<Option<&'a str>> {
        self.0.text(&snapshot::TOKENIZER)
    }

    /// What was said, oldest first; empty where there is no list.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn turns(&self) -> Result<List<'a, Turn<'a>>> {
        let tables = self.0.tables(&snapshot::TURNS)?.unwrap_or(Tables::NONE);
        Ok(List { tables, view: Turn })
    }

    /// What turns that were left out come to.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn summary(&self) -> Result<Option<&'a str>> {
        self.0.text(&snapshot::SUMMARY)
    }

    /// Numbers of one vector; 0 where there are none.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn vector_dim(&self) -> Result<u32> {
        self.0.u32(&snapshot::VECTOR_DIM)
    }

    /// The vectors, in place.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors, and where the numbers do not make whole vectors of [`Snapshot::vector_dim`].
    #[inline]
    pub fn vectors(&self) -> Result<Option<Vectors<'a>>> {
        let field = &snapshot::VECTORS;
        let Some(vector) = self.0.vector(field, size_of::<f32>())? else { return Ok(None) };
        let dim = self.vector_dim()?;
        if !vector.len.is_multiple_of(dim as usize) {
            let why = format!("it has {} numbers, which is no multiple of vector_dim, {dim}", vector.len);
            return Err(self.0.damaged(field, vector.at - WORD, why));
        }
        Ok(Some(Vectors { dim, bytes: vector.elements }))
    }

    /// Bytes of the caller's own.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn payload(&self) -> Result<Option<&'a [u8]>> {
        self.0.bytes(&snapshot::PAYLOAD)
    }

    /// When the session began, in milliseconds since 1970 UTC; 0 where that is unknown.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn created_ms(&self) -> Result<i64> {
        self.0.i64(&snapshot::CREATED_MS)
    }

    /// When the session was last changed, in milliseconds since 1970 UTC; 0 where that is unknown.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn updated_ms(&self) -> Result<i64> {
        self.0.i64(&snapshot::UPDATED_MS)
    }
}

/// Vectors of a snapshot, one after another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vectors<'a> {
    /// Numbers of one vector; 0 only where there are no numbers.
    pub dim: u32,
    /// Little-endian float32, shape (n, dim).
    pub bytes: &'a [u8],
}

impl Vectors<'_> {
    /// Whether the bytes begin in memory at a multiple of `n_bytes`, a power of two: 4 for numbers that are read in place. A writer
    /// aligns them to 16 within the buffer; where the buffer itself lies is its owner's business.
    pub fn is_aligned_to(&self, n_bytes: usize) -> bool {
        self.bytes.as_ptr().addr().is_multiple_of(n_bytes)
    }
}

/// Turns of a snapshot, or tool calls of a turn, in order.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, T> {
    tables: Tables<'a>,
    view: fn(Table<'a>) -> T,
}

impl<T> List<'_, T> {
    /// How many there are, by the snapshot's own account; the offset to each of them is in the buffer.
    pub fn len(&self) -> usize {
        self.tables.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the list is, without the bytes.
    pub fn place(&self) -> ListPlace {
        ListPlace { at: self.tables.at, len: self.len() }
    }

    /// One of them, from 0.
    ///
    /// # Errors
    /// [`Error::Argument`] where the index is past the end, [`Error::Codec`] where there is no table.
    #[inline]
    pub fn get(&self, index: usize) -> Result<T> {
        self.tables.get(index).map(self.view)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<T>> + DoubleEndedIterator {
        (0..self.len()).map(|index| {
            self.tables.prefetch(index + 1);
            self.get(index)
        })
    }
}

/// Where a list is in a snapshot, for who keeps the bytes and cannot keep a view of them. In other bytes it leads anywhere, which is
/// checked there as everywhere.
#[derive(Debug, Clone, Copy)]
pub struct ListPlace {
    at: usize,
    len: usize,
}

impl ListPlace {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "it is no list, it leads to one")]
    pub fn len(self) -> usize {
        self.len
    }

    /// The list, which is that of a snapshot's turns.
    #[inline]
    pub fn turns(self, bytes: &[u8]) -> List<'_, Turn<'_>> {
        List { tables: Tables::new(bytes, self.at, self.len, Place::Snapshot), view: Turn }
    }

    /// The list, which is that of the calls of a snapshot's turn of that index.
    #[inline]
    pub fn tool_calls(self, bytes: &[u8], turn: usize) -> List<'_, ToolCall<'_>> {
        List { tables: Tables::new(bytes, self.at, self.len, Place::Turn(turn)), view: ToolCall }
    }
}

/// One message of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a>(Table<'a>);

impl<'a> Turn<'a> {
    /// Who speaks.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors, and where the role is none of [`Role::ALL`].
    #[inline]
    pub fn role(&self) -> Result<Role> {
        let role = self.0.known(&turn::ROLE, N_ROLES, Role::User as u8)?;
        Ok(Role::ALL[usize::from(role)])
    }

    /// The content, where it is one text.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn text(&self) -> Result<Option<&'a str>> {
        self.0.text(&turn::TEXT)
    }

    /// The same for who sees to it that it is UTF-8, which is not checked.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn text_bytes(&self) -> Result<Option<&'a [u8]>> {
        self.0.bytes(&turn::TEXT)
    }

    /// The content, where it is a list of parts: a JSON array.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors. That it is JSON is not checked.
    #[inline]
    pub fn parts(&self) -> Result<Option<&'a str>> {
        self.0.text(&turn::PARTS)
    }

    /// The speaker's name.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn name(&self) -> Result<Option<&'a str>> {
        self.0.text(&turn::NAME)
    }

    /// The text of an assistant's refusal.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn refusal(&self) -> Result<Option<&'a str>> {
        self.0.text(&turn::REFUSAL)
    }

    /// An assistant's calls, in order; an empty list is not the same as none.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn tool_calls(&self) -> Result<Option<List<'a, ToolCall<'a>>>> {
        let tables = self.0.tables(&turn::TOOL_CALLS)?;
        Ok(tables.map(|tables| List { tables, view: ToolCall }))
    }

    /// Which call a tool's turn answers.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn tool_call_id(&self) -> Result<Option<&'a str>> {
        self.0.text(&turn::TOOL_CALL_ID)
    }

    /// All other keys of the message: a JSON object.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors. That it is JSON is not checked.
    #[inline]
    pub fn extra(&self) -> Result<Option<&'a str>> {
        self.0.text(&turn::EXTRA)
    }

    /// Tokens, as the session's tokenizer counts them with the message's frame; 0 where nobody counted.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn tokens(&self) -> Result<u32> {
        self.0.u32(&turn::TOKENS)
    }

    /// Whether the turn stays in every window.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn is_pinned(&self) -> Result<bool> {
        self.0.bool(&turn::IS_PINNED)
    }

    /// When it was said, in milliseconds since 1970 UTC; 0 where that is unknown.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn time_ms(&self) -> Result<i64> {
        self.0.i64(&turn::TIME_MS)
    }

    /// Which of the keys [`NULLABLE`](super::NULLABLE) the message has with the value null, a bit each, the first the lowest.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors, and for bits of no key.
    #[inline]
    pub fn nulls(&self) -> Result<u8> {
        self.0.known(&turn::NULLS, N_NULLS, 0)
    }
}

/// One tool call of a turn.
#[derive(Debug, Clone, Copy)]
pub struct ToolCall<'a>(Table<'a>);

impl<'a> ToolCall<'a> {
    /// What the result names as its `tool_call_id`.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn id(&self) -> Result<Option<&'a str>> {
        self.0.text(&tool_call::ID)
    }

    /// The function's or custom tool's name.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn name(&self) -> Result<Option<&'a str>> {
        self.0.text(&tool_call::NAME)
    }

    /// The arguments as the model wrote them.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn arguments(&self) -> Result<Option<&'a str>> {
        self.0.text(&tool_call::ARGUMENTS)
    }

    /// Whether it is a call of a custom tool, whose arguments are no JSON.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors.
    #[inline]
    pub fn is_custom(&self) -> Result<bool> {
        self.0.bool(&tool_call::IS_CUSTOM)
    }

    /// All other keys of the call: a JSON object.
    ///
    /// # Errors
    /// [`Error::Codec`], as for all accessors. That it is JSON is not checked.
    #[inline]
    pub fn extra(&self) -> Result<Option<&'a str>> {
        self.0.text(&tool_call::EXTRA)
    }
}
