//! The count of a text that comes in parts: only what is still open is counted again.
//!
//! Where a word ends and a blank or punctuation begins, a piece ends whatever follows, and what stands before is as it will be. So
//! all up to the last such place is counted once and forgotten. In Chinese that is a clause. Where a tokenizer.json adds tokens or
//! composes characters, such a place is one that neither can reach over. One that splits by a pattern of its own has no such places:
//! its whole text is kept, and counted at each look.

use std::sync::Arc;

use super::Tokenizer;

/// A growing text and its exact number of tokens.
#[derive(Debug)]
pub struct TokenStream {
    tokenizer: Arc<Tokenizer>,
    /// Tokens of what is settled.
    settled: usize,
    /// The text behind that.
    open: String,
    /// Tokens of `open`, once somebody asked.
    open_tokens: Option<usize>,
}

impl TokenStream {
    /// An empty text.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, settled: 0, open: String::new(), open_tokens: Some(0) }
    }

    /// Add to the end of the text; all of it is ordinary text.
    ///
    /// Cost: linear in the part and what was open; the text itself is kept only as far as it is open.
    pub fn append(&mut self, part: &str) {
        if part.is_empty() {
            return;
        }
        let seen = self.open.len();
        self.open.push_str(part);
        self.open_tokens = None;
        if let Some(border) = self.tokenizer.last_border(&self.open, seen) {
            self.settled += self.tokenizer.count(&self.open[..border]);
            self.open.drain(..border);
        }
    }

    /// Bytes that the next look counts, if nobody has looked since the last append.
    pub fn open_bytes(&self) -> usize {
        self.open.len()
    }

    /// Number of tokens of the text so far: what [`Tokenizer::count`] says of all of it.
    ///
    /// Cost: one count of what is open, at the first look after an append.
    pub fn tokens(&mut self) -> usize {
        let open = *self.open_tokens.get_or_insert_with(|| self.tokenizer.count(&self.open));
        self.settled + open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts() -> impl Strategy<Value = Vec<String>> {
        let part = prop::sample::select(vec![
            "a", "Ab", "the ", " of", "'", "s", "'ll", "12", "3456", ".", "! ", "\n", "\r\n", "  ", " \n ", "\t", "你",
            "好，", "。", "「", "é", "\u{301}", "ǅ", "🙂", "\u{200d}", "/", "//", "", "٣", "क", "\u{94d}", "\u{3000}",
            "\u{a0}",
        ]);
        prop::collection::vec(prop_oneof![3 => part.prop_map(str::to_owned), 1 => ".{0,12}"], 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn every_look_gives_the_count_of_all_so_far(parts in parts(), look_at in prop::collection::vec(any::<bool>(), 40)) {
            for name in ["o200k_base", "cl100k_base"] {
                let tokenizer = Tokenizer::named(name).unwrap();
                let (mut stream, mut text) = (TokenStream::new(Arc::clone(&tokenizer)), String::new());
                for (part, look) in parts.iter().zip(&look_at) {
                    stream.append(part);
                    text += part;
                    prop_assert!(!look || stream.tokens() == tokenizer.count(&text), "{} {:?}", name, text);
                }
                prop_assert_eq!(stream.tokens(), tokenizer.count(&text));
            }
        }
    }

    #[test]
    fn what_is_settled_is_not_kept() {
        let mut stream = TokenStream::new(Tokenizer::named("gpt-4o").unwrap());
        for _ in 0..1000 {
            stream.append("and so on, 以此类推，");
            assert!(stream.open.len() < 30, "{:?}", stream.open);
        }
        assert_eq!(stream.tokens(), stream.tokenizer.count(&"and so on, 以此类推，".repeat(1000)));
    }
}
