//! Exact token counting, offline.
//!
//! [`Tokenizer::named`] opens a vocabulary inside the package, [`Tokenizer::from_json`] a model's own `tokenizer.json`. Both
//! give the very counts of the library that defines them: tiktoken's `encode_ordinary`, or `tokenizers` without special tokens.
//! Special tokens written in a text are ordinary text unless a caller allows them, so nobody can smuggle one in.

mod added;
mod block;
mod bpe;
mod cache;
mod chat;
mod classes;
mod counter;
mod hf;
mod image;
mod merge;
mod models;
mod pattern;
mod scan;
mod seams;
pub(crate) mod slices;
mod split;
mod stream;
mod tools;
mod truncate;
mod vocab;
mod words;

use std::borrow::Cow;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, OnceLock};

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{Error, Result};
use added::Added;
pub use added::Specials;
use bpe::Bpe;
pub use chat::ChatRule;
use counter::Counter;
pub use image::{ImageRule, ImageSize};
use scan::{Family, Scanner};
use split::Split;
pub use stream::TokenStream;
pub use tools::{Declaration, Tool, ToolForm, ToolRule};
pub use truncate::Side;

/// Counts, encodes and cuts texts as one model does. Cheap to share: all state is read-only.
#[derive(Debug)]
pub struct Tokenizer {
    name: String,
    bpe: Arc<Bpe>,
    split: Split,
    /// Texts are brought to Unicode's composed form first.
    nfc: bool,
    added: Added,
    chat: &'static ChatRule,
    /// Whether the splitting is that of an encoding in the package. No piece of theirs has a blank but at its beginning.
    is_published: bool,
}

/// What a text is cut into before merging.
enum Piece<'t> {
    /// Ordinary text, from the splitter.
    Text(&'t str),
    /// A token that is matched as a whole before anything else.
    Added(u32, &'t str),
}

impl Tokenizer {
    /// The tokenizer of an encoding or a model.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the name is unknown.
    pub fn named(name: &str) -> Result<Arc<Self>> {
        static O200K: OnceLock<Arc<Tokenizer>> = OnceLock::new();
        static CL100K: OnceLock<Arc<Tokenizer>> = OnceLock::new();
        static HARMONY: OnceLock<Arc<Tokenizer>> = OnceLock::new();
        let Some(encoding) = models::encoding_of(name) else {
            let shown: String = name.chars().take(60).collect();
            return Err(Error::Tokenizer(format!(
                "unknown tokenizer {shown:?}; give one of {}, an OpenAI model's name, or the path of the model's tokenizer.json",
                models::ENCODINGS.join(", ")
            )));
        };
        let (cell, bpe, family): (_, fn() -> Arc<Bpe>, _) = match encoding {
            "cl100k_base" => (&CL100K, vocab::cl100k, Family::Cl100k),
            "o200k_base" => (&O200K, vocab::o200k, Family::O200k),
            _ => (&HARMONY, vocab::o200k, Family::O200k),
        };
        Ok(Arc::clone(cell.get_or_init(|| {
            Arc::new(Self {
                name: encoding.to_owned(),
                bpe: bpe(),
                split: Split::of_family(family),
                nfc: false,
                added: Added::special(models::special_tokens(encoding)),
                chat: chat::of_encoding(encoding),
                is_published: true,
            })
        })))
    }

    /// Read a Hugging Face `tokenizer.json` with a byte-level BPE model; `name` is what [`Tokenizer::name`] says.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file is damaged, or holds anything that would make a count differ.
    pub fn from_json(json: &[u8], name: &str) -> Result<Self> {
        hf::read(json, name)
    }

    /// The encoding's name, or what [`Tokenizer::from_json`] was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What chat messages cost besides their text.
    pub fn chat(&self) -> &ChatRule {
        self.chat
    }

    /// Number of tokens of a text, all of it ordinary text.
    pub fn count(&self, text: &str) -> usize {
        self.count_allowing(text, Specials::Text)
    }

    /// The same, with these special tokens taken as such where they are written; see [`Tokenizer::check_specials`].
    pub fn count_allowing(&self, text: &str, specials: Specials<'_>) -> usize {
        if let Some(scanner) = self.scanner(specials) {
            let mut counter = Counter::new(&self.bpe, text.as_bytes());
            let _ = scanner.each(text, |start, end| {
                counter.push(start, end);
                Continue::<()>(())
            });
            return counter.finish();
        }
        let mut n = 0;
        self.each(text, specials, &mut |piece| {
            n += self.count_piece(&piece);
            Continue::<()>(())
        });
        n
    }

    /// Number of tokens of each text, by up to `n_threads` threads and no more than there are processors.
    ///
    /// Cost: that of [`Tokenizer::count`]; each thread has some of the texts, about as many bytes as the others.
    pub fn count_batch<T: AsRef<str> + Sync>(&self, texts: &[T], n_threads: usize) -> Vec<usize> {
        let count = |texts: &[T]| texts.iter().map(|text| self.count(text.as_ref())).collect::<Vec<_>>();
        let n_threads = n_threads.min(std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let n_bytes: usize = texts.iter().map(|text| text.as_ref().len()).sum();
        let (mut shares, mut start, mut filled) = (Vec::new(), 0, 0);
        for (i, text) in texts.iter().enumerate() {
            filled += text.as_ref().len();
            if filled > n_bytes / n_threads || i + 1 == texts.len() {
                shares.push(&texts[start..=i]);
                (start, filled) = (i + 1, 0);
            }
        }
        let Some((last, others)) = shares.split_last() else { return Vec::new() };
        std::thread::scope(|scope| {
            let spawn = |texts| std::thread::Builder::new().spawn_scoped(scope, move || count(texts));
            let threads: Vec<_> = others.iter().map(|texts| (*texts, spawn(texts))).collect();
            let last = count(last);
            // Where the system gives no thread, this one counts.
            let counts =
                threads.into_iter().map(|(texts, thread)| match thread.map(std::thread::ScopedJoinHandle::join) {
                    Ok(Ok(counts)) => counts,
                    _ => count(texts),
                });
            let mut counts: Vec<usize> = counts.flatten().collect();
            counts.extend(last);
            counts
        })
    }

    /// Refuses special tokens that cannot be allowed.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a token is unknown, is not special, or takes blanks around it.
    pub fn check_specials(&self, specials: Specials<'_>) -> Result<()> {
        self.added.check(specials)
    }

    /// Number of tokens of a text, or `None` as soon as it is known to be over `limit`.
    pub fn count_within(&self, text: &str, limit: usize) -> Option<usize> {
        let mut n = 0;
        let over = self.each(text, Specials::Text, &mut |piece| {
            n += self.count_piece_within(&piece, limit - n);
            if n > limit { Break(()) } else { Continue(()) }
        });
        over.is_none().then_some(n)
    }

    /// The tokens of a text, all of it ordinary text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_allowing(text, Specials::Text)
    }

    /// The same, with these special tokens taken as such where they are written; see [`Tokenizer::check_specials`].
    pub fn encode_allowing(&self, text: &str, specials: Specials<'_>) -> Vec<u32> {
        let mut ids = Vec::new();
        self.each(text, specials, &mut |piece| {
            match piece {
                Piece::Text(text) => self.bpe.encode(text.as_bytes(), &mut ids),
                Piece::Added(id, _) => ids.push(id),
            }
            Continue::<()>(())
        });
        ids
    }

    /// The text of tokens. Bytes that are no UTF-8, as when a character is cut, become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            bytes.extend_from_slice(self.bytes_of(id)?);
        }
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The bytes of a token: part of a text, and of a character perhaps.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the id is not in the vocabulary.
    pub fn bytes_of(&self, id: u32) -> Result<&[u8]> {
        let token = self.added.content_of(id).map_or_else(|| self.bpe.bytes_of(id), str::as_bytes);
        if token.is_empty() {
            return Err(Error::Tokenizer(format!("token {id} is not in the vocabulary of {}", self.name)));
        }
        Ok(token)
    }

    /// The longest prefix or suffix that is cheap to find, ends at a character and has at most `max_tokens` tokens. It is cut
    /// inside a word where a token ends; never over the limit, and now and then a token or two under what would fit.
    pub fn truncate<'t>(&self, text: &'t str, max_tokens: usize, side: Side) -> &'t str {
        truncate::truncate(self, text, max_tokens, side)
    }

    fn count_piece(&self, piece: &Piece<'_>) -> usize {
        match piece {
            Piece::Text(text) => self.bpe.count(text.as_bytes()),
            Piece::Added(..) => 1,
        }
    }

    /// The same, or any number over `room` once it is known to be over.
    fn count_piece_within(&self, piece: &Piece<'_>, room: usize) -> usize {
        match piece {
            // A token has at most so many bytes: a huge piece need not be merged to know that it is too long.
            Piece::Text(text) if text.len() / self.bpe.max_len() > room => room.saturating_add(1),
            _ => self.count_piece(piece),
        }
    }

    /// What cuts a text into pieces, if nothing else has to be done to it.
    fn scanner(&self, specials: Specials<'_>) -> Option<Scanner> {
        self.split.scanner().filter(|_| self.added.is_plain(specials) && !self.nfc)
    }

    /// The last place from `from` on up to which a text can be counted apart from what follows, whatever that is.
    fn last_border(&self, text: &str, from: usize) -> Option<usize> {
        let is_plain = self.added.is_plain(Specials::Text) && !self.nfc;
        // No added token may begin before the border and end behind it, and nothing may compose across it.
        let may_begin =
            |c: char| is_plain || !c.is_alphabetic() && self.added.is_foreign(c) && is_nfc(c.encode_utf8(&mut [0; 4]));
        self.split.scanner()?.last_border(text, from, may_begin)
    }

    /// Call `f` with each piece in order until it breaks, and return what it broke with.
    fn each<B>(
        &self,
        text: &str,
        specials: Specials<'_>,
        f: &mut impl FnMut(Piece<'_>) -> ControlFlow<B>,
    ) -> Option<B> {
        let flow = if self.added.is_plain(specials) && !self.nfc {
            self.split.each(text, &mut |piece| f(Piece::Text(piece)))
        } else {
            self.added.each_raw(text, specials, &mut |part| match part {
                Piece::Text(part) => {
                    let part = self.composed(part);
                    self.added.each_normalised(&part, specials, &mut |part| match part {
                        Piece::Text(part) => self.split.each(part, &mut |piece| f(Piece::Text(piece))),
                        Piece::Added(..) => f(part),
                    })
                }
                Piece::Added(..) => f(part),
            })
        };
        flow.break_value()
    }

    /// Whether the pieces of a text are slices of it.
    fn keeps(&self, text: &str) -> bool {
        !self.nfc || is_nfc(text)
    }

    fn composed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.keeps(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
    }
}

#[cfg(test)]
mod tests;
