//! The pieces of a message: what `unit="sentence"` may keep of it without the rest, with their tokens.

use std::ops::Range;

use super::sentences::each_sentence;
use crate::cut::CUT_KEY;
use crate::json::Document;
use crate::message::{Message, Part, Role};
use crate::tokens::Tokenizer;
use crate::tokens::slices::{Borders, SliceTokens, measure};

/// A part of a message's text that can stay without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Which of the message's parts holds it.
    pub(crate) part: u32,
    /// Its place in that part's text, white space around it not included.
    pub(crate) start: u32,
    /// One past its last byte.
    pub(crate) end: u32,
    pub(crate) tokens: SliceTokens,
}

impl Piece {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// What it costs alone, without marks.
    pub(crate) fn alone(&self) -> u32 {
        self.tokens.lead + self.tokens.inner + self.tokens.trail
    }
}

/// How a message may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all.
    Whole,
    /// Between the sentences of its texts.
    Text,
    /// Between the values of its JSON text.
    Json,
}

/// Counts a message by its pieces.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    pub(crate) form: Form,
    pub(crate) list: Vec<Piece>,
    /// Tokens of the whole message.
    pub(crate) tokens: u64,
    /// Bytes and tokens of the speaker's name at the beginning of the first piece, as in "Ana: hello".
    pub(crate) label_bytes: usize,
    pub(crate) label_tokens: u32,
}

/// Texts longer than this are not cut: places in them are 32 bits wide.
const MAX_BYTES: usize = u32::MAX as usize;

impl Pieces {
    /// Cost: one count of the message's text.
    pub(crate) fn of(message: &Message, tokenizer: &Tokenizer) -> Self {
        let mut list: Vec<Piece> = Vec::new();
        let mut form = form_of(message);
        let json = if form == Form::Text { json_of(message) } else { None };
        if let Some((_, can_be_cut)) = json {
            form = if can_be_cut { Form::Json } else { Form::Whole };
        }
        let (mut places, mut slices) = (Vec::new(), Vec::new());
        let tokens = message.tokens_by(tokenizer, |part, text| {
            if text.len() > MAX_BYTES {
                form = Form::Whole;
                return tokenizer.count(text) as u64;
            }
            places.clear();
            let borders = match form {
                Form::Json => {
                    places.extend(
                        json.iter().flat_map(|(json, _)| (0..json.leaf_count()).map(|leaf| json.leaf_span(leaf))),
                    );
                    Borders::AsTheyStand
                }
                Form::Text | Form::Whole => {
                    each_sentence(text, |place| places.push(place));
                    Borders::Measured
                }
            };
            let tokens = measure(tokenizer, text, &places, borders, &mut slices);
            let place_of =
                |range: &Range<usize>| [range.start, range.end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
            list.extend(places.iter().zip(&slices).map(|(range, &tokens)| {
                let [start, end] = place_of(range);
                Piece { part, start, end, tokens }
            }));
            tokens as u64
        });
        let label = label(message);
        let label_tokens = if label.is_empty() { 0 } else { tokenizer.count(label) };
        Self {
            form,
            list,
            tokens,
            label_bytes: label.len(),
            label_tokens: u32::try_from(label_tokens).unwrap_or(u32::MAX),
        }
    }
}

/// A tool's result that is one JSON object or array, and whether values can be cut out of it.
fn json_of(message: &Message) -> Option<(Document, bool)> {
    let (Role::Tool, [Part::Text(text)]) = (message.role, message.parts.as_slice()) else { return None };
    if !text.trim_ascii_start().starts_with(['{', '[']) {
        return None;
    }
    let json = Document::parse(text)?;
    let can_be_cut = json.can_be_cut(text, CUT_KEY);
    Some((json, can_be_cut))
}

/// The same, of a message of the form [`Form::Json`].
pub(crate) fn data_of(message: &Message) -> Option<Document> {
    json_of(message).filter(|(_, can_be_cut)| *can_be_cut).map(|(json, _)| json)
}

/// The beginning of a text that says who speaks, as the message's name does.
fn label(message: &Message) -> &str {
    let (Some(name), Some(text)) = (&message.name, message.texts().next()) else { return "" };
    let text = text.trim_start();
    let Some(end) = text.find([':', '：']).filter(|&end| end <= 2 * name.len() + 8) else { return "" };
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    if letters(&text[..end]) != letters(name) {
        return "";
    }
    &text[..end + text[end..].chars().next().map_or(0, char::len_utf8)]
}

/// What stands in for a lone surrogate. Its text cannot be cut here: only the caller's own object has the real character.
const SURROGATE: char = '\u{FFFD}';

fn form_of(message: &Message) -> Form {
    let is_cut = !message.role.is_instruction()
        && (message.role == Role::Tool || message.tool_calls.is_empty())
        && message.parts.iter().any(|part| matches!(part, Part::Text(text) if !text.is_empty()))
        && !message.texts().any(|text| text.contains(SURROGATE));
    if is_cut { Form::Text } else { Form::Whole }
}
