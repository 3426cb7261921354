//! Which patterns of a `tokenizer.json` mean the same here as in the library that wrote them.
//!
//! `tokenizers` runs them on Oniguruma with Ruby's syntax, this crate on `regex-automata`. Both take the leftmost match and the
//! first branch that fits, so what both can write means the same. What only one has, or reads otherwise, is refused by name:
//! `a++` is possessive there and a nested repeat here, `^` and `$` are line anchors there, `\w` and `\h` are other sets, and
//! `(?i:ss)` matches `\u{df}` there.

use std::str::Chars;

const BLANK_ENDS: [&str; 2] = [r"\s+(?!\S)|\s+", r"\s+(?!\S)|\s"];

/// Two letters that one character stands for where case is ignored, but only there: `\u{df}`, `\u{fb06}`, `\u{fb00}` and so on.
/// Source: Unicode, CaseFolding.txt, the full foldings (F) made of ASCII letters.
const FOLDED_PAIRS: [&str; 5] = ["ss", "st", "ff", "fi", "fl"];

/// A vetted pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vetted<'p> {
    /// What is left to compile.
    pub(crate) pattern: &'p str,
    /// Whether `\s+(?!\S)|\s+` stood at its end.
    pub(crate) gives_back: bool,
}

/// Check a pattern; the error names the first construct that is not understood.
pub(crate) fn vet(pattern: &str) -> Result<Vetted<'_>, String> {
    let blank = BLANK_ENDS.iter().find_map(|end| pattern.strip_suffix(end)?.strip_suffix('|'));
    let vetted = Vetted { pattern: blank.unwrap_or(pattern), gives_back: blank.is_some() };
    scan(vetted.pattern)?;
    Ok(vetted)
}

/// Whether a vetted pattern matches the empty string, where the two libraries go on differently.
pub(crate) fn may_be_empty(pattern: &str) -> bool {
    let parsed = regex_automata::util::syntax::parse(pattern);
    parsed.is_ok_and(|hir| hir.properties().minimum_len().unwrap_or(0) == 0)
}

fn scan(pattern: &str) -> Result<(), String> {
    let mut rest = pattern.chars();
    // Of each open group, whether case is ignored in it.
    let mut open: Vec<bool> = Vec::new();
    let mut may_repeat = false;
    let mut letter = None;
    loop {
        let ignores_case = open.last() == Some(&true);
        let before = rest.as_str();
        let Some(c) = rest.next() else { break };
        may_repeat = match c {
            '\\' => {
                escape(&mut rest)?;
                true
            }
            '[' => {
                class(&mut rest)?;
                true
            }
            '(' => {
                let is_caseless = group(&mut rest)?;
                open.push(is_caseless || ignores_case);
                false
            }
            ')' => {
                open.pop().ok_or("an unopened `)`")?;
                true
            }
            '|' => {
                if open.is_empty() && rest.as_str().is_empty() {
                    return Err("an empty branch".into());
                }
                false
            }
            '*' | '+' | '?' | '{' => {
                if !may_repeat {
                    return Err(format!("`{c}` with nothing to repeat"));
                }
                quantifier(c, &mut rest)?;
                false
            }
            '^' | '$' => return Err(format!("the anchor `{c}`")),
            ']' | '}' => return Err(format!("a lone `{c}`")),
            _ => true,
        };
        if ignores_case {
            caseless(&before[..before.len() - rest.as_str().len()], &mut letter)?;
        } else {
            letter = None;
        }
    }
    if open.is_empty() { Ok(()) } else { Err("an unclosed group".into()) }
}

/// Check the next part of a group that ignores case. There Oniguruma also takes one character for two letters, or two for one,
/// and leaves the case of properties alone. `letter` is the one just before, if it is part of the same literal.
fn caseless(part: &str, letter: &mut Option<char>) -> Result<(), String> {
    if !part.is_ascii() || [r"\p", r"\P", r"\u"].iter().any(|escape| part.contains(escape)) {
        return Err(format!("`{part}` regardless of case"));
    }
    let next =
        part.chars().next().filter(|c| part.len() == 1 && c.is_ascii_alphabetic()).map(|c| c.to_ascii_lowercase());
    let pair: String = letter.iter().copied().chain(next).collect();
    if FOLDED_PAIRS.contains(&pair.as_str()) {
        return Err(format!("`{pair}` regardless of case"));
    }
    // A literal goes on through the ends of a group.
    if next.is_some() || !part.starts_with(['(', ')']) {
        *letter = next;
    }
    Ok(())
}

/// What follows a repeat: nothing, or the lazy mark of a single-character one.
fn quantifier(mark: char, rest: &mut Chars<'_>) -> Result<(), String> {
    if mark == '{' {
        let inside = rest.as_str().split_once('}').map(|(inside, _)| inside).ok_or("an unclosed `{`")?;
        let (low, high) = inside.split_once(',').unwrap_or((inside, "0"));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !is_number(low) || !(high.is_empty() || is_number(high)) {
            return Err(format!("the repeat {{{inside}}}"));
        }
        rest.nth(inside.len());
    }
    match rest.as_str().chars().next() {
        Some('+') => Err(format!("a possessive quantifier `{}+`", if mark == '{' { '}' } else { mark })),
        Some('?') if mark != '{' => {
            rest.next();
            if rest.as_str().starts_with(['+', '?', '*', '{']) { Err("a repeat of a repeat".into()) } else { Ok(()) }
        }
        Some(next @ ('?' | '*' | '{')) => Err(format!("a repeat of a repeat, `{next}` after `{mark}`")),
        _ => Ok(()),
    }
}

/// Whether the group ignores case.
fn group(rest: &mut Chars<'_>) -> Result<bool, String> {
    let text = rest.as_str();
    let Some(options) = text.strip_prefix('?') else { return Ok(false) };
    for (plain, ignores_case) in [(":", false), ("i:", true)] {
        if options.starts_with(plain) {
            rest.nth(plain.len());
            return Ok(ignores_case);
        }
    }
    let kind = match options.as_bytes() {
        [b'=' | b'!', ..] | [b'<', b'=' | b'!', ..] => "look-around",
        [b'>', ..] => "an atomic group",
        _ => "a group option",
    };
    let shown: String = text.chars().take(3).collect();
    Err(format!("{kind} `({shown}`"))
}

fn escape(rest: &mut Chars<'_>) -> Result<(), String> {
    match rest.next() {
        Some('p' | 'P') => property(rest),
        Some('s' | 'S' | 'd' | 'D' | 'n' | 'r' | 't' | 'f' | 'v') => Ok(()),
        Some('u') if rest.as_str().chars().take(4).filter(char::is_ascii_hexdigit).count() == 4 => {
            rest.nth(3);
            Ok(())
        }
        // `\<` and `\>` are anchors here, and plain characters there.
        Some(c) if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => Ok(()),
        Some(c) => Err(format!("the escape `\\{c}`")),
        None => Err("a lone `\\` at the end".into()),
    }
}

/// `\p{L}` and other general categories, and the scripts in use; both libraries know them by the same names.
fn property(rest: &mut Chars<'_>) -> Result<(), String> {
    let name = rest.as_str().strip_prefix('{').and_then(|text| text.split_once('}')).map(|(name, _)| name);
    let name = name.ok_or("a property without braces")?;
    let is_category = matches!(name.as_bytes(), [b'A'..=b'Z'] | [b'A'..=b'Z', b'a'..=b'z']);
    if !is_category && !["Han", "Hiragana", "Katakana", "Hangul", "Latin", "Greek", "Cyrillic"].contains(&name) {
        return Err(format!("the property `{name}`"));
    }
    rest.nth(name.len() + 1);
    Ok(())
}

fn class(rest: &mut Chars<'_>) -> Result<(), String> {
    if rest.as_str().starts_with('^') {
        rest.next();
    }
    if rest.as_str().starts_with(']') {
        return Err("an empty class".into());
    }
    loop {
        let before = rest.as_str();
        match rest.next() {
            Some(']') => return Ok(()),
            Some('\\') => escape(rest)?,
            Some('[') => return Err("a class inside a class".into()),
            Some(_) if ["&&", "--", "~~"].iter().any(|operator| before.starts_with(operator)) => {
                return Err(format!("the class operator `{}`", &before[..2]));
            }
            Some(_) => {}
            None => return Err("an unclosed class".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_patterns_in_use() {
        for (pattern, gives_back) in [
            (
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
                true,
            ),
            (
                r"[!-/:-~]?[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
                true,
            ),
            (r"\p{N}{1,3}", false),
            (r"(?i:s|t|s+s|s[s]|[^s-t]\s\.)(?:st|ss\p{Lu})(?i:t)", false),
            ("[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}]+", false),
            (r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##, false),
            (r" ?[^(\s|[.,!?…。，、।۔،])]+", false),
        ] {
            let vetted = vet(pattern);
            if pattern.starts_with(r" ?[^(") {
                assert_eq!(vetted, Err("a class inside a class".into()));
            } else {
                assert_eq!(vetted.unwrap().gives_back, gives_back, "{pattern}");
            }
        }
    }

    #[test]
    fn refuses_what_means_something_else_here() {
        for (pattern, named) in [
            (r"\p{L}++", "possessive quantifier `++`"),
            (r"\p{N}{1,3}+", "possessive quantifier `}+`"),
            (r"a?+b", "possessive quantifier `?+`"),
            (r"a*+b", "possessive quantifier `*+`"),
            (r"\s+(?!\S)", "look-around"),
            (r"\s+(?!\S)|\s+|a", "look-around"),
            (r"(?<=a)b", "look-around"),
            (r"(?>a)", "atomic"),
            (r"(?i)a", "group option"),
            (r"(?<name>a)", "group option"),
            (r"(?i:ss)", "`ss` regardless of case"),
            (r"(?i:x|'S(?:T))", "`st` regardless of case"),
            (r"(?i:(off))", "`ff` regardless of case"),
            (r"(?i:f\u0069)", "`\\u0069` regardless of case"),
            (r"(?i:a|(b\p{Lu}))", "`\\p{Lu}` regardless of case"),
            (r"(?i:[\p{Ll}])", "`[\\p{Ll}]` regardless of case"),
            ("(?i:\u{df})", "regardless of case"),
            ("(?i:[a\u{df}])", "regardless of case"),
            (r"a$", "anchor"),
            (r"^a", "anchor"),
            (r"\w+", "escape `\\w`"),
            (r"a\b", "escape `\\b`"),
            (r"a\<", "escape `\\<`"),
            (r"\>a", "escape `\\>`"),
            (r"a\1", "escape `\\1`"),
            (r"[a&&b]", "class operator"),
            (r"[a--b]", "class operator"),
            (r"[[:alpha:]]", "class inside"),
            (r"[]a]", "empty class"),
            (r"a{,3}", "repeat"),
            (r"a{2}?", "repeat"),
            (r"a+?+", "repeat"),
            (r"a**", "repeat"),
            (r"\p{Emoji}", "property"),
            (r"\pL", "property"),
            (r"[a", "unclosed"),
            (r"(a", "unclosed"),
            (r"a)", "unopened"),
            (r"a|", "empty branch"),
            (r"\", "lone"),
        ] {
            let refusal = vet(pattern).unwrap_err();
            assert!(refusal.contains(named), "{pattern}: {refusal}");
        }
    }
}
