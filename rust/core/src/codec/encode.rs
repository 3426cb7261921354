//! What a snapshot is written from: borrowed parts, noted turn by turn in as few bytes as can be.

use super::layout::{Shapes, TOOL_CALL, TURN};
use super::pen::{offsets_len, room_of_text};
use super::view::Vectors;
use crate::error::{Error, Result};
use crate::history::History;
use crate::message::{Message, Part, Role};

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
    pub turns: Source<'a>,
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

/// Where the turns of a snapshot come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Those that were put together.
    Turns(&'a Turns<'a>),
    /// The messages of a history as it holds them, with their tokens and pins. It keeps neither times nor keys that it does not count, nor
    /// anything but the text of a content: whoever has more of a message puts the turns together.
    History(&'a History),
}

impl<'a> Source<'a> {
    pub(super) fn sizes(self) -> &'a Sizes {
        match self {
            Self::Turns(turns) => &turns.sizes,
            Self::History(history) => history.sizes(),
        }
    }
}

/// Turns put together one by one; their texts stay where they are.
#[derive(Debug, Default)]
pub struct Turns<'a> {
    sizes: Sizes,
    /// Those of each turn, and those of its calls after them, in the order in which they lie.
    pub(super) texts: Vec<&'a str>,
}

impl<'a> Turns<'a> {
    /// No turns yet, but room for as many that are one text each.
    pub fn with_capacity(n_turns: usize) -> Self {
        let sizes = Sizes { tables: Vec::with_capacity(n_turns), ..Sizes::default() };
        Self { sizes, texts: Vec::with_capacity(n_turns) }
    }

    /// Adds a turn with its calls; `None`: it has no list of calls, which is not the same as an empty one.
    pub fn push(&mut self, turn: &TurnParts<'a>, calls: Option<impl IntoIterator<Item = ToolCallParts<'a>>>) {
        self.texts.extend(turn.texts().into_iter().flatten());
        let texts = &mut self.texts;
        let calls =
            calls.map(|calls| calls.into_iter().inspect(|call| texts.extend(call.texts().into_iter().flatten())));
        self.sizes.push(turn, calls);
    }

    /// Adds a message as a history holds it; see [`Source::History`].
    ///
    /// # Errors
    /// [`Error::Codec`] for a content of other parts than one text; then nothing is added.
    pub fn push_message(&mut self, history: &'a History, index: usize) -> Result<()> {
        let message = &history.messages()[index];
        let turn = turn_of(message, history.message_tokens(index), history.is_pinned(index));
        let turn = turn.ok_or_else(|| has_parts(index))?;
        self.push(&turn, calls_of(message));
        Ok(())
    }
}

/// The first of two passes: what turns there are and how many bytes they take, but not their texts.
///
/// Memory: 24 bytes a turn and a call.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// Turns, each with its calls after it.
    pub(super) tables: Vec<TableParts>,
    pub(super) n_turns: usize,
    /// Bytes of all of it if it begins at a multiple of 8.
    pub(super) len: usize,
    /// Whether one of them has an 8-byte number, which has to lie at a multiple of 8.
    pub(super) is_wide: bool,
    pub(super) turn_shapes: Shapes,
    pub(super) call_shapes: Shapes,
    /// The first message that a history does not keep as it came.
    pub(super) lost: Option<usize>,
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

impl Sizes {
    /// Notes a message of a history; one that is not kept as it came is noted as that.
    #[inline]
    pub(crate) fn push_message(&mut self, message: &Message, tokens: u64, is_pinned: bool) {
        let Message { role, name, parts, refusal, tool_calls, tool_call_id, nulls } = message;
        let has_more = name.is_some() || refusal.is_some() || tool_call_id.is_some() || !tool_calls.is_empty();
        match parts.as_slice() {
            [Part::Text(text)] if !has_more && *nulls == 0 => {
                self.push_plain(*role, text.len(), u32::try_from(tokens).unwrap_or(0), is_pinned);
            }
            _ => self.push_rich_message(message, tokens, is_pinned),
        }
    }

    /// Notes a turn of one text of so many bytes, with nothing but tokens and a pin beside it, as most are: at each append, so in as few
    /// instructions as can be.
    #[inline]
    fn push_plain(&mut self, role: Role, text_len: usize, tokens: u32, is_pinned: bool) {
        let fields = field(0, role != Role::User) | field(1, true) | field(8, tokens != 0) | field(9, is_pinned);
        let (number, shape) = self.turn_shapes.note(&TURN, fields);
        let marks = marks([(role != Role::User, role as u8), (is_pinned, u8::from(is_pinned))]);
        self.n_turns += 1;
        self.len = self.len.saturating_add(shape.len as usize + room_of_text(text_len));
        self.tables.push(TableParts { time_ms: 0, tokens, marks, n_calls: 0, shape: number, n_texts: 1 });
    }

    fn push_rich_message(&mut self, message: &Message, tokens: u64, is_pinned: bool) {
        match turn_of(message, tokens, is_pinned) {
            Some(turn) => self.push(&turn, calls_of(message)),
            None => self.lost = self.lost.or(Some(self.n_turns)),
        }
    }

    fn push<'a>(&mut self, turn: &TurnParts<'a>, calls: Option<impl IntoIterator<Item = ToolCallParts<'a>>>) {
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
        let (number, shape) = self.turn_shapes.note(&TURN, fields);
        self.n_turns += 1;
        self.is_wide |= shape.is_wide;
        self.len = shape.span(self.len).1;
        let n_texts = self.add_texts(&turn.texts());
        let place = self.tables.len();
        self.tables.push(TableParts {
            time_ms: turn.time_ms,
            tokens: turn.tokens,
            marks,
            n_calls: 0,
            shape: number,
            n_texts,
        });
        if let Some(calls) = calls {
            calls.into_iter().for_each(|call| self.push_call(&call));
            let n_calls = self.tables.len() - place - 1;
            self.len = self.len.saturating_add(offsets_len(n_calls));
            // More would have 2^32 bytes, which is found out.
            self.tables[place].n_calls = u32::try_from(n_calls).unwrap_or(u32::MAX);
        }
    }

    fn push_call(&mut self, call: &ToolCallParts<'_>) {
        let fields = field(0, call.id.is_some())
            | field(1, call.name.is_some())
            | field(2, call.arguments.is_some())
            | field(3, call.is_custom)
            | field(4, call.extra.is_some());
        let (number, shape) = self.call_shapes.note(&TOOL_CALL, fields);
        self.len = self.len.saturating_add(shape.len as usize);
        let n_texts = self.add_texts(&call.texts());
        let marks = u32::from(call.is_custom);
        self.tables.push(TableParts { time_ms: 0, tokens: 0, marks, n_calls: 0, shape: number, n_texts });
    }

    /// Adds the room of those that there are; how many.
    fn add_texts<const N: usize>(&mut self, texts: &[Option<&str>; N]) -> u8 {
        let mut n = 0;
        for text in texts.iter().flatten() {
            self.len = self.len.saturating_add(room_of_text(text.len()));
            n += 1;
        }
        n
    }
}

impl<'a> TurnParts<'a> {
    /// A user's turn with nothing in it.
    pub const NOTHING: Self = Self {
        role: Role::User,
        text: None,
        parts: None,
        name: None,
        refusal: None,
        tool_call_id: None,
        extra: None,
        tokens: 0,
        is_pinned: false,
        time_ms: 0,
        nulls: 0,
    };

    /// In the order in which they lie.
    fn texts(&self) -> [Option<&'a str>; 6] {
        [self.text, self.parts, self.name, self.refusal, self.tool_call_id, self.extra]
    }
}

impl<'a> ToolCallParts<'a> {
    /// In the order in which they lie.
    fn texts(&self) -> [Option<&'a str>; 4] {
        [self.id, self.name, self.arguments, self.extra]
    }
}

/// A message of a history as a turn, but for its calls; None for one whose content is another than one text.
fn turn_of(message: &Message, tokens: u64, is_pinned: bool) -> Option<TurnParts<'_>> {
    let text = match message.parts.as_slice() {
        [] => None,
        [Part::Text(text)] => Some(text.as_str()),
        _ => return None,
    };
    Some(TurnParts {
        role: message.role,
        text,
        parts: None,
        name: message.name.as_deref(),
        refusal: message.refusal.as_deref(),
        tool_call_id: message.tool_call_id.as_deref(),
        extra: None,
        tokens: u32::try_from(tokens).unwrap_or(0),
        is_pinned,
        time_ms: 0,
        nulls: message.nulls,
    })
}

fn calls_of(message: &Message) -> Option<impl Iterator<Item = ToolCallParts<'_>>> {
    let calls = message.tool_calls.iter().map(|call| ToolCallParts {
        id: Some(&call.id),
        name: Some(&call.name),
        arguments: Some(&call.arguments),
        is_custom: false,
        extra: None,
    });
    Some(calls).filter(|calls| calls.len() > 0)
}

#[cold]
pub(super) fn has_parts(index: usize) -> Error {
    Error::Codec(format!(
        "message {index} has a list of parts, which a history keeps as it counts them and not as they came; give them as a JSON text"
    ))
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
