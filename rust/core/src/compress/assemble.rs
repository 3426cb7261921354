//! What is left of a message that is kept in part, and what that costs.

use super::digest::Digest;
use super::pieces::{Form, Piece, data_of};
use crate::cut::{CUT_KEY, CUT_MARK};
use crate::history::History;
use crate::message::Part;

/// What the marks of a cut text cost where they stand between blanks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MarkTokens {
    /// At the beginning of a text.
    pub(crate) head: u64,
    /// After a piece.
    pub(crate) inner: u64,
}

impl MarkTokens {
    pub(crate) fn of(history: &History) -> Self {
        let count = |text: &str| history.tokenizer().count(text) as u64;
        Self { head: count(CUT_MARK), inner: count(&format!(" {CUT_MARK}")) }
    }
}

/// Tokens of message `index` when only the pieces that `kept` tells stay, exact.
pub(crate) fn cut_tokens(history: &History, index: usize, kept: &[bool], marks: MarkTokens) -> u64 {
    if let Some(tokens) = sum_of_pieces(history, index, kept, marks) {
        return tokens;
    }
    let texts = cut_texts(history, index, kept);
    let tokenizer = history.tokenizer();
    let message = history.message(index).expect("groups hold messages of the history");
    message.tokens_by(tokenizer, |part, text| {
        let cut = texts.iter().find(|(at, _)| *at == part as usize);
        tokenizer.count(cut.map_or(text, |(_, cut)| cut)) as u64
    })
}

/// The same without counting anything, where every border between what is kept and what is not is exact.
fn sum_of_pieces(history: &History, index: usize, kept: &[bool], marks: MarkTokens) -> Option<u64> {
    let digest = history.digest();
    let document = digest.document(index);
    if document.form != Form::Text {
        return None;
    }
    let pieces = document.pieces;
    let mut tokens = history.message_tokens(index);
    let mut part = None;
    let mut was_kept = true;
    for p in pieces.clone() {
        let Piece { part: of, tokens: cost, .. } = *digest.place(p)?;
        let is_first = part != Some(of);
        let is_kept = kept[p];
        if !is_first && is_kept != was_kept {
            if !cost.is_exact {
                return None;
            }
            tokens += u64::from(if is_kept { cost.lead } else { digest.place(p - 1)?.tokens.trail });
        }
        if !is_kept && (is_first || was_kept) {
            tokens += if is_first { marks.head } else { marks.inner };
        }
        // What a piece costs in the whole text: itself, and its border unless both sides stay.
        let gone = if is_kept { 0 } else { cost.inner };
        let border = if is_kept && (is_first || was_kept) { 0 } else { cost.join };
        tokens = tokens.checked_sub(u64::from(gone) + u64::from(border))?;
        (part, was_kept) = (Some(of), is_kept);
    }
    Some(tokens)
}

/// The texts of message `index` that lose pieces: each part's number, and what is left of it.
pub(crate) fn cut_texts(history: &History, index: usize, kept: &[bool]) -> Vec<(usize, String)> {
    let message = history.message(index).expect("groups hold messages of the history");
    let digest = history.digest();
    let pieces = digest.document(index).pieces;
    if digest.document(index).form == Form::Json
        && let ([Part::Text(text)], Some(json)) = (message.parts.as_slice(), data_of(message))
    {
        return vec![(0, json.cut(text, &kept[pieces.start..pieces.start + json.leaf_count()], CUT_KEY))];
    }
    let mut texts = Vec::new();
    for (part, content) in message.parts.iter().enumerate() {
        let Part::Text(text) = content else { continue };
        let pieces = of_part(digest, index, part);
        if pieces.clone().any(|p| !kept[p]) {
            texts.push((part, cut_text(text, digest, pieces, kept)));
        }
    }
    texts
}

/// The pieces of one part of a message.
fn of_part(digest: &Digest, index: usize, part: usize) -> impl Iterator<Item = usize> + Clone + use<'_> {
    digest.document(index).pieces.filter(move |&p| digest.place(p).is_some_and(|place| place.part as usize == part))
}

/// The kept pieces, neighbours joined by what stands between them, a mark wherever a piece went.
fn cut_text(text: &str, digest: &Digest, pieces: impl Iterator<Item = usize>, kept: &[bool]) -> String {
    let mut out = String::new();
    let mut end = 0;
    let mut was_kept = true;
    let mut pieces = pieces.peekable();
    while let Some(p) = pieces.next() {
        let Some(place) = digest.place(p) else { continue };
        if kept[p] {
            let start = if was_kept { end } else { place.range().start };
            if !was_kept {
                out.push(' ');
            }
            out.push_str(&text[start..if pieces.peek().is_some() { place.range().end } else { text.len() }]);
        } else if was_kept {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(CUT_MARK);
        }
        was_kept = kept[p];
        end = place.range().end;
    }
    out
}
