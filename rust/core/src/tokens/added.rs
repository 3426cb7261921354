//! Tokens a `tokenizer.json` adds to its vocabulary: matched in the text as a whole, before it is split.
//!
//! Those marked special are only decoded: in a text they are ordinary text. They still take part in the search, as they do in
//! `tokenizers`, where a special token hides the shorter ones that overlap it.

use std::ops::ControlFlow::{self, Continue};

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use super::Piece;

/// One added token, as the file has it.
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) content: String,
    pub(crate) is_special: bool,
    /// Matched after the text is normalised, not before.
    pub(crate) is_normalised: bool,
}

/// All added tokens of a tokenizer.
#[derive(Debug, Default)]
pub(crate) struct Added {
    raw: Option<Finder>,
    normalised: Option<Finder>,
    /// By id, in order.
    contents: Vec<(u32, String)>,
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    /// Id of each pattern; `None` for a special token.
    ids: Vec<Option<u32>>,
}

impl Added {
    /// Special tokens only, given in order of their ids.
    pub(crate) fn special(contents: Vec<(u32, String)>) -> Self {
        Self { contents, ..Self::default() }
    }

    /// Build the searches; `normalise` is applied to the tokens that are matched in normalised text.
    pub(crate) fn new(entries: Vec<Entry>, normalise: impl Fn(&str) -> String) -> Result<Self, BuildError> {
        let raw = Finder::new(entries.iter().filter(|e| !e.is_normalised).map(|e| (e, e.content.clone())))?;
        let normalised = Finder::new(entries.iter().filter(|e| e.is_normalised).map(|e| (e, normalise(&e.content))))?;
        let mut contents: Vec<(u32, String)> = entries.into_iter().map(|e| (e.id, e.content)).collect();
        contents.sort_unstable();
        Ok(Self { raw, normalised, contents })
    }

    /// Whether no token is ever matched in a text.
    pub(crate) fn is_plain(&self) -> bool {
        self.raw.is_none() && self.normalised.is_none()
    }

    pub(crate) fn content_of(&self, id: u32) -> Option<&str> {
        let at = self.contents.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(&self.contents[at].1)
    }

    /// Whether a token of this content was added.
    pub(crate) fn holds(&self, content: &str) -> bool {
        self.contents.iter().any(|(_, held)| held == content)
    }

    pub(super) fn each_raw<B>(&self, text: &str, f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        Finder::each(self.raw.as_ref(), text, f)
    }

    pub(super) fn each_normalised<B>(
        &self,
        text: &str,
        f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        Finder::each(self.normalised.as_ref(), text, f)
    }
}

impl Finder {
    /// `None` if there is nothing but special tokens to find.
    fn new<'e>(tokens: impl Iterator<Item = (&'e Entry, String)>) -> Result<Option<Self>, BuildError> {
        let (ids, patterns): (Vec<_>, Vec<_>) = tokens
            .filter(|(_, content)| !content.is_empty())
            .map(|(entry, content)| ((!entry.is_special).then_some(entry.id), content))
            .unzip();
        if ids.iter().all(Option::is_none) {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns)?;
        Ok(Some(Self { automaton, ids }))
    }

    fn each<B>(finder: Option<&Self>, text: &str, f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        let mut at = 0;
        if let Some(finder) = finder {
            for found in finder.automaton.find_iter(text) {
                let Some(id) = finder.ids[found.pattern().as_usize()] else { continue };
                if at < found.start() {
                    f(Piece::Text(&text[at..found.start()]))?;
                }
                f(Piece::Added(id, &text[found.range()]))?;
                at = found.end();
            }
        }
        if at < text.len() { f(Piece::Text(&text[at..])) } else { Continue(()) }
    }
}
