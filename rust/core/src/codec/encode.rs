//! What a snapshot is written from: borrowed parts, noted turn by turn in as few bytes as can be.

use super::tables::Tables;
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
    pub(super) fn tables(self) -> &'a Tables {
        match self {
            Self::Turns(turns) => &turns.tables,
            Self::History(history) => history.tables(),
        }
    }
}

/// Turns put together one by one; their texts stay where they are.
#[derive(Debug, Default)]
pub struct Turns<'a> {
    tables: Tables,
    /// Those of each turn, and those of its calls after them, in the order in which they lie.
    pub(super) texts: Vec<&'a str>,
}

impl<'a> Turns<'a> {
    /// No turns yet, but room for as many that are one text each.
    pub fn with_capacity(n_turns: usize) -> Self {
        Self { tables: Tables::with_capacity(n_turns), texts: Vec::with_capacity(n_turns) }
    }

    /// Adds a turn with its calls; `None`: it has no list of calls, which is not the same as an empty one.
    #[inline]
    pub fn push(
        &mut self,
        turn: &TurnParts<'a>,
        calls: Option<impl IntoIterator<Item = ToolCallParts<'a>, IntoIter: ExactSizeIterator>>,
    ) {
        match (turn.only_text(), calls) {
            (Some(text), None) => {
                self.texts.push(text);
                self.tables.push_plain(turn.role, text.len(), turn.tokens, turn.is_pinned);
            }
            (_, calls) => self.push_rich(turn, calls),
        }
    }

    #[inline(never)]
    fn push_rich(
        &mut self,
        turn: &TurnParts<'a>,
        calls: Option<impl IntoIterator<Item = ToolCallParts<'a>, IntoIter: ExactSizeIterator>>,
    ) {
        self.texts.extend(turn.texts().into_iter().flatten());
        let texts = &mut self.texts;
        let calls =
            calls.map(|calls| calls.into_iter().inspect(|call| texts.extend(call.texts().into_iter().flatten())));
        self.tables.push(turn, calls);
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

    /// The content, where it is one text and there is nothing but a role, tokens and a pin beside it.
    #[inline]
    fn only_text(&self) -> Option<&'a str> {
        let Self { text, parts, name, refusal, tool_call_id, extra, time_ms, nulls, .. } = self;
        let has_more =
            parts.is_some() || name.is_some() || refusal.is_some() || tool_call_id.is_some() || extra.is_some();
        text.filter(|_| !has_more && *time_ms == 0 && *nulls == 0)
    }

    /// In the order in which they lie.
    pub(super) fn texts(&self) -> [Option<&'a str>; 6] {
        [self.text, self.parts, self.name, self.refusal, self.tool_call_id, self.extra]
    }
}

impl<'a> ToolCallParts<'a> {
    /// In the order in which they lie.
    pub(super) fn texts(&self) -> [Option<&'a str>; 4] {
        [self.id, self.name, self.arguments, self.extra]
    }
}

/// A message of a history as a turn, but for its calls; None for one whose content is another than one text.
pub(super) fn turn_of(message: &Message, tokens: u64, is_pinned: bool) -> Option<TurnParts<'_>> {
    let text = match message.parts.as_slice() {
        [] => None,
        [Part::Text(text)] => Some(&**text),
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

pub(super) fn calls_of(message: &Message) -> Option<impl ExactSizeIterator<Item = ToolCallParts<'_>>> {
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
