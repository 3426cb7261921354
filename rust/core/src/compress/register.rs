//! What kind of talk each stretch of a history is: a chat of two or a meeting, short turns or long ones.

use std::ops::Range;

use super::ablation::{Signal, is_on};
use super::digest::{Digest, Document};
use super::math::{exp, ln};
use crate::history::History;
use crate::message::Role;

/// The kind of talk around one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Register {
    /// The messages that were looked at.
    pub(crate) around: Range<usize>,
    /// How much topics count there, 0 to 1; the rest is for facts.
    pub(crate) topic: f32,
    /// How much of a group's the talk is, 0 to 1: 0 where two speak, 1 where a third party has a tenth of the turns or more.
    pub(crate) group: f32,
    /// How much of it is work with tools, 0 to 1: 1 where a fifth of the messages or more are results.
    pub(crate) tools: f32,
    /// By how much the message is longer than what its register takes for a turn that states facts: what is taken off the logarithm
    /// of its facts' density. Long answers explain; the facts of a chat of two stand in short turns.
    pub(crate) long_turn: f32,
}

/// Messages before and after one that tell its register. Measured: 20 and 80 lose up to 1.4 points.
const REACH: usize = 40;
/// From this share of turns by a third party on, talk is a group's.
const GROUP_SHARE: f32 = 0.1;
/// From this share of tool results on, talk is work with tools.
const TOOLS_SHARE: f32 = 0.2;
/// Share of topics in a group's talk, however short its turns.
const GROUP_TOPIC: f32 = 0.4;
/// Turns of this many tokens are as much topic as fact. Measured: chats have 34 to 52, meetings 72 to 206; 55 and 90 lose up to a point.
const MIDDLE_TOKENS: f32 = 70.0;
/// Speakers with fewer than this share of the turns do not set the length of a turn.
const SPEAKER_SHARE: f32 = 0.15;
/// A turn is long from this many tokens on, or from 1.5 times the shorter speaker's mean.
const LONG_TOKENS: f32 = 40.0;

/// The register of each message.
///
/// Cost: O(messages x speakers within reach).
pub(crate) fn registers(digest: &Digest) -> Vec<Register> {
    let documents: Vec<Document> = (0..digest.len()).map(|i| digest.document(i)).collect();
    let n_speakers = documents.iter().filter_map(|document| document.speaker).max().map_or(0, |last| last as usize + 1);
    let mut within =
        Within { turns: vec![0; n_speakers], tokens: vec![0; n_speakers], present: Vec::new(), n_results: 0 };
    let (mut from, mut to) = (0, 0);
    (0..documents.len())
        .map(|i| {
            while to < documents.len().min(i + REACH + 1) {
                within.add(&documents[to]);
                to += 1;
            }
            while from + REACH < i {
                within.remove(&documents[from]);
                from += 1;
            }
            within.register(&documents[i], from..to)
        })
        .collect()
}

/// From this share of tokens by tools and calls on, talk within reach is a tool's. Measured: sessions with a call have 0.41 at the
/// least, chats none.
const TOOL_SHARE: f32 = 0.2;

/// For each message, whether tools do a good part of the talk around it.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 24 bits")]
pub(crate) fn in_tool_talk(history: &History) -> Vec<bool> {
    let n = history.len();
    let mut sums = vec![(0_u64, 0_u64); n + 1];
    for (i, message) in history.messages().iter().enumerate() {
        let tokens = if message.role.is_instruction() { 0 } else { history.message_tokens(i) };
        let is_tool = message.role == Role::Tool || !message.tool_calls.is_empty();
        sums[i + 1] = (sums[i].0 + tokens, sums[i].1 + if is_tool { tokens } else { 0 });
    }
    let share = |i: usize| {
        let (from, to) = (sums[i.saturating_sub(REACH)], sums[n.min(i + REACH + 1)]);
        (to.1 - from.1) as f32 >= TOOL_SHARE * (to.0 - from.0) as f32 && to.1 > from.1
    };
    (0..n).map(share).collect()
}

/// Who speaks in a stretch, how often and at what length.
struct Within {
    turns: Vec<u32>,
    tokens: Vec<u64>,
    /// Those with a turn, in no order.
    present: Vec<u32>,
    /// Results of tools.
    n_results: u32,
}

impl Within {
    fn add(&mut self, document: &Document) {
        self.n_results += u32::from(document.is_result);
        let Some(speaker) = document.speaker else { return };
        let s = speaker as usize;
        if self.turns[s] == 0 {
            self.present.push(speaker);
        }
        self.turns[s] += 1;
        self.tokens[s] += turn_tokens(document);
    }

    fn remove(&mut self, document: &Document) {
        self.n_results -= u32::from(document.is_result);
        let Some(speaker) = document.speaker else { return };
        let s = speaker as usize;
        self.turns[s] -= 1;
        self.tokens[s] -= turn_tokens(document);
        if self.turns[s] == 0 {
            self.present.retain(|&other| other != speaker);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a few messages")]
    fn register(&self, document: &Document, around: Range<usize>) -> Register {
        let (mut all, mut first, mut second, mut tokens) = (0, 0, 0, 0);
        for &speaker in &self.present {
            let n = self.turns[speaker as usize];
            all += n;
            tokens += self.tokens[speaker as usize];
            (first, second) = if n > first { (n, first) } else { (first, second.max(n)) };
        }
        let tools = (self.n_results as f32 / around.len() as f32 / TOOLS_SHARE).min(1.0);
        if all == 0 {
            return Register { around, topic: 0.0, group: 0.0, tools, long_turn: 0.0 };
        }
        let group = ((all - first - second) as f32 / all as f32 / GROUP_SHARE).min(1.0);
        let mean = tokens as f32 / all as f32;
        let share = SPEAKER_SHARE * all as f32;
        let of_speakers =
            self.present.iter().map(|&speaker| speaker as usize).filter(|&s| self.turns[s] as f32 >= share);
        let shortest =
            of_speakers.map(|s| self.tokens[s] as f32 / self.turns[s] as f32).reduce(f32::min).unwrap_or(mean);
        // The shorter speaker's turns tell in a chat of two, all turns in a group: between them, the geometric mean.
        let length = match group {
            0.0 => shortest,
            1.0 => mean,
            _ => exp(ln(shortest) + group * (ln(mean) - ln(shortest))),
        };
        let floor = if is_on(Signal::GroupTopic) { GROUP_TOPIC * group } else { 0.0 };
        // A logistic of the logarithm.
        let square = (MIDDLE_TOKENS / length) * (MIDDLE_TOKENS / length);
        let eighth = square * square * square * square;
        let topic = match (is_on(Signal::Facts), is_on(Signal::Topics)) {
            (true, true) => floor + (1.0 - floor) / (1.0 + eighth),
            (true, false) => 0.0,
            (false, _) => 1.0,
        };
        let is_speech = document.speaker.is_some();
        let over = turn_tokens(document) as f32 / LONG_TOKENS.max(1.5 * shortest);
        let long_turn =
            if is_speech && over > 1.0 && is_on(Signal::LongTurns) { (1.0 - group) * ln(over) } else { 0.0 };
        Register { around, topic, group, tools, long_turn }
    }
}

/// Tokens of a turn: its text and what every message has.
fn turn_tokens(document: &Document) -> u64 {
    u64::from(document.tokens) + 4
}
