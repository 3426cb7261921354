//! The same words in another order: a clause moved to the front says the same, who and what in each other's place does not.

use super::alignment::{Alignment, Side};
use super::lexicon::{Ask, List};
use super::reading::{Form, Token};
use super::roles::is_han_who;

/// Names of at most so many Chinese characters can have changed places.
const MAX_NAME: usize = 4;

/// Whether what is in both texts changed places in a way that changes who does what to whom.
pub(super) fn differs(pair: &Alignment<'_, '_>) -> bool {
    let blocks = blocks(pair);
    (blocks.len() > 1 && is_swapped(pair, &blocks)) || has_other_objects(pair)
}

/// A run of content that keeps its order: first and last token in each text.
struct Block {
    a: (usize, usize),
    b: (usize, usize),
    n: usize,
}

/// The runs, in the order of the first text.
fn blocks(pair: &Alignment<'_, '_>) -> Vec<Block> {
    let tokens = pair.a.tokens;
    let content = |side: &Side<'_, '_>, at: usize| is_placed(side.tokens, at) && side.mates[at].is_some();
    let rank: Vec<usize> = {
        let mut n = 0;
        (0..pair.b.tokens.len())
            .map(|j| {
                n += usize::from(content(&pair.b, j));
                n
            })
            .collect()
    };
    let mut blocks: Vec<Block> = Vec::new();
    for i in (0..tokens.len()).filter(|&i| content(&pair.a, i)) {
        let Some(j) = pair.a.mates[i].filter(|&j| content(&pair.b, j)) else { continue };
        match blocks.last_mut() {
            Some(block) if j > block.b.1 && rank[j] == rank[block.b.1] + 1 => {
                (block.a.1, block.b.1) = (i, j);
                block.n += 1;
            }
            _ => blocks.push(Block { a: (i, i), b: (j, j), n: 1 }),
        }
    }
    blocks
}

fn is_placed(tokens: &[Token<'_>], at: usize) -> bool {
    let token = &tokens[at];
    token.is_content() || token.list == List::Marker || token.list.is_person() || is_han_who(tokens, at)
}

fn is_swapped(pair: &Alignment<'_, '_>, blocks: &[Block]) -> bool {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_unstable_by_key(|&k| blocks[k].b.0);
    let head = (0..order.len()).take_while(|&k| order[k] == k).count();
    let tail = (0..order.len() - head).take_while(|&k| order[order.len() - 1 - k] == order.len() - 1 - k).count();
    let moved = &blocks[head..blocks.len() - tail];
    let relative: Vec<usize> = order[head..order.len() - tail].iter().map(|&k| k - head).collect();
    match (*relative).as_ref() {
        // X m Y to Y m X: a passive aside, "m" now does it the other way round.
        [2, 1, 0] => {
            !(has_passive(&pair.a) ^ has_passive(&pair.b))
                && !is_joined(pair, &moved[0], &moved[2])
                && !is_clause_of_person(pair, &moved[0], &moved[2])
        }
        // X Y to Y X: as a clause may, and a name that is joined to another by the same word may not.
        [1, 0] => {
            (is_name_like(pair, &moved[0]) && is_name_like(pair, &moved[1]) && has_same_between(pair, moved))
                || has_same_deed(pair, moved)
                || asks_by_whom(&pair.a) && asks_for_whom(&pair.b)
                || asks_by_whom(&pair.b) && asks_for_whom(&pair.a)
        }
        _ => false,
    }
}

pub(super) fn has_passive(side: &Side<'_, '_>) -> bool {
    let is_being = |token: &Token<'_>| matches!(token.surface, "is" | "are" | "was" | "were" | "be" | "been");
    side.tokens.iter().any(|token| matches!(&*token.key, "by" | "被"))
        || side.tokens.iter().position(is_being).is_some_and(|at| {
            side.tokens[at..].iter().any(|token| token.form == Form::Verb && token.surface.ends_with("ed"))
        })
}

/// Whether one of the two is only a person, and a stop parts them in one text: a clause came first there.
fn is_clause_of_person(pair: &Alignment<'_, '_>, x: &Block, y: &Block) -> bool {
    let is_person = |block: &Block| pair.a.tokens[block.a.0..=block.a.1].iter().all(|token| token.list.is_person());
    let has_stop = |tokens: &[Token<'_>]| tokens.iter().any(|token| token.is_after_stop);
    let (in_a, in_b) = (&pair.a.tokens[x.a.1 + 1..=y.a.0], &pair.b.tokens[y.b.1 + 1..=x.b.0]);
    (is_person(x) || is_person(y)) && has_stop(in_a) != has_stop(in_b)
}

/// Whether "and" or the like stands beside either, or 离: those may change places.
fn is_joined(pair: &Alignment<'_, '_>, x: &Block, y: &Block) -> bool {
    let between = &pair.a.tokens[x.a.1 + 1..y.a.0];
    between.iter().any(|token| is_conjunction(token) || matches!(token.surface, "离" | "距" | "距离"))
}

fn is_conjunction(token: &Token<'_>) -> bool {
    matches!(&*token.key, "and" | "or" | "versus" | "vs" | "with" | "和" | "与" | "跟" | "及" | "或" | "还是")
}

fn is_name_like(pair: &Alignment<'_, '_>, block: &Block) -> bool {
    let tokens = &pair.a.tokens[block.a.0..=block.a.1];
    let is_named = tokens.iter().all(|token| token.is_strong || token.list == List::Number);
    is_named || (block.n <= MAX_NAME && tokens.iter().all(|token| token.is_han))
}

/// Whether what one does to the other is a verb that says little of itself, and so is no content.
fn has_same_deed(pair: &Alignment<'_, '_>, moved: &[Block]) -> bool {
    const DEEDS: [&str; 18] = [
        "ask", "asked", "give", "gives", "gave", "tell", "tells", "told", "take", "takes", "took", "help", "helps",
        "helped", "see", "sees", "saw", "want",
    ];
    let between = &pair.a.tokens[moved[0].a.1 + 1..moved[1].a.0];
    has_same_between(pair, moved) && between.iter().any(|token| DEEDS.contains(&token.surface))
}

fn asks(token: &Token<'_>) -> bool {
    matches!(token.list, List::Ask(ask) if ask.has(Ask::WHO | Ask::WHAT))
}

/// "What eats it", "which team beat it": the verb follows who does it.
fn asks_by_whom(side: &Side<'_, '_>) -> bool {
    let is_being = |token: &Token<'_>| {
        matches!(token.surface, "is" | "are" | "was" | "were" | "do" | "does" | "did") || token.surface.ends_with("'s")
    };
    side.tokens.windows(2).any(|two| asks(&two[0]) && two[1].is_content()) && !side.tokens.iter().any(is_being)
}

/// "What does it eat", "which team did it beat".
fn asks_for_whom(side: &Side<'_, '_>) -> bool {
    let is_doing = |token: &Token<'_>| matches!(token.surface, "do" | "does" | "did");
    let asked = side.tokens.iter().position(asks);
    asked.is_some_and(|at| side.tokens[at + 1..].iter().take(3).any(is_doing))
}

/// Whether the two stand with the same between them in both texts, a word or a stop, and no "and".
fn has_same_between(pair: &Alignment<'_, '_>, moved: &[Block]) -> bool {
    let (x, y) = (&moved[0], &moved[1]);
    let in_a = &pair.a.tokens[x.a.1 + 1..y.a.0];
    let in_b = &pair.b.tokens[y.b.1 + 1..x.b.0];
    let without_articles = |tokens: &'_ [Token<'_>]| {
        let is_kept = |token: &Token<'_>| !matches!(token.surface, "a" | "an" | "the");
        tokens
            .iter()
            .filter(|token| is_kept(token))
            .map(|token| (token.key.to_string(), is_conjunction(token)))
            .collect::<Vec<_>>()
    };
    let (in_a, in_b) = (without_articles(in_a), without_articles(in_b));
    let stops = |token: &Token<'_>| token.is_after_stop;
    let is_stopped = stops(&pair.a.tokens[y.a.0]) && stops(&pair.b.tokens[x.b.0]);
    in_a == in_b
        && !in_a.iter().any(|(_, is_joining)| *is_joining)
        && (!in_a.is_empty() || is_stopped || (is_sign(pair, x) && is_sign(pair, y)))
}

/// A code or a letter that stands for something: of two, the order tells.
fn is_sign(pair: &Alignment<'_, '_>, block: &Block) -> bool {
    let tokens = &pair.a.tokens[block.a.0..=block.a.1];
    tokens
        .iter()
        .all(|token| token.is_strong && (token.surface.len() == 1 || !token.surface.chars().all(char::is_alphabetic)))
}

/// Whether "to", "than", 比 and the like, once in each text, stand before something else that both texts have.
fn has_other_objects(pair: &Alignment<'_, '_>) -> bool {
    const RELATING: [&str; 20] = [
        "to", "into", "from", "than", "over", "under", "against", "behind", "by", "on", "after", "before", "with",
        "of", "从", "到", "比", "给", "向", "被",
    ];
    let once = |side: &Side<'_, '_>, word: &str| {
        let mut places = (0..side.tokens.len()).filter(|&i| side.tokens[i].key == word);
        places.next().filter(|_| places.next().is_none())
    };
    RELATING.iter().any(|word| {
        let (Some(i), Some(j)) = (once(&pair.a, word), once(&pair.b, word)) else { return false };
        let (objects_a, objects_b) = (objects(&pair.a, i), objects(&pair.b, j));
        let (Some(&x), Some(&y)) = (objects_a.first(), objects_b.first()) else { return false };
        let is_elsewhere =
            |side: &Side<'_, '_>, x: usize, others: &[usize]| side.mates[x].is_some_and(|mate| !others.contains(&mate));
        is_elsewhere(&pair.a, x, &objects_b) && is_elsewhere(&pair.b, y, &objects_a)
    })
}

/// The content that follows place `at`, and what "and" adds to it.
fn objects(side: &Side<'_, '_>, at: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut is_open = true;
    for (i, token) in side.tokens.iter().enumerate().skip(at + 1) {
        if token.is_content() && is_open {
            found.push(i);
            // Chinese has no blanks that tell where a name ends.
            is_open = token.is_han && found.len() < MAX_NAME;
        } else if is_conjunction(token) {
            is_open = true;
        } else if !found.is_empty() {
            break;
        }
    }
    found
}
