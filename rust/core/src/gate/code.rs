//! What is written as code is: operators, calls with the order of their arguments, letters that stand for something.

use super::reading::is_letter;

/// The longest first. "**", "??" and "--" are written in prose too, and stay out.
const OPERATORS: [&str; 24] = [
    "===", "!==", "<=>", "&&", "||", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<",
    ">>", "->", "=>", "::", ":=", "|",
];

/// How long a call's arguments are looked for.
const MAX_ARGUMENTS: usize = 200;

/// The length of the operator that stands at `at`: one of the list, a "!" before a word, a "-" or "/" between two operands, of
/// which the left one is known.
pub(super) fn operator(text: &str, at: usize, is_after_operand: bool) -> Option<usize> {
    let rest = &text.as_bytes()[at..];
    let before = at.checked_sub(1).map_or(b' ', |i| text.as_bytes()[i]);
    if let Some(found) = OPERATORS.iter().find(|operator| rest.starts_with(operator.as_bytes())) {
        return Some(found.len());
    }
    let is_not = rest[0] == b'!' && b" (&|".contains(&before) && rest.get(1).is_some_and(u8::is_ascii_alphabetic);
    let is_between = matches!(rest[0], b'-' | b'/') && before == b' ' && rest.get(1) == Some(&b' ') && is_after_operand;
    (is_not || (is_between && is_operand(&rest[2..]))).then_some(1)
}

/// A number or a single letter opens the text.
fn is_operand(rest: &[u8]) -> bool {
    let is_ended = !rest.get(1).is_some_and(u8::is_ascii_alphanumeric);
    rest.first().is_some_and(|first| first.is_ascii_digit() || (first.is_ascii_alphabetic() && is_ended))
}

/// Where a run of signs and letters holds one of the operators that are written without blanks too: "a&&b".
pub(super) fn operator_within(run: &str) -> Option<usize> {
    if !run.bytes().any(|b| b"&|=".contains(&b)) {
        return None;
    }
    ["&&", "||", "==", "!="].iter().filter_map(|operator| run.find(operator)).min().filter(|&at| at > 0)
}

/// The length of the brackets that open `rest` and of what is in them, where that is nothing or more than one argument.
pub(super) fn arguments(rest: &str) -> Option<usize> {
    let (mut depth, mut n_commas) = (0_u32, 0);
    for (i, b) in rest.bytes().enumerate().take(MAX_ARGUMENTS) {
        match b {
            b'(' => depth += 1,
            b')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return (n_commas > 0 || rest[1..i].trim().is_empty()).then_some(i + 1);
                }
            }
            b',' => n_commas += 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brackets of a plural that may be none: "file(s)".
pub(super) fn optional_plural(rest: &str) -> Option<usize> {
    ["(s)", "(es)"].iter().find(|plural| rest.starts_with(**plural)).map(|plural| plural.len())
}

/// Whether a run of letters may name what is called.
pub(super) fn is_callable(run: &str) -> bool {
    run.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:".contains(&b)) && run.chars().any(is_letter)
}
