//! English words without their inflections: plurals, and the forms of a verb. What makes another word of one stays.

use std::borrow::Cow;

/// Words in -s that are no plural of the word without it, or mean something else.
const OWN: [&str; 14] = [
    "news", "customs", "goods", "arms", "glasses", "savings", "contents", "remains", "spirits", "means", "always",
    "species", "series", "lens",
];

/// Words that mean something else with -ly.
const OTHERWISE: [&str; 12] =
    ["hard", "late", "near", "short", "bare", "high", "last", "most", "large", "present", "scarce", "direct"];

/// A word without its plural's -s, and without a verb's -s, -ed and -ing and an adverb's -ly, in a form that all of these share.
///
/// -er, -or, -al, -ics, -ment and the like make other words, and stay: a contractor is no contract.
pub(super) fn stem(word: &str) -> Cow<'_, str> {
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) || OWN.contains(&word) {
        return Cow::Borrowed(word);
    }
    if let Some(rest) = ["ies", "ied", "ie"].iter().find_map(|ending| word.strip_suffix(ending))
        && rest.len() >= 2
        && word.len() > 4
    {
        return format!("{rest}y").into();
    }
    let word = singular(word);
    if let Some(rest) = word.strip_suffix("ly").filter(|rest| rest.len() >= 4 && !OTHERWISE.contains(rest)) {
        return Cow::Borrowed(bare(rest));
    }
    if let Some(rest) = verb(word, "ing").or_else(|| verb(word, "ed").filter(|rest| !rest.ends_with('e'))) {
        return restored(rest);
    }
    Cow::Borrowed(bare(word))
}

fn singular(word: &str) -> &str {
    let Some(rest) = word.strip_suffix('s') else { return word };
    // "Economics" is not what is economic; "topics" are.
    let is_science = word.ends_with("ics") && word.len() >= 8;
    if rest.len() < 3 || is_science || ["s", "u", "i"].iter().any(|kept| rest.ends_with(kept)) {
        return word;
    }
    let is_hissing = ["sse", "she", "che", "xe", "zze"].iter().any(|ending| rest.ends_with(ending));
    if is_hissing { &rest[..rest.len() - 1] } else { rest }
}

fn verb<'a>(word: &'a str, ending: &str) -> Option<&'a str> {
    word.strip_suffix(ending).filter(|rest| rest.len() >= 2 && syllables(rest) > 0)
}

fn is_vowel(b: u8) -> bool {
    b"aeiouy".contains(&b)
}

/// Runs of vowels.
fn syllables(word: &str) -> usize {
    let bytes = word.as_bytes();
    (0..bytes.len()).filter(|&i| is_vowel(bytes[i]) && (i == 0 || !is_vowel(bytes[i - 1]))).count()
}

/// A verb that has lost its ending, with the "e" that it lost too, and without the consonant that was doubled.
fn restored(rest: &str) -> Cow<'_, str> {
    let bytes = rest.as_bytes();
    let n = bytes.len();
    let is_short = syllables(rest) == 1;
    let (last, before) = (bytes[n - 1], bytes[n - 2]);
    if last == before && !is_vowel(last) {
        let is_kept = n == 3 || b"sfz".contains(&last) || (last == b'l' && is_short);
        return Cow::Borrowed(if is_kept { rest } else { &rest[..n - 1] });
    }
    // hop-ing is of "hope", leav-ing of "leave", handl-ing of "handle".
    let is_closed = is_short
        && is_vowel(before)
        && !is_vowel(last)
        && !b"wx".contains(&last)
        && (n == 2 || !is_vowel(bytes[n - 3]) || rest.starts_with("qu"));
    let is_soft = is_short
        && (b"vcz".contains(&last)
            || (last == b's' && before != b's')
            || ["rg", "dg", "ang"].iter().any(|ending| rest.ends_with(ending)));
    let is_liquid = last == b'l' && b"bcdfgkpt".contains(&before);
    if is_closed || is_soft || is_liquid { format!("{rest}e").into() } else { Cow::Borrowed(bare(rest)) }
}

/// A longer word without what an inflected form does not tell: a last "e" or a second "l".
fn bare(word: &str) -> &str {
    let Some(rest) = word.strip_suffix('e') else {
        let is_long = word.ends_with("ll") && syllables(word) > 1;
        return if is_long { &word[..word.len() - 1] } else { word };
    };
    // "Local" and "locale", "human" and "humane" are two words; "handle" keeps its own.
    let is_kept =
        ["al", "an", "e", "bl", "cl", "dl", "fl", "gl", "kl", "pl", "tl"].iter().any(|end| rest.ends_with(end));
    if (syllables(rest) > 1 && !is_kept) || rest.ends_with("ch") { rest } else { word }
}

/// "colour" and "color", "organise" and "organize", "catalogue" and "catalog": one word, spelled here and there.
pub(super) fn is_same_spelling(a: &str, b: &str) -> bool {
    is_spelled_here_and_there(a, b) || is_spelled_here_and_there(b, a)
}

fn is_spelled_here_and_there(british: &str, american: &str) -> bool {
    // The start of a word is its own: "four" is not "for", nor "prise" "prize".
    const START: usize = 3;
    [("our", "or"), ("is", "iz"), ("ys", "yz"), ("ogu", "og")].iter().any(|(here, there)| {
        let at = british.rfind(here).filter(|&at| at >= START);
        at.is_some_and(|at| {
            american.starts_with(&british[..at])
                && american[at..].strip_prefix(there) == Some(&british[at + here.len()..])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflections_have_one_stem() {
        for forms in [
            "study studies studied studying",
            "stop stops stopped stopping",
            "make makes making",
            "hope hopes hoped hoping",
            "hop hops hopped hopping",
            "handle handles handled handling",
            "delete deletes deleted deleting",
            "install installs installed installing",
            "travel travels travelled traveling",
            "fill fills filled filling",
            "change changes changed changing",
            "leave leaves leaving",
            "visit visits visited visiting",
            "add adds added adding",
            "need needs needed needing",
            "box boxes boxed boxing",
            "cache caches cached caching",
            "class classes",
            "cookie cookies",
            "topic topics",
            "use uses used using",
            "buy buys buying",
        ] {
            let stems: Vec<_> = forms.split(' ').map(stem).collect();
            assert!(stems.iter().all(|one| *one == stems[0]), "{stems:?}");
        }
    }

    #[test]
    fn other_words_have_other_stems() {
        for words in [
            "policy police",
            "plan plane",
            "hop hope",
            "fill file",
            "news new",
            "class clas",
            "princess prince",
            "economics economic economy",
            "contract contractor",
            "universal universe",
            "rational ration rationale",
            "local locale",
            "payee payer",
            "string strong",
            "late later lately",
        ] {
            let mut stems: Vec<_> = words.split(' ').map(stem).collect();
            let n = stems.len();
            stems.sort();
            stems.dedup();
            assert_eq!(stems.len(), n, "{words}");
        }
    }

    #[test]
    fn spellings_here_and_there_are_one_and_others_are_two() {
        for (a, b) in [("colour", "color"), ("organis", "organiz"), ("catalogu", "catalog"), ("analys", "analyz")] {
            assert!(is_same_spelling(a, b) && is_same_spelling(b, a));
        }
        for (a, b) in [("desert", "dessert"), ("later", "latter"), ("four", "for"), ("pris", "priz"), ("hous", "hors")]
        {
            assert!(!is_same_spelling(a, b) && !is_same_spelling(b, a));
        }
    }
}
