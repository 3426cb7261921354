//! Tokens with a text of their own: matched as a whole, before a text is split.
//!
//! Those marked special are ordinary text unless a caller allows them. They still take part in the search, as they do in
//! `tokenizers`, where a special token hides the shorter ones that overlap it.

use std::ops::ControlFlow::{self, Continue};

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use super::Piece;
use crate::{Error, Result};

/// One added token, as the file has it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) content: String,
    pub(crate) is_special: bool,
    /// Matched after the text is normalised, not before.
    pub(crate) is_normalised: bool,
    /// `lstrip`, `rstrip` or `single_word`, which are not done here.
    pub(crate) takes_blanks: bool,
}

/// Which special tokens are tokens in a text; all others are ordinary text, so that nobody can smuggle one in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Specials<'a> {
    /// No special token.
    #[default]
    Text,
    /// These.
    Allowed(&'a [&'a str]),
    /// All of the tokenizer.
    All,
}

impl Specials<'_> {
    fn allows(self, content: &str) -> bool {
        match self {
            Self::Text => false,
            Self::Allowed(contents) => contents.contains(&content),
            Self::All => true,
        }
    }
}

/// All added tokens of a tokenizer.
#[derive(Debug)]
pub(crate) struct Added {
    raw: Finder,
    normalised: Finder,
    /// By id, in order.
    contents: Vec<(u32, String)>,
    /// Every character that a token to be found has, in order.
    characters: Vec<char>,
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    /// The token of each pattern.
    tokens: Vec<Entry>,
    /// Whether only special tokens are to be found.
    is_special: bool,
}

impl Added {
    /// The special tokens of an encoding in the package.
    pub(crate) fn special(contents: Vec<(u32, String)>) -> Self {
        let entry = |(id, content)| Entry { id, content, is_special: true, is_normalised: false, takes_blanks: false };
        Self::new(contents.into_iter().map(entry).collect(), str::to_owned).expect("a thousand short patterns")
    }

    /// Build the searches; `normalise` is applied to the tokens that are matched in normalised text.
    pub(crate) fn new(entries: Vec<Entry>, normalise: impl Fn(&str) -> String) -> Result<Self, BuildError> {
        let mut contents: Vec<(u32, String)> = entries.iter().map(|e| (e.id, e.content.clone())).collect();
        contents.sort_unstable();
        contents.dedup_by_key(|(id, _)| *id);
        let spellings = entries.iter().flat_map(|e| [normalise(&e.content), e.content.clone()]);
        let mut characters: Vec<char> = spellings.flat_map(|text| text.chars().collect::<Vec<_>>()).collect();
        characters.sort_unstable();
        characters.dedup();
        let (normalised, raw) = entries.into_iter().partition(|entry: &Entry| entry.is_normalised);
        Ok(Self {
            raw: Finder::new(raw, str::to_owned)?,
            normalised: Finder::new(normalised, normalise)?,
            contents,
            characters,
        })
    }

    /// Whether nothing is matched in a text that is ordinary but for these special tokens.
    pub(crate) fn is_plain(&self, specials: Specials<'_>) -> bool {
        specials == Specials::Text && self.raw.is_special && self.normalised.is_special
    }

    /// Refuse what can be no special token of this tokenizer.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a token that is to be allowed is unknown, or not special, or takes blanks with it.
    pub(crate) fn check(&self, specials: Specials<'_>) -> Result<()> {
        let known = || self.raw.tokens.iter().chain(&self.normalised.tokens).filter(|token| token.is_special);
        if let Specials::Allowed(contents) = specials
            && let Some(unknown) = contents.iter().find(|content| known().all(|token| token.content != **content))
        {
            let shown: String = unknown.chars().take(40).collect();
            let names: Vec<&str> = known().map(|token| token.content.as_str()).take(5).collect();
            let n = known().count();
            return Err(Error::Tokenizer(format!(
                "{shown:?} is no special token of this tokenizer; it has {n}, the first: {}",
                names.join(" ")
            )));
        }
        match known().find(|token| token.takes_blanks && specials.allows(&token.content)) {
            Some(token) => Err(Error::Tokenizer(format!(
                "the special token {} takes blanks around it or stands between blanks only, which is not counted here; allow others by name",
                token.id
            ))),
            None => Ok(()),
        }
    }

    /// Whether a character is in no token: then none reaches over a place before it.
    pub(crate) fn is_foreign(&self, c: char) -> bool {
        self.characters.binary_search(&c).is_err()
    }

    pub(crate) fn content_of(&self, id: u32) -> Option<&str> {
        let at = self.contents.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(&self.contents[at].1)
    }

    /// Whether a token of this content was added.
    pub(crate) fn holds(&self, content: &str) -> bool {
        self.contents.iter().any(|(_, held)| held == content)
    }

    pub(super) fn each_raw<B>(
        &self,
        text: &str,
        specials: Specials<'_>,
        f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.raw.each(text, specials, f)
    }

    pub(super) fn each_normalised<B>(
        &self,
        text: &str,
        specials: Specials<'_>,
        f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.normalised.each(text, specials, f)
    }
}

impl Finder {
    fn new(mut tokens: Vec<Entry>, normalise: impl Fn(&str) -> String) -> Result<Self, BuildError> {
        tokens.retain(|token| !normalise(&token.content).is_empty());
        let patterns = tokens.iter().map(|token| normalise(&token.content));
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns)?;
        let is_special = tokens.iter().all(|token| token.is_special);
        Ok(Self { automaton, tokens, is_special })
    }

    fn each<B>(
        &self,
        text: &str,
        specials: Specials<'_>,
        f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut at = 0;
        if !self.is_special || specials != Specials::Text {
            for found in self.automaton.find_iter(text) {
                let token = &self.tokens[found.pattern().as_usize()];
                if token.is_special && !specials.allows(&token.content) {
                    continue;
                }
                if at < found.start() {
                    f(Piece::Text(&text[at..found.start()]))?;
                }
                f(Piece::Added(token.id, &text[found.range()]))?;
                at = found.end();
            }
        }
        if at < text.len() { f(Piece::Text(&text[at..])) } else { Continue(()) }
    }
}
