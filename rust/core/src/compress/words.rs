//! Cuts text into the words that selection weighs: whole words where a script has spaces, overlapping character pairs
//! where it has none (Chinese, Japanese, Thai, ...).

/// Longest word kept in full, in bytes; of a longer one (base64, a URL's query) only the head counts.
pub(crate) const MAX_WORD_BYTES: usize = 64;

/// Where a word stands and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four things that are or are not so of a word")]
pub(crate) struct Word {
    /// Whether it starts with a capital inside a sentence: after a lower-case letter, `,` `;` or `'` and one space.
    pub(crate) is_name: bool,
    /// Whether it holds an ASCII digit.
    pub(crate) has_digit: bool,
    /// Whether it looks like an identifier or a part of one: letters and digits mixed, or digits joined by `_ - / @ #`.
    pub(crate) is_id: bool,
    /// Whether an apostrophe cuts something off it.
    pub(crate) is_contracted: bool,
}

/// Takes what is found in a text, in order.
pub(crate) trait Reader {
    /// A word in lower case, at most [`MAX_WORD_BYTES`] long.
    fn word(&mut self, lower: &[u8], how: Word);

    /// A character that belongs to no word, blanks aside; `opens`: it stands at the start or after a blank.
    fn mark(&mut self, mark: char, opens: bool) {
        let _ = (mark, opens);
    }
}

impl<F: FnMut(&[u8], Word)> Reader for F {
    fn word(&mut self, lower: &[u8], how: Word) {
        self(lower, how);
    }
}

/// Lower case of an ASCII letter or digit; 0 for every other byte.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0_u8;
    while b < 128 {
        if b.is_ascii_alphanumeric() {
            table[b as usize] = b.to_ascii_lowercase();
        }
        b += 1;
    }
    table
};

/// Reads the words and marks of `text`.
///
/// An apostrophe ends a word's stem but not the word: `don't` and `don’t` give `don`. Cost: O(bytes), no allocation.
pub(crate) fn read(text: &str, reader: &mut impl Reader) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let first = bytes[at];
        if LOWER[usize::from(first)] != 0 {
            at = spaced_word(text, at, reader);
        } else if first.is_ascii() {
            if first != b' ' {
                reader.mark(char::from(first), at == 0 || bytes[at - 1] == b' ');
            }
            at += 1;
        } else {
            let c = char_at(text, at);
            if is_unspaced(c) {
                at = pairs(text, at, reader);
            } else if c.is_alphanumeric() {
                at = spaced_word(text, at, reader);
            } else {
                reader.mark(c, at == 0 || bytes[at - 1] == b' ');
                at += c.len_utf8();
            }
        }
    }
}

/// Whether the script of `c` puts no spaces between words.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF      // Thai, Lao
        | 0x1000..=0x109F    // Myanmar
        | 0x1780..=0x17FF    // Khmer
        | 0x3005..=0x3007    // Han iteration marks and zero
        | 0x3040..=0x30FF    // kana
        | 0x3400..=0x4DBF    // Han, extension A
        | 0x4E00..=0x9FFF    // Han
        | 0xF900..=0xFAFF    // Han, compatibility
        | 0xFF66..=0xFF9D    // half-width kana
        | 0x20000..=0x3FFFF) // Han, later extensions
}

fn char_at(text: &str, at: usize) -> char {
    text[at..].chars().next().expect("`at` is before the end and on a character boundary")
}

/// Reads one word of a spaced script from `start`; returns where the text goes on.
fn spaced_word(text: &str, start: usize, reader: &mut impl Reader) -> usize {
    let bytes = text.as_bytes();
    let from_start = &bytes[start..];
    let n = from_start.iter().position(|&b| LOWER[usize::from(b)] == 0).unwrap_or(from_start.len());
    let word = &from_start[..n.min(MAX_WORD_BYTES)];
    let mut lower = [0_u8; MAX_WORD_BYTES];
    let mut has_digit = false;
    for (low, &b) in lower.iter_mut().zip(word) {
        *low = LOWER[usize::from(b)];
        has_digit |= b.is_ascii_digit();
    }
    let mut len = word.len();
    let mut at = start + n;
    let is_id = has_digit && (is_mixed(word) || is_joined(bytes, start, start + n));
    let mut is_contracted = false;
    if at < bytes.len() && (bytes[at] == b'\'' || !bytes[at].is_ascii()) {
        (at, is_contracted) = rest_of_word(text, at, &mut lower, &mut len);
    }
    reader.word(&lower[..len], Word { is_name: is_inner_capital(bytes, start), has_digit, is_id, is_contracted });
    at
}

/// Reads what follows a word's first ASCII letters: other letters of its script, and what an apostrophe cuts off. Returns where
/// the text goes on, and whether something was cut off.
fn rest_of_word(text: &str, start: usize, lower: &mut [u8; MAX_WORD_BYTES], len: &mut usize) -> (usize, bool) {
    let mut in_stem = true;
    let mut is_contracted = false;
    let mut at = start;
    for c in text[start..].chars() {
        if c == '\'' || c == '’' {
            in_stem = false;
        } else if !c.is_alphanumeric() || is_unspaced(c) {
            break;
        } else if !in_stem {
            is_contracted = true;
        } else {
            for low in c.to_lowercase() {
                let end = *len + low.len_utf8();
                if end <= MAX_WORD_BYTES {
                    low.encode_utf8(&mut lower[*len..end]);
                    *len = end;
                }
            }
        }
        at += c.len_utf8();
    }
    (at, is_contracted)
}

/// Reads a run of an unspaced script from `at` as overlapping pairs; a run of one character is a word by itself.
fn pairs(text: &str, start: usize, reader: &mut impl Reader) -> usize {
    let plain = Word { is_name: false, has_digit: false, is_id: false, is_contracted: false };
    let bytes = text.as_bytes();
    let mut previous = start;
    let mut at = start + char_at(text, start).len_utf8();
    let mut alone = true;
    while at < bytes.len() && !bytes[at].is_ascii() {
        let c = char_at(text, at);
        if !is_unspaced(c) {
            break;
        }
        let next = at + c.len_utf8();
        reader.word(&bytes[previous..next], plain);
        alone = false;
        previous = at;
        at = next;
    }
    if alone {
        reader.word(&bytes[start..at], plain);
    }
    at
}

/// Whether letters and digits make up a code; `12th`, `10am` and `5km` do not.
fn is_mixed(word: &[u8]) -> bool {
    let n_digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
    let unit = &word[n_digits..];
    word.len() >= 4
        && unit.iter().any(u8::is_ascii_alphabetic)
        && !(n_digits > 0 && unit.len() <= 2 && unit.iter().all(u8::is_ascii_lowercase))
}

/// Whether a word with digits is joined to another.
fn is_joined(bytes: &[u8], start: usize, end: usize) -> bool {
    let joins = |at: usize| matches!(bytes.get(at), Some(b'_' | b'-' | b'/' | b'@' | b'#'));
    let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let before = start >= 1 && joins(start - 1) && (bytes[start - 1] == b'#' || (start >= 2 && letter(start - 2)));
    before || (joins(end) && letter(end + 1) && end - start >= 2)
}

fn is_inner_capital(bytes: &[u8], at: usize) -> bool {
    at >= 2
        && bytes[at].is_ascii_uppercase()
        && bytes[at - 1] == b' '
        && matches!(bytes[at - 2], b'a'..=b'z' | b',' | b';' | b'\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        read(text, &mut |word: &[u8], _: Word| out.push(String::from_utf8(word.to_vec()).unwrap()));
        out
    }

    #[test]
    fn splits_english_into_lower_case_words() {
        assert_eq!(words("Don't go, O’Neill: 3pm_x"), ["don", "go", "o", "3pm", "x"]);
    }

    #[test]
    fn splits_chinese_into_overlapping_pairs() {
        assert_eq!(words("我在北京, 好"), ["我在", "在北", "北京", "好"]);
    }

    #[test]
    fn splits_mixed_scripts_at_their_border() {
        assert_eq!(words("用Python写 кофе Ünal"), ["用", "python", "写", "кофе", "ünal"]);
    }

    #[test]
    fn finds_names_inside_sentences_only() {
        let mut names = Vec::new();
        read("Then we met Anna, Bob and I. Carl left", &mut |word: &[u8], how: Word| {
            if how.is_name {
                names.push(word.to_vec());
            }
        });
        assert_eq!(names, [b"anna".to_vec(), b"bob".to_vec(), b"i".to_vec()]);
    }

    #[test]
    fn cuts_a_word_without_end() {
        assert_eq!(words(&"x".repeat(1000))[0].len(), MAX_WORD_BYTES);
        assert!(words(&"é".repeat(1000))[0].len() <= MAX_WORD_BYTES);
    }

    #[test]
    fn reads_any_text_without_panic() {
        for text in ["", "'", "’", "\u{0}", "😀😀", "a\u{300}b", "ก", "한국어 글", "'tis", "日"] {
            words(text);
        }
    }
}
