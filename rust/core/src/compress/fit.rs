//! The making of a window: what must stay, then the worthiest that fits, in its old order.

use super::by_message::GroupChoice;
use super::by_sentence::SentenceChoice;
use super::shrunk::fit_shrunk;
use super::window::{Amount, Entry, Reason, Window};
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

/// What may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Whole messages; a tool call and its results are one.
    #[default]
    Message,
    /// Sentences inside messages too.
    Sentence,
}

/// How to choose a window.
#[derive(Debug, Clone, Copy, Default)]
pub struct FitOptions<'q> {
    /// Newest turns that must stay; a turn is a user message and all up to the next.
    pub keep_last: usize,
    /// What the next request is about.
    pub query: Option<&'q str>,
    /// What may be left out.
    pub unit: Unit,
    /// Whether tool outputs are made smaller before anything is left out.
    pub shrink_tool_outputs: bool,
    /// What to do with tool calls and results that lost each other.
    pub on_orphans: OnOrphans,
    /// Whether the first message that is no instruction must be a user's, as some providers ask.
    pub start_with_user: bool,
}

pub(crate) fn fit(history: &History, budget_tokens: u64, options: &FitOptions<'_>) -> Result<Window> {
    let repairs = history.repairs();
    if let (OnOrphans::Raise, Some(repair)) = (options.on_orphans, repairs.first()) {
        return Err(orphan(repair));
    }
    let plan = Plan::of(history, options)?;
    if plan.total_tokens <= budget_tokens {
        return Ok(Figures::new(history, budget_tokens, &plan, repairs).of_groups(&plan.is_allowed));
    }
    if options.shrink_tool_outputs && history.has_tools() {
        return fit_shrunk(history, &mut history.shrunk(), budget_tokens, options);
    }
    if plan.required_tokens > budget_tokens {
        return Err(Error::Budget { needed: plan.required_tokens, budget: budget_tokens });
    }
    match options.unit {
        Unit::Message => {
            let needed = plan.smallest_group(history);
            if needed > budget_tokens {
                return Err(Error::Budget { needed, budget: budget_tokens });
            }
            let mut choice = GroupChoice::new(history, &plan, budget_tokens, options.query);
            plan.fill(history, &mut choice, options.start_with_user);
            Ok(Figures::new(history, budget_tokens, &plan, repairs).of_groups(choice.keep()))
        }
        Unit::Sentence => {
            let mut choice = SentenceChoice::new(history, &plan, budget_tokens, options.query)?;
            plan.fill(history, &mut choice, options.start_with_user);
            choice.settle();
            Ok(Figures::new(history, budget_tokens, &plan, repairs).of_sentences(&choice))
        }
    }
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
pub(crate) struct Plan {
    /// By group: whether it may be in a window at all.
    pub(crate) is_allowed: Vec<bool>,
    /// By group: why it must be, if it must.
    pub(crate) required: Vec<Option<Reason>>,
    /// Tokens of all that is allowed.
    total_tokens: u64,
    /// Tokens of what is required.
    pub(crate) required_tokens: u64,
}

/// A window in the making, filled by worth.
pub(crate) trait Choice {
    /// By group: whether anything of it is kept.
    fn keep(&self) -> &[bool];
    /// Gives a group up.
    fn drop_group(&mut self, group: usize);
    /// Takes the worthiest that still fits of the groups that are wanted.
    fn take(&mut self, wanted: &dyn Fn(usize) -> bool);
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

    /// Whether anything is required.
    pub(crate) fn is_bound(&self) -> bool {
        self.required.iter().any(Option::is_some)
    }

    /// Groups that may be in the window and need not.
    pub(crate) fn open(&self) -> impl Iterator<Item = usize> {
        (0..self.required.len()).filter(|&g| self.is_allowed[g] && self.required[g].is_none())
    }

    /// The smallest budget that works where only whole groups are kept.
    fn smallest_group(&self, history: &History) -> u64 {
        if self.is_bound() {
            return self.required_tokens;
        }
        self.open().map(|g| history.groups()[g].tokens).min().unwrap_or(0)
    }

    /// Fills what is left of the budget.
    fn fill(&self, history: &History, choice: &mut impl Choice, start_with_user: bool) {
        choice.take(&|_| true);
        if !start_with_user {
            return;
        }
        let groups = history.groups();
        let is_user = |g: usize| groups[g].role == Role::User;
        let first_user = |keep: &[bool]| (0..groups.len()).find(|&g| keep[g] && is_user(g));
        let first = first_user(choice.keep());
        for g in 0..first.unwrap_or(groups.len()) {
            if choice.keep()[g] && self.required[g].is_none() {
                choice.drop_group(g);
            }
        }
        // What that frees goes first to users, if none is kept, then to users and what comes after the first one.
        if first.is_none() {
            choice.take(&is_user);
        }
        if let Some(first) = first_user(choice.keep()) {
            choice.take(&|g| g > first || is_user(g));
        }
    }
}

/// The figures of a window in the making.
struct Figures<'h> {
    history: &'h History,
    plan: &'h Plan,
    window: Window,
}

impl<'h> Figures<'h> {
    fn new(history: &'h History, budget_tokens: u64, plan: &'h Plan, repairs: Vec<Repair>) -> Self {
        let window = Window {
            entries: Vec::new(),
            tokens: 0,
            budget_tokens,
            n_messages: history.len(),
            history_tokens: history.tokens(),
            amounts: [Amount::default(); Reason::ALL.len()],
            reused_prefix_tokens: 0,
            repairs,
        };
        Self { history, plan, window }
    }

    fn of_groups(self, keep: &[bool]) -> Window {
        self.with(|_, g, group| keep[g].then_some(group.tokens), |_, index| (Entry::Whole(index), None))
    }

    fn of_sentences(self, choice: &SentenceChoice<'_>) -> Window {
        self.with(|_, g, group| choice.tokens(g, group), |_, index| choice.entry(index))
    }

    /// `tokens` of what is kept of a group, if anything is; `entry` for a message of a kept group, with its tokens if it is cut.
    fn with(
        mut self,
        tokens: impl Fn(&Self, usize, &Group) -> Option<u64>,
        entry: impl Fn(&Self, usize) -> (Entry, Option<u64>),
    ) -> Window {
        for (g, group) in self.history.groups().iter().enumerate() {
            let kept = tokens(&self, g, group);
            let reason = kept.map_or(Reason::OverBudget, |_| self.plan.required[g].unwrap_or(Reason::Worth));
            self.window.tokens += kept.unwrap_or(0);
            for index in group.start..group.end {
                let is_live = self.history.is_live(index);
                let reason = if is_live { reason } else { Reason::Orphan };
                let mut covered = self.history.message_tokens(index);
                if kept.is_some() && is_live {
                    let (entry, cut_to) = entry(&self, index);
                    if let Some(left) = cut_to {
                        // A mark can cost more than what it stands for.
                        let gone = covered.saturating_sub(left);
                        self.window.amounts[Reason::OverBudget as usize].tokens += gone;
                        covered -= gone;
                    }
                    self.window.entries.push(entry);
                }
                let amount = &mut self.window.amounts[reason as usize];
                amount.messages += 1;
                amount.tokens += covered;
            }
        }
        self.window.reused_prefix_tokens = self.history.prefix_tokens(&self.window);
        self.window
    }
}
