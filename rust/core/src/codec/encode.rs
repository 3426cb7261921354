//! What a snapshot is written from: borrowed parts, asked for turn by turn, so that nothing is copied or collected before it is written.

use super::view::Vectors;
use crate::error::{Error, Result};
use crate::history::{History, Plain};
use crate::message::{Message, Part, Role};
use crate::simd::prefetch;

/// A session to be written. What is `None`, empty or 0 where the schema has it so by default takes no room.
#[derive(Debug)]
pub struct SnapshotParts<'a, T: ?Sized> {
    /// The session's name.
    pub session_id: Option<&'a str>,
    /// The role that the session is held with.
    pub role: Option<&'a str>,
    /// The name of the tokenizer that counted.
    pub tokenizer: Option<&'a str>,
    /// What was said, oldest first; without a turn the snapshot has none of the field either.
    pub turns: &'a T,
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

/// One message to be written.
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
    /// How many calls [`Turns::call`] gives for the turn; `None`: it has no list of calls, which is not the same as an empty one.
    pub n_tool_calls: Option<usize>,
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

/// One message to be written of which there is no more to say than this, as of most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainTurn<T> {
    /// Who speaks.
    pub role: Role,
    /// The content, or how many bytes it has.
    pub text: T,
    /// Tokens with the message's frame; 0: not counted.
    pub tokens: u32,
    /// Whether the turn stays in every window.
    pub is_pinned: bool,
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

/// Where turns come from. Each is asked for twice, once for its sizes and once for its bytes, and must be the same both times: what is not
/// is found out and refused with [`Error::Codec`].
pub trait Turns {
    /// How many there are.
    fn n_turns(&self) -> usize;

    /// Turn `index` of `n_turns`.
    ///
    /// # Errors
    /// What the source cannot give; planning and writing end with it.
    fn turn(&self, index: usize) -> Result<TurnParts<'_>>;

    /// The same turn, if it is plain and that is quickly seen; [`Turns::turn`] is asked otherwise.
    fn plain(&self, index: usize) -> Option<PlainTurn<&str>> {
        let _ = index;
        None
    }

    /// The same turn, if it is plain, for its size.
    fn plain_len(&self, index: usize) -> Option<PlainTurn<usize>> {
        let PlainTurn { role, text, tokens, is_pinned } = self.plain(index)?;
        Some(PlainTurn { role, text: text.len(), tokens, is_pinned })
    }

    /// Told that turn `index` is the next one whose bytes are asked for: the time to bring those after it into the caches.
    fn prefetch(&self, index: usize) {
        let _ = index;
    }

    /// Call `call` of the `n_tool_calls` of turn `turn`.
    ///
    /// # Errors
    /// As for [`Turns::turn`].
    fn call(&self, turn: usize, call: usize) -> Result<ToolCallParts<'_>>;
}

/// The messages of a history as it holds them, with their tokens and pins. It keeps neither times nor keys that it does not count, nor
/// anything but the text of a content: whoever has more of a message gives it from a source that asks this one for the others.
impl Turns for History {
    fn n_turns(&self) -> usize {
        self.len()
    }

    #[inline]
    fn prefetch(&self, index: usize) {
        // Not its text too: that made it slower.
        if let Some(message) = self.messages().get(index + 16) {
            prefetch(message);
        }
        if let Some(part) = self.messages().get(index + 8).and_then(|message| message.parts.first()) {
            prefetch(part);
        }
    }

    #[inline]
    fn plain(&self, index: usize) -> Option<PlainTurn<&str>> {
        let Plain { role, .. } = self.plain(index)?;
        let [Part::Text(text)] = self.messages()[index].parts.as_slice() else { return None };
        Some(PlainTurn { role, text, tokens: tokens(self, index), is_pinned: self.is_pinned(index) })
    }

    #[inline]
    fn plain_len(&self, index: usize) -> Option<PlainTurn<usize>> {
        let Plain { role, text_len } = self.plain(index)?;
        Some(PlainTurn { role, text: text_len as usize, tokens: tokens(self, index), is_pinned: self.is_pinned(index) })
    }

    /// # Errors
    /// [`Error::Codec`] for a content of other parts than one text.
    fn turn(&self, index: usize) -> Result<TurnParts<'_>> {
        let message = &self.messages()[index];
        Ok(TurnParts {
            role: message.role,
            text: plain_text(message, index)?,
            parts: None,
            name: message.name.as_deref(),
            refusal: message.refusal.as_deref(),
            n_tool_calls: Some(message.tool_calls.len()).filter(|&n| n > 0),
            tool_call_id: message.tool_call_id.as_deref(),
            extra: None,
            tokens: tokens(self, index),
            is_pinned: self.is_pinned(index),
            time_ms: 0,
            nulls: 0,
        })
    }

    fn call(&self, turn: usize, call: usize) -> Result<ToolCallParts<'_>> {
        let call = &self.messages()[turn].tool_calls[call];
        Ok(ToolCallParts {
            id: Some(&call.id),
            name: Some(&call.name),
            arguments: Some(&call.arguments),
            is_custom: false,
            extra: None,
        })
    }
}

#[inline]
fn tokens(history: &History, index: usize) -> u32 {
    u32::try_from(history.message_tokens(index)).unwrap_or(0)
}

/// The content of message `index`, which is one text or none.
fn plain_text(message: &Message, index: usize) -> Result<Option<&str>> {
    match message.parts.as_slice() {
        [] => Ok(None),
        [Part::Text(text)] => Ok(Some(text)),
        _ => Err(not_plain(index)),
    }
}

#[cold]
fn not_plain(index: usize) -> Error {
    Error::Codec(format!(
        "message {index} has a list of parts, which a history keeps as it counts them and not as they came; give them as a JSON text"
    ))
}
