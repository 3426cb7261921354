//! A chat history: messages counted once when they come, and the groups that stay or go together.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use hashbrown::HashMap;

use crate::codec::Tables;
use crate::compress::digest::Digest;
use crate::compress::fit::{FitOptions, add_summary, fit};
use crate::compress::fold::text_room;
use crate::compress::pieces::Pieces;
use crate::compress::shrunk::ShrunkHistory;
use crate::compress::values::Values;
use crate::compress::window::Window;
use crate::error::Result;
use crate::message::{Message, Role};
use crate::text::Blocks;
use crate::tokens::Tokenizer;

/// A message with its token count: the costly half of an append, done without the history.
#[derive(Debug, Clone)]
pub struct Counted {
    message: Message,
    pieces: Pieces,
}

impl Counted {
    /// Validates and counts a message.
    ///
    /// # Errors
    /// [`crate::Error::Message`] for a form that no provider takes.
    pub fn new(message: Message, tokenizer: &Tokenizer) -> Result<Self> {
        message.validate()?;
        let pieces = Pieces::of(&message, tokenizer);
        Ok(Self { message, pieces })
    }

    /// Tokens of the message.
    pub(crate) fn tokens(&self) -> u64 {
        self.pieces.tokens
    }
}

/// Consecutive messages that stay or go together: one message, or an assistant's tool calls with their results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// First message; the group's leading one.
    pub(crate) start: usize,
    /// One past the last message. Results without a call stand inside the group before them and belong to none.
    pub(crate) end: usize,
    /// Role of the first message.
    pub(crate) role: Role,
    /// Tokens of what repair leaves of the group.
    pub(crate) tokens: u64,
    /// Whether repair leaves anything of it.
    pub(crate) is_live: bool,
    /// Whether the caller pinned one of its messages.
    pub(crate) is_pinned: bool,
}

/// What had to be done to a message so that a provider takes the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Index of the message.
    pub index: usize,
    /// Indices of the tool calls taken out of it because nothing answers them; none: the whole message went.
    pub removed_calls: Option<Vec<usize>>,
}

/// Messages in order, each parsed and counted once.
///
/// A tool result belongs to the nearest earlier call of its id that is still open; a call is open until the next message that
/// is not a tool's, because no provider takes a later answer. So the same id may serve many calls of one history.
#[derive(Debug)]
pub struct History {
    tokenizer: Arc<Tokenizer>,
    messages: Vec<Message>,
    message_tokens: Vec<u64>,
    /// What a snapshot of them comes to: known when it is asked for.
    tables: Tables,
    blocks: Blocks,
    is_dropped: Vec<bool>,
    is_pinned: Vec<bool>,
    groups: Vec<Group>,
    turn_starts: Vec<usize>,
    repairs: Vec<Repair>,
    /// The calls of the newest group that wait for a result: for each id, their indices, ascending.
    open_calls: HashMap<String, Vec<usize>>,
    tokens: u64,
    /// What windows are chosen by; set from the beginning, or when it is first asked for.
    digest: OnceLock<Digest>,
    /// What it is then made from beside the messages.
    unread: Vec<Pieces>,
    /// Whether there was a tool call.
    has_tools: bool,
    /// Read when a window is first chosen by sentence from a history with tools.
    values: Mutex<Values>,
    /// Made when a window with smaller tool outputs is first asked for, by unit and by whether repeats are referred to.
    shrunk: Mutex<[Option<ShrunkHistory>; 4]>,
}

impl History {
    /// An empty history that counts with `tokenizer`.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self {
            tokenizer,
            messages: Vec::new(),
            message_tokens: Vec::new(),
            tables: Tables::default(),
            blocks: Blocks::default(),
            is_dropped: Vec::new(),
            is_pinned: Vec::new(),
            groups: Vec::new(),
            turn_starts: Vec::new(),
            repairs: Vec::new(),
            open_calls: HashMap::new(),
            tokens: 0,
            digest: OnceLock::from(Digest::default()),
            unread: Vec::new(),
            has_tools: false,
            values: Mutex::default(),
            shrunk: Mutex::default(),
        }
    }

    /// An empty history that reads the words of its messages when a window is first chosen, and from then on as they come: for one that may be
    /// put away before.
    pub fn lazy(tokenizer: Arc<Tokenizer>) -> Self {
        Self { digest: OnceLock::new(), ..Self::new(tokenizer) }
    }

    /// Appends a message; with `pin` it stays in every window.
    ///
    /// Cost: O(bytes of the message), no tokens counted.
    pub fn push(&mut self, counted: Counted, pin: bool) {
        let Counted { message, pieces } = counted;
        let tokens = pieces.tokens;
        let index = self.messages.len();
        let is_result = message.role == Role::Tool;
        let is_orphan = is_result && !self.answer(&message);
        if !is_result {
            self.close_calls();
        }
        self.has_tools |= !message.tool_calls.is_empty();
        self.tokens += tokens;
        self.is_dropped.push(is_orphan);
        self.is_pinned.push(pin);
        if is_orphan {
            self.repairs.push(Repair { index, removed_calls: None });
        }
        match self.groups.last_mut() {
            Some(group) if is_result => group.end = index + 1,
            _ => {
                if message.role == Role::User {
                    self.turn_starts.push(self.groups.len());
                }
                let group = Group {
                    start: index,
                    end: index + 1,
                    role: message.role,
                    tokens: 0,
                    is_live: false,
                    is_pinned: false,
                };
                self.groups.push(group);
                for (i, call) in message.tool_calls.iter().enumerate() {
                    self.open_calls.entry(call.id.to_string()).or_default().push(i);
                }
            }
        }
        if let (false, Some(group)) = (is_orphan, self.groups.last_mut()) {
            group.tokens += tokens;
            group.is_live = true;
            group.is_pinned |= pin;
        }
        if let Some(digest) = self.digest.get_mut() {
            digest.push(&message, &pieces);
            self.unread = Vec::new();
        } else {
            self.unread.push(pieces);
        }
        let room = self.tables.push_message(&message, tokens, pin);
        self.messages.push(message);
        self.blocks.push(&mut self.messages, room);
        self.message_tokens.push(tokens);
    }

    /// Closes the nearest open call of the result's id; false if there is none.
    fn answer(&mut self, result: &Message) -> bool {
        let Some(id) = result.tool_call_id.as_deref() else { return false };
        let Some(calls) = self.open_calls.get_mut(id) else { return false };
        calls.pop();
        if calls.is_empty() {
            self.open_calls.remove(id);
        }
        true
    }

    /// The newest group is complete: takes out the calls nothing answered.
    fn close_calls(&mut self) {
        let mut unanswered: Vec<usize> = self.open_calls.drain().flat_map(|(_, calls)| calls).collect();
        unanswered.sort_unstable();
        let Some(group) = self.groups.last_mut().filter(|_| !unanswered.is_empty()) else { return };
        let message = &self.messages[group.start];
        let lost = if unanswered.len() < message.tool_calls.len() || message.says_something() {
            let lost = unanswered.iter().map(|&i| message.tool_calls[i].tokens(&self.tokenizer)).sum();
            self.repairs.push(Repair { index: group.start, removed_calls: Some(unanswered) });
            lost
        } else {
            self.is_dropped[group.start] = true;
            group.is_live = false;
            self.repairs.push(Repair { index: group.start, removed_calls: None });
            self.message_tokens[group.start]
        };
        group.tokens -= lost;
    }

    /// Chooses the messages that make the best legal request of at most `budget_tokens`.
    ///
    /// # Errors
    /// [`crate::Error::Budget`] when what must stay needs more, with the exact smallest budget that works;
    /// [`crate::Error::Message`] for orphans when asked to refuse them.
    ///
    /// Cost: O(distinct terms of all messages + groups x log groups); no text is read and no token counted.
    pub fn fit(&self, budget_tokens: u64, options: &FitOptions<'_>) -> Result<Window> {
        fit(self, budget_tokens, options)
    }

    /// Puts a summary into a window that was chosen with [`crate::Summary::Later`]: `text`, cut at its end to what room there is, or
    /// without one the worthiest sentences of what the window leaves out. False if none of it fits; then the window is as it was.
    pub fn add_summary(&self, window: &mut Window, options: &FitOptions<'_>, text: Option<&str>) -> bool {
        add_summary(self, window, options, text)
    }

    /// The messages of which a window holds nothing, results without calls and calls without results not counted.
    pub fn left_out(&self, window: &Window) -> Vec<usize> {
        let covered = window.covered();
        (0..covered.len()).filter(|&index| !covered[index] && self.is_live(index)).collect()
    }

    /// Tokens of a summary's text that fit into a window that was chosen with [`crate::Summary::Later`].
    pub fn summary_tokens(&self, window: &Window) -> u64 {
        text_room(self, window.summary_room)
    }

    /// Messages appended so far.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing has been appended.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Message `index`, as it was appended.
    pub fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// Whether message `index` was appended with a pin, which keeps its whole group.
    ///
    /// # Panics
    /// When there is no such message.
    pub fn is_pinned(&self, index: usize) -> bool {
        self.is_pinned[index]
    }

    /// Tokens of all messages as they were appended, orphans included, reply priming not.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The tokenizer that counts.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// What repair does, by message index. Calls of the last group are pending and stay.
    pub fn repairs(&self) -> Vec<Repair> {
        let mut repairs = self.repairs.clone();
        repairs.sort_by_key(|repair| repair.index);
        repairs
    }

    /// What repair did, in the order it came to it; it only grows.
    pub(crate) fn repairs_in_time(&self) -> &[Repair] {
        &self.repairs
    }

    /// Tokens of the calls that a repair takes out of its message.
    pub(crate) fn lost_tokens(&self, repair: &Repair) -> u64 {
        let calls = &self.messages[repair.index].tool_calls;
        let removed = repair.removed_calls.iter().flatten();
        removed.map(|&call| calls[call].tokens(&self.tokenizer)).sum()
    }

    /// Tokens of message `index` as it was appended.
    ///
    /// # Panics
    /// When there is no such message.
    pub fn message_tokens(&self, index: usize) -> u64 {
        self.message_tokens[index]
    }

    /// Tokens of a group's messages that repair leaves, as they were appended.
    pub(crate) fn as_appended(&self, group: &Group) -> u64 {
        (group.start..group.end).filter(|&i| self.is_live(i)).map(|i| self.message_tokens(i)).sum()
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// All texts in order, with the room that a snapshot needs around each, in pieces.
    pub(crate) fn texts_in_room(&self) -> impl Iterator<Item = &str> {
        self.blocks.pieces(&self.messages)
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(crate) fn has_tools(&self) -> bool {
        self.has_tools
    }

    /// The values of the pieces; what a call that panicked left of them is dropped and read anew.
    pub(crate) fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(|poisoned| {
            let mut values = poisoned.into_inner();
            *values = Values::default();
            values
        })
    }

    /// The history with smaller tool outputs, as far as it was made; what a call that panicked left of it is made anew.
    pub(crate) fn shrunk(&self) -> MutexGuard<'_, [Option<ShrunkHistory>; 4]> {
        self.shrunk.lock().unwrap_or_else(|poisoned| {
            let mut shrunk = poisoned.into_inner();
            *shrunk = Default::default();
            shrunk
        })
    }

    /// Message `index` as it was counted.
    pub(crate) fn counted(&self, index: usize) -> Counted {
        Counted::new(self.messages[index].clone(), &self.tokenizer).expect("it was valid when it was appended")
    }

    pub(crate) fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| {
            let mut digest = Digest::default();
            self.messages.iter().zip(&self.unread).for_each(|(message, pieces)| digest.push(message, pieces));
            digest
        })
    }

    /// The group that message `index` stands in.
    pub(crate) fn group_of(&self, index: usize) -> usize {
        self.groups.partition_point(|group| group.end <= index)
    }

    /// Whether repair leaves the message.
    pub(crate) fn is_live(&self, index: usize) -> bool {
        !self.is_dropped[index]
    }

    /// Whether the newest group waits for results.
    pub(crate) fn is_pending(&self) -> bool {
        !self.open_calls.is_empty()
    }

    /// How many calls of the newest group wait for results, by id.
    pub(crate) fn waiting(&self) -> HashMap<&str, usize> {
        self.open_calls.iter().map(|(id, calls)| (id.as_str(), calls.len())).collect()
    }

    /// Index of the first group of the newest `n_turns` turns; past the end if there is none.
    pub(crate) fn newest_turns(&self, n_turns: usize) -> usize {
        let first = self.turn_starts.len().saturating_sub(n_turns);
        self.turn_starts.get(first).copied().unwrap_or(self.groups.len())
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
