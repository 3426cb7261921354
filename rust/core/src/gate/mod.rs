//! The gate of a semantic cache: whether two questions that look alike ask the same, or differ in what no threshold can tell.
//!
//! Vectors of "enable" and "disable", of 3 and 5, of Oslo and Bergen, of "from A to B" and "from B to A" are nearer to each
//! other than many a paraphrase is to its original. The gate reads both texts word by word and looks for such differences.
//! Its rules are of two kinds. Some hold for any two texts: their negations, numbers, names, codes, quotations, quantities,
//! question words and opposites. The others hold where both are nearly the same words: what stands in the same place of
//! both, or is put into one, must then be known to say the same. A false answer is worse than a miss, so where neither
//! kind can tell, what is nearly the same is refused, and what is worded anew passes.
//!
//! English and Chinese; other languages have the rules of numbers, names, codes, order and of nearly the same words.

mod alignment;
mod chinese;
mod code;
mod english;
mod grammar;
mod lexicon;
mod numbers;
mod order;
mod reading;
mod roles;
mod script;
mod stems;
mod verbs;

use std::ops::Range;

use alignment::{Alignment, Side, align};
use lexicon::{Ask, List, Modal, Quantity};
use reading::{Text, Token};
use stems::{is_same_spelling, stem};

/// Why two questions do not ask the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// One denies what the other says.
    Negation,
    /// Another number, date, version or share.
    Number,
    /// Another name, person, code, address or quotation.
    Name,
    /// A word and its opposite.
    Opposite,
    /// All, some, most, only, and what it goes with; must, may.
    Quantity,
    /// Why, when, where, who, how: not the same is asked for.
    Question,
    /// The same words, with who or what in each other's place.
    Order,
    /// Nearly the same words, and what differs is not known to say the same: of another time, with a particle.
    Wording,
    /// Two long texts that differ in much.
    Length,
}

impl Difference {
    /// Its name, a word in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Negation => "negation",
            Self::Number => "number",
            Self::Name => "name",
            Self::Opposite => "opposite",
            Self::Quantity => "quantity",
            Self::Question => "question",
            Self::Order => "order",
            Self::Wording => "wording",
            Self::Length => "length",
        }
    }
}

/// Whether two texts differ in one way.
type Rule = fn(&Alignment<'_, '_>) -> bool;

/// The first difference found between two questions; `None` when they may ask the same.
///
/// `difference(a, b) == difference(b, a)`, and a text never differs from itself.
///
/// Cost: O(length) to read each, O(product of what differs) to compare, bounded; some microseconds for two questions.
pub fn difference(a: &str, b: &str) -> Option<Difference> {
    // In one order, so that ties in the alignment fall the same way whichever text comes first.
    let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
    let (a, b) = (Text::new(a), Text::new(b));
    let (a, b) = (a.tokens(), b.tokens());
    let says_the_same = |x: &Token<'_>, y: &Token<'_>| x.surface == y.surface && x.key == y.key && x.list == y.list;
    if a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| says_the_same(x, y)) {
        return None;
    }
    let Some(pair) = align(&a, &b, is_same_word) else { return Some(Difference::Length) };
    let rules: [(Difference, Rule); 8] = [
        (Difference::Negation, differs_in_negation),
        (Difference::Number, differs_in_numbers),
        (Difference::Name, differs_in_names),
        (Difference::Opposite, differs_in_opposites),
        (Difference::Quantity, differs_in_quantity),
        (Difference::Question, differs_in_question),
        (Difference::Order, |pair| order::differs(pair) || roles::differ(pair)),
        (Difference::Wording, |pair| verbs::differ(pair) || differs_in_wording(pair)),
    ];
    rules.into_iter().find(|(_, differs)| differs(&pair)).map(|(difference, _)| difference)
}

/// Whether two words say the same though they are not the same: spelling, endings, the same side of an opposite.
fn is_same_word(a: &Token<'_>, b: &Token<'_>) -> bool {
    if !a.is_content() || !b.is_content() || a.list == List::Number || b.list == List::Number {
        return false;
    }
    if poles(a).any(|(id, side)| poles(b).any(|other| other == (id, side))) {
        return true;
    }
    if a.is_strong || b.is_strong || a.is_han || b.is_han {
        return false;
    }
    is_same_spelling(&a.key, &b.key)
}

fn poles<'t>(token: &'t Token<'_>) -> impl Iterator<Item = (u16, bool)> + 't {
    token.entry.into_iter().flat_map(|entry| entry.poles.iter().copied())
}

/// Whether each text has content that the other has not.
fn is_reworded(pair: &Alignment<'_, '_>) -> bool {
    [&pair.a, &pair.b].iter().all(|side| side.lone().any(Token::is_content))
}

fn count(side: &Side<'_, '_>, is: impl Fn(&Token<'_>) -> bool) -> usize {
    side.tokens.iter().filter(|token| is(token)).count()
}

fn differs_in_negation(pair: &Alignment<'_, '_>) -> bool {
    let negations = |side| count(side, |token| token.list == List::Negation);
    // "Not all do it" is not "all do not do it".
    let denies_all = |side: &Side<'_, '_>| {
        let is_all = |token: &Token<'_>| token.list == List::Quantity(Quantity::All);
        side.tokens.windows(2).any(|two| two[0].list == List::Negation && is_all(&two[1]))
    };
    let has_all = |side| count(side, |token| token.list == List::Quantity(Quantity::All)) > 0;
    negations(&pair.a) != negations(&pair.b)
        || (has_all(&pair.a) && has_all(&pair.b) && denies_all(&pair.a) != denies_all(&pair.b))
}

fn differs_in_numbers(pair: &Alignment<'_, '_>) -> bool {
    let is_lone = |side: &Side<'_, '_>, is_optional| {
        side.lone().any(|token| token.list == List::Number && token.is_optional == is_optional)
    };
    let (a, b) = (&pair.a, &pair.b);
    is_lone(a, false) || is_lone(b, false) || (is_lone(a, true) && is_lone(b, true))
}

fn differs_in_names(pair: &Alignment<'_, '_>) -> bool {
    let has_lone = |side: &Side<'_, '_>| side.lone().any(|token| token.is_strong);
    has_lone(&pair.a) || has_lone(&pair.b) || roles::differs_in_person(pair)
}

fn differs_in_opposites(pair: &Alignment<'_, '_>) -> bool {
    let has_pole = |token: &&Token<'_>| poles(token).next().is_some();
    let is_opposite = |a: &Token<'_>, b: &Token<'_>| {
        poles(a).any(|(id, side)| poles(b).any(|other| other == (id, !side))) || is_denied(a.surface, b.surface)
    };
    // Words of grammar are opposites only in each other's place.
    let is_grammar = |token: &Token<'_>| !token.is_content() && token.list != List::Particle;
    let anywhere = pair.a.lone().any(|a| {
        pair.b.lone().any(|b| !is_grammar(a) && !is_grammar(b) && a.list != List::Number && is_opposite(a, b))
    });
    anywhere
        || pair.gaps.iter().any(|[a, b]| {
            let (mut a, mut b) = (pair.a.lone_in(a).filter(has_pole), pair.b.lone_in(b).filter(has_pole));
            match (a.next(), b.next(), a.next(), b.next()) {
                (Some(a), Some(b), None, None) => is_opposite(a, b),
                _ => false,
            }
        })
}

/// "safe" and "unsafe", "careful" and "careless".
fn is_denied(a: &str, b: &str) -> bool {
    const PREFIXES: [&str; 14] =
        ["un", "in", "im", "il", "ir", "dis", "non", "de", "mis", "anti", "under", "over", "re", "ab"];
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let changed = short.len() >= 3
        && PREFIXES
            .iter()
            .any(|&prefix| long.strip_prefix(prefix).is_some_and(|rest| rest == short || stem(rest) == stem(short)));
    let bare = |word: &str, ending| word.strip_suffix(ending).map(str::len);
    let without = bare(long, "less").or_else(|| bare(short, "less"));
    let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    changed || (long.ends_with("less") != short.ends_with("less") && without.is_some_and(|n| n >= 3 && common >= n))
}

fn differs_in_quantity(pair: &Alignment<'_, '_>) -> bool {
    let quantity = |token: &Token<'_>| match token.list {
        List::Quantity(quantity) => Some(quantity),
        _ => None,
    };
    let modal = |token: &Token<'_>| match token.list {
        List::Modal(modal) => Some(modal),
        _ => None,
    };
    let quantities = |side: &Side<'_, '_>| side.lone().filter_map(quantity).collect::<Vec<_>>();
    let (a, b) = (quantities(&pair.a), quantities(&pair.b));
    let unsaid = |only: &[Quantity]| only.iter().any(|q| !matches!(q, Quantity::All | Quantity::Some));
    // "All" and "some" may go unsaid, but not stand for each other.
    let differs = match (a.is_empty(), b.is_empty()) {
        (false, false) => a.iter().any(|q| !b.contains(q)) || b.iter().any(|q| !a.contains(q)),
        _ => unsaid(&a) || unsaid(&b),
    };
    let modals = |side: &Side<'_, '_>, is| side.tokens.iter().filter_map(modal).any(|own| own == is);
    let must_may =
        |a, b| modals(a, Modal::Must) && !modals(a, Modal::May) && modals(b, Modal::May) && !modals(b, Modal::Must);
    let (a, b) = (&pair.a, &pair.b);
    differs || must_may(a, b) || must_may(b, a) || roles::differ_in_scope(pair)
}

/// What a text asks for by a question word, and what it tells it asks for: "the reason".
fn asked(side: &Side<'_, '_>) -> (Ask, Ask) {
    side.tokens.iter().fold((Ask::default(), Ask::default()), |(asked, told), token| match token.list {
        List::Ask(Ask::PLACE) => (asked | Ask::WHAT, told | Ask::WHERE),
        List::Ask(ask) => (asked | ask, told),
        List::Cue(ask) => (asked, told | ask),
        List::Way => (asked, told | Ask::HOW),
        _ => (asked, told),
    })
}

/// The unit in which a question word asks for a time; 0 where it leaves that open.
fn unit_of_time(token: &Token<'_>) -> u8 {
    const UNITS: [&[&str]; 4] = [&["time", "点"], &["day", "date", "天", "号"], &["year", "年"], &["month", "月"]];
    let names = |unit: &[&str]| unit.iter().any(|name| token.surface.ends_with(name));
    match token.list {
        List::Ask(Ask::WHEN) => (1..).zip(UNITS).find(|(_, unit)| names(unit)).map_or(0, |(at, _)| at),
        _ => 0,
    }
}

/// "What is the spelling", "how do I spell it".
fn is_named_as_done(what: &Side<'_, '_>, how: &Side<'_, '_>) -> bool {
    let follows = |side: &Side<'_, '_>, ask, words: &[&str]| {
        let asks = |token: &Token<'_>| token.list == List::Ask(ask);
        side.tokens.windows(2).any(|two| asks(&two[0]) && words.contains(&two[1].surface))
            || side.tokens.iter().any(|token| asks(token) && token.surface.ends_with("'s"))
    };
    follows(what, Ask::WHAT, &["is", "are"]) && follows(how, Ask::HOW, &["do", "does", "can", "should"])
}

fn differs_in_question(pair: &Alignment<'_, '_>) -> bool {
    // "When", "where" and "who" also open a clause.
    let main = |asked: Ask| {
        let rest = asked.without(Ask::RELATIVE);
        if rest.is_empty() { asked } else { rest }
    };
    let ((all_a, told_a), (all_b, told_b)) = (asked(&pair.a), asked(&pair.b));
    // "How do they differ" is "what is the difference"; "how is it" is not "what is it".
    let is_reworded = [&pair.a, &pair.b].iter().any(|side| side.lone().any(Token::is_content))
        || is_named_as_done(&pair.a, &pair.b)
        || is_named_as_done(&pair.b, &pair.a);
    let misses = |asked: Ask, told: Ask, by_asked: Ask, by_all: Ask, by_told: Ask| {
        let strict = asked.without(Ask::HOW | Ask::WHAT).without(by_all | by_told);
        // "What" asks for what the words with it tell: "what is the reason" is why.
        let other = by_asked.without(if is_reworded { Ask::HOW | Ask::WHAT } else { Ask::default() });
        let what = asked.has(Ask::WHAT) && !by_all.has(Ask::WHAT) && !other.is_empty() && !told.has(other);
        let how = asked.has(Ask::HOW) && !(by_all | by_told).has(Ask::HOW) && !other.is_empty();
        !strict.is_empty() || what || how
    };
    let is_measure = |token: &Token<'_>| token.list == List::Ask(Ask::MANY) && token.key != "多少";
    let measures = |side: &Side<'_, '_>| side.lone().any(is_measure);
    let units = |side: &Side<'_, '_>| side.tokens.iter().map(unit_of_time).find(|unit| *unit != 0);
    let is_other_time = units(&pair.a).zip(units(&pair.b)).is_some_and(|(a, b)| a != b);
    let (main_a, main_b) = (main(all_a), main(all_b));
    misses(main_a, told_a, main_b, all_b, told_b)
        || misses(main_b, told_b, main_a, all_a, told_a)
        || (measures(&pair.a) && measures(&pair.b))
        || is_other_time
}

/// The longest run of words, and of Chinese characters, that may stand in the place of another run and change what is meant.
const MAX_PLACE: (usize, usize) = (2, 5);
/// The longest that is put into an otherwise equal text.
const MAX_ADDED: (usize, usize) = (2, 4);
/// The longest that stands in one text here for as much in the other there.
const MAX_MOVED: (usize, usize) = (1, 2);

fn differs_in_wording(pair: &Alignment<'_, '_>) -> bool {
    let is_within = |tokens: &[&Token<'_>], most: (usize, usize)| {
        let n_han = tokens.iter().filter(|token| token.is_han).count();
        n_han <= most.1 && tokens.len() - n_han <= most.0
    };
    let ((asked_a, _), (asked_b, _)) = (asked(&pair.a), asked(&pair.b));
    let (mut added_a, mut added_b) = (Vec::new(), Vec::new());
    for [a, b] in places(pair) {
        let in_a: Vec<&Token<'_>> =
            pair.a.lone_in(&a).filter(|token| is_new(token, [asked_a, asked_b], &pair.b)).collect();
        let in_b: Vec<&Token<'_>> =
            pair.b.lone_in(&b).filter(|token| is_new(token, [asked_b, asked_a], &pair.a)).collect();
        if is_same_apart(&in_a, &in_b) {
            continue;
        }
        if !in_a.is_empty() && !in_b.is_empty() && is_within(&in_a, MAX_PLACE) && is_within(&in_b, MAX_PLACE) {
            return true;
        }
        added_a.extend(in_a);
        added_b.extend(in_b);
    }
    let is_put_in = |added: &[&Token<'_>], other: &[&Token<'_>]| {
        other.is_empty() && !added.is_empty() && is_within(added, MAX_ADDED)
    };
    let is_exchanged =
        !added_a.is_empty() && !added_b.is_empty() && is_within(&added_a, MAX_MOVED) && is_within(&added_b, MAX_MOVED);
    is_exchanged || is_put_in(&added_a, &added_b) || is_put_in(&added_b, &added_a)
}

/// "Data base" and "database".
fn is_same_apart(a: &[&Token<'_>], b: &[&Token<'_>]) -> bool {
    let bytes = |tokens: &[&Token<'_>]| tokens.iter().flat_map(|token| token.surface.bytes()).collect::<Vec<_>>();
    let is_word = |token: &&Token<'_>| token.surface.bytes().all(|b| b.is_ascii_lowercase());
    !a.is_empty() && a.iter().chain(b).all(is_word) && bytes(a) == bytes(b)
}

/// Whether content says more than a question word does, as "cost" after "how much" and "place" beside "where" do not, and is not
/// a part of a longer word of the other text, as 新 is of 新建. What the token's own text and the other ask for is given.
fn is_new(token: &Token<'_>, [own_asked, other_asked]: [Ask; 2], other: &Side<'_, '_>) -> bool {
    let holds = |word: &Token<'_>| word.surface.len() > token.surface.len() && word.surface.contains(token.surface);
    match token.list {
        // Beside "how tall", "weight" is new, though both are measures.
        List::Cue(cue) if own_asked.has(cue) || (cue != Ask::MANY && other_asked.has(cue)) => false,
        List::Number if token.is_optional => false,
        _ if token.is_han => {
            token.is_content() && !other.tokens[other.middle.clone()].iter().any(|word| word.is_han && holds(word))
        }
        _ => token.is_content(),
    }
}

/// The gaps; those around a single number or Chinese character are one: 六月 and 周六; 订阅 and 退订, which share half a word.
fn places(pair: &Alignment<'_, '_>) -> Vec<[Range<usize>; 2]> {
    let mut places: Vec<[Range<usize>; 2]> = Vec::with_capacity(pair.gaps.len());
    for [a, b] in &pair.gaps {
        let is_half = |token: &Token<'_>| {
            token.list == List::Number || (token.is_han && token.entry.is_none() && token.list == List::Content)
        };
        match places.last_mut() {
            Some([last_a, last_b]) if last_a.end + 1 == a.start && is_half(&pair.a.tokens[last_a.end]) => {
                (last_a.end, last_b.end) = (a.end, b.end);
            }
            _ => places.push([a.clone(), b.clone()]),
        }
    }
    places
}

#[cfg(test)]
mod tests;
