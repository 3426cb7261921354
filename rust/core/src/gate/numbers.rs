//! Numbers in digits, words and Chinese numerals, each in one form.

use std::borrow::Cow;

use super::lexicon::List;
use super::reading::Token;

/// Digits without separators of thousands, leading zeros and a fraction of zeros: 1,500 is 1500, 3.0 is 3; 3.10 is not 3.1.
pub(super) fn plain(digits: &str) -> Cow<'_, str> {
    let is_grouped = digits.split(',').skip(1).all(|group| group.len() == 3);
    let joined: Cow<'_, str> =
        if is_grouped && digits.contains(',') { digits.replace(',', "").into() } else { Cow::Borrowed(digits) };
    let is_whole = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let whole = match joined.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        _ => &joined,
    };
    if !is_whole(whole) {
        return joined;
    }
    let bare = whole.trim_start_matches('0');
    let bare = if bare.is_empty() { "0" } else { bare };
    if bare == digits { Cow::Borrowed(digits) } else { bare.to_owned().into() }
}

/// Whether a group of thousands may follow.
pub(super) fn opens(run: &str) -> bool {
    (1..=3).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_digit())
}

/// How long the groups of thousands are that `rest` opens with, separators and a fraction with them.
pub(super) fn thousands(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut n = 0;
    while bytes.get(n) == Some(&b',')
        && bytes.get(n + 1..n + 4).is_some_and(|group| group.iter().all(u8::is_ascii_digit))
    {
        n += 4;
    }
    if n > 0 && bytes.get(n) == Some(&b'.') && bytes.get(n + 1).is_some_and(u8::is_ascii_digit) {
        n += 1 + bytes[n + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    }
    // "1,0000" is no number of that kind.
    if bytes.get(n).is_some_and(u8::is_ascii_digit) { 0 } else { n }
}

/// Where the unit starts in "5km", "3pm", "20%": digits, then at least two letters or a per cent sign.
pub(super) fn unit_start(run: &str) -> Option<usize> {
    let n = run.bytes().take_while(|b| b.is_ascii_digit() || b".,:".contains(b)).count();
    let unit = &run[n..];
    let is_unit = unit == "%" || (unit.chars().count() >= 2 && unit.chars().all(char::is_alphabetic));
    (run.as_bytes().first()?.is_ascii_digit() && is_unit).then_some(n)
}

/// Characters of the longest Chinese number: a longer one is none that anybody reads.
const MAX_NUMERAL: usize = 18;

const DIGITS: &str = "零一二三四五六七八九";

fn digit(c: char) -> Option<u64> {
    match c {
        '〇' => Some(0),
        '两' => Some(2),
        c => DIGITS.chars().zip(0..).find(|&(own, _)| own == c).map(|(_, value)| value),
    }
}

fn unit(c: char) -> Option<u64> {
    match c {
        '十' => Some(10),
        '百' => Some(100),
        '千' => Some(1000),
        '万' => Some(10_000),
        '亿' => Some(100_000_000),
        _ => None,
    }
}

/// The Chinese number that `text` opens with, in digits, and its length in bytes.
pub(super) fn chinese(text: &str) -> Option<(String, usize)> {
    let first = text.chars().next()?;
    if digit(first).is_none() && first != '十' {
        return None;
    }
    let numeral: Vec<char> =
        text.chars().take_while(|&c| digit(c).is_some() || unit(c).is_some()).take(MAX_NUMERAL + 1).collect();
    if numeral.len() > MAX_NUMERAL {
        return None;
    }
    let len = numeral.iter().map(|c| c.len_utf8()).sum();
    if numeral.iter().all(|&c| digit(c).is_some()) {
        let digits: String = numeral.iter().filter_map(|&c| digit(c)).map(|d| d.to_string()).collect();
        return Some((plain(&digits).into_owned(), len));
    }
    let (mut total, mut section, mut last) = (0_u64, 0_u64, 0_u64);
    for (i, &c) in numeral.iter().enumerate() {
        match (digit(c), unit(c)) {
            // 三千五 leaves out its last unit, the next below; with a 零 before it, five is five.
            (Some(d), _) if i + 1 == numeral.len() => {
                last = d * numeral[i - 1..i].iter().find_map(|&c| unit(c)).map_or(1, |unit| unit / 10);
            }
            (Some(d), _) => last = d,
            (_, Some(unit)) if unit >= 10_000 => {
                total = total.saturating_add((section + last).max(1).saturating_mul(unit));
                (section, last) = (0, 0);
            }
            (_, Some(unit)) => {
                section = section.saturating_add(last.max(1) * unit);
                last = 0;
            }
            _ => {}
        }
    }
    Some((total.saturating_add(section).saturating_add(last).to_string(), len))
}

/// Joins what makes one number: "two hundred", "thirty-five", "5 万"; 百分之五 becomes 5 %.
pub(super) fn join(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut read: Vec<Token<'_>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let Some(last) = read.last_mut() else {
            read.push(token);
            continue;
        };
        if let Some(joined) = joined(last, &token) {
            last.key = joined.into();
            last.is_optional = false;
        } else if last.surface == "百分之" && token.list == List::Number {
            let share = std::mem::replace(last, token);
            read.push(share);
        } else {
            read.push(token);
        }
    }
    read
}

fn joined(left: &Token<'_>, right: &Token<'_>) -> Option<String> {
    let number = |token: &Token<'_>| token.key.parse::<u64>().ok().filter(|_| token.list == List::Number);
    let value = number(left)?;
    if right.is_after_stop {
        return None;
    }
    if right.is_han && right.list == List::Content {
        let mut chars = right.key.chars();
        let unit = chars.next().and_then(unit).filter(|_| chars.next().is_none() && !left.is_han)?;
        return Some(value.checked_mul(unit)?.to_string());
    }
    let is_word = |token: &Token<'_>| token.entry.is_some();
    let next = number(right).filter(|_| is_word(right))?;
    let is_scale = matches!(next, 100 | 1000 | 1_000_000 | 1_000_000_000);
    if is_scale && value < next {
        return Some(value.checked_mul(next)?.to_string());
    }
    let fits = match value {
        20..=90 if value % 10 == 0 => (1..10).contains(&next),
        100..=900 if value % 100 == 0 => next < 100,
        _ => false,
    };
    (fits && is_word(left)).then(|| (value + next).to_string())
}
