//! What must hold between the methods of any tokenizer on any text, whatever its tokens are.

use std::sync::Arc;

use rolecore_core::Tokenizer;
use rolecore_core::tokens::{Side, TokenStream};

/// Panics where they disagree; the tokens of the text.
pub(crate) fn tokens(tokenizer: &Arc<Tokenizer>, text: &str, max_tokens: usize) -> Vec<u32> {
    let ids = tokenizer.encode(text);
    let mut stream = TokenStream::new(Arc::clone(tokenizer));
    for (i, c) in text.chars().enumerate() {
        stream.append(c.encode_utf8(&mut [0; 4]));
        // Looking now and then.
        assert!(i % 16 > 0 || stream.tokens() <= text.len());
    }
    assert_eq!(stream.tokens(), ids.len(), "the stream and encode differ on {text:?}");
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
