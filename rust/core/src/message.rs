//! One chat message in the form chat APIs take, parsed once.

use smallvec::{SmallVec, smallvec};

use crate::error::{Error, Result};
use crate::payload;
use crate::text::Text;
use crate::tokens::{ImageSize, Tokenizer};

/// Who speaks. Other roles are refused when a message is parsed: no provider takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions that always stay in a window.
    System,
    /// The newer name of `System`; always stays too.
    Developer,
    /// Starts a turn.
    User,
    /// May hold tool calls.
    Assistant,
    /// The result of one tool call.
    Tool,
}

impl Role {
    /// All roles a message may have.
    pub const ALL: [Self; 5] = [Self::System, Self::Developer, Self::User, Self::Assistant, Self::Tool];

    /// The role's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// The role of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Whether messages of this role stay in every window.
    pub fn is_instruction(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// One tool call of an assistant's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What the result names as its `tool_call_id`; ids may repeat in a history.
    pub id: Text,
    /// The function's (or custom tool's) name.
    pub name: Text,
    /// The arguments as the model wrote them: a JSON text, or a custom tool's input.
    pub arguments: Text,
}

/// One piece of a message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text, or the text of a refusal.
    Text(Text),
    /// An image, counted by the provider's rule for its detail level, never as text.
    Image {
        /// Whether `detail` is `"low"`.
        low_detail: bool,
        /// The image's size, where the image itself is in the message.
        size: Option<ImageSize>,
    },
    /// Any other part, counted as its JSON text and by the images in it. Made by [`Part::other`].
    Other {
        /// Without the base64 texts that were in it.
        json: String,
        /// Images that were, each with its size if that is known.
        images: Vec<Option<ImageSize>>,
    },
}

impl Part {
    /// A part that has no rule of its own, from its JSON text. Data URLs in base64, and base64 under a key that says that it is data, are
    /// left out from 256 characters on: they are audio or files, which no provider counts as text, and for which there is no
    /// published rule by their bytes. Images among them are counted as images.
    pub fn other(json: &str) -> Self {
        let (json, images) = payload::taken_out(json);
        Self::Other { json, images }
    }
}

/// The parts of a message: one, as most messages have, lies in the message itself.
pub type Parts = SmallVec<[Part; 1]>;

/// A parsed message. Keys a chat API does not define are not part of it: the caller's own object keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The speaker's name, if the message gives one.
    pub name: Option<Text>,
    /// A string content is one text part; a null content is no part.
    pub parts: Parts,
    /// The text of an assistant's refusal.
    pub refusal: Option<Text>,
    /// An assistant's tool calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool message answers.
    pub tool_call_id: Option<Text>,
    /// Which of the keys [`NULLABLE`](crate::codec::NULLABLE) it came with and null, a bit each, the first the lowest. Nothing but a snapshot tells
    /// them from keys that are not there.
    pub nulls: u8,
}

impl Message {
    /// A message of one text part.
    pub fn text(role: Role, content: impl Into<Text>) -> Self {
        Self {
            role,
            name: None,
            parts: smallvec![Part::Text(content.into())],
            refusal: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            nulls: 0,
        }
    }

    /// All texts that it holds, in the order in which they lie in a snapshot.
    pub(crate) fn all_texts(&self) -> impl Iterator<Item = &Text> {
        let Self { parts, name, refusal, tool_call_id, tool_calls, .. } = self;
        let parts = parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
        let calls = tool_calls.iter().flat_map(|ToolCall { id, name, arguments }| [id, name, arguments]);
        parts.chain(name).chain(refusal).chain(tool_call_id).chain(calls)
    }

    /// The same, to be put elsewhere.
    pub(crate) fn all_texts_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        let Self { parts, name, refusal, tool_call_id, tool_calls, .. } = self;
        let parts = parts.iter_mut().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
        let calls = tool_calls.iter_mut().flat_map(|ToolCall { id, name, arguments }| [id, name, arguments]);
        parts.chain(name).chain(refusal).chain(tool_call_id).chain(calls)
    }

    /// The texts of the message: its text parts and its refusal.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Image { .. } | Part::Other { .. } => None,
        });
        parts.chain(self.refusal.as_deref())
    }

    /// Bytes of all text the message holds: what parsing and counting it costs.
    pub fn text_bytes(&self) -> usize {
        let other: usize =
            self.parts.iter().map(|part| if let Part::Other { json, .. } = part { json.len() } else { 0 }).sum();
        let calls: usize = self.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
        self.texts().map(str::len).sum::<usize>() + other + calls
    }

    /// Whether anything is left to send once `tool_calls` are gone.
    pub(crate) fn says_something(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Text(text) if text.is_empty()))
            || self.refusal.as_deref().is_some_and(|refusal| !refusal.is_empty())
    }

    /// Refuses what no provider takes.
    ///
    /// # Errors
    /// [`Error::Message`], without an index, when a tool result names no call, when tool calls stand outside an assistant's message, or when a
    /// message has neither content nor calls nor a refusal.
    pub fn validate(&self) -> Result<()> {
        let why = if self.role == Role::Tool && self.tool_call_id.is_none() {
            "a tool message needs the tool_call_id of the call it answers"
        } else if self.role != Role::Assistant && !self.tool_calls.is_empty() {
            "only an assistant message may have tool_calls"
        } else if self.parts.is_empty() && self.tool_calls.is_empty() && self.refusal.is_none() {
            "content is null or empty; only an assistant message with tool_calls or a refusal may leave it out"
        } else {
            return Ok(());
        };
        Err(Error::Message { index: None, why: why.to_owned() })
    }

    /// Tokens the message adds to a request: the tokenizer's per-message cost, role, name, content and tool calls.
    ///
    /// Additive: a request's messages cost the sum. Reply priming is apart (`ChatRule::reply`).
    pub fn tokens(&self, tokenizer: &Tokenizer) -> u64 {
        self.tokens_by(tokenizer, |_, text| tokenizer.count(text) as u64)
    }

    /// The same, with the text parts counted by `count`, which is told each part's index.
    pub(crate) fn tokens_by(&self, tokenizer: &Tokenizer, mut count_part: impl FnMut(u32, &str) -> u64) -> u64 {
        let rule = tokenizer.chat();
        let count = |text: &str| tokenizer.count(text) as u64;
        let mut sum = u64::from(rule.per_message) + count(self.role.as_str());
        if let Some(name) = &self.name {
            sum += u64::from(rule.per_name) + count(name);
        }
        for (part, i) in self.parts.iter().zip(0..) {
            sum += match part {
                Part::Text(text) => count_part(i, text),
                Part::Other { json, images } => {
                    count(json) + images.iter().map(|size| rule.image.tokens(false, *size)).sum::<u64>()
                }
                Part::Image { low_detail, size } => rule.image.tokens(*low_detail, *size),
            };
        }
        sum += self.refusal.as_deref().map_or(0, count);
        sum + self.tool_calls.iter().map(|call| call.tokens(tokenizer)).sum::<u64>()
    }
}

impl ToolCall {
    /// Tokens this call adds to its message. Ids are not rendered to the model, so they cost nothing.
    pub(crate) fn tokens(&self, tokenizer: &Tokenizer) -> u64 {
        u64::from(tokenizer.chat().per_call)
            + tokenizer.count(&self.name) as u64
            + tokenizer.count(&self.arguments) as u64
    }
}
