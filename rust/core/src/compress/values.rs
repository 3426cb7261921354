//! What tool-calling sessions turn on: identifiers, numbers and names, each worth as much as it looks like being used again.
//!
//! A value that a user gave or a call used is likely to be needed; one of thirty in a list that nobody took up is not, and what tells
//! the two apart is the key it stands under: are values of that key taken up, is the key spoken of? Source: the sessions and
//! ablations of docs/retention.md. Read lazily: a chat without tools never pays for it.

use hashbrown::{HashMap, HashSet};

use super::ablation::{Signal, is_on};
use super::cues::{Cues, stem};
use super::digest::Digest;
use super::pieces::{Form, data_of};
use super::words::is_unspaced;
use crate::json::{Document, Kind};
use crate::message::{Message, Part, Role};

/// Number of a value, in order of first occurrence.
pub(crate) type ValueId = u32;

/// The values of a history's pieces, and where each stands.
#[derive(Debug, Default)]
pub(crate) struct Values {
    ids: HashMap<String, ValueId>,
    known: Vec<Known>,
    keys: HashMap<String, u32>,
    key_stats: Vec<Key>,
    /// Stems of the words that users, assistants and calls use.
    spoken: HashSet<String>,
    /// Distinct values of each piece, one piece after the other.
    postings: Vec<ValueId>,
    ends: Vec<usize>,
    n_messages: usize,
}

#[derive(Debug)]
struct Known {
    class: Class,
    /// Who holds it: bits of [`Holder`].
    holders: u8,
    /// Whether it alone makes up a value of a result or an argument somewhere.
    is_whole: bool,
    /// Keys it stands under in results, if it is an identifier.
    keys: Vec<u32>,
}

#[derive(Debug)]
struct Key {
    values: Vec<ValueId>,
    /// Its parts, as stems.
    parts: Vec<String>,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A time of day or a timestamp: many, and seldom needed again.
    Clock,
    /// An identifier: a code, a date, an address, a path.
    Id,
    /// A name of a program's: `snake_case`, camelCase.
    Symbol,
    /// A code without digits, such as an airport's.
    Capitals,
    Name,
    Stop,
    Word,
}

/// Who holds a value.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Holder {
    User = 1,
    Assistant = 2,
    Call = 4,
    Result = 8,
}

impl Values {
    /// Reads the messages that came since the last call. Cost: O(their bytes).
    pub(crate) fn catch_up(&mut self, messages: &[Message], digest: &Digest) {
        for (i, message) in messages.iter().enumerate().skip(self.n_messages) {
            let document = digest.document(i);
            let data = if document.form == Form::Json { data_of(message) } else { None };
            for (at, p) in document.pieces.enumerate() {
                let first = self.ends.last().copied().unwrap_or(0);
                match (digest.place(p), &data) {
                    (Some(place), data) => {
                        let Some(Part::Text(text)) = message.parts.get(place.part as usize) else { continue };
                        match data {
                            Some(json) => self.read_leaf(text, json, at, first),
                            None => self.read_text(&text[place.range()], holder_of(message.role), first),
                        }
                    }
                    (None, _) => self.read_calls(message, first),
                }
                self.ends.push(self.postings.len());
            }
        }
        self.n_messages = messages.len();
    }

    /// The distinct values of piece `p`.
    pub(crate) fn of_piece(&self, p: usize) -> &[ValueId] {
        let start = if p == 0 { 0 } else { self.ends[p - 1] };
        &self.postings[start..self.ends[p]]
    }

    /// What it is worth to hold each value.
    ///
    /// Source: constants searched on every second session of the development data, checked on the others.
    pub(crate) fn weights(&self) -> Vec<f32> {
        let rates: Vec<f32> = self.key_stats.iter().map(|key| self.rate(key)).collect();
        let weight = |known: &Known| {
            let is = |holder: Holder| known.holders & holder as u8 != 0;
            #[expect(clippy::cast_possible_wrap, reason = "at most four holders")]
            let spread = 4.0_f32.powi(known.holders.count_ones() as i32 - 1);
            match known.class {
                Class::Clock => 0.03,
                Class::Stop => 0.0,
                Class::Id if known.holders == Holder::Result as u8 => {
                    known.keys.iter().map(|&key| rates[key as usize]).fold(0.0, f32::max)
                }
                Class::Id => {
                    let twice = |holder| if is(holder) && is_on(Signal::Holders) { 2.0 } else { 1.0 };
                    twice(Holder::User) * twice(Holder::Call)
                }
                Class::Capitals if known.is_whole => 0.01 * spread,
                _ if known.is_whole => 0.05 * spread,
                Class::Symbol => 0.1,
                Class::Name => 0.02,
                Class::Capitals | Class::Word => 0.004,
            }
        };
        self.known.iter().map(weight).collect()
    }

    /// How likely a value under a key is to be taken up, against 15 %, and more if the key is spoken of.
    #[expect(clippy::cast_precision_loss, reason = "counts of values")]
    fn rate(&self, key: &Key) -> f32 {
        let taken_up = |&&value: &&ValueId| self.known[value as usize].holders != Holder::Result as u8;
        let echoed = key.values.iter().filter(taken_up).count();
        let rate = (echoed as f32 + 0.45) / (key.values.len() as f32 + 3.0) / 0.15;
        let rate = if is_on(Signal::KeyRates) { rate } else { 1.0 };
        if is_on(Signal::SpokenKeys) && key.parts.iter().any(|part| self.spoken.contains(part)) {
            4.0 * rate
        } else {
            rate
        }
    }

    fn read_text(&mut self, text: &str, holder: Holder, first: usize) {
        let is_spoken = !matches!(holder, Holder::Result);
        let mut is_inside = false;
        terms(text, |term, is_end| {
            self.add(term, class_of(term, is_inside), holder, first);
            if is_spoken {
                self.speak(term);
            }
            is_inside = !is_end;
        });
    }

    fn speak(&mut self, term: &str) {
        for part in parts(term) {
            if !self.spoken.contains(&part) {
                self.spoken.insert(part);
            }
        }
    }

    /// Reads one leaf of a JSON result.
    fn read_leaf(&mut self, text: &str, json: &Document, leaf: usize, first: usize) {
        let nodes = json.nodes();
        let node = json.leaf(leaf);
        let keys = std::iter::once(node)
            .chain(json.leaf_path(leaf))
            .filter_map(|at| nodes[at].key())
            .map(|key| bare(&text[key]));
        let mut plain = None;
        let mut ids: Vec<ValueId> = Vec::new();
        for key in keys {
            if has_digit(key) && class_of(key, true) == Class::Id {
                ids.push(self.add(key, Class::Id, Holder::Result, first));
            } else if plain.is_none() {
                plain = Some(key);
            }
        }
        ids.extend(self.read_value(bare(&text[nodes[node].value()]), nodes[node].kind(), Holder::Result, first));
        let Some(plain) = plain else { return };
        let key = self.key(plain);
        for id in ids {
            let known = &mut self.known[id as usize];
            if known.class == Class::Id && !known.keys.contains(&key) {
                known.keys.push(key);
                self.key_stats[key as usize].values.push(id);
            }
        }
    }

    /// Reads one value; returns its identifiers.
    fn read_value(&mut self, value: &str, kind: Kind, holder: Holder, first: usize) -> Vec<ValueId> {
        let mut found = Vec::new();
        if !matches!(kind, Kind::String | Kind::Number) {
            return found;
        }
        terms(value, |term, _| {
            let id = self.add(term, class_of(term, kind == Kind::String), holder, first);
            self.known[id as usize].is_whole |= term.len() == value.len() && term.len() >= 3;
            found.push(id);
        });
        found
    }

    fn read_calls(&mut self, message: &Message, first: usize) {
        if let Some(refusal) = &message.refusal {
            self.read_text(refusal, Holder::Assistant, first);
        }
        for call in &message.tool_calls {
            let Some(json) = Document::parse(&call.arguments) else {
                self.read_text(&call.arguments, Holder::Call, first);
                continue;
            };
            for leaf in 0..json.leaf_count() {
                let node = &json.nodes()[json.leaf(leaf)];
                if let Some(key) = node.key() {
                    self.speak(bare(&call.arguments[key]));
                }
                let value = bare(&call.arguments[node.value()]);
                self.speak(value);
                self.read_value(value, node.kind(), Holder::Call, first);
            }
        }
    }

    fn key(&mut self, name: &str) -> u32 {
        if let Some(&key) = self.keys.get(name) {
            return key;
        }
        let key = u32::try_from(self.key_stats.len()).expect("there are no more keys than values");
        self.keys.insert(name.to_owned(), key);
        self.key_stats.push(Key { values: Vec::new(), parts: parts(name).collect() });
        key
    }

    /// Takes note of a value in the piece whose postings begin at `first`.
    fn add(&mut self, term: &str, class: Class, holder: Holder, first: usize) -> ValueId {
        let id = if let Some(&id) = self.ids.get(term) {
            id
        } else {
            let id = u32::try_from(self.known.len()).expect("4 * 10^9 values need more memory than a machine has");
            self.ids.insert(term.to_owned(), id);
            self.known.push(Known { class, holders: 0, is_whole: false, keys: Vec::new() });
            id
        };
        let known = &mut self.known[id as usize];
        known.holders |= holder as u8;
        if class == Class::Name && known.class == Class::Word {
            known.class = Class::Name;
        }
        if !self.postings[first..].contains(&id) {
            self.postings.push(id);
        }
        id
    }
}

fn holder_of(role: Role) -> Holder {
    match role {
        Role::Tool => Holder::Result,
        Role::Assistant => Holder::Assistant,
        Role::System | Role::Developer | Role::User => Holder::User,
    }
}

/// A JSON string or key without its quotes; anything else as it is.
fn bare(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Calls `f` with each term of a text, and whether a sentence or clause ends behind it.
fn terms(text: &str, mut f: impl FnMut(&str, bool)) {
    let is_border = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '`'
                    | '*'
                    | '('
                    | ')'
                    | '['
                    | ']'
                    | '{'
                    | '}'
                    | '<'
                    | '>'
                    | ','
                    | ';'
                    | '|'
                    | '$'
                    | '='
                    | '!'
                    | '?'
            )
            || (!c.is_ascii() && (is_unspaced(c) || !c.is_alphanumeric()))
    };
    let loose = |c: char| matches!(c, '.' | ':' | '-' | '\\' | '&' | '+' | '%' | '^');
    for run in text.split(is_border) {
        let end = run.trim_end_matches(|c| loose(c) || matches!(c, '/' | '~'));
        let term = end.trim_start_matches(loose);
        if !term.is_empty() {
            f(term, end.len() < run.len());
        }
    }
}

fn has_digit(term: &str) -> bool {
    term.bytes().any(|b| b.is_ascii_digit())
}

/// The class of a term; `is_inside`: it does not begin a sentence, so that a capital makes it a name.
fn class_of(term: &str, is_inside: bool) -> Class {
    let bytes = term.as_bytes();
    let has_letter = term.chars().any(char::is_alphabetic);
    if has_digit(term) {
        let is_clock = bytes
            .windows(4)
            .any(|w| w[0].is_ascii_digit() && w[1] == b':' && w[2].is_ascii_digit() && w[3].is_ascii_digit());
        if is_clock {
            return Class::Clock;
        }
        let is_joined = term.contains(['-', '_', '/', '@', ':', '#']);
        if term.len() >= 4 && (has_letter || is_joined) {
            return Class::Id;
        }
        let is_code = has_letter && term.len() < 4 && !term.bytes().any(|b| b.is_ascii_lowercase());
        return if is_code { Class::Capitals } else { Class::Word };
    }
    if term.len() < 2 || !has_letter {
        return Class::Stop;
    }
    let is_between_letters = |at: usize| {
        at > 0 && at + 1 < bytes.len() && bytes[at - 1].is_ascii_alphabetic() && bytes[at + 1].is_ascii_alphabetic()
    };
    let has_inner_dot = term.bytes().enumerate().any(|(at, b)| b == b'.' && is_between_letters(at));
    if term.len() >= 4
        && (term.contains('@')
            || term.contains("::")
            || term.starts_with(['/', '~'])
            || term.bytes().filter(|&b| b == b'/').count() >= 2
            || has_inner_dot)
    {
        return Class::Id;
    }
    let is_camel = bytes.windows(2).any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
    if term.len() >= 4 && (term.contains(['_', '/', '\\', '#']) || is_camel) {
        return Class::Symbol;
    }
    if bytes.iter().all(u8::is_ascii_uppercase) {
        return Class::Capitals;
    }
    if Cues::of(&term.to_lowercase()).has(Cues::STOP) {
        return Class::Stop;
    }
    if is_inside && bytes[0].is_ascii_uppercase() { Class::Name } else { Class::Word }
}

/// The stems of the words that a name is made of, split at marks and inner capitals.
fn parts(name: &str) -> impl Iterator<Item = String> + '_ {
    name.split(|c: char| !c.is_alphanumeric()).flat_map(|word| {
        let mut starts: Vec<usize> = vec![0];
        let bytes = word.as_bytes();
        starts.extend(
            (1..bytes.len()).filter(|&at| bytes[at - 1].is_ascii_lowercase() && bytes[at].is_ascii_uppercase()),
        );
        starts.push(word.len());
        starts
            .windows(2)
            .map(|w| word[w[0]..w[1]].to_lowercase())
            .filter(|part| part.len() > 1 && !Cues::of(part).has(Cues::STOP))
            .map(|part| stem(&part).to_owned())
            .collect::<Vec<String>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_told_apart_by_their_form() {
        for (term, class) in [
            ("08:15", Class::Clock),
            ("2024-05-15T15:00:00", Class::Clock),
            ("A-1042", Class::Id),
            ("2024-05-15", Class::Id),
            ("ana@example.org", Class::Id),
            ("/usr/lib/x", Class::Id),
            ("src/main.rs", Class::Id),
            ("user_id", Class::Symbol),
            ("getUser", Class::Symbol),
            ("JFK", Class::Capitals),
            ("Oslo", Class::Name),
            ("the", Class::Stop),
            ("120", Class::Word),
            ("train", Class::Word),
        ] {
            assert_eq!(class_of(term, true), class, "{term}");
        }
    }

    #[test]
    fn terms_of_text_are_whole_values() {
        let mut found = Vec::new();
        terms("See /tmp/a.log, order A-1042. 订单B-7已取消 (x=3).", |term, _| found.push(term.to_owned()));
        assert_eq!(found, ["See", "/tmp/a.log", "order", "A-1042", "B-7", "x", "3"]);
    }

    #[test]
    fn names_split_into_stems() {
        assert_eq!(parts("bookedFlights_by user").collect::<Vec<_>>(), ["book", "flight", "user"]);
    }
}
