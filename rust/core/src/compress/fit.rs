//! The choice of a window: what must stay, then the worthiest groups that fit, in their old order.

use super::select::{Candidate, worth};
use crate::error::{Error, Result};
use crate::history::{Group, History, Repair};
use crate::message::Role;

/// What to do when a history holds results without calls, or calls without results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOrphans {
    /// Leave them out and report it.
    #[default]
    Repair,
    /// Refuse the history.
    Raise,
}

/// How to choose a window.
#[derive(Debug, Clone, Copy, Default)]
pub struct FitOptions<'q> {
    /// Newest turns that must stay; a turn is a user message and all up to the next.
    pub keep_last: usize,
    /// What the next request is about.
    pub query: Option<&'q str>,
    /// What to do with tool calls and results that lost each other.
    pub on_orphans: OnOrphans,
    /// Whether the first message that is no instruction must be a user's, as some providers ask.
    pub start_with_user: bool,
}

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
    /// Left out: worth less than what is kept, or before the first user message where a window must start with one.
    OverBudget,
    /// Left out: a result without its call, or a call without its result.
    Orphan,
}

impl Reason {
    /// All reasons, in the order of a report.
    pub const ALL: [Self; 8] = [
        Self::Instruction,
        Self::Pinned,
        Self::NewestTurn,
        Self::PendingCall,
        Self::StartsWithUser,
        Self::Worth,
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

/// The messages chosen, and the figures of the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Indices of the messages kept, ascending. Those in `repairs` are kept in part.
    pub kept: Vec<usize>,
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

pub(crate) fn fit(history: &History, budget_tokens: u64, options: &FitOptions<'_>) -> Result<Window> {
    let repairs = history.repairs();
    if let (OnOrphans::Raise, Some(repair)) = (options.on_orphans, repairs.first()) {
        return Err(orphan(repair));
    }
    let plan = Plan::of(history, options)?;
    let keep = if plan.total_tokens <= budget_tokens {
        plan.is_allowed.clone()
    } else if plan.needed_tokens > budget_tokens {
        return Err(Error::Budget { needed: plan.needed_tokens, budget: budget_tokens });
    } else {
        plan.choose(history, budget_tokens, options)
    };
    Ok(window(history, budget_tokens, &plan.required, &keep, repairs))
}

fn orphan(repair: &Repair) -> Error {
    let what = if repair.removed_calls.is_some() {
        "some of its tool calls have no result"
    } else {
        "its tool call or results are missing"
    };
    let why = format!("{what}; append what is missing, or let on_orphans=\"repair\" leave it out");
    Error::Message { index: Some(repair.index), why }
}

/// What is settled before any worth is computed.
struct Plan {
    /// By group: whether it may be in a window at all.
    is_allowed: Vec<bool>,
    /// By group: why it must be, if it must.
    required: Vec<Option<Reason>>,
    /// Tokens of all that is allowed.
    total_tokens: u64,
    /// Tokens of what is required.
    required_tokens: u64,
    /// The smallest budget that works.
    needed_tokens: u64,
}

impl Plan {
    fn of(history: &History, options: &FitOptions<'_>) -> Result<Self> {
        let groups = history.groups();
        let newest = history.newest_turns(options.keep_last);
        let newest = if options.keep_last == 0 { groups.len() } else { newest };
        let pending = if history.is_pending() { groups.len() - 1 } else { groups.len() };
        let first_turn = if options.start_with_user { history.newest_turns(usize::MAX) } else { 0 };

        let mut plan = Self {
            is_allowed: Vec::with_capacity(groups.len()),
            required: Vec::with_capacity(groups.len()),
            total_tokens: 0,
            required_tokens: 0,
            needed_tokens: 0,
        };
        for (g, group) in groups.iter().enumerate() {
            let is_instruction = group.role.is_instruction();
            let is_allowed = group.is_live && (g >= first_turn || is_instruction);
            let reason = if is_instruction {
                Some(Reason::Instruction)
            } else if group.is_pinned {
                Some(Reason::Pinned)
            } else if g >= newest {
                Some(Reason::NewestTurn)
            } else if g == pending {
                Some(Reason::PendingCall)
            } else {
                None
            };
            let reason = reason.filter(|_| group.is_live);
            if reason.is_some() && !is_allowed {
                let why = "it must stay, yet no user message comes before it; unpin it or leave start_with_user off";
                return Err(Error::Message { index: Some(group.start), why: why.to_owned() });
            }
            plan.total_tokens += if is_allowed { group.tokens } else { 0 };
            plan.required_tokens += if reason.is_some() { group.tokens } else { 0 };
            plan.is_allowed.push(is_allowed);
            plan.required.push(reason);
        }
        if options.start_with_user {
            plan.require_a_user(history)?;
        }
        plan.needed_tokens = if plan.required.iter().any(Option::is_some) {
            plan.required_tokens
        } else {
            let allowed = groups.iter().zip(&plan.is_allowed).filter(|(_, allowed)| **allowed);
            allowed.map(|(group, _)| group.tokens).min().unwrap_or(0)
        };
        Ok(plan)
    }

    /// Requires the cheapest user message before the first required one that is neither a user's nor an instruction; if
    /// nothing else is required, the cheapest of all.
    fn require_a_user(&mut self, history: &History) -> Result<()> {
        let groups = history.groups();
        let role = |g: usize| groups[g].role;
        let first = (0..groups.len()).find(|&g| self.required[g].is_some() && !role(g).is_instruction());
        if first.is_some_and(|g| role(g) == Role::User)
            || (first.is_none() && self.required.iter().any(Option::is_some))
        {
            return Ok(());
        }
        let users = (0..first.unwrap_or(groups.len())).filter(|&g| self.is_allowed[g] && role(g) == Role::User);
        match users.min_by_key(|&g| (groups[g].tokens, usize::MAX - g)) {
            Some(user) => {
                self.required[user] = Some(Reason::StartsWithUser);
                self.required_tokens += groups[user].tokens;
                Ok(())
            }
            None if groups.iter().all(|group| !group.is_live) => Ok(()),
            None => {
                let why = "the history has no user message to start with; leave start_with_user off";
                Err(Error::Message { index: None, why: why.to_owned() })
            }
        }
    }

    /// Adds the worthiest groups that fit to what is required.
    fn choose(&self, history: &History, budget_tokens: u64, options: &FitOptions<'_>) -> Vec<bool> {
        let groups = history.groups();
        let open: Vec<usize> =
            (0..groups.len()).filter(|&g| self.is_allowed[g] && self.required[g].is_none()).collect();
        let candidates: Vec<Candidate> = open.iter().map(|&g| candidate(&groups[g])).collect();
        let worth = worth(history.digest(), &candidates, options.query);
        let mut choice = Choice {
            groups,
            keep: self.required.iter().map(Option::is_some).collect(),
            left: budget_tokens - self.required_tokens,
        };
        let ranked = |wanted: &dyn Fn(usize) -> bool| {
            let wanted = open.iter().zip(&worth).filter(|(g, _)| wanted(**g));
            wanted.map(|(&g, &worth)| Ranked::new(worth, g)).collect::<Vec<_>>()
        };
        choice.take(&mut ranked(&|_| true));
        if options.start_with_user {
            let is_user = |g: usize| groups[g].role == Role::User;
            let first_user = |keep: &[bool]| (0..groups.len()).find(|&g| keep[g] && is_user(g));
            let first = first_user(&choice.keep);
            for (g, group) in groups.iter().enumerate().take(first.unwrap_or(groups.len())) {
                if choice.keep[g] && self.required[g].is_none() {
                    choice.keep[g] = false;
                    choice.left += group.tokens;
                }
            }
            // What that frees goes first to users, if none is kept, then to users and what comes after the first one.
            if first.is_none() {
                choice.take(&mut ranked(&is_user));
            }
            if let Some(first) = first_user(&choice.keep) {
                let keep = choice.keep.clone();
                choice.take(&mut ranked(&|g| !keep[g] && (g > first || is_user(g))));
            }
        }
        choice.keep
    }
}

/// A choice in the making.
struct Choice<'g> {
    groups: &'g [Group],
    /// By group: whether it is kept.
    keep: Vec<bool>,
    /// Tokens that may still be spent.
    left: u64,
}

impl Choice<'_> {
    /// Takes in falling worth what still fits, skipping what does not.
    ///
    /// Gives what a walk over the sorted list would, but sorts only near the boundary: halves are split by worth, and one that
    /// fits as a whole is taken unsorted. Cost: O(n) as long as few that come after the boundary still fit, O(n log n) at most.
    fn take(&mut self, ranked: &mut [Ranked]) {
        if ranked.len() <= SORT_BELOW {
            ranked.sort_unstable_by(|a, b| b.cmp(a));
            for one in ranked {
                self.take_one(one.group());
            }
            return;
        }
        let (top, _, _) = ranked.select_nth_unstable_by(ranked.len() / 2, |a, b| b.cmp(a));
        let n_top = top.len();
        let (top, rest) = ranked.split_at_mut(n_top);
        if top.iter().map(|one| self.groups[one.group()].tokens).sum::<u64>() <= self.left {
            for one in top {
                self.take_one(one.group());
            }
            self.take(rest);
        } else {
            self.take(top);
            let n_fitting = partition(rest, |one| self.groups[one.group()].tokens <= self.left);
            self.take(&mut rest[..n_fitting]);
        }
    }

    fn take_one(&mut self, group: usize) {
        let tokens = self.groups[group].tokens;
        if tokens <= self.left {
            self.left -= tokens;
            self.keep[group] = true;
        }
    }
}

/// Where sorting costs less than splitting further.
const SORT_BELOW: usize = 32;

/// A group with its worth in one number: the greater, the sooner it is taken; of equals the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked(u64);

impl Ranked {
    /// `worth` is not negative: such floats order as their bits do.
    fn new(worth: f32, group: usize) -> Self {
        Self(u64::from(worth.to_bits()) << 32 | group as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is an index below 2^32")]
    fn group(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }
}

/// Moves what satisfies `is_first` to the front; returns how many those are.
fn partition<T>(items: &mut [T], is_first: impl Fn(&T) -> bool) -> usize {
    let mut n = 0;
    for i in 0..items.len() {
        if is_first(&items[i]) {
            items.swap(i, n);
            n += 1;
        }
    }
    n
}

fn candidate(group: &Group) -> Candidate {
    Candidate { start: group.start, end: group.end, tokens: group.tokens }
}

fn window(
    history: &History,
    budget_tokens: u64,
    required: &[Option<Reason>],
    keep: &[bool],
    repairs: Vec<Repair>,
) -> Window {
    let mut kept = Vec::new();
    let mut tokens = 0;
    let mut amounts = [Amount::default(); Reason::ALL.len()];
    for (g, group) in history.groups().iter().enumerate() {
        let reason = if keep[g] { required[g].unwrap_or(Reason::Worth) } else { Reason::OverBudget };
        tokens += if keep[g] { group.tokens } else { 0 };
        for index in group.start..group.end {
            let is_live = history.is_live(index);
            let amount = &mut amounts[if is_live { reason } else { Reason::Orphan } as usize];
            amount.messages += 1;
            amount.tokens += history.message_tokens(index);
            if keep[g] && is_live {
                kept.push(index);
            }
        }
    }
    let first_repair = repairs.first().map_or(usize::MAX, |repair| repair.index);
    let prefix = kept.iter().enumerate().take_while(|&(at, &index)| at == index && index < first_repair);
    let reused_prefix_tokens = prefix.map(|(_, &index)| history.message_tokens(index)).sum();
    Window {
        kept,
        tokens,
        budget_tokens,
        n_messages: history.len(),
        history_tokens: history.tokens(),
        amounts,
        reused_prefix_tokens,
        repairs,
    }
}
