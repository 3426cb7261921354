//! What a snapshot is written from: borrowed parts, asked for turn by turn, so that nothing is copied or collected before it is written.

use crate::error::{Error, Result};
use crate::history::History;
use crate::message::{Message, Part, Role};

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
    /// Numbers of one vector; 0 where there are none.
    pub vector_dim: u32,
    /// Vectors one after another, a multiple of `vector_dim` numbers; without a number the snapshot has none of the field either.
    pub vectors: &'a [f32],
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

    /// # Errors
    /// [`Error::Codec`] for a content of other parts than one text.
    // A call gives the turn back through memory, 192 bytes that are then copied.
    #[expect(clippy::inline_always, reason = "what is plainly inline is not inlined into both passes")]
    #[inline(always)]
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
            tokens: u32::try_from(self.message_tokens(index)).unwrap_or(0),
            is_pinned: self.is_pinned(index),
            time_ms: 0,
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

/// The content of message `index`, which is one text or none.
#[inline]
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
