//! Reads a text into tokens: words and phrases of English, phrases and characters of Chinese, numbers, codes.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::lexicon::{Entry, List, MAX_PHRASE, entry};
use super::stems::stem;
use super::{code, grammar, numbers, script};
use crate::compress::words::is_unspaced;

/// The longest Chinese phrase looked for, in characters.
pub(super) const MAX_HAN_PHRASE: usize = 5;

/// The longest quotation, in characters: what opens a longer one is a stray mark.
const MAX_QUOTATION: usize = 200;

/// A text in one form: compatibility forms composed, in lower case, blanks single; and where it had capitals.
pub(super) struct Text {
    lower: String,
    /// A flag a byte of `lower`: it begins an upper-case character.
    capitals: Vec<bool>,
}

/// What a word that is inflected can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A noun, or what may be one.
    Plain,
    /// Where a verb stands, or of a known spelling.
    Verb,
    /// Without its "-ing": of a verb, or a noun of its own.
    Ing,
}

/// A word, phrase, number or code.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "four things that are or are not so of a token")]
pub(super) struct Token<'a> {
    /// Equal where the tokens say the same.
    pub(super) key: Cow<'a, str>,
    pub(super) list: List,
    pub(super) entry: Option<&'static Entry>,
    /// A name, a code or quoted: no other word says the same.
    pub(super) is_strong: bool,
    pub(super) form: Form,
    /// Of a script without blanks.
    pub(super) is_han: bool,
    /// A number that may go unsaid: one, the first.
    pub(super) is_optional: bool,
    /// A comma, a colon or a full stop stands before it.
    pub(super) is_after_stop: bool,
    /// As it stands in the text, in lower case.
    pub(super) surface: &'a str,
    pub(super) start: usize,
}

impl Token<'_> {
    /// Whether it says what the question is about.
    pub(super) fn is_content(&self) -> bool {
        matches!(self.list, List::Content | List::Cue(_) | List::Number)
    }

    /// Whether the two are the same word; "marketing" is "to market", and no market.
    pub(super) fn equals(&self, other: &Token<'_>) -> bool {
        let is_noun = (self.form == Form::Ing && other.form == Form::Plain)
            || (self.form == Form::Plain && other.form == Form::Ing);
        self.key == other.key && (self.list == List::Negation) == (other.list == List::Negation) && !is_noun
    }
}

impl Text {
    pub(super) fn new(text: &str) -> Self {
        let mut lower = String::with_capacity(text.len());
        let mut capitals = Vec::with_capacity(text.len());
        for c in text.nfkc() {
            match c {
                '’' | '‘' | 'ʼ' | '＇' => lower.push('\''),
                c if c.is_whitespace() || c.is_control() => {
                    if !lower.is_empty() && !lower.ends_with(' ') {
                        lower.push(' ');
                    }
                }
                c if is_unspaced(c) => lower.push(script::simplified(c)),
                c => lower.extend(c.to_lowercase()),
            }
            let is_capital = c.is_uppercase();
            if capitals.len() < lower.len() {
                capitals.push(is_capital);
                capitals.resize(lower.len(), false);
            }
        }
        Self { lower, capitals }
    }

    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        let mut reader =
            Reader { text: self, tokens: Vec::new(), quote: None, is_after_stop: true, starts_sentence: true };
        reader.read();
        let mut tokens = reader.tokens;
        let uses_capitals = self.uses_capitals(&tokens);
        for token in &mut tokens {
            if !uses_capitals {
                // What is written all in capitals, or as a title, has no names to tell.
                token.is_strong &= !token.key.bytes().all(|b| b.is_ascii_lowercase());
            }
        }
        let is_apart = |start: usize| self.lower.as_bytes().get(start + 1) == Some(&b' ');
        grammar::name_letters(&mut tokens, |start| uses_capitals && self.capitals[start], is_apart);
        let mut tokens = numbers::join(tokens);
        grammar::settle(&mut tokens);
        tokens
    }

    /// Whether capitals tell names: words that open with one are not the most.
    fn uses_capitals(&self, tokens: &[Token<'_>]) -> bool {
        let is_capital = |token: &&Token<'_>| self.capitals[token.start];
        let n_capitals = tokens.iter().filter(is_capital).count();
        let n_lower = tokens.iter().filter(|token| !token.is_han && !is_capital(token)).count();
        n_capitals <= n_lower + 1 || tokens.iter().any(|token| token.is_han)
    }
}

struct Reader<'a> {
    text: &'a Text,
    tokens: Vec<Token<'a>>,
    /// What closes the quotation that is read.
    quote: Option<char>,
    is_after_stop: bool,
    starts_sentence: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        let lower = self.text.lower.as_str();
        let mut at = 0;
        while let Some(c) = lower[at..].chars().next() {
            let end = at + c.len_utf8();
            let is_after_operand =
                || self.tokens.last().is_some_and(|last| last.list == List::Number || last.surface.len() == 1);
            if is_unspaced(c) {
                at = self.han(at);
            } else if c.is_ascii_punctuation()
                && let Some(n) = code::operator(lower, at, is_after_operand())
            {
                self.code(at, at + n);
                at += n;
            } else if c.is_alphanumeric() || opens_code(c, &lower[end..]) {
                at = self.run(at);
            } else {
                self.mark(c, at);
                at = end;
            }
        }
    }

    /// A character between words.
    fn mark(&mut self, c: char, at: usize) {
        match c {
            ' ' => {}
            c if self.quote == Some(c) => self.quote = None,
            '"' | '“' | '「' | '『' | '《' if self.quote.is_none() => {
                let close = match c {
                    '“' => '”',
                    '「' => '」',
                    '『' => '』',
                    '《' => '》',
                    _ => '"',
                };
                let mut rest = self.text.lower[at + c.len_utf8()..].chars().take(MAX_QUOTATION);
                self.quote = rest.any(|c| c == close).then_some(close);
            }
            '.' | '!' | '?' | '。' | ':' | ';' => (self.is_after_stop, self.starts_sentence) = (true, true),
            ',' => self.is_after_stop = true,
            '、' | '&' => self.push(at, at + c.len_utf8(), Cow::Borrowed("and"), entry("and")),
            '+' | '=' | '<' | '>' | '*' | '^' | '%' | '$' | '€' | '£' | '¥' | '°' | '÷' | '×' | '≤' | '≥' | '≠' =>
            {
                let mark = &self.text.lower[at..at + c.len_utf8()];
                let entry = entry(mark);
                self.push(at, at + mark.len(), entry.map_or(mark, |entry| &entry.key).into(), entry);
            }
            _ => {}
        }
    }

    fn push(&mut self, start: usize, end: usize, key: Cow<'a, str>, entry: Option<&'static Entry>) {
        let list = entry.map_or(List::Content, |entry| entry.list);
        let is_han = self.text.lower[start..].chars().next().is_some_and(is_unspaced);
        let is_upper = self.text.capitals[start];
        let n_upper = self.text.capitals[start..end].iter().filter(|&&is| is).count();
        let is_name = is_upper && (!self.starts_sentence || n_upper > 1) && list == List::Content;
        let is_optional = list == List::Number && &*key == "1" && entry.is_some();
        self.tokens.push(Token {
            key,
            list,
            entry,
            is_strong: is_name || self.quote.is_some(),
            form: Form::Plain,
            is_han,
            is_optional,
            is_after_stop: std::mem::take(&mut self.is_after_stop),
            surface: &self.text.lower[start..end],
            start,
        });
        self.starts_sentence = false;
    }

    fn code(&mut self, start: usize, end: usize) {
        let key = &self.text.lower[start..end];
        self.push(start, end, Cow::Borrowed(key), None);
        let token = self.tokens.last_mut().expect("one was pushed");
        token.is_strong = true;
        // "-r" and "-R" are two options of a command.
        if key.starts_with('-') && self.text.capitals[start..end].contains(&true) {
            token.key = key.to_uppercase().into();
        }
    }

    fn number(&mut self, start: usize, end: usize) {
        let key = numbers::plain(&self.text.lower[start..end]);
        self.push(start, end, key, None);
        self.tokens.last_mut().expect("one was pushed").list = List::Number;
    }

    /// A run of letters, digits and what codes hold, up to a blank or another script.
    fn run(&mut self, start: usize) -> usize {
        let lower = self.text.lower.as_str();
        let is_end =
            |c: char| c == ' ' || is_unspaced(c) || "\"“”「」『』《》【】（）()[]{},;!?，。！？、：；…".contains(c);
        let n = lower[start..].find(is_end).unwrap_or(lower.len() - start);
        let raw = &lower[start..start + n];
        let thousands = lower[start + n..].starts_with(',') && numbers::opens(raw);
        let n = if thousands { n + numbers::thousands(&lower[start + n..]) } else { n };
        let n = code::operator_within(&lower[start..start + n]).unwrap_or(n);
        let raw = &lower[start..start + n];
        let run = raw.trim_end_matches(['.', ':', '\'', '-', '/', '~', '|', '…', '*']);
        let run = if run.is_empty() { raw } else { run };
        let end = start + run.len();
        if lower[end..].starts_with('(') && code::is_callable(run) {
            if let Some(n) = code::optional_plural(&lower[end..]) {
                self.words(start, end);
                return end + n;
            }
            if let Some(n) = code::arguments(&lower[end..]) {
                return self.call(start, end, end + n);
            }
        }
        let n_digits = run.bytes().take_while(u8::is_ascii_digit).count();
        if n_digits > 0 && run.bytes().all(|b| b.is_ascii_digit() || b".,:/-".contains(&b)) {
            self.number(start, end);
        } else if let Some(at) = numbers::unit_start(run) {
            self.number(start, start + at);
            if !matches!(&run[at..], "st" | "nd" | "rd" | "th") {
                self.words(start + at, end);
            }
        } else if self.is_code(start, end) {
            self.code(start, end);
        } else {
            return self.words(start, start + n);
        }
        if end < start + n && lower[end..start + n].starts_with(['.', ':']) {
            (self.is_after_stop, self.starts_sentence) = (true, true);
        }
        start + n
    }

    /// A call with its arguments in their order, blanks aside; one without is but its name.
    fn call(&mut self, start: usize, end: usize, after: usize) -> usize {
        let call = &self.text.lower[start..after];
        if self.text.lower[end + 1..after - 1].trim().is_empty() {
            if self.is_code(start, end) {
                self.code(start, end);
            } else {
                self.words(start, end);
            }
        } else {
            self.code(start, after);
            self.tokens.last_mut().expect("one was pushed").key = call.replace(' ', "").into();
        }
        after
    }

    fn is_code(&self, start: usize, end: usize) -> bool {
        let run = &self.text.lower[start..end];
        let is_plain = |c: char| c.is_alphabetic() || matches!(c, '\'' | '-' | '–' | '—');
        if run.starts_with("--") || (run.starts_with('-') && run.len() > 1) {
            return true;
        }
        if run.chars().all(is_plain) {
            return false;
        }
        // "and/or", "e.g.", "5'": words, not codes.
        let parts = run.split('/').all(|part| !part.is_empty() && part.chars().all(is_plain));
        let dotted = run.split('.').all(|part| part.len() <= 1 && part.chars().all(char::is_alphabetic));
        !(parts || dotted)
    }

    /// The words of a run, with phrases that reach beyond it; returns where the text goes on.
    fn words(&mut self, start: usize, end: usize) -> usize {
        let lower = self.text.lower.as_str();
        let mut at = start;
        while at < end {
            let c = lower[at..].chars().next().expect("`at` is before the end");
            if !c.is_alphanumeric() {
                self.mark(c, at);
                at += c.len_utf8();
                continue;
            }
            at = self.phrase(at).unwrap_or_else(|| self.word(at));
        }
        at
    }

    /// The longest known phrase from `at`.
    fn phrase(&mut self, at: usize) -> Option<usize> {
        let lower = self.text.lower.as_str();
        let mut ends = [0; MAX_PHRASE];
        let mut n = 0;
        let mut from = at;
        while n < MAX_PHRASE {
            let end = from + lower[from..].find(|c: char| !is_letter(c)).unwrap_or(lower.len() - from);
            if end == from {
                break;
            }
            ends[n] = end;
            n += 1;
            let rest = &lower[end..];
            if !(rest.starts_with(' ') || rest.starts_with('-')) {
                break;
            }
            from = end + 1;
        }
        for &end in ends[..n].iter().rev() {
            if let Some(found) = entry(&lower[at..end]).or_else(|| hyphened(&lower[at..end])) {
                self.push(at, end, Cow::Borrowed(&found.key), Some(found));
                return Some(end);
            }
        }
        None
    }

    fn word(&mut self, at: usize) -> usize {
        let lower = self.text.lower.as_str();
        let end = at + lower[at..].find(|c: char| !(is_letter(c) || c.is_numeric())).unwrap_or(lower.len() - at);
        let word = &lower[at..end];
        let bytes = lower.as_bytes();
        if word.len() == 1 && bytes.get(end) == Some(&b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_lowercase) {
            // "x-ray", as "xray".
            let rest = end + 1 + lower[end + 1..].find(|c| !is_letter(c)).unwrap_or(lower.len() - end - 1);
            let joined = lower[at..rest].replace('-', "");
            let key = entry(&joined).map_or_else(|| stem(&joined).into_owned(), |known| known.key.clone());
            self.push(at, rest, key.into(), entry(&joined));
            return rest;
        }
        let (head, tail) = word.split_once('\'').unwrap_or((word, ""));
        let is_not = tail == "t" && head.len() > 1;
        let head = if is_not { head.strip_suffix('n').unwrap_or(head) } else { head };
        let head = match head {
            "ca" if is_not => "can",
            "wo" if is_not => "will",
            head => head,
        };
        if !head.is_empty() {
            let own = entry(head);
            let stem = if own.is_some() { Cow::Borrowed(head) } else { stem(head) };
            let known = own.or_else(|| entry(&stem));
            let form = match stem {
                _ if own.is_some() && head.ends_with("ing") => Form::Verb,
                _ if head.ends_with("ing") && *stem != *head => Form::Ing,
                _ if head.ends_with("ed") && *stem != *head => Form::Verb,
                _ => Form::Plain,
            };
            self.push(at, end, known.map_or(stem, |known| Cow::Borrowed(&known.key)), known);
            self.tokens.last_mut().expect("one was pushed").form = form;
        }
        if is_not {
            self.push(at, end, Cow::Borrowed("not"), entry("not"));
        }
        end.max(at + 1)
    }

    /// The longest known phrase of Chinese from `at`, a number, or a character.
    fn han(&mut self, at: usize) -> usize {
        let lower = self.text.lower.as_str();
        let mut ends = [0; MAX_HAN_PHRASE];
        let mut n = 0;
        for (i, c) in lower[at..].char_indices().take(MAX_HAN_PHRASE).take_while(|&(_, c)| is_unspaced(c)) {
            ends[n] = at + i + c.len_utf8();
            n += 1;
        }
        if let Some((key, len)) = numbers::chinese(&lower[at..]) {
            let is_weekday = self.tokens.last().is_some_and(|last| last.key == "星期");
            let is_word =
                !is_weekday && ends[..n].iter().any(|&end| end - at > len && entry(&lower[at..end]).is_some());
            if !is_word {
                let is_alone = len == '一'.len_utf8();
                self.push(at, at + len, key.into(), None);
                let token = self.tokens.last_mut().expect("one was pushed");
                token.list = List::Number;
                token.is_optional = is_alone && &*token.key == "1";
                return at + len;
            }
        }
        for &end in ends[..n].iter().rev() {
            if let Some(found) = entry(&lower[at..end]) {
                self.push(at, end, Cow::Borrowed(&found.key), Some(found));
                return end;
            }
        }
        let end = ends[0];
        self.push(at, end, Cow::Borrowed(&lower[at..end]), None);
        end
    }
}

/// A sign that opens a path, an option, a tag or an address.
fn opens_code(c: char, rest: &str) -> bool {
    matches!(c, '/' | '\\' | '~' | '#' | '@' | '-' | '_' | '.' | '+')
        && rest.chars().next().is_some_and(|next| next.is_alphanumeric() || matches!(next, '-' | '/' | '_' | '\\'))
        && !rest.chars().next().is_some_and(is_unspaced)
}

pub(super) fn is_letter(c: char) -> bool {
    c == '\'' || (c.is_alphabetic() && !is_unspaced(c))
}

/// "sign-in" as "sign in", "e-mail" as "email".
fn hyphened(phrase: &str) -> Option<&'static Entry> {
    if !phrase.contains('-') {
        return None;
    }
    entry(&phrase.replace('-', " ")).or_else(|| entry(&phrase.replace('-', "")))
}

#[cfg(test)]
mod tests;
