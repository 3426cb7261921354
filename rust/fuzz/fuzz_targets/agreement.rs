//! What must hold between the methods of any tokenizer on any text, whatever its tokens are.

use rolecore_core::Tokenizer;
use rolecore_core::tokens::Side;

/// Panics where they disagree; the tokens of the text.
pub(crate) fn tokens(tokenizer: &Tokenizer, text: &str, max_tokens: usize) -> Vec<u32> {
    let ids = tokenizer.encode(text);
    assert_eq!(tokenizer.count(text), ids.len(), "count and encode differ on {text:?}");
    for limit in [max_tokens, ids.len(), ids.len().saturating_sub(1)] {
        let within = (ids.len() <= limit).then_some(ids.len());
        assert_eq!(tokenizer.count_within(text, limit), within, "count_within {limit} on {text:?}");
    }
    for side in [Side::Head, Side::Tail] {
        let cut = tokenizer.truncate(text, max_tokens, side);
        let is_part = if side == Side::Head { text.starts_with(cut) } else { text.ends_with(cut) };
        assert!(is_part, "{side:?} {cut:?} is no part of {text:?}");
        assert!(tokenizer.count(cut) <= max_tokens, "{side:?} {cut:?} of {text:?} is over {max_tokens}");
        let is_whole = cut == text || ids.len() > max_tokens || max_tokens == 0;
        assert!(is_whole, "{side:?} of {text:?} was cut though it fits {max_tokens}");
    }
    ids
}
