//! Which token of one text stands for which of the other.

use super::lexicon::List;
use super::reading::Token;

/// Above so many comparisons two texts that differ in so much are not aligned.
const MAX_CELLS: usize = 1 << 16;

/// Two texts side by side.
pub(super) struct Alignment<'t, 'a> {
    pub(super) a: Side<'t, 'a>,
    pub(super) b: Side<'t, 'a>,
    /// Runs between tokens that are the same and in the same order in both: a range of each text.
    pub(super) gaps: Vec<[std::ops::Range<usize>; 2]>,
}

/// A text's tokens, and what stands for each in the other text.
pub(super) struct Side<'t, 'a> {
    pub(super) tokens: &'t [Token<'a>],
    pub(super) mates: Vec<Option<usize>>,
}

impl<'t, 'a> Side<'t, 'a> {
    fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, mates: vec![None; tokens.len()] }
    }

    /// Tokens that nothing in the other text stands for.
    pub(super) fn lone(&self) -> impl Iterator<Item = &'t Token<'a>> + '_ {
        self.tokens.iter().zip(&self.mates).filter(|(_, mate)| mate.is_none()).map(|(token, _)| token)
    }

    /// Those of a range.
    pub(super) fn lone_in(&self, range: &std::ops::Range<usize>) -> impl Iterator<Item = &'t Token<'a>> + '_ {
        let mates = &self.mates[range.clone()];
        self.tokens[range.clone()].iter().zip(mates).filter(|(_, mate)| mate.is_none()).map(|(token, _)| token)
    }
}

/// Aligns two texts; `None` where they are long and differ in much. `is_same` pairs what is left over.
///
/// Cost: O(the product of what differs), at most [`MAX_CELLS`].
pub(super) fn align<'t, 'a>(
    a: &'t [Token<'a>],
    b: &'t [Token<'a>],
    is_same: impl Fn(&Token<'_>, &Token<'_>) -> bool,
) -> Option<Alignment<'t, 'a>> {
    let (mut left, mut right) = (Side::new(a), Side::new(b));
    let is_equal = |i: usize, j: usize| a[i].key == b[j].key && is_negation(&a[i]) == is_negation(&b[j]);
    let shorter = a.len().min(b.len());
    let head = (0..shorter).take_while(|&i| is_equal(i, i)).count();
    let tail = (0..shorter - head).take_while(|&i| is_equal(a.len() - 1 - i, b.len() - 1 - i)).count();
    let (n, m) = (a.len() - head - tail, b.len() - head - tail);
    if n * m > MAX_CELLS {
        return None;
    }
    // Lengths of the longest common subsequences of what is left from (i, j) on.
    let width = m + 1;
    let mut lengths = vec![0_u32; (n + 1) * width];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            lengths[i * width + j] = if is_equal(head + i, head + j) {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let mut gaps = Vec::new();
    let (mut i, mut j, mut from) = (0, 0, (0, 0));
    while i < n && j < m {
        if is_equal(head + i, head + j) {
            left.mates[head + i] = Some(head + j);
            right.mates[head + j] = Some(head + i);
            if from != (i, j) {
                gaps.push([head + from.0..head + i, head + from.1..head + j]);
            }
            (i, j) = (i + 1, j + 1);
            from = (i, j);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    if from != (n, m) {
        gaps.push([head + from.0..head + n, head + from.1..head + m]);
    }
    for k in 0..head {
        (left.mates[k], right.mates[k]) = (Some(k), Some(k));
    }
    for k in 0..tail {
        let (i, j) = (a.len() - 1 - k, b.len() - 1 - k);
        (left.mates[i], right.mates[j]) = (Some(j), Some(i));
    }
    // What stands elsewhere in the other text: first the same token, then one that says the same.
    for stage in 0..2 {
        for i in head..head + n {
            let fits = |j: usize| if stage == 0 { is_equal(i, j) } else { is_same(&a[i], &b[j]) };
            if left.mates[i].is_none()
                && let Some(j) = (head..head + m).find(|&j| right.mates[j].is_none() && fits(j))
            {
                (left.mates[i], right.mates[j]) = (Some(j), Some(i));
            }
        }
    }
    Some(Alignment { a: left, b: right, gaps })
}

fn is_negation(token: &Token<'_>) -> bool {
    token.list == List::Negation
}
