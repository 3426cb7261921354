//! Where the pieces of up to 64 bytes of ASCII end, all at once.
//!
//! The same rules as in `scan`, on masks of one bit a byte instead of a byte at a time: no branch depends on a single piece, and
//! code, whose pieces are short and of all kinds, is split three times as fast. What one look at 64 bytes does not settle is left out,
//! for `scan` to settle: contractions, and blanks whose end is not in sight.

use super::scan::Rules;
use crate::simd::AsciiMasks;

const BLOCK: usize = 64;

/// The ends of pieces behind `at`, where one begins: bit i stands for `at + i`. None where the text begins with something else than
/// eight bytes of ASCII, or the first piece is not settled.
#[inline]
pub(super) fn ends<R: Rules>(text: &[u8], at: usize) -> u64 {
    let rest = &text[at..];
    if rest.first_chunk().is_none_or(|bytes| u64::from_le_bytes(*bytes) & 0x8080_8080_8080_8080 != 0) {
        return 0;
    }
    let masks = if let Some(block) = rest.first_chunk() {
        AsciiMasks::of(block)
    } else {
        // What follows the text counts as not ASCII.
        let mut block = [0x80; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        AsciiMasks::of(&block)
    };
    // The bits below the first character beyond ASCII: what it is, and so what it does to the piece before it, is not known here.
    settled::<R>(&masks, below_lowest(masks.beyond))
}

#[inline]
fn settled<R: Rules>(masks: &AsciiMasks, known: u64) -> u64 {
    let letter = (masks.upper | masks.lower) & known;
    let digit = masks.digit & known;
    let visible = known & !masks.blank;
    let other = visible & !letter & !digit;

    // Line breaks behind punctuation belong to it.
    let breaks = masks.line_break & known;
    let attached = reach(other << 1 & breaks, breaks);
    let breaks = breaks & !attached;
    let blank = masks.blank & known & !attached;
    // Runs of blanks on one line, and of those that stand before something visible, the last blank: it belongs to that, or is alone.
    let indent = blank & !breaks;
    let last = indent & visible >> 1;
    let after_break = indent & breaks << 1;
    let space = last & masks.space;

    let punctuation = other & !(other << 1) & !(space << 1);
    // A blank or a single other character leads a word.
    let led = (last | punctuation) << 1;
    let mut starts = blank & !(blank << 1) | last | after_break | punctuation | letter & !(letter << 1) & !led;
    if R::IS_CASED {
        starts |= masks.upper & masks.lower << 1;
    }
    let mut number = if R::DIGITS == 1 { digit } else { digit & !(digit << 1) };
    let whole = digit & digit << 1 & digit << 2;
    while number != 0 {
        starts |= number;
        number = number << 3 & digit & whole << 1;
    }

    // Ends are settled below the lowest of these. What follows the known decides about their last piece; a contraction goes on
    // with a word, or is a piece; a slash goes on with punctuation beyond its line breaks.
    let maybe_letter = !((known & !letter) >> 1);
    let apostrophe = masks.apostrophe & maybe_letter;
    let mut unsettled = !known | if R::IS_CASED { apostrophe & letter << 1 } else { apostrophe << 1 };
    if R::ENDS_WITH_SLASH {
        unsettled |= masks.slash & attached << 1;
    }
    // So are only the beginnings of blanks that end out of sight, and of those with a line break behind an indent.
    let broken = indent.wrapping_add(after_break) & !indent & breaks;
    let open = broken | blank & !(known >> 1);
    if open != 0 {
        let before = below_lowest(open) & !blank;
        let start = u64::BITS - before.leading_zeros();
        unsettled |= 2_u64.checked_shl(start).unwrap_or(0);
    }
    starts & below_lowest(unsettled) & !1
}

/// The bits below the lowest one.
#[inline]
fn below_lowest(mask: u64) -> u64 {
    !mask & mask.wrapping_sub(1)
}

/// The bits of `among` from each of `starts` on up to the first that is not.
#[inline]
fn reach(starts: u64, among: u64) -> u64 {
    (among ^ among.wrapping_add(starts)) & among
}
