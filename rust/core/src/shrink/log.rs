//! Folds the lines of a log that are like others, cuts the middle of what is still long, and keeps every error.

use super::{errors, likeness};

/// Fewest lines of a text that is looked at.
pub(super) const MIN_LINES: usize = 16;

/// Lines kept at the beginning and at the end of a text that is still longer than both after folding.
pub(super) const HEAD_LINES: usize = 40;
pub(super) const TAIL_LINES: usize = 40;

/// Lines before and after a line of an error that stay with it; those after it only where lines are cut or folded for
/// want of room, not in a run.
const CONTEXT_LINES: usize = 2;

/// Last lines of a text, which are never folded: they tell how it ended.
const LAST_LINES: usize = 3;

/// Longest cycle of lines that is found, and how many of the next likes of a line are tried as its start.
const MAX_PERIOD: usize = 32;
const MAX_TRIES: usize = 4;

/// Fewest like lines that a marker stands for: in place of one it would hardly be shorter.
const MIN_FOLDED: usize = 2;

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Like the one line above it that is kept.
    LikeLast,
    /// Like some line above it.
    Like,
    Cut,
}

/// The text with markers in place of lines, and how many went; none where it has few lines, markers already, or 4 GiB.
pub(super) fn fold(text: &str) -> Option<(String, usize)> {
    u32::try_from(text.len()).ok()?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.len() < MIN_LINES || (text.contains(MARKER_START) && lines.iter().any(|line| marked(line).is_some())) {
        return None;
    }
    let is_error = errors::lines(text, &lines);
    let mut likeness = likeness::numbers(&lines);
    // `" 200` and `" 503` are alike but for their digits, yet only one is an error.
    likeness.iter_mut().zip(&is_error).for_each(|(number, &is_error)| *number = 2 * *number + u32::from(is_error));
    let mut fates = vec![Fate::Kept; lines.len()];
    fold_runs(&lines, &likeness, &mut fates);
    keep_causes(&is_error, &mut fates);
    if count_kept(&fates) > HEAD_LINES + TAIL_LINES {
        shorten(&is_error, &likeness, &mut fates);
    }
    Some(render(text, &lines, &fates))
}

fn count_kept(fates: &[Fate]) -> usize {
    fates.iter().filter(|&&fate| fate == Fate::Kept).count()
}

/// Folds lines, or cycles of lines, that repeat without a break; lines of errors too, of which the first stays.
fn fold_runs(lines: &[&str], likeness: &[u32], fates: &mut [Fate]) {
    let n = lines.len() - LAST_LINES;
    let next = next_likes(&likeness[..n]);
    let mut at = 0;
    while at < n {
        let (mut period, mut folded) = (0, 0);
        let mut like = at;
        for _ in 0..MAX_TRIES {
            like = next[like] as usize;
            // A run longer than any cycle is no part of one.
            if like >= n || like - at > MAX_PERIOD || folded > MAX_PERIOD {
                break;
            }
            let tried = like - at;
            let run = (like..n).take_while(|&i| likeness[i] == likeness[i - tried]).count();
            if run - run % tried > folded {
                (period, folded) = (tried, run - run % tried);
            }
        }
        let start = at + period;
        if folded >= MIN_FOLDED && bytes(&lines[start..start + folded]) > MAX_MARKER_BYTES {
            fates[start..start + folded].fill(if period == 1 { Fate::LikeLast } else { Fate::Like });
            at = start + folded;
        } else {
            at += 1;
        }
    }
}

/// Takes back what a run folded right before a line of an error that stays: which of the like lines it was may matter.
fn keep_causes(is_error: &[bool], fates: &mut [Fate]) {
    for i in (0..fates.len()).filter(|&i| is_error[i]) {
        if fates[i] == Fate::Kept {
            let before = i.saturating_sub(CONTEXT_LINES)..i;
            before.filter(|&at| !is_error[at]).for_each(|at| fates[at] = Fate::Kept);
        }
    }
}

/// Room for one entry for each number of `n` lines: there are at most two, of an error and not, for each distinct line.
fn seen_len(n: usize) -> usize {
    2 * n
}

/// For each line the next one like it, or the number of lines.
fn next_likes(likeness: &[u32]) -> Vec<u32> {
    let n = likeness.len();
    let small = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
    let mut seen = vec![small(n); seen_len(n)];
    let mut next = vec![small(n); n];
    for (i, &number) in likeness.iter().enumerate().rev() {
        next[i] = std::mem::replace(&mut seen[number as usize], small(i));
    }
    next
}

/// Folds lines like earlier ones wherever they stand; where that is not enough, keeps head, tail and errors.
///
/// The tail is taken from the lines before this second folding: what a tail line is like may stand in the middle, and be cut.
fn shorten(is_error: &[bool], likeness: &[u32], fates: &mut [Fate]) {
    let is_near_error = near(is_error);
    let is_kept = |fate: &Fate| *fate == Fate::Kept;
    let first_of_tail = {
        let kept = fates.iter().enumerate().rev().filter(|(_, fate)| is_kept(fate));
        kept.map(|(i, _)| i).nth(TAIL_LINES - 1).unwrap_or(0)
    };
    let mut folded = fates.to_vec();
    let mut is_seen = vec![false; seen_len(likeness.len())];
    let last = likeness.len() - LAST_LINES;
    for (i, fate) in folded.iter_mut().enumerate().take(last).filter(|(_, fate)| is_kept(fate)) {
        let is_repeat = std::mem::replace(&mut is_seen[likeness[i] as usize], true);
        if is_repeat && !is_near_error[i] {
            *fate = Fate::Like;
        }
    }
    if count_kept(&folded) <= HEAD_LINES + TAIL_LINES {
        fates.copy_from_slice(&folded);
        return;
    }
    let mut head = HEAD_LINES;
    for i in 0..first_of_tail {
        let is_in_head = head > 0;
        if is_in_head {
            fates[i] = folded[i];
            head -= usize::from(is_kept(&fates[i]));
        } else if is_kept(&fates[i]) && !is_near_error[i] {
            fates[i] = Fate::Cut;
        }
    }
    // What a folded line was like may be cut by now.
    let mut is_shown = vec![false; seen_len(likeness.len())];
    for (fate, &number) in fates.iter_mut().zip(likeness) {
        is_shown[number as usize] |= is_kept(fate);
        if !is_shown[number as usize] {
            *fate = Fate::Cut;
        }
    }
}

/// Which lines are of an error, or close to one.
fn near(is_error: &[bool]) -> Vec<bool> {
    let mut is_near = vec![false; is_error.len()];
    for (i, _) in is_error.iter().enumerate().filter(|(_, is_error)| **is_error) {
        let end = is_near.len().min(i + CONTEXT_LINES + 1);
        is_near[i.saturating_sub(CONTEXT_LINES)..end].fill(true);
    }
    is_near
}

fn render(text: &str, lines: &[&str], fates: &[Fate]) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let (mut at, mut n_cut) = (0, 0);
    while at < lines.len() {
        let n = fates[at..].iter().take_while(|&&fate| fate != Fate::Kept).count();
        if n == 0 {
            out.push_str(lines[at]);
            at += 1;
            continue;
        }
        let gap = at..at + n;
        let marker = marker(n, &fates[gap.clone()]);
        let is_worth_it = n >= MIN_FOLDED || fates[at] == Fate::Cut;
        if is_worth_it && bytes(&lines[gap.clone()]) > MAX_MARKER_BYTES {
            out.push_str(&marker);
            let last = lines[gap.end - 1];
            out.push_str(&last[last.trim_end_matches(['\r', '\n']).len()..]);
            n_cut += n;
        } else {
            lines[gap].iter().for_each(|line| out.push_str(line));
        }
        at += n;
    }
    (out, n_cut)
}

fn bytes(lines: &[&str]) -> usize {
    lines.iter().map(|line| line.len()).sum()
}

const MARKER_START: &str = "[… ";

/// A gap of no more bytes is not worth its marker.
const MAX_MARKER_BYTES: usize = 36;

fn marker(n: usize, fates: &[Fate]) -> String {
    let lines = if n == 1 { "line" } else { "lines" };
    let like = if fates.contains(&Fate::Cut) {
        ""
    } else if fates.contains(&Fate::Like) {
        " like those above"
    } else {
        " like this"
    };
    format!("{MARKER_START}{n} {lines}{like}]")
}

/// How many lines a marker stands for; none of any other line.
pub(super) fn marked(line: &str) -> Option<usize> {
    let inside = line.trim_end_matches(['\r', '\n']).strip_prefix(MARKER_START)?.strip_suffix(']')?;
    let (n, rest) = inside.split_once(' ')?;
    let rest = rest.strip_prefix("line")?.trim_start_matches('s');
    matches!(rest, "" | " like this" | " like those above").then(|| n.parse().ok()).flatten()
}
