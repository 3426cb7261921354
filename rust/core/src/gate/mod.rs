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
mod english;
mod lexicon;
mod numbers;
mod order;
mod reading;
mod stems;

use std::ops::Range;

use alignment::{Alignment, Side, align};
use lexicon::{Ask, List, Modal, Quantity};
use reading::{Text, Token};
use stems::stem;

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
    /// All, some, most, only; must, may.
    Quantity,
    /// Why, when, where, who, how: not the same is asked for.
    Question,
    /// The same words, with who or what in each other's place.
    Order,
    /// Nearly the same words, and what differs is not known to say the same.
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
    let says_the_same = |x: &Token<'_>, y: &Token<'_>| x.key == y.key && x.list == y.list;
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
        (Difference::Order, order::differs),
        (Difference::Wording, differs_in_wording),
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
    is_same_spelling(&a.key, &b.key) || is_same_root(&a.key, &b.key)
}

/// "colour" and "color", "organise" and "organize", "cancelled" and "canceled".
fn is_same_spelling(a: &str, b: &str) -> bool {
    let plain = |word: &str| {
        let mut last = ' ';
        let kept: Vec<char> = word
            .chars()
            .filter_map(|c| {
                let c = if c == 'z' { 's' } else { c };
                let is_kept = c != last && !(c == 'u' && last == 'o');
                last = c;
                is_kept.then_some(c)
            })
            .collect();
        kept
    };
    a.len() > 3 && b.len() > 3 && plain(a) == plain(b)
}

/// "install" and "installation", "fast" and "faster".
fn is_same_root(a: &str, b: &str) -> bool {
    const ENDINGS: [&str; 24] = [
        "", "er", "r", "est", "or", "ion", "ation", "ition", "tion", "ment", "al", "ing", "ity", "ness", "ic", "ical",
        "ive", "en", "n", "t", "th", "ship", "ian", "age",
    ];
    let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    common >= 4
        && a.is_char_boundary(common)
        && b.is_char_boundary(common)
        && ENDINGS.contains(&&a[common..])
        && ENDINGS.contains(&&b[common..])
}

fn poles<'t>(token: &'t Token<'_>) -> impl Iterator<Item = (u16, bool)> + 't {
    token.entry.into_iter().flat_map(|entry| entry.poles.iter().copied())
}

fn count(side: &Side<'_, '_>, is: impl Fn(&Token<'_>) -> bool) -> usize {
    side.tokens.iter().filter(|token| is(token)).count()
}

fn differs_in_negation(pair: &Alignment<'_, '_>) -> bool {
    let negations = |side| count(side, |token| token.list == List::Negation);
    negations(&pair.a) != negations(&pair.b)
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
    has_lone(&pair.a) || has_lone(&pair.b) || differs_in_person(pair)
}

/// Whether one text speaks of him where the other speaks of her, or asks of me what the other asks of you. In "how do you do it" it
/// is anybody.
fn differs_in_person(pair: &Alignment<'_, '_>) -> bool {
    let is_how = |side| asked(side).0.has(Ask::HOW);
    let anybody = is_how(&pair.a) || is_how(&pair.b);
    pair.gaps.iter().any(|[a, b]| {
        let only = |side: &Side<'_, '_>, range, list, other| {
            side.lone_in(range).any(|token| token.list == list) && !side.lone_in(range).any(|token| token.list == other)
        };
        let differs = |x, y| {
            (only(&pair.a, a, x, y) && only(&pair.b, b, y, x)) || (only(&pair.a, a, y, x) && only(&pair.b, b, x, y))
        };
        differs(List::Him, List::Her) || (!anybody && differs(List::Me, List::You))
    })
}

fn differs_in_opposites(pair: &Alignment<'_, '_>) -> bool {
    let has_pole = |token: &&Token<'_>| poles(token).next().is_some();
    let is_opposite = |a: &Token<'_>, b: &Token<'_>| {
        poles(a).any(|(id, side)| poles(b).any(|other| other == (id, !side)))
            || is_denied(stem(a.surface), stem(b.surface))
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
    let changed = short.len() >= 3 && PREFIXES.iter().any(|&prefix| long.strip_prefix(prefix) == Some(short));
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
    differs || must_may(a, b) || must_may(b, a)
}

/// What a text asks for by a question word, and what it tells it asks for: "the reason".
fn asked(side: &Side<'_, '_>) -> (Ask, Ask) {
    side.tokens.iter().fold((Ask::default(), Ask::default()), |(asked, told), token| match token.list {
        List::Ask(ask) => (asked | ask, told),
        List::Cue(ask) => (asked, told | ask),
        List::Way => (asked, told | Ask::HOW),
        _ => (asked, told),
    })
}

fn differs_in_question(pair: &Alignment<'_, '_>) -> bool {
    // "When", "where" and "who" also open a clause.
    let main = |asked: Ask| {
        let rest = asked.without(Ask::RELATIVE);
        if rest.is_empty() { asked } else { rest }
    };
    let ((all_a, told_a), (all_b, told_b)) = (asked(&pair.a), asked(&pair.b));
    // "How do they differ" is "what is the difference"; "how is it" is not "what is it".
    let is_reworded = pair.a.tokens.len() != pair.b.tokens.len()
        || [&pair.a, &pair.b].iter().any(|side| side.lone().any(Token::is_content));
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
    let (main_a, main_b) = (main(all_a), main(all_b));
    misses(main_a, told_a, main_b, all_b, told_b)
        || misses(main_b, told_b, main_a, all_a, told_a)
        || (measures(&pair.a) && measures(&pair.b))
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refuses(a: &str, b: &str, why: Difference) {
        assert_eq!(difference(a, b), Some(why), "{a} / {b}");
        assert_eq!(difference(b, a), Some(why), "{b} / {a}");
    }

    #[test]
    fn refuses_what_differs() {
        for (a, b, why) in [
            ("Is the lamp safe?", "Isn't the lamp safe?", Difference::Negation),
            ("这盏灯安全吗", "这盏灯不安全吗", Difference::Negation),
            ("Wait 3 days", "Wait thirty days", Difference::Number),
            ("Use release 3.1", "Use release 3.10", Difference::Number),
            ("等三天", "等30天", Difference::Number),
            ("A room in Oslo tonight", "A room in Cork tonight", Difference::Name),
            ("Look at a_b", "Look at a_c", Difference::Name),
            ("What is my name?", "What is your name?", Difference::Name),
            ("他在哪里", "她在哪里", Difference::Name),
            ("Take vitamin A daily", "Take vitamin D daily", Difference::Name),
            ("把文件A盖到B", "把文件B盖到A", Difference::Order),
            ("What is \"less is more\"?", "What is \"time is money\"?", Difference::Name),
            ("Turn on the lamp", "Turn the lamp off", Difference::Opposite),
            ("Is a locked room safe?", "Is a locked room unsafe?", Difference::Opposite),
            ("把灯打开", "把灯关闭", Difference::Opposite),
            ("Do all lamps glow?", "Do some lamps glow?", Difference::Quantity),
            ("Must I pay?", "May I pay?", Difference::Quantity),
            ("How does it glow?", "Why does it glow?", Difference::Question),
            ("它为什么亮", "它怎么亮", Difference::Question),
            ("From the lake to the sea", "From the sea to the lake", Difference::Order),
            ("Do otters hunt gulls?", "Do gulls hunt otters?", Difference::Order),
            ("水獭比海鸥大吗", "海鸥比水獭大吗", Difference::Order),
            ("How do I paint a lamp?", "How do I paint a fence?", Difference::Wording),
            ("怎么画灯笼", "怎么画栅栏", Difference::Wording),
            ("Paint the lamp", "Paint the garden lamp", Difference::Wording),
        ] {
            refuses(a, b, why);
        }
    }

    #[test]
    fn passes_what_says_the_same() {
        for (a, b) in [
            ("How do I paint a lamp?", "HOW CAN I PAINT LAMPS, PLEASE"),
            ("How do I paint my lamp?", "How do you paint your lamp?"),
            ("Don't paint the lamp.", "Do not paint the lamp"),
            ("Wait 3 days", "wait three days"),
            ("In Oslo, where do I sleep?", "Where do I sleep in Oslo?"),
            ("Bake it with eggs and milk", "Bake it with milk and eggs"),
            ("What is the reason it glows?", "Why does it glow?"),
            ("怎么画灯笼？", "请问如何画灯笼"),
            ("今天奥斯陆冷不冷", "奥斯陆今天冷吗"),
            ("等３天", "等三天"),
            ("", " \n"),
        ] {
            assert_eq!(difference(a, b), None, "{a} / {b}");
        }
    }

    #[test]
    fn refuses_long_texts_that_differ_in_much() {
        let long = |word: &str| (0..3000).map(|i| format!("{word}{i}")).collect::<Vec<_>>().join(" ");
        refuses(&long("a"), &long("b"), Difference::Length);
        assert_eq!(difference(&long("a"), &format!("please {}", long("a"))), None);
    }

    fn texts() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "not", "n't", "don't", "3", "3.0", "1,500", "two", "hundred", "Oslo", "from", "to", "a_b", "-R", "\"", "“",
            "”", "'", "-", "/", "?", "how", "many", "why", "all", "on", "off", "unsafe", "safe", "5km", "20%", "不",
            "没有", "三", "百", "万", "从", "到", "好", "打开", "灯", "５", "ﬁ", "İ", "ß", "e\u{301}", "\u{0}",
            "\u{FFFD}", " ", " ", " ",
        ]);
        prop_oneof![prop::collection::vec(words, 0..24).prop_map(|words| words.concat()), ".{0,40}",]
    }

    proptest! {
        #[test]
        fn is_symmetric(a in texts(), b in texts()) {
            prop_assert_eq!(difference(&a, &b), difference(&b, &a));
        }

        #[test]
        fn never_refuses_a_text_beside_itself(a in texts()) {
            prop_assert_eq!(difference(&a, &a), None);
            prop_assert_eq!(difference(&a, &format!("  {}\n", a.replace(' ', "  "))), None);
        }
    }
}
