//! Small files of the form of a tokenizer.json, whole or damaged in places.

use std::collections::HashSet;

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

/// Spelled letters of GPT-2's alphabet that merges begin with: a space is `U+0120` there, a line end `U+010A`.
const LETTERS: [&str; 16] =
    ["a", "b", "c", "\u{120}", "\u{10a}", "e", "\u{cc}", "\u{123}", "\u{c3}", "\u{a9}", "1", "2", "'", "s", "T", "h"];

const PATTERNS: [&str; 8] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!-/:-~]?[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    r"[\x{4E00}-\x{9FA5}]+",
    "[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}]+",
    r"\s+(?!\S)|\s+",
    r"[abc]+",
    r"'s|'t| ?\p{L}+| ?\p{N}+|\s+(?!\S)|\s",
];

const FRAGMENTS: [&str; 52] = [
    "a",
    "b",
    " ",
    "ab",
    "\u{e9}",
    "'",
    "|",
    "|",
    "(",
    ")",
    "(?:",
    "(?i:",
    "*",
    "+",
    "?",
    "+?",
    "??",
    "{2}",
    "{1,3}",
    "{2,}",
    ".",
    r"\s",
    r"\S",
    r"\d",
    r"\D",
    r"\n",
    r"\r",
    r"\t",
    r"\/",
    r"\.",
    r"\u00e9",
    r"\p{L}",
    r"\P{L}",
    r"\p{N}",
    r"\p{Lu}",
    r"\p{Han}",
    r"[^\s\p{L}]",
    "[a-c]",
    r"[^a\n-]",
    "[-a ]",
    "s",
    "S",
    "st",
    "ss",
    "\u{df}",
    "\u{17f}",
    "fi",
    "k",
    "i",
    "[st]",
    "[^k]",
    r"\p{Ll}",
];

const WORDS: [&str; 34] = [
    "type",
    "BPE",
    "NFC",
    "Sequence",
    "ByteLevel",
    "Split",
    "Digits",
    "normalizers",
    "pretokenizers",
    "pattern",
    "Regex",
    "String",
    "behavior",
    "Isolated",
    "Removed",
    "invert",
    "add_prefix_space",
    "use_regex",
    "individual_digits",
    "id",
    "content",
    "special",
    "normalized",
    "single_word",
    "lstrip",
    "rstrip",
    "a b",
    "ab c",
    "ab",
    "a",
    "",
    "vocab",
    "merges",
    "\u{120}a",
];

const PLACES: [&str; 18] = [
    "/normalizer",
    "/pre_tokenizer",
    "/added_tokens",
    "/post_processor",
    "/truncation",
    "/padding",
    "/model/type",
    "/model/vocab",
    "/model/merges",
    "/model/dropout",
    "/model/byte_fallback",
    "/model/unk_token",
    "/model/ignore_merges",
    "/model/continuing_subword_prefix",
    "/model/end_of_word_suffix",
    "/model/fuse_unk",
    "/model/vocab/a",
    "/model/vocab/ab",
];

fn pick<'p>(list: &[&'p str], i: u8) -> &'p str {
    list[usize::from(i) % list.len()]
}

/// A file, by its parts.
#[derive(Arbitrary, Debug)]
pub(crate) struct File<'a> {
    normaliser: Normaliser,
    stages: Vec<Stage<'a>>,
    uses_regex: bool,
    ignore_merges: bool,
    merges_are_pairs: bool,
    merges: Vec<(u8, u8)>,
    /// Tokens that nothing merges to.
    unreached: Vec<(u8, u8)>,
    added: Vec<AddedToken<'a>>,
    replaced: Option<(u8, Any<'a>)>,
    /// Bytes of the text of the file: where, and what is there instead.
    damaged: Option<(u16, &'a [u8])>,
}

#[derive(Arbitrary, Debug)]
enum Normaliser {
    None,
    Nfc,
    Sequence(bool),
}

#[derive(Arbitrary, Debug)]
enum Stage<'a> {
    Digits(bool),
    Text(&'a str),
    Known(u8, Behaviour),
    Fragments(Vec<u8>, Behaviour),
    Regex(&'a str, Behaviour),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Behaviour {
    Isolated,
    RemovedInverted,
    Other(u8, bool),
}

#[derive(Arbitrary, Debug)]
struct AddedToken<'a> {
    content: crate::text::Text<'a>,
    is_special: bool,
    is_normalised: Option<bool>,
    /// Instead of the next free one.
    id: Option<u16>,
}

#[derive(Arbitrary, Debug)]
enum Any<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Float(f64),
    Word(u8),
    Text(&'a str),
    List(Vec<Any<'a>>),
    Object(Vec<(u8, Any<'a>)>),
}

impl Any<'_> {
    fn build(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => json!(is),
            Self::Int(number) => json!(number),
            Self::Float(number) => json!(number),
            Self::Word(i) => json!(pick(&WORDS, *i)),
            Self::Text(text) => json!(text),
            Self::List(items) => items.iter().map(Self::build).collect(),
            Self::Object(items) => {
                items.iter().map(|(key, item)| (pick(&WORDS, *key).to_owned(), item.build())).collect()
            }
        }
    }
}

impl Stage<'_> {
    fn build(&self) -> Value {
        match self {
            Self::Digits(individual) => json!({"type": "Digits", "individual_digits": individual}),
            Self::Text(text) => split(&json!({"String": text}), Behaviour::Isolated),
            Self::Known(i, behaviour) => split(&json!({"Regex": pick(&PATTERNS, *i)}), *behaviour),
            Self::Fragments(parts, behaviour) => {
                let regex: String = parts.iter().map(|i| pick(&FRAGMENTS, *i)).collect();
                split(&json!({"Regex": regex}), *behaviour)
            }
            Self::Regex(regex, behaviour) => split(&json!({"Regex": regex}), *behaviour),
        }
    }
}

fn split(pattern: &Value, behaviour: Behaviour) -> Value {
    let (behaviour, invert) = match behaviour {
        Behaviour::Isolated => ("Isolated", false),
        Behaviour::RemovedInverted => ("Removed", true),
        Behaviour::Other(i, invert) => {
            (pick(&["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"], i), invert)
        }
    };
    json!({"type": "Split", "pattern": pattern, "behavior": behaviour, "invert": invert})
}

/// GPT-2's alphabet: each byte as one printable character.
fn alphabet() -> impl Iterator<Item = char> {
    let is_itself = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    (0..=u8::MAX).filter(is_itself).map(char::from).chain(('\u{100}'..).take(68))
}

impl File<'_> {
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut file = self.whole();
        if let Some((place, value)) = &self.replaced {
            let (parent, key) = pick(&PLACES, *place).rsplit_once('/').expect("places begin with a slash");
            if let Some(Value::Object(parent)) = file.pointer_mut(parent) {
                parent.insert(key.to_owned(), value.build());
            }
        }
        let mut json = file.to_string().into_bytes();
        if let Some((at, bytes)) = self.damaged {
            let at = usize::from(at) % json.len();
            let end = (at + bytes.len()).min(json.len());
            json.splice(at..end, bytes.iter().copied());
        }
        json
    }

    fn whole(&self) -> Value {
        let mut vocab: Map<String, Value> = alphabet().zip(0..).map(|(c, id)| (c.into(), json!(id))).collect();
        let mut tokens: Vec<String> = LETTERS.map(str::to_owned).to_vec();
        let mut merges = Vec::new();
        let pairs = self.merges.iter().map(|pair| (pair, true));
        for (&(left, right), is_merge) in pairs.chain(self.unreached.iter().map(|pair| (pair, false))) {
            let [left, right] = [left, right].map(|i| tokens[usize::from(i) % tokens.len()].clone());
            let joined = format!("{left}{right}");
            if joined.len() > 300 {
                continue;
            }
            let id = vocab.len();
            vocab.entry(joined.clone()).or_insert(json!(id));
            if is_merge {
                let merge = format!("{left} {right}");
                merges.push(if self.merges_are_pairs { json!([left, right]) } else { json!(merge) });
                tokens.push(joined);
            }
        }
        let normaliser = match self.normaliser {
            Normaliser::None => Value::Null,
            Normaliser::Nfc => json!({"type": "NFC"}),
            Normaliser::Sequence(false) => json!({"type": "Sequence", "normalizers": []}),
            Normaliser::Sequence(true) => json!({"type": "Sequence", "normalizers": [{"type": "NFC"}]}),
        };
        let mut stages: Vec<Value> = self.stages.iter().map(Stage::build).collect();
        stages.push(json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": self.uses_regex,
        }));
        let added: Vec<Value> = self.added.iter().zip(vocab.len()..).map(|(token, id)| token.build(id)).collect();
        json!({
            "version": "1.0",
            "added_tokens": added,
            "normalizer": normaliser,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages},
            "model": {"type": "BPE", "ignore_merges": self.ignore_merges, "vocab": vocab, "merges": merges},
        })
    }
}

impl AddedToken<'_> {
    fn build(&self, next_id: usize) -> Value {
        // Long ones only make it slow: each byte is a state of an automaton.
        let content: String = self.content.build().chars().take(24).collect();
        json!({
            "id": self.id.map_or(next_id, usize::from), "content": content, "special": self.is_special,
            "normalized": self.is_normalised.unwrap_or(!self.is_special),
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    }
}

/// Whether a file that was read neither composes texts, nor drops what lies between matches, nor has one id for two tokens.
pub(crate) fn keeps_text(json: &[u8]) -> bool {
    let file: Value = serde_json::from_slice(json).unwrap_or_default();
    let has = |part: &Value, word: &str| part.to_string().contains(word);
    !has(&file["normalizer"], "NFC") && !has(&file["pre_tokenizer"], "Removed") && ids_are_unique(&file)
}

fn ids_are_unique(file: &Value) -> bool {
    let mut ids: HashSet<u64> =
        file["model"]["vocab"].as_object().into_iter().flatten().filter_map(|(_, id)| id.as_u64()).collect();
    file["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|token| token["id"].as_u64().is_some_and(|id| ids.insert(id)))
}
