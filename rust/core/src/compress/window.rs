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
    /// Kept by a [`crate::Rolling`]: came after its last choice.
    Tail,
    /// Kept in part: some of its sentences stand in a folded message.
    Folded,
    /// Left out: what a smaller form of a tool's output saved.
    Shrunk,
    /// Left out: worth less than what is kept, or before the first user message where a window must start with one.
    OverBudget,
    /// Left out: a result without its call, or a call without its result.
    Orphan,
}

impl Reason {
    /// All reasons, in the order of a report.
    pub const ALL: [Self; 11] = [
        Self::Instruction,
        Self::Pinned,
        Self::NewestTurn,
        Self::PendingCall,
        Self::StartsWithUser,
        Self::Worth,
        Self::Tail,
        Self::Folded,
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
            Self::Tail => "since last choice",
            Self::Folded => "folded",
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
    /// A message that is in no history: a user's, made of what several messages say.
    Folded {
        /// Indices of those messages, ascending.
        sources: Vec<usize>,
        /// Its content.
        text: String,
    },
}

impl Entry {
    /// The index of the message in the history; none for a folded one.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Whole(index) | Self::Cut { index, .. } => Some(*index),
            Self::Folded { .. } => None,
        }
    }
}

/// What an entry of a window costs, and why it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its tokens, exact.
    pub tokens: u64,
    /// Why it is in the window.
    pub reason: Reason,
}

/// The messages chosen, and the figures of the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The messages, in the history's order; a folded one stands where it was put.
    pub entries: Vec<Entry>,
    /// For each of `entries`, its tokens and the reason for it.
    pub kept: Vec<Kept>,
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
    /// Tokens of the leading messages that are the history's own leading messages, untouched; of a [`crate::Rolling`], that are
    /// those of its previous window.
    pub reused_prefix_tokens: u64,
    /// What repair did, kept or not, by message index.
    pub repairs: Vec<Repair>,
    /// Tokens that were left for a summary; 0 where there is none to add.
    pub summary_room: u64,
}

impl Window {
    /// By message of the history: whether the window holds any of it, whole, cut or folded.
    pub fn covered(&self) -> Vec<bool> {
        let mut covered = vec![false; self.n_messages];
        for entry in &self.entries {
            match entry {
                Entry::Whole(index) | Entry::Cut { index, .. } => covered[*index] = true,
                Entry::Folded { sources, .. } => sources.iter().for_each(|&index| covered[index] = true),
            }
        }
        covered
    }

    /// Puts a folded message before entry `at`.
    pub(crate) fn insert(&mut self, at: usize, folded: Entry, tokens: u64) {
        self.entries.insert(at, folded);
        self.kept.insert(at, Kept { tokens, reason: Reason::Folded });
        self.tokens += tokens;
    }
}
