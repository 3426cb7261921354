//! Who does it to whom, told by persons: which ones, in which order, in which case; and who or what "only" goes with.

use super::alignment::{Alignment, Side};
use super::lexicon::{Ask, List, Quantity};
use super::order::has_passive;
use super::reading::Token;
use super::{asked, is_reworded};

/// Whether one text speaks of him where the other speaks of her, of them or of me. In "how do you do it" it is anybody.
pub(super) fn differs_in_person(pair: &Alignment<'_, '_>) -> bool {
    let is_advice = |side: &Side<'_, '_>| side.tokens.iter().any(|token| token.surface == "should");
    let is_how = |side| asked(side).0.has(Ask::HOW) || (asked(side).0.has(Ask::MANY) && is_advice(side));
    let is_anybody = is_how(&pair.a) || is_how(&pair.b);
    let is_me_or_you = |persons: &[List]| persons.iter().all(|person| matches!(person, List::Me | List::You));
    pair.gaps.iter().any(|[a, b]| {
        let persons = |side: &Side<'_, '_>, range| {
            side.lone_in(range).map(|token| token.list).filter(|list| list.is_person()).collect::<Vec<_>>()
        };
        let (in_a, in_b) = (persons(&pair.a, a), persons(&pair.b, b));
        let is_other = !in_a.is_empty() && !in_b.is_empty() && !in_a.iter().any(|person| in_b.contains(person));
        is_other && !(is_anybody && is_me_or_you(&in_a) && is_me_or_you(&in_b))
    })
}

/// Whether persons are in each other's place.
pub(super) fn differ(pair: &Alignment<'_, '_>) -> bool {
    let (a, b) = (&pair.a, &pair.b);
    has_other_order(a, b) || has_other_case(pair) || asks_for_other_side(a, b) || asks_for_other_side(b, a)
}

/// The persons, and 谁, in the order in which they first come.
fn persons(side: &Side<'_, '_>) -> Vec<List> {
    let mut found = Vec::new();
    for (i, token) in side.tokens.iter().enumerate() {
        let person = match token.surface {
            "give me" | "show me" | "我想" | "我想要" => List::Me,
            "can you" | "could you" | "will you" if !is_polite(side.tokens.get(i + 1)) => List::You,
            _ => token.list,
        };
        if (person.is_person() || is_han_who(side.tokens, i)) && !found.contains(&person) {
            found.push(person);
        }
    }
    found
}

/// "Can you tell me", "could you please": said to nobody.
fn is_polite(next: Option<&Token<'_>>) -> bool {
    next.is_none_or(|next| !next.is_content() && next.list != List::Me && !matches!(next.surface, "see" | "find"))
}

/// 谁, but for "who is", 是谁 and 谁是, whose two sides may change places.
pub(super) fn is_han_who(tokens: &[Token<'_>], at: usize) -> bool {
    let is_being = |i: usize| tokens.get(i).is_some_and(|token| token.surface == "是");
    tokens[at].surface == "谁" && !is_being(at + 1) && !(at > 0 && is_being(at - 1))
}

fn has_other_order(a: &Side<'_, '_>, b: &Side<'_, '_>) -> bool {
    let (a, b) = (persons(a), persons(b));
    a != b && a.len() == b.len() && a.iter().all(|person| b.contains(person))
}

/// Whether somebody does it in one text, and has it done in the other: "I" and "me".
fn has_other_case(pair: &Alignment<'_, '_>) -> bool {
    const CASES: [(&[&str], &[&str]); 3] = [(&["i", "we"], &["me", "us"]), (&["he"], &["him"]), (&["they"], &["them"])];
    if is_reworded(pair) || has_passive(&pair.a) != has_passive(&pair.b) {
        return false;
    }
    let has = |side: &Side<'_, '_>, words: &[&str]| {
        side.tokens.iter().enumerate().any(|(i, token)| {
            // "Book me a flight": for me.
            let is_served =
                side.tokens.get(i + 1).is_some_and(|next| matches!(next.surface, "a" | "an" | "the" | "some"));
            token.list.is_person() && words.contains(&token.surface) && !(is_served && token.surface == "me")
        })
    };
    CASES.iter().any(|&(does, undergoes)| {
        let only = |side, these, those| has(side, these) && !has(side, those);
        (only(&pair.a, does, undergoes) && only(&pair.b, undergoes, does))
            || (only(&pair.a, undergoes, does) && only(&pair.b, does, undergoes))
    })
}

/// "Who taught her" asks for who did it, "whom did she teach" for whom it was done to.
fn asks_for_other_side(a: &Side<'_, '_>, b: &Side<'_, '_>) -> bool {
    let next = |side: &Side<'_, '_>| {
        let who = side.tokens.iter().position(|token| matches!(token.surface, "who" | "whom"))?;
        Some((side.tokens[who].surface == "whom", who + 1))
    };
    let (Some((is_whom, after)), Some((false, did))) = (next(a), next(b)) else { return false };
    let is_helping = |token: &Token<'_>| matches!(token.surface, "do" | "does" | "did");
    let asks_whom = is_whom || a.tokens.get(after).is_some_and(is_helping);
    asks_whom && b.tokens.get(did).is_some_and(Token::is_content) && !has_passive(a) && !has_passive(b)
}

/// Whether "only", once in each text, goes with something else that both have.
pub(super) fn differ_in_scope(pair: &Alignment<'_, '_>) -> bool {
    let scope = |side: &Side<'_, '_>| {
        let is_only = |token: &Token<'_>| token.list == List::Quantity(Quantity::Only);
        let mut places = (0..side.tokens.len()).filter(|&i| is_only(&side.tokens[i]));
        let at = places.next().filter(|_| places.next().is_none())?;
        let is_content = |i: &usize| side.tokens[*i].is_content() || side.tokens[*i].list.is_person();
        (at + 1..side.tokens.len()).find(is_content).or_else(|| (0..at).rev().find(is_content))
    };
    let (Some(x), Some(y)) = (scope(&pair.a), scope(&pair.b)) else { return false };
    pair.a.mates[x].is_some_and(|mate| mate != y) && pair.b.mates[y].is_some()
}
