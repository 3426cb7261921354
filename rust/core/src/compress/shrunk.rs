//! Windows of a history whose tool outputs are made smaller first.
//!
//! The smaller outputs make a history of their own, beside the real one and filled as that grows; a window of it is a window of the
//! real one with other texts in some results. Nothing of it exists until it is asked for.

use std::sync::Arc;

use hashbrown::HashMap;

use super::fit::{FitOptions, Unit, fit};
use super::window::{Entry, Reason, Window};
use crate::cut::CUT_KEY;
use crate::error::Result;
use crate::history::{Counted, History};
use crate::json::Document;
use crate::message::{Message, Part, Role};
use crate::shrink::shrink;

/// A history with smaller tool outputs.
#[derive(Debug)]
pub(crate) struct ShrunkHistory {
    history: Box<History>,
    unit: Unit,
    /// Whether older copies of an output are replaced by a word on the newest.
    refers: bool,
    /// By message: whether its output is another than in the real history.
    is_changed: Vec<bool>,
    /// The newest message with each long output.
    newest: HashMap<String, usize>,
    /// For each message that refers to another: that one.
    refers_to: HashMap<usize, usize>,
}

/// Outputs shorter than this are not worth a reference.
const MIN_REPEATED_BYTES: usize = 200;

impl ShrunkHistory {
    fn new(history: &History, unit: Unit, refers: bool) -> Self {
        Self {
            history: Box::new(History::new(Arc::clone(history.tokenizer()))),
            unit,
            refers,
            is_changed: Vec::new(),
            newest: HashMap::new(),
            refers_to: HashMap::new(),
        }
    }

    /// Takes over the messages that came since. Starts anew when that changes an older one: by a newer copy of its output, or by a pin.
    ///
    /// Cost: O(bytes of the new messages), each counted once more where its output got smaller.
    fn catch_up(&mut self, real: &History) {
        let is_stale =
            self.history.groups().iter().zip(real.groups()).any(|(ours, theirs)| ours.is_pinned != theirs.is_pinned)
                || (self.history.len()..real.len())
                    .any(|i| self.refers && output_of(real, i).is_some_and(|text| self.newest.contains_key(text)));
        if is_stale {
            *self = Self::new(real, self.unit, self.refers);
        }
        for i in self.history.len()..real.len() {
            if let Some(text) = output_of(real, i).filter(|text| text.len() >= MIN_REPEATED_BYTES) {
                self.newest.insert(text.to_owned(), i);
            }
        }
        for i in self.history.len()..real.len() {
            let Some(message) = real.message(i) else { continue };
            let is_pinned = real.groups()[real.group_of(i)].is_pinned;
            let smaller = output_of(real, i).filter(|_| !is_pinned).and_then(|text| self.smaller(real, i, text));
            let counted = smaller.and_then(|text| {
                let part = Part::Text(text.into());
                let smaller = Message { parts: [part].into(), ..message.clone() };
                Counted::new(smaller, real.tokenizer()).ok().filter(|counted| counted.tokens() < real.message_tokens(i))
            });
            self.is_changed.push(counted.is_some());
            if counted.is_none() {
                self.refers_to.remove(&i);
            }
            self.history.push(counted.unwrap_or_else(|| real.counted(i)), is_pinned);
        }
    }

    /// A smaller form of the output of message `i`, if there is one.
    fn smaller(&mut self, real: &History, i: usize, text: &str) -> Option<String> {
        if let Some(&newest) = self.newest.get(text).filter(|&&newest| self.refers && newest > i) {
            self.refers_to.insert(i, newest);
            let id = real.message(newest).and_then(|message| message.tool_call_id.as_deref()).unwrap_or_default();
            return Some(reference(text, id));
        }
        shrink(text, self.unit == Unit::Message).map(|smaller| smaller.text)
    }

    /// A window of this history as one of the real one.
    fn unshrink(&self, real: &History, mut window: Window) -> Window {
        for entry in &mut window.entries {
            if let Entry::Whole(index) = *entry
                && self.is_changed[index]
                && let Some([Part::Text(text)]) = self.history.message(index).map(|message| message.parts.as_slice())
            {
                *entry = Entry::Cut { index, texts: vec![(0, text.to_string())] };
            }
        }
        let mut kept = window.entries.iter().filter_map(Entry::index).peekable();
        for (i, _) in self.is_changed.iter().enumerate().filter(|(_, is_changed)| **is_changed) {
            while kept.next_if(|&index| index < i).is_some() {}
            let reason = if kept.peek() == Some(&i) { Reason::Shrunk } else { Reason::OverBudget };
            window.amounts[reason as usize].tokens += real.message_tokens(i) - self.history.message_tokens(i);
        }
        drop(kept);
        window.history_tokens = real.tokens();
        window.count_prefix(real);
        window
    }
}

/// The only text of a tool's message.
fn output_of(history: &History, i: usize) -> Option<&str> {
    let message = history.message(i).filter(|message| message.role == Role::Tool && history.is_live(i))?;
    match message.parts.as_slice() {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// What stands for an output that a later one repeats.
fn reference(text: &str, call_id: &str) -> String {
    let is_data = Document::parse(text).is_some_and(|json| json.leaf_count() > 1);
    if is_data {
        let told = serde_json::Value::from(format!("same as the later result of {call_id}"));
        format!("{{\"{CUT_KEY}\": {told}}}")
    } else {
        format!("[… same as the later result of {call_id}]")
    }
}

/// A window of the history with its tool outputs made smaller, kept in `cache` for the next time.
pub(crate) fn fit_shrunk(
    real: &History,
    cache: &mut [Option<ShrunkHistory>; 4],
    budget_tokens: u64,
    options: &FitOptions<'_>,
) -> Result<Window> {
    let at = |refers: bool| usize::from(refers) + 2 * usize::from(options.unit == Unit::Sentence);
    let plain = FitOptions { shrink_tool_outputs: false, ..*options };
    let mut fit_with = |refers: bool| {
        let shrunk = cache[at(refers)].get_or_insert_with(|| ShrunkHistory::new(real, options.unit, refers));
        shrunk.catch_up(real);
        let window = fit(&shrunk.history, budget_tokens, &plain)?;
        let is_kept = |i: usize| window.entries.iter().any(|entry| entry.index() == Some(i));
        let dangles = shrunk.refers_to.iter().any(|(&from, &to)| is_kept(from) && !is_kept(to));
        Ok((shrunk.unshrink(real, window), dangles))
    };
    match fit_with(true)? {
        (_, true) => fit_with(false).map(|(window, _)| window),
        (window, false) => Ok(window),
    }
}
