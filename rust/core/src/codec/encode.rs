//! What a snapshot is written from: borrowed parts, noted turn by turn in as few bytes as can be.

use super::layout::{Shape, Shapes, TOOL_CALL, TURN};
use super::pen::{offsets_len, room_of_text};
use super::view::Vectors;
use crate::error::{Error, Result};
use crate::history::History;
use crate::message::{Message, Part, Role};
use crate::simd::prefetch;

/// A session to be written. What is `None`, empty or 0 where the schema has it so by default takes no room.
#[derive(Debug)]
pub struct SnapshotParts<'a> {
    /// The session's name.
    pub session_id: Option<&'a str>,
    /// The role that the session is held with.
    pub role: Option<&'a str>,
    /// The name of the tokenizer that counted.
    pub tokenizer: Option<&'a str>,
    /// What was said, oldest first; without a turn the snapshot has none of the field either.
    pub turns: &'a Turns<'a>,
    /// What turns that were left out come to.
    pub summary: Option<&'a str>,
    /// Whole vectors of its `dim`; without a number the snapshot has none of the field either.
    pub vectors: Vectors<'a>,
    /// Anything else, as it is.
    pub payload: Option<&'a [u8]>,
    /// When the session began, in milliseconds since 1970 UTC; 0: unknown.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since 1970 UTC; 0: unknown.
    pub updated_ms: i64,
}

/// One message to be written, but for its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnParts<'a> {
    /// Who speaks.
    pub role: Role,
    /// The content, where it is one text.
    pub text: Option<&'a str>,
    /// The content, where it is a list of parts: a JSON array.
    pub parts: Option<&'a str>,
    /// The speaker's name.
    pub name: Option<&'a str>,
    /// The text of an assistant's refusal.
    pub refusal: Option<&'a str>,
    /// Which call a tool's turn answers.
    pub tool_call_id: Option<&'a str>,
    /// All other keys of the message: a JSON object.
    pub extra: Option<&'a str>,
    /// Tokens with the message's frame; 0: not counted.
    pub tokens: u32,
    /// Whether the turn stays in every window.
    pub is_pinned: bool,
    /// When it was said, in milliseconds since 1970 UTC; 0: unknown.
    pub time_ms: i64,
    /// Which of [`NULLABLE`](super::NULLABLE) it has with the value null, a bit each.
    pub nulls: u8,
}

/// One tool call to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolCallParts<'a> {
    /// What the result names as its `tool_call_id`.
    pub id: Option<&'a str>,
    /// The function's or custom tool's name.
    pub name: Option<&'a str>,
    /// The arguments as the model wrote them.
    pub arguments: Option<&'a str>,
    /// Whether it is a call of a custom tool.
    pub is_custom: bool,
    /// All other keys of the call: a JSON object.
    pub extra: Option<&'a str>,
}

/// The turns of a snapshot that is to be written, in order: the first of two passes, in which sizes are learnt. The texts stay where they are.
///
/// Memory: 24 bytes a turn and a call, and 16 a text.
#[derive(Debug)]
pub struct Turns<'a> {
    /// Turns, each with its calls after it.
    pub(super) tables: Vec<TableParts>,
    /// Those of each table, in the order in which they lie.
    pub(super) texts: Vec<&'a str>,
    /// How many turns there are.
    pub(super) n: usize,
    /// Bytes of all of it if it begins at a multiple of 8.
    pub(super) len: usize,
    /// Whether one of them has an 8-byte number, which has to lie at a multiple of 8.
    pub(super) is_wide: bool,
    pub(super) turn_shapes: Shapes,
    pub(super) call_shapes: Shapes,
}

/// A turn or a call, but for its texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableParts {
    pub(super) time_ms: i64,
    pub(super) tokens: u32,
    /// The bytes that are not the default, one after another.
    pub(super) marks: u32,
    pub(super) n_calls: u32,
    /// Among those of its kind.
    pub(super) shape: u16,
    pub(super) n_texts: u8,
}

impl Default for Turns<'_> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<'a> Turns<'a> {
    /// No turns yet, but room for as many that are one text each.
    pub fn with_capacity(n_turns: usize) -> Self {
        Self {
            tables: Vec::with_capacity(n_turns),
            texts: Vec::with_capacity(n_turns),
            n: 0,
            len: 0,
            is_wide: false,
            turn_shapes: Shapes::new(&TURN),
            call_shapes: Shapes::new(&TOOL_CALL),
        }
    }

    /// Adds a turn with its calls; `None`: it has no list of calls, which is not the same as an empty one.
    pub fn push(&mut self, turn: &TurnParts<'a>, calls: Option<impl IntoIterator<Item = ToolCallParts<'a>>>) {
        let texts = [turn.text, turn.parts, turn.name, turn.refusal, turn.tool_call_id, turn.extra];
        let marks = marks([
            (turn.role != Role::User, turn.role as u8),
            (turn.is_pinned, u8::from(turn.is_pinned)),
            (turn.nulls != 0, turn.nulls),
        ]);
        let fields = field(0, turn.role != Role::User)
            | field(1, turn.text.is_some())
            | field(2, turn.parts.is_some())
            | field(3, turn.name.is_some())
            | field(4, turn.refusal.is_some())
            | field(5, calls.is_some())
            | field(6, turn.tool_call_id.is_some())
            | field(7, turn.extra.is_some())
            | field(8, turn.tokens != 0)
            | field(9, turn.is_pinned)
            | field(10, turn.time_ms != 0)
            | field(11, turn.nulls != 0);
        let shape = self.turn_shapes.note(fields);
        self.begin(self.turn_shapes.get(shape));
        let n_texts = self.add_texts(&texts);
        let place = self.tables.len();
        self.tables.push(TableParts { time_ms: turn.time_ms, tokens: turn.tokens, marks, n_calls: 0, shape, n_texts });
        if let Some(calls) = calls {
            let before = self.tables.len();
            calls.into_iter().for_each(|call| self.push_call(&call));
            let n_calls = self.tables.len() - before;
            self.len = self.len.saturating_add(offsets_len(n_calls));
            // More would have 2^32 bytes, which is found out.
            self.tables[place].n_calls = u32::try_from(n_calls).unwrap_or(u32::MAX);
        }
    }

    /// Adds a turn of which there is no more to say than this, as of most.
    #[inline]
    pub fn push_plain(&mut self, role: Role, text: &'a str, tokens: u32, is_pinned: bool) {
        let fields = field(0, role != Role::User) | field(1, true) | field(8, tokens != 0) | field(9, is_pinned);
        let shape = self.turn_shapes.note(fields);
        let size = self.turn_shapes.get(shape).len as usize + room_of_text(text.len());
        self.len = self.len.saturating_add(size);
        self.n += 1;
        let marks = marks([(role != Role::User, role as u8), (is_pinned, u8::from(is_pinned))]);
        self.tables.push(TableParts { time_ms: 0, tokens, marks, n_calls: 0, shape, n_texts: 1 });
        self.texts.push(text);
    }

    /// Adds a message as a history holds it, with its tokens and its pin. It keeps neither times nor keys that it does not count, nor anything
    /// but the text of a content; `nulls`: which of [`NULLABLE`](super::NULLABLE) the message has with the value null, a bit each.
    ///
    /// # Errors
    /// [`Error::Codec`] for a content of other parts than one text; then nothing is added.
    #[inline]
    pub fn push_message(&mut self, history: &'a History, index: usize, nulls: u8) -> Result<()> {
        let messages = history.messages();
        // Not its text too: that made it slower.
        if let Some(message) = messages.get(index + 16) {
            prefetch(message);
        }
        if let Some(part) = messages.get(index + 8).and_then(|message| message.parts.first()) {
            prefetch(part);
        }
        let message = &messages[index];
        let tokens = u32::try_from(history.message_tokens(index)).unwrap_or(0);
        let is_pinned = history.is_pinned(index);
        if let Some(text) = message.plain_text().filter(|_| nulls == 0) {
            self.push_plain(message.role, text, tokens, is_pinned);
            return Ok(());
        }
        let turn = TurnParts {
            role: message.role,
            text: one_text(message, index)?,
            parts: None,
            name: message.name.as_deref(),
            refusal: message.refusal.as_deref(),
            tool_call_id: message.tool_call_id.as_deref(),
            extra: None,
            tokens,
            is_pinned,
            time_ms: 0,
            nulls,
        };
        let calls = message.tool_calls.iter().map(|call| ToolCallParts {
            id: Some(&call.id),
            name: Some(&call.name),
            arguments: Some(&call.arguments),
            is_custom: false,
            extra: None,
        });
        self.push(&turn, Some(calls).filter(|calls| calls.len() > 0));
        Ok(())
    }

    fn push_call(&mut self, call: &ToolCallParts<'a>) {
        let fields = field(0, call.id.is_some())
            | field(1, call.name.is_some())
            | field(2, call.arguments.is_some())
            | field(3, call.is_custom)
            | field(4, call.extra.is_some());
        let shape = self.call_shapes.note(fields);
        self.len = self.len.saturating_add(self.call_shapes.get(shape).len as usize);
        let n_texts = self.add_texts(&[call.id, call.name, call.arguments, call.extra]);
        let marks = u32::from(call.is_custom);
        self.tables.push(TableParts { time_ms: 0, tokens: 0, marks, n_calls: 0, shape, n_texts });
    }

    /// Gives the next turn its place.
    fn begin(&mut self, shape: Shape) {
        self.n += 1;
        self.is_wide |= shape.is_wide;
        self.len = shape.span(self.len).1;
    }

    /// Adds those that there are; how many.
    fn add_texts<const N: usize>(&mut self, texts: &[Option<&'a str>; N]) -> u8 {
        let mut n = 0;
        for text in texts.iter().flatten() {
            self.texts.push(text);
            self.len = self.len.saturating_add(room_of_text(text.len()));
            n += 1;
        }
        n
    }
}

/// The bytes of a table that there are, one after another in one word, as they lie.
#[inline]
fn marks<const N: usize>(bytes: [(bool, u8); N]) -> u32 {
    let (mut word, mut n_bits) = (0, 0);
    for (is_there, byte) in bytes {
        if is_there {
            word |= u32::from(byte) << n_bits;
            n_bits += 8;
        }
    }
    word
}

#[inline]
pub(super) fn field(number: u32, is_there: bool) -> usize {
    usize::from(is_there) << number
}

/// The content of message `index`, which is one text or none.
fn one_text(message: &Message, index: usize) -> Result<Option<&str>> {
    match message.parts.as_slice() {
        [] => Ok(None),
        [Part::Text(text)] => Ok(Some(text)),
        _ => Err(Error::Codec(format!(
            "message {index} has a list of parts, which a history keeps as it counts them and not as they came; give them as a JSON text"
        ))),
    }
}
