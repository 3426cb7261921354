//! Which token of one text stands for which of the other.

use std::ops::Range;

use super::reading::Token;

/// Above so many comparisons, or so many tokens of both, two texts differ in too much to be aligned.
const MAX_CELLS: usize = 1 << 16;
const MAX_MIDDLE: usize = 2048;

/// Two texts side by side.
pub(super) struct Alignment<'t, 'a> {
    pub(super) a: Side<'t, 'a>,
    pub(super) b: Side<'t, 'a>,
    /// Runs between tokens that are the same and in the same order in both: a range of each text.
    pub(super) gaps: Vec<[Range<usize>; 2]>,
}

/// A text's tokens, and what stands for each in the other text.
pub(super) struct Side<'t, 'a> {
    pub(super) tokens: &'t [Token<'a>],
    pub(super) mates: Vec<Option<usize>>,
    /// Before and after it, the texts are the same.
    pub(super) middle: Range<usize>,
}

impl<'t, 'a> Side<'t, 'a> {
    fn new(tokens: &'t [Token<'a>], middle: Range<usize>) -> Self {
        Self { tokens, mates: vec![None; tokens.len()], middle }
    }

    /// Tokens that nothing in the other text stands for.
    pub(super) fn lone(&self) -> impl Iterator<Item = &'t Token<'a>> {
        self.lone_in(&self.middle)
    }

    /// Those of a range.
    pub(super) fn lone_in(&self, range: &Range<usize>) -> impl Iterator<Item = &'t Token<'a>> {
        let mates = &self.mates[range.clone()];
        self.tokens[range.clone()].iter().zip(mates).filter(|(_, mate)| mate.is_none()).map(|(token, _)| token)
    }
}

/// Aligns two texts; `None` where they are long and differ in much. `is_same` pairs what is left over.
///
/// Cost: O(the product of what differs), bounded.
pub(super) fn align<'t, 'a>(
    a: &'t [Token<'a>],
    b: &'t [Token<'a>],
    is_same: impl Fn(&Token<'_>, &Token<'_>) -> bool,
) -> Option<Alignment<'t, 'a>> {
    let is_equal = |i: usize, j: usize| a[i].equals(&b[j]);
    let shorter = a.len().min(b.len());
    let head = (0..shorter).take_while(|&i| is_equal(i, i)).count();
    let tail = (0..shorter - head).take_while(|&i| is_equal(a.len() - 1 - i, b.len() - 1 - i)).count();
    let (rows, columns) = (a.len() - head - tail, b.len() - head - tail);
    if rows * columns > MAX_CELLS || rows + columns > MAX_MIDDLE {
        return None;
    }
    let (mut left, mut right) = (Side::new(a, head..head + rows), Side::new(b, head..head + columns));
    // Lengths of the longest common subsequences of what is left from (i, j) on.
    let width = columns + 1;
    let mut lengths = vec![0_u32; (rows + 1) * width];
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            lengths[i * width + j] = if is_equal(head + i, head + j) {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let mut gaps = Vec::new();
    let (mut i, mut j, mut from) = (0, 0, (0, 0));
    while i < rows && j < columns {
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
    if from != (rows, columns) {
        gaps.push([head + from.0..head + rows, head + from.1..head + columns]);
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
        for (i, token) in a.iter().enumerate().take(head + rows).skip(head) {
            let fits = |j: usize| if stage == 0 { is_equal(i, j) } else { is_same(token, &b[j]) };
            if left.mates[i].is_none()
                && let Some(j) = (head..head + columns).find(|&j| right.mates[j].is_none() && fits(j))
            {
                (left.mates[i], right.mates[j]) = (Some(j), Some(i));
            }
        }
    }
    Some(Alignment { a: left, b: right, gaps })
}
