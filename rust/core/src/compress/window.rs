//! A window: the messages chosen, and the figures of the choice.

use crate::history::Repair;

/// Why messages are in a window, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Kept: a system or developer message.
    Instruction,
    /// Kept: pinned, or of one group with a pinned message.
    Pinned,
    /// Kept: of the newest turns.
    NewestTurn,
    /// Kept: a call that waits for its result.
    PendingCall,
    /// Kept: a user message that something required needs before it.
    StartsWithUser,
    /// Kept: worth its tokens.
    Worth,
    /// Left out: what a smaller form of a tool's output saved.
    Shrunk,
    /// Left out: worth less than what is kept, or before the first user message where a window must start with one.
    OverBudget,
    /// Left out: a result without its call, or a call without its result.
    Orphan,
}

impl Reason {
    /// All reasons, in the order of a report.
    pub const ALL: [Self; 9] = [
        Self::Instruction,
        Self::Pinned,
        Self::NewestTurn,
        Self::PendingCall,
        Self::StartsWithUser,
        Self::Worth,
        Self::Shrunk,
        Self::OverBudget,
        Self::Orphan,
    ];

    /// The reason's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instruction => "instruction",
            Self::Pinned => "pinned",
            Self::NewestTurn => "newest turn",
            Self::PendingCall => "pending call",
            Self::StartsWithUser => "starts with user",
            Self::Worth => "worth its tokens",
            Self::Shrunk => "shrunk",
            Self::OverBudget => "over budget",
            Self::Orphan => "orphan",
        }
    }
}

/// How much of a history one reason covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Messages.
    pub messages: usize,
    /// Their tokens, as they were appended.
    pub tokens: u64,
}

/// A message of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A message of the history, as it is or as repair leaves it.
    Whole(usize),
    /// A message of the history with some of its text left out.
    Cut {
        /// Its index in the history.
        index: usize,
        /// What is left of its text parts: index of the part, and its new text.
        texts: Vec<(usize, String)>,
    },
}

impl Entry {
    /// The index of the message in the history.
    pub fn index(&self) -> usize {
        match self {
            Self::Whole(index) | Self::Cut { index, .. } => *index,
        }
    }
}

/// The messages chosen, and the figures of the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The messages, in the history's order.
    pub entries: Vec<Entry>,
    /// Tokens of the window, never more than `budget_tokens`.
    pub tokens: u64,
    /// The budget it was chosen for.
    pub budget_tokens: u64,
    /// Messages the history held.
    pub n_messages: usize,
    /// Tokens the history held, orphans included.
    pub history_tokens: u64,
    /// For each of [`Reason::ALL`], what of the history it covers; together the whole history.
    pub amounts: [Amount; Reason::ALL.len()],
    /// Tokens of the leading messages that are the history's own leading messages, untouched.
    pub reused_prefix_tokens: u64,
    /// What repair did, kept or not, by message index.
    pub repairs: Vec<Repair>,
}
