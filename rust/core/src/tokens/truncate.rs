//! Cut a text to a number of tokens.
//!
//! The tokens of a prefix are not the first tokens of the text: a cut changes what a look-ahead sees and what merges. So a cut
//! is first placed where a token ends, then the result is counted, and the cut moved back until the count holds.

use std::ops::ControlFlow::{Break, Continue};

use super::{Piece, Specials, Tokenizer};

/// Which end of a text to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The beginning.
    Head,
    /// The end.
    Tail,
}

pub(super) fn truncate<'t>(tokenizer: &Tokenizer, text: &'t str, max_tokens: usize, side: Side) -> &'t str {
    if max_tokens == 0 {
        return "";
    }
    let keeps = tokenizer.keeps(text);
    match side {
        Side::Head if keeps => head(tokenizer, text, max_tokens),
        // Asked first: a part of a text may have more tokens than all of it.
        _ if tokenizer.count_within(text, max_tokens).is_some() => text,
        Side::Tail if keeps => tail(tokenizer, text, max_tokens),
        _ => bisect(tokenizer, text, max_tokens, side),
    }
}

fn head<'t>(tokenizer: &Tokenizer, text: &'t str, max_tokens: usize) -> &'t str {
    let (mut used, mut end, mut end_before) = (0, 0, 0);
    let over = tokenizer.each(text, Specials::Text, &mut |piece| {
        let (start, len) = place(text, &piece);
        let room = max_tokens - used;
        let n = tokenizer.count_piece_within(&piece, room);
        if n > room {
            return Break((start, start + len, matches!(piece, Piece::Text(_))));
        }
        used += n;
        (end_before, end) = (end, start + len);
        Continue(())
    });
    let Some((start, stop, is_text)) = over else { return text };
    let mut cuts = Vec::new();
    if is_text && used < max_tokens {
        let room = max_tokens - used;
        let reach = start.saturating_add(room.saturating_mul(tokenizer.bpe.max_len())).min(stop);
        let mut ids = Vec::new();
        tokenizer.bpe.encode(&text.as_bytes()[start..floor(text, reach)], &mut ids);
        let mut cut = start;
        for &id in ids.iter().take(room) {
            cut += tokenizer.bpe.bytes_of(id).len();
            cuts.push(floor(text, cut));
        }
    }
    let inside = cuts.iter().rev().take(3).copied();
    let mut tries = inside.chain([end, end_before]);
    let fits = |cut: &usize| tokenizer.count_within(&text[..*cut], max_tokens).is_some();
    tries.find(fits).map_or_else(|| bisect(tokenizer, &text[..end], max_tokens, Side::Head), |cut| &text[..cut])
}

/// For a text that is over the limit as a whole.
fn tail<'t>(tokenizer: &Tokenizer, text: &'t str, max_tokens: usize) -> &'t str {
    // What comes before does not change how a text is split, so only as much of the end is read as holds the tokens.
    let mut window = max_tokens.saturating_mul(8);
    let (from, marks) = loop {
        let from = ceil(text, text.len().saturating_sub(window));
        let (mut marks, mut total) = (Vec::new(), 0_usize);
        tokenizer.each(&text[from..], Specials::Text, &mut |piece| {
            let n = tokenizer.count_piece(&piece);
            marks.push((place(text, &piece), n, matches!(piece, Piece::Text(_))));
            total += n;
            Continue::<()>(())
        });
        if total > max_tokens || from == 0 {
            break (from, marks);
        }
        window = window.saturating_mul(4);
    };
    let (mut used, mut cut, mut cut_before) = (0, text.len(), text.len());
    let mut cuts = Vec::new();
    for &((start, len), n, is_text) in marks.iter().rev() {
        let room = max_tokens - used;
        if n > room {
            if is_text && room > 0 {
                let reach = room.saturating_mul(tokenizer.bpe.max_len()).min(len);
                let stop = start + len;
                let mut ids = Vec::new();
                tokenizer.bpe.encode(&text.as_bytes()[ceil(text, stop - reach)..stop], &mut ids);
                let mut cut = stop;
                for &id in ids.iter().rev().take(room) {
                    cut -= tokenizer.bpe.bytes_of(id).len();
                    cuts.push(ceil(text, cut));
                }
            }
            break;
        }
        used += n;
        (cut_before, cut) = (cut, start);
    }
    debug_assert!(from <= cut, "the window holds the cut");
    let inside = cuts.iter().rev().take(3).copied();
    let mut tries = inside.chain([cut, cut_before]);
    let fits = |cut: &usize| tokenizer.count_within(&text[*cut..], max_tokens).is_some();
    tries.find(fits).map_or_else(|| bisect(tokenizer, &text[cut..], max_tokens, Side::Tail), |cut| &text[cut..])
}

/// Halve the range of cuts, counting each: for texts whose pieces are not slices of them, and where nothing simpler fits.
fn bisect<'t>(tokenizer: &Tokenizer, text: &'t str, max_tokens: usize, side: Side) -> &'t str {
    let kept = |n: usize| match side {
        Side::Head => &text[..floor(text, n)],
        Side::Tail => &text[ceil(text, text.len() - n)..],
    };
    // `fits` bytes fit; `over` bytes may not.
    let (mut fits, mut over) = (0, text.len() + 1);
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        if tokenizer.count_within(kept(middle), max_tokens).is_some() {
            fits = middle;
        } else {
            over = middle;
        }
    }
    kept(fits)
}

/// Where a piece lies in the text it is a slice of: start and length.
pub(super) fn place(text: &str, piece: &Piece<'_>) -> (usize, usize) {
    let (Piece::Text(slice) | Piece::Added(_, slice)) = piece;
    (slice.as_ptr().addr() - text.as_ptr().addr(), slice.len())
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}
