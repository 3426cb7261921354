//! Reads a text into tokens: words and phrases of English, phrases and characters of Chinese, numbers, codes.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::lexicon::{Entry, List, MAX_PHRASE, entry};
use super::numbers;
use super::stems::stem;
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
    /// Of a script without blanks.
    pub(super) is_han: bool,
    /// A number that may go unsaid: one, the first.
    pub(super) is_optional: bool,
    /// A comma, a colon or a full stop stands before it.
    pub(super) is_after_stop: bool,
    /// As it stands in the text, in lower case.
    pub(super) surface: &'a str,
    start: usize,
}

impl Token<'_> {
    /// Whether it says what the question is about.
    pub(super) fn is_content(&self) -> bool {
        matches!(self.list, List::Content | List::Cue(_) | List::Number)
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
        for i in 0..tokens.len() {
            let is_beside_han = i > 0 && tokens[i - 1].is_han;
            let token = &mut tokens[i];
            let is_letter =
                token.surface.len() == 1 && token.surface.as_bytes()[0].is_ascii_lowercase() && token.key != "i";
            if !uses_capitals {
                // What is written all in capitals, or as a title, has no names to tell.
                token.is_strong &= !token.key.bytes().all(|b| b.is_ascii_lowercase());
            }
            // Vitamin A is no article.
            if is_letter && (is_beside_han || (uses_capitals && self.capitals[token.start] && !token.is_after_stop)) {
                (token.list, token.entry, token.is_strong) = (List::Content, None, true);
            }
        }
        let mut tokens = numbers::join(tokens);
        turn_questions(&mut tokens);
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
            if is_unspaced(c) {
                at = self.han(at);
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
        let raw = &lower[start..start + n];
        let run = raw.trim_end_matches(['.', ':', '\'', '-', '/', '~', '|', '…', '*']);
        let run = if run.is_empty() { raw } else { run };
        let end = start + run.len();
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
        let (head, tail) = word.split_once('\'').unwrap_or((word, ""));
        let is_not = tail == "t" && head.len() > 1;
        let head = if is_not { head.strip_suffix('n').unwrap_or(head) } else { head };
        let head = match head {
            "ca" if is_not => "can",
            "wo" if is_not => "will",
            head => head,
        };
        if !head.is_empty() {
            let known = entry(head).or_else(|| entry(head.strip_suffix('s')?)).or_else(|| entry(stem(head)));
            let key = known.map_or_else(|| stem(head), |known| &known.key);
            self.push(at, end, Cow::Borrowed(key), known);
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

fn is_letter(c: char) -> bool {
    c == '\'' || (c.is_alphabetic() && !is_unspaced(c))
}

/// "sign-in" as "sign in".
fn hyphened(phrase: &str) -> Option<&'static Entry> {
    if phrase.contains('-') { entry(&phrase.replace('-', " ")) } else { None }
}

/// 好不好, 大不大: a question, nothing denied.
fn turn_questions(tokens: &mut [Token<'_>]) {
    for i in 1..tokens.len().saturating_sub(1) {
        if tokens[i].list == List::Negation && tokens[i].is_han && tokens[i - 1].key == tokens[i + 1].key {
            (tokens[i].list, tokens[i + 1].list) = (List::Filler, List::Filler);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        Text::new(text).tokens().iter().map(|token| token.key.to_string()).collect()
    }

    #[test]
    fn numbers_are_one_however_written() {
        for (a, b) in [
            ("three", "3"),
            ("3.0", "3"),
            ("1,500", "1500"),
            ("thirty-five", "35"),
            ("two hundred", "200"),
            ("二十三", "23"),
            ("百分之五", "5%"),
            ("两", "2"),
            ("5万", "50000"),
            ("二零二四", "2024"),
            ("3rd", "third"),
            ("５", "5"),
        ] {
            assert_eq!(keys(a), keys(b), "{a} {b}");
        }
        for (a, b) in [("3.10", "3.1"), ("10/3", "3/10"), ("30", "300"), ("十二", "二十")] {
            assert_ne!(keys(a), keys(b), "{a} {b}");
        }
    }

    #[test]
    fn contractions_are_taken_apart() {
        assert_eq!(keys("don't"), keys("do not"));
        assert_eq!(keys("can’t"), keys("can not"));
        let lists: Vec<List> = Text::new("I won't").tokens().iter().map(|token| token.list).collect();
        assert_eq!(lists[2], List::Negation);
    }

    #[test]
    fn codes_stay_whole() {
        assert_eq!(
            keys("see https://a.example/b, and src/main.rs."),
            ["see", "https://a.example/b", "and", "src/main.rs"]
        );
        assert_eq!(keys("web-01 C++ user_id -R"), ["web-01", "c++", "user_id", "-R"]);
    }
}
