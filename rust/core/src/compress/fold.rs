//! A folded message: sentences of messages that a window leaves out, in one made-up message that can be sent in their stead.

use hashbrown::{HashMap, HashSet};

use super::digest::Document;
use super::pieces::Form;
use super::query::Query;
use super::select::piece_worth;
use super::window::{Amount, Entry, Reason, Window};
use crate::cut::CUT_MARK;
use crate::history::History;
use crate::message::{Message, Role};
use crate::tokens::Side;

/// What stands in the first line of a folded message, after the mark.
const EXCERPTS: &str = "excerpts from earlier messages:";
/// The same where a caller's own text follows.
const SUMMARY: &str = "summary of earlier messages:";

/// A message that stands in for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold {
    pub(crate) sources: Vec<usize>,
    pub(crate) text: String,
    /// Tokens of the message, exact.
    pub(crate) tokens: u64,
}

impl Fold {
    /// Puts it into a window, before entry `at`.
    pub(crate) fn put(self, history: &History, window: &mut Window, at: usize) {
        move_amounts(history, window, &self.sources, Reason::OverBudget, Reason::Folded);
        window.insert(at, Entry::Folded { sources: self.sources, text: self.text }, self.tokens);
    }

    /// Takes the one out again that `put` put there; its tokens are not of the window any more.
    pub(crate) fn take(history: &History, window: &mut Window, at: usize) -> Option<Self> {
        let Entry::Folded { .. } = window.entries.get(at)? else { return None };
        let (entry, kept) = (window.entries.remove(at), window.kept.remove(at));
        let Entry::Folded { sources, text } = entry else { return None };
        window.tokens -= kept.tokens;
        move_amounts(history, window, &sources, Reason::Folded, Reason::OverBudget);
        Some(Self { sources, text, tokens: kept.tokens })
    }
}

fn move_amounts(history: &History, window: &mut Window, sources: &[usize], from: Reason, to: Reason) {
    let sum =
        Amount { messages: sources.len(), tokens: sources.iter().map(|&index| history.message_tokens(index)).sum() };
    let from = &mut window.amounts[from as usize];
    (from.messages, from.tokens) = (from.messages - sum.messages, from.tokens - sum.tokens);
    let to = &mut window.amounts[to as usize];
    (to.messages, to.tokens) = (to.messages + sum.messages, to.tokens + sum.tokens);
}

/// The worthiest sentences of the messages that `is_open` tells, in a message of at most `room` tokens: a line that says what it
/// is, then a sentence a line in their old order, each speaker's under a line with the name. Sentences that stand side by side in
/// their source share a line. None if not one fits.
///
/// Cost: that of the worth, a sort of the sentences, and a few counts of the text.
pub(crate) fn fold(history: &History, room: u64, query: Option<Query<'_>>, is_open: &[bool]) -> Option<Fold> {
    let mut excerpts = Excerpts::new(history, room, query, is_open)?;
    let mut tokens = excerpts.head_tokens;
    // What joins the lines is counted too dear at first: what that leaves goes into a second round.
    for _ in 0..2 {
        excerpts.take(room.saturating_sub(tokens));
        loop {
            let text = excerpts.text();
            tokens = tokens_of(history, &text);
            if tokens <= room {
                break;
            }
            excerpts.give_back(tokens - room);
        }
    }
    let text = excerpts.text();
    let sources = excerpts.sources();
    (!sources.is_empty()).then_some(Fold { sources, text, tokens })
}

/// Tokens that are left for the caller's own text in a message of `room` tokens.
pub(crate) fn text_room(history: &History, room: u64) -> u64 {
    room.saturating_sub(tokens_of(history, &format!("{CUT_MARK} {SUMMARY}\n")))
}

/// The caller's own text as a message of at most `room` tokens, cut at its end if it has to be. None if nothing of it fits.
pub(crate) fn fold_text(history: &History, room: u64, text: &str, sources: Vec<usize>) -> Option<Fold> {
    let mut text = text.trim();
    let mut limit = text_room(history, room);
    loop {
        text = history.tokenizer().truncate(text, usize::try_from(limit).unwrap_or(usize::MAX), Side::Head).trim_end();
        if text.is_empty() {
            return None;
        }
        let whole = format!("{CUT_MARK} {SUMMARY}\n{text}");
        let tokens = tokens_of(history, &whole);
        if tokens <= room {
            return Some(Fold { sources, text: whole, tokens });
        }
        limit = limit.saturating_sub(tokens - room);
    }
}

/// Tokens of a folded message with that content.
fn tokens_of(history: &History, text: &str) -> u64 {
    Message::text(Role::User, text).tokens(history.tokenizer())
}

/// Excerpts in the making.
struct Excerpts<'h> {
    history: &'h History,
    /// Message and piece, the worthiest first.
    order: Vec<(u32, u32)>,
    /// By number in `order`: whether it is taken.
    is_taken: Vec<bool>,
    /// What is taken, in that order, with what it was thought to cost.
    taken: Vec<(usize, u64)>,
    /// Hashes of what the taken pieces say.
    said: HashSet<u32>,
    /// By speaker: tokens of the line that names him.
    name_tokens: HashMap<&'h str, u64>,
    head_tokens: u64,
}

impl<'h> Excerpts<'h> {
    /// None if there is no room for anything.
    fn new(history: &'h History, room: u64, query: Option<Query<'_>>, is_open: &[bool]) -> Option<Self> {
        let head_tokens = tokens_of(history, &format!("{CUT_MARK} {EXCERPTS}"));
        if head_tokens >= room {
            return None;
        }
        let digest = history.digest();
        let worth = piece_worth(digest, query);
        let mut keyed: Vec<(u32, u32, u32)> = Vec::new();
        for i in (0..is_open.len()).filter(|&i| is_open[i] && history.is_live(i)) {
            let Document { pieces, form, .. } = digest.document(i);
            if form == Form::Text {
                keyed.extend(pieces.map(|p| (worth[p].max(0.0).to_bits(), number(i), number(p))));
            }
        }
        // Of equals the newer: what is not negative orders as its bits do.
        keyed.sort_unstable_by(|a, b| b.cmp(a));
        let order: Vec<(u32, u32)> = keyed.into_iter().map(|(_, i, p)| (i, p)).collect();
        Some(Self {
            history,
            is_taken: vec![false; order.len()],
            order,
            taken: Vec::new(),
            said: HashSet::new(),
            name_tokens: HashMap::new(),
            head_tokens,
        })
    }

    /// Takes what still fits of the rest.
    fn take(&mut self, mut left: u64) {
        for at in 0..self.order.len() {
            let (i, p) = self.order[at];
            let Some(place) = self.history.digest().place(p as usize) else { continue };
            let alone = u64::from(place.alone()) + 1;
            if self.is_taken[at] || alone > left {
                continue;
            }
            let same = self.history.digest().same(p as usize);
            let cost = alone + self.name_tokens(i as usize, p as usize);
            if cost <= left && (same == 0 || self.said.insert(same)) {
                left -= cost;
                self.is_taken[at] = true;
                self.taken.push((at, cost));
            }
        }
    }

    /// Gives back what was taken last, until that many tokens are free.
    fn give_back(&mut self, tokens: u64) {
        let mut freed = 0;
        while let Some((at, cost)) = self.taken.pop_if(|_| freed < tokens) {
            freed += cost;
            self.is_taken[at] = false;
            self.said.remove(&self.history.digest().same(self.order[at].1 as usize));
        }
    }

    /// What it costs to say who says a piece.
    fn name_tokens(&mut self, i: usize, p: usize) -> u64 {
        let history = self.history;
        if says_its_speaker(&history.digest().document(i), p) {
            return 0;
        }
        let Some(message) = history.message(i) else { return 0 };
        let name = speaker(message);
        *self
            .name_tokens
            .entry(name)
            .or_insert_with(|| history.tokenizer().count(&format!("{}:", one_line(name))) as u64 + 1)
    }

    /// The taken pieces in the history's order.
    fn places(&self) -> Vec<(u32, u32)> {
        let mut places: Vec<(u32, u32)> = self.taken.iter().map(|&(at, _)| self.order[at]).collect();
        places.sort_unstable();
        places
    }

    fn sources(&self) -> Vec<usize> {
        let mut sources: Vec<usize> = self.places().into_iter().map(|(i, _)| i as usize).collect();
        sources.dedup();
        sources
    }

    fn text(&self) -> String {
        let mut out = format!("{CUT_MARK} {EXCERPTS}");
        let mut said_by = None;
        let mut before = None;
        let digest = self.history.digest();
        for (i, p) in self.places() {
            let (i, p) = (i as usize, p as usize);
            let (Some(message), Some(place)) = (self.history.message(i), digest.place(p)) else { continue };
            let Some(crate::message::Part::Text(text)) = message.parts.get(place.part as usize) else { continue };
            let between = before.filter(|&(last, part, _)| last + 1 == p && part == place.part).and_then(
                |(_, _, end): (usize, u32, usize)| {
                    text.get(end..place.start as usize).filter(|gap| !gap.contains(['\n', '\r']))
                },
            );
            let by = speaker(message);
            if let Some(between) = between.filter(|_| said_by == Some(by)) {
                out.push_str(between);
            } else {
                if said_by != Some(by) && !says_its_speaker(&digest.document(i), p) {
                    out.push('\n');
                    out.push_str(&one_line(by));
                    out.push(':');
                }
                out.push('\n');
            }
            out.push_str(&text[place.range()]);
            said_by = Some(by);
            before = Some((p, place.part, place.end as usize));
        }
        out
    }
}

/// Whether a piece begins with its speaker's name.
fn says_its_speaker(document: &Document, p: usize) -> bool {
    document.label_tokens > 0 && p == document.pieces.start
}

fn speaker(message: &Message) -> &str {
    message.name.as_deref().unwrap_or(message.role.as_str())
}

fn one_line(name: &str) -> String {
    name.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn number(i: usize) -> u32 {
    u32::try_from(i).expect("4 * 10^9 pieces need more memory than a machine has")
}
