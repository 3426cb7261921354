//! When it is, whether it should be, and what a particle or "to" makes of a verb.

use super::alignment::{Alignment, Side};
use super::lexicon::List;
use super::reading::{Form, Token};
use super::{asked, is_reworded};

/// Whether what differs about the verbs of two texts differs in what is meant.
pub(super) fn differ(pair: &Alignment<'_, '_>) -> bool {
    let (a, b) = (&pair.a, &pair.b);
    let is_reworded = is_reworded(pair);
    is_later(a, b, is_reworded)
        || is_later(b, a, is_reworded)
        || is_free_not_to(a, b)
        || is_free_not_to(b, a)
        || differ_in_duty(a, b)
        || (!is_reworded
            && (has_past(a, b)
                || has_past(b, a)
                || has_particle(a)
                || has_particle(b)
                || is_left_off(a, b)
                || is_left_off(b, a)))
}

fn has(side: &Side<'_, '_>, words: &[&str]) -> bool {
    side.tokens.iter().any(|token| words.contains(&token.surface))
}

const PAST: [&str; 10] = ["did", "didn't", "was", "were", "wasn't", "weren't", "过", "已经", "曾经", "已"];
const PRESENT: [&str; 9] = ["do", "does", "is", "are", "am", "don't", "doesn't", "isn't", "aren't"];
const PERFECT: [&str; 6] = ["has", "have", "had", "hasn't", "haven't", "了"];
const FUTURE: [&str; 12] =
    ["will", "will you", "won't", "shall", "going", "gonna", "会", "会不会", "将", "将要", "要", "即将"];

/// Whether one text speaks of what was, and the other of what will be; or, in nearly the same words, of what is.
fn is_later(past: &Side<'_, '_>, other: &Side<'_, '_>, is_reworded: bool) -> bool {
    let (is_future, was_future) = (has(other, &FUTURE), has(past, &FUTURE));
    if has(past, &PAST) && !has(other, &PAST) && !has(other, &PERFECT) {
        let is_present = has(other, &PRESENT) && !has(past, &PRESENT);
        return !was_future && (is_future || (is_present && !is_reworded));
    }
    !is_reworded && has(past, &PERFECT) && !has(other, &PERFECT) && is_future && !was_future
}

/// Whether a verb of one text is in the past by its "-ed" alone, and the same is not in the other.
fn has_past(past: &Side<'_, '_>, other: &Side<'_, '_>) -> bool {
    const NEITHER: [&str; 13] =
        ["is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "did", "didn't", "get"];
    let is_past = |token: &Token<'_>| token.form == Form::Verb && token.surface.ends_with("ed");
    !has(past, &NEITHER)
        && !has(other, &NEITHER)
        && past.tokens.iter().zip(&past.mates).any(|(token, mate)| {
            is_past(token) && mate.is_some_and(|j| token.key == other.tokens[j].key && !is_past(&other.tokens[j]))
        })
}

/// 可以不去 leaves it open, 不可以去 forbids it.
fn is_free_not_to(free: &Side<'_, '_>, forbidden: &Side<'_, '_>) -> bool {
    let is_open = free.tokens.windows(2).any(|two| {
        matches!(two[0].surface, "可以" | "能") && two[1].list == List::Negation && two[1].surface.starts_with('不')
    });
    is_open && has(forbidden, &["不可以", "不能", "不可"])
}

/// Whether two questions for a yes or a no ask whether it may, should and must be.
fn differ_in_duty(a: &Side<'_, '_>, b: &Side<'_, '_>) -> bool {
    const DUTIES: [&[&str]; 3] = [
        &["can", "may", "could", "可以", "能", "能够", "可", "能不能"],
        &["should", "ought to", "supposed to", "应该", "该", "应当"],
        &["must", "have to", "has to", "need to", "必须", "务必"],
    ];
    let duties = |side: &Side<'_, '_>| DUTIES.map(|words| has(side, words));
    let (in_a, in_b) = (duties(a), duties(b));
    let is_open = asked(a).0.is_empty() && asked(b).0.is_empty();
    is_open && in_a.contains(&true) && in_b.contains(&true) && !in_a.iter().zip(in_b).any(|(&x, y)| x && y)
}

/// Whether a particle stands only in one text that makes another verb of the one before it: "off", "up", "down", "out"; "in" and
/// "on" where a clause ends.
fn has_particle(side: &Side<'_, '_>) -> bool {
    let tokens = side.tokens;
    side.middle.clone().filter(|&i| side.mates[i].is_none() && tokens[i].list == List::Particle).any(|i| {
        let is_last = tokens.get(i + 1).is_none_or(|next| next.is_after_stop);
        matches!(tokens[i].surface, "off" | "up" | "down" | "out") || (is_last && !tokens[i].is_han)
    })
}

/// "Stopped to smoke" and "stopped smoking": after these verbs, "to" tells what for or what comes.
fn is_left_off(to: &Side<'_, '_>, ing: &Side<'_, '_>) -> bool {
    const VERBS: [&str; 16] = [
        "stop",
        "stops",
        "stopped",
        "stopping",
        "forget",
        "forgets",
        "forgot",
        "forgetting",
        "remember",
        "remembers",
        "remembered",
        "remembering",
        "try",
        "tries",
        "tried",
        "regret",
    ];
    let is_verb = |token: &Token<'_>| VERBS.contains(&token.surface);
    to.tokens.windows(3).enumerate().any(|(i, three)| {
        let followed = |j: usize| {
            ing.tokens.get(j + 1).is_some_and(|next| next.surface.ends_with("ing") && next.form == Form::Ing)
        };
        is_verb(&three[0])
            && three[1].surface == "to"
            && three[2].is_content()
            && to.mates[i].is_some_and(|j| is_verb(&ing.tokens[j]) && followed(j))
    })
}
