//! Read a Hugging Face `tokenizer.json` whose model is byte-level BPE: GPT-2, Llama 3, Qwen, DeepSeek and their like.
//!
//! Everything that decides a count is either understood exactly or refused by name. What does not: `post_processor` and
//! `decoder` (special tokens around a text are not counted), `truncation` and `padding`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use super::added::{Added, Entry};
use super::bpe::{Bpe, ID_BITS, Tokens, Wholes};
use super::scan::{Family, Scanner};
use super::split::{Gaps, Matcher, Split, Stage};
use super::{Tokenizer, chat, pattern};
use crate::{Error, Result};

/// More pre-tokenisers than any model has; they are applied one inside the other.
const MAX_STAGES: usize = 16;

/// A tokenizer.json, while it is read.
struct Reader<'n> {
    name: &'n str,
}

pub(super) fn read(json: &[u8], name: &str) -> Result<Tokenizer> {
    let reader = Reader { name };
    let file: Value = serde_json::from_slice(json).map_err(|error| reader.damaged(&error.to_string()))?;
    let model = file.get("model").and_then(Value::as_object).ok_or_else(|| reader.damaged("no object `model`"))?;
    reader.check_model(model)?;
    let nfc = reader.normaliser(&file["normalizer"])?;
    let mut stages = Vec::new();
    if !reader.pre_tokeniser(&file["pre_tokenizer"], &mut stages)? {
        return Err(reader.refuse("a pre_tokenizer without ByteLevel"));
    }
    let bpe = Arc::new(reader.bpe(model)?);
    let compose = |text: &str| if nfc { text.nfc().collect() } else { text.to_owned() };
    let added = Added::new(reader.added(&file["added_tokens"])?, compose).map_err(|e| reader.refuse(&e.to_string()))?;
    let chat = chat::of_special_tokens(|token| added.holds(token));
    Ok(Tokenizer { name: name.to_owned(), bpe, split: Split::new(stages), nfc, added, chat, is_published: false })
}

/// The type a part of the file declares.
fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or("nothing")
}

fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(_) => false,
    }
}

impl Reader<'_> {
    fn damaged(&self, what: &str) -> Error {
        Error::Tokenizer(format!("{} is not a whole tokenizer.json: {what}; fetch the file again", self.name))
    }

    fn refuse(&self, what: &str) -> Error {
        Error::Tokenizer(format!(
            "{} cannot be counted exactly: it has {what}; only byte-level BPE is supported (GPT-2, Llama 3, Qwen, DeepSeek), \
             so count with the nearest of cl100k_base and o200k_base and leave a margin",
            self.name
        ))
    }

    fn check_model(&self, model: &Map<String, Value>) -> Result<()> {
        match model.get("type").and_then(Value::as_str) {
            Some("BPE") => {}
            None if model.contains_key("merges") => {}
            other => return Err(self.refuse(&format!("the model type {}", other.unwrap_or("nothing")))),
        }
        // `unk_token` is no obstacle: all 256 bytes are required, so nothing is ever unknown.
        for option in ["dropout", "byte_fallback", "continuing_subword_prefix", "end_of_word_suffix"] {
            if !is_unset(model.get(option)) {
                return Err(self.refuse(&format!("the model option {option}")));
            }
        }
        Ok(())
    }

    /// Whether texts are brought to NFC.
    fn normaliser(&self, part: &Value) -> Result<bool> {
        match (part, kind(part)) {
            (Value::Null, _) => Ok(false),
            (_, "NFC") => Ok(true),
            (_, "Sequence") => {
                let mut nfc = false;
                for part in part["normalizers"].as_array().ok_or_else(|| self.damaged("no list `normalizers`"))? {
                    nfc |= match kind(part) {
                        "NFC" => true,
                        other => return Err(self.refuse(&format!("the normalizer {other}"))),
                    };
                }
                Ok(nfc)
            }
            (_, other) => Err(self.refuse(&format!("the normalizer {other}"))),
        }
    }

    /// Append the stages of a pre-tokeniser; whether it ends in the byte alphabet.
    fn pre_tokeniser(&self, part: &Value, stages: &mut Vec<Stage>) -> Result<bool> {
        let compile = |source: &str, gives_back, gaps| {
            let matcher = Matcher::new(source, gives_back, gaps);
            matcher.map(Stage::Match).map_err(|_| self.refuse("a split pattern that does not compile"))
        };
        match kind(part) {
            "ByteLevel" => {
                // `tokenizers` requires the option, so a file without it is refused as well.
                if part["add_prefix_space"] != Value::Bool(false) {
                    return Err(self.refuse("ByteLevel with add_prefix_space"));
                }
                if part["use_regex"] != Value::Bool(false) {
                    stages.push(Stage::Scan(Scanner::new(Family::Gpt2)));
                }
                return Ok(true);
            }
            "Digits" => {
                let pattern = if part["individual_digits"] == Value::Bool(true) { r"\p{N}" } else { r"\p{N}+" };
                stages.push(compile(pattern, false, Gaps::Keep)?);
            }
            "Split" => {
                let gaps = match (part["behavior"].as_str(), part["invert"].as_bool().unwrap_or(false)) {
                    (Some("Isolated"), false) => Gaps::Keep,
                    (Some("Removed"), true) => Gaps::Drop,
                    (behaviour, invert) => {
                        let behaviour = behaviour.unwrap_or("nothing");
                        return Err(self.refuse(&format!("a Split with behavior {behaviour}, invert {invert}")));
                    }
                };
                if let Some(text) = part["pattern"]["String"].as_str().filter(|text| !text.is_empty()) {
                    stages.push(compile(&escaped(text), false, gaps)?);
                } else if let Some(regex) = part["pattern"]["Regex"].as_str() {
                    let refuse = |why: String| self.refuse(&format!("a split pattern with {why}"));
                    let vetted = pattern::vet(regex).map_err(refuse)?;
                    if pattern::may_be_empty(vetted.pattern) {
                        return Err(self.refuse("a split pattern that matches the empty string"));
                    }
                    // A family's pattern leaves no gaps.
                    match Family::of_pattern(vetted.pattern).filter(|_| vetted.gives_back) {
                        Some(family) => stages.push(Stage::Scan(Scanner::new(family))),
                        None => stages.push(compile(vetted.pattern, vetted.gives_back, gaps)?),
                    }
                } else {
                    return Err(self.damaged("a Split without a pattern"));
                }
            }
            "Sequence" => {
                let parts = part["pretokenizers"].as_array().ok_or_else(|| self.damaged("no list `pretokenizers`"))?;
                for (i, part) in parts.iter().enumerate() {
                    if kind(part) == "Sequence" {
                        return Err(self.refuse("a Sequence inside a Sequence"));
                    }
                    if self.pre_tokeniser(part, stages)? {
                        let is_last = i + 1 == parts.len();
                        return if is_last { Ok(true) } else { Err(self.refuse("a pre_tokenizer after ByteLevel")) };
                    }
                    if stages.len() > MAX_STAGES {
                        return Err(self.refuse(&format!("more than {MAX_STAGES} pre_tokenizers")));
                    }
                }
            }
            other => return Err(self.refuse(&format!("the pre_tokenizer {other}"))),
        }
        Ok(false)
    }

    fn bpe(&self, model: &Map<String, Value>) -> Result<Bpe> {
        let vocab = model.get("vocab").and_then(Value::as_object).ok_or_else(|| self.damaged("no object `vocab`"))?;
        let merges = model.get("merges").and_then(Value::as_array).ok_or_else(|| self.damaged("no list `merges`"))?;
        let alphabet = alphabet();
        let mut tokens = Tokens::with_capacity(vocab.len(), vocab.len() * 8);
        let mut ids: HashMap<&str, u32> = HashMap::with_capacity(vocab.len());
        let mut byte_ids = [u32::MAX; 256];
        let mut spelled = Vec::with_capacity(vocab.len());
        let mut bytes = Vec::new();
        for (token, id) in vocab {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| id >> ID_BITS == 0);
            let id = id.ok_or_else(|| self.damaged("a token's id is no number under 2097152"))?;
            bytes.clear();
            bytes.extend(token.chars().map_while(|c| alphabet.get(&c)));
            let is_spelled = bytes.len() == token.chars().count();
            if !tokens.insert(id as usize, if is_spelled { &bytes } else { token.as_bytes() }) {
                return Err(self.damaged(&format!("token {id} is empty or there twice")));
            }
            if is_spelled {
                spelled.push(id);
                if let [byte] = bytes[..] {
                    byte_ids[byte as usize] = id;
                }
            }
            ids.insert(token, id);
        }
        if let Some(byte) = byte_ids.iter().position(|&id| id == u32::MAX) {
            return Err(self.refuse(&format!("no token for the byte {byte:#04x}, which would be unknown (unk_token)")));
        }
        let mut joined = String::new();
        let mut triples = Vec::with_capacity(merges.len());
        for (rank, merge) in merges.iter().enumerate() {
            let pair = match merge {
                Value::String(pair) => pair.split_once(' '),
                Value::Array(pair) => match pair.as_slice() {
                    [left, right] => left.as_str().zip(right.as_str()),
                    _ => None,
                },
                _ => None,
            };
            let triple = pair.and_then(|(left, right)| {
                joined.clear();
                joined.push_str(left);
                joined.push_str(right);
                Some([*ids.get(left)?, *ids.get(right)?, *ids.get(joined.as_str())?])
            });
            triples.push(triple.ok_or_else(|| self.damaged(&format!("merge {rank} is no pair of tokens")))?);
        }
        if triples.len() >> ID_BITS != 0 {
            return Err(self.refuse("more than 2097151 merges"));
        }
        // A piece that is a whole token is that token only where merging would end there too, unless the file says otherwise.
        let ignores_merges = model.get("ignore_merges") == Some(&Value::Bool(true));
        let wholes = if ignores_merges { Wholes::Always } else { Wholes::Merged };
        Ok(Bpe::new(tokens, &byte_ids, &triples, spelled.into_iter(), wholes))
    }

    fn added(&self, part: &Value) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut kinds: HashMap<&str, (bool, bool)> = HashMap::new();
        let tokens = match part {
            Value::Null => &[],
            Value::Array(tokens) => tokens.as_slice(),
            _ => return Err(self.damaged("added_tokens that is no list")),
        };
        for token in tokens {
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(content)) = (id, token["content"].as_str()) else {
                return Err(self.damaged("an added token without id or content"));
            };
            let is_special = token["special"] == Value::Bool(true);
            let bent = ["single_word", "lstrip", "rstrip"].into_iter().find(|&flag| token[flag] == Value::Bool(true));
            if let Some(flag) = bent.filter(|_| !is_special) {
                return Err(self.refuse(&format!("an added token with {flag}")));
            }
            let takes_blanks = bent.is_some();
            // `tokenizers` passes over an empty token, whatever its id.
            if content.is_empty() {
                continue;
            }
            let is_normalised = token["normalized"].as_bool().unwrap_or(!is_special);
            // Twice the same is once; otherwise it depends on their order what `tokenizers` makes of both.
            let kind = (is_special, is_normalised);
            if *kinds.entry(content).or_insert(kind) != kind {
                return Err(self.damaged(&format!("the added token {id} is there twice, as different things")));
            }
            entries.push(Entry { id, content: content.to_owned(), is_special, is_normalised, takes_blanks });
        }
        Ok(entries)
    }
}

/// GPT-2's alphabet: each byte as one printable character. Printable Latin-1 stands for itself, the others follow U+0100 on.
fn alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    let mut spell = |byte: u8| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        _ => {
            next += 1;
            char::from_u32(next - 1).expect("68 letters from U+0100 on")
        }
    };
    (0..=u8::MAX).map(|byte| (spell(byte), byte)).collect()
}

/// A pattern that matches just `text`. A backslash before `<` or `>` would make an anchor of it.
fn escaped(text: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_punctuation() || matches!(c, '<' | '>');
    text.chars().flat_map(|c| ['\\', c].into_iter().skip(usize::from(is_plain(c)))).collect()
}

#[cfg(test)]
#[path = "hf_tests.rs"]
mod tests;
