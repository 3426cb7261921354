//! What kind of character each one is, as the patterns of the vocabularies see it.
//!
//! One byte of flags a character, in blocks of 256 of which equal ones are kept once: 60 kB for all of Unicode. The sets come from
//! `regex-syntax`, so a hand-written scanner and a compiled pattern always mean the same Unicode version.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, HirKind};

/// `\p{Lu}` and `\p{Lt}`.
pub(super) const UPPER: u8 = 1;
/// `\p{Ll}`.
pub(super) const LOWER: u8 = 1 << 1;
/// `\p{Lm}` and `\p{Lo}`: letters of both cases to the patterns.
pub(super) const UNCASED: u8 = 1 << 2;
/// `\p{M}`.
pub(super) const MARK: u8 = 1 << 3;
/// `\p{N}`.
pub(super) const NUMBER: u8 = 1 << 4;
/// `\s`.
pub(super) const BLANK: u8 = 1 << 5;
/// `[\r\n]`, which are blanks too.
pub(super) const BREAK: u8 = 1 << 6;
/// `\p{L}`.
pub(super) const LETTER: u8 = UPPER | LOWER | UNCASED;

const BLOCK: usize = 256;
const N_BLOCKS: usize = 0x11_0000 / BLOCK;

/// The flags of every character.
pub(super) struct Classes {
    ascii: [u8; 128],
    /// Which block holds each 256 characters.
    index: Box<[u8; N_BLOCKS]>,
    blocks: Vec<[u8; BLOCK]>,
}

impl Classes {
    /// The one table of the process, made at first use.
    pub(super) fn get() -> &'static Self {
        static CLASSES: OnceLock<Classes> = OnceLock::new();
        CLASSES.get_or_init(Self::new)
    }

    fn new() -> Self {
        let mut flat = vec![0_u8; 0x11_0000];
        let sets = [
            (r"[\p{Lu}\p{Lt}]", UPPER),
            (r"\p{Ll}", LOWER),
            (r"[\p{Lm}\p{Lo}]", UNCASED),
            (r"\p{M}", MARK),
            (r"\p{N}", NUMBER),
            (r"\s", BLANK),
            (r"[\r\n]", BREAK),
        ];
        for (set, flag) in sets {
            let hir = regex_syntax::parse(set).expect("a set of general categories");
            let HirKind::Class(Class::Unicode(class)) = hir.kind() else { unreachable!("{set} is one class") };
            for range in class.ranges() {
                flat[range.start() as usize..=range.end() as usize].iter_mut().for_each(|flags| *flags |= flag);
            }
        }
        let mut index = Box::new([0; N_BLOCKS]);
        let mut blocks: Vec<[u8; BLOCK]> = Vec::new();
        for (place, block) in index.iter_mut().zip(flat.as_chunks::<BLOCK>().0) {
            let at = blocks.iter().rposition(|known| known == block).unwrap_or_else(|| {
                blocks.push(*block);
                blocks.len() - 1
            });
            *place = u8::try_from(at).expect("fewer than 256 blocks differ");
        }
        let mut ascii = [0; 128];
        ascii.copy_from_slice(&flat[..128]);
        Self { ascii, index, blocks }
    }

    /// The flags of the character that begins at `at`, and its length in bytes; `text` is UTF-8. At the end: no flags, length 0.
    #[inline]
    pub(super) fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        match text.get(at) {
            None => (0, 0),
            Some(&byte) if byte < 0x80 => (self.ascii[usize::from(byte)], 1),
            Some(_) => self.beyond_ascii(text, at),
        }
    }

    #[inline]
    fn beyond_ascii(&self, text: &[u8], at: usize) -> (u8, usize) {
        let (c, len) = decode(text, at);
        (self.blocks[usize::from(self.index[c >> 8])][c & 0xFF], len)
    }
}

/// The code point that begins at `at`, which is none of ASCII, and its length in bytes; `text` is UTF-8.
#[inline]
pub(super) fn decode(text: &[u8], at: usize) -> (usize, usize) {
    let byte = |i: usize| usize::from(text.get(at + i).copied().unwrap_or(0));
    let low = |i: usize| byte(i) & 0x3F;
    match byte(0) {
        first @ ..0xE0 => ((first & 0x1F) << 6 | low(1), 2),
        first @ ..0xF0 => ((first & 0xF) << 12 | low(1) << 6 | low(2), 3),
        first => ((first & 7) << 18 | low(1) << 12 | low(2) << 6 | low(3), 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_the_flags_of_its_sets() {
        let classes = Classes::get();
        let mut kinds = [0; 7];
        for c in '\0'..=char::MAX {
            let mut bytes = [0; 4];
            let text = c.encode_utf8(&mut bytes).as_bytes();
            let (flags, len) = classes.at(text, 0);
            assert_eq!(len, c.len_utf8());
            assert_eq!(flags & BLANK != 0, c.is_whitespace(), "{c:?}");
            assert_eq!(flags & BREAK != 0, matches!(c, '\r' | '\n'));
            // Kinds exclude one another, but for the breaks among the blanks.
            assert!((flags & !BREAK).count_ones() <= 1, "{c:?}");
            (0..7).for_each(|bit| kinds[bit] += usize::from(flags >> bit & 1));
        }
        assert!(kinds.iter().all(|&n| n > 1), "{kinds:?}");
        for (c, flags) in [("A", UPPER), ("ǅ", UPPER), ("ß", LOWER), ("中", UNCASED), ("ʰ", UNCASED), ("ª", UNCASED)]
        {
            assert_eq!(classes.at(c.as_bytes(), 0).0, flags, "{c}");
        }
        for (c, flags) in [("\u{301}", MARK), ("٣", NUMBER), ("Ⅷ", NUMBER), ("_", 0), ("😀", 0), ("\u{378}", 0)] {
            assert_eq!(classes.at(c.as_bytes(), 0).0, flags, "{c}");
        }
        assert_eq!(classes.at(b"", 0), (0, 0));
    }
}
