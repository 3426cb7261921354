//! Which encoding a model uses, as `tiktoken.encoding_for_model` knows it.

/// Encodings inside the package.
pub(crate) const ENCODINGS: [&str; 3] = ["o200k_base", "cl100k_base", "o200k_harmony"];

const O200K: &str = ENCODINGS[0];
const CL100K: &str = ENCODINGS[1];
const HARMONY: &str = ENCODINGS[2];

/// How a name in the table is met.
enum Rule {
    /// By this name and by any that goes on with `-` (a date, a size) or `:` (a fine-tune).
    Family,
    /// By any name that starts with it.
    Prefix,
}
use Rule::{Family, Prefix};

/// Source: tiktoken 0.14, `tiktoken/model.py`. The longest name that matches wins. Models whose encodings are not in the
/// package (`text-davinci-003`, `gpt2` and older) are unknown here. Departure: `ft:` is stripped first, so that a fine-tune of
/// gpt-4.1 has the encoding of gpt-4.1 (tiktoken takes it for one of gpt-4).
const MODELS: [(&str, Rule, &str); 18] = [
    ("gpt-5", Prefix, O200K),
    ("gpt-4.5", Family, O200K),
    ("gpt-4.1", Family, O200K),
    ("gpt-4o", Family, O200K),
    ("chatgpt-4o", Family, O200K),
    ("o1", Family, O200K),
    ("o3", Family, O200K),
    ("o4-mini", Family, O200K),
    ("gpt-oss", Family, HARMONY),
    ("gpt-4", Family, CL100K),
    ("gpt-3.5-turbo", Family, CL100K),
    ("gpt-3.5", Family, CL100K),
    ("gpt-35-turbo", Family, CL100K),
    ("davinci-002", Family, CL100K),
    ("babbage-002", Family, CL100K),
    ("text-embedding-ada-002", Family, CL100K),
    ("text-embedding-3-small", Family, CL100K),
    ("text-embedding-3-large", Family, CL100K),
];

/// The encoding of a model or encoding name; `None` if it is unknown.
pub(crate) fn encoding_of(name: &str) -> Option<&'static str> {
    if let Some(encoding) = ENCODINGS.iter().find(|&&encoding| encoding == name) {
        return Some(encoding);
    }
    let bare = name.strip_prefix("ft:").unwrap_or(name);
    let meets = |(model, rule, _): &&(&str, Rule, &str)| match rule {
        Family => bare.strip_prefix(model).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':'])),
        Prefix => bare.starts_with(model),
    };
    MODELS.iter().filter(meets).max_by_key(|(model, ..)| model.len()).map(|&(_, _, encoding)| encoding)
}

/// The special tokens of an encoding.
///
/// Source: tiktoken 0.14, `tiktoken_ext/openai_public.py`.
pub(crate) fn special_tokens(encoding: &str) -> Vec<(u32, String)> {
    let mut tokens: Vec<(u32, String)> = match encoding {
        CL100K => vec![
            (100_257, "<|endoftext|>".into()),
            (100_258, "<|fim_prefix|>".into()),
            (100_259, "<|fim_middle|>".into()),
            (100_260, "<|fim_suffix|>".into()),
            (100_276, "<|endofprompt|>".into()),
        ],
        O200K => vec![(199_999, "<|endoftext|>".into()), (200_018, "<|endofprompt|>".into())],
        _ => (199_998..201_088).map(|id| (id, format!("<|reserved_{id}|>"))).collect(),
    };
    if encoding == HARMONY {
        for (id, name) in [
            (199_998, "startoftext"),
            (199_999, "endoftext"),
            (200_002, "return"),
            (200_003, "constrain"),
            (200_005, "channel"),
            (200_006, "start"),
            (200_007, "end"),
            (200_008, "message"),
            (200_012, "call"),
            (200_018, "endofprompt"),
        ] {
            tokens[id - 199_998].1 = format!("<|{name}|>");
        }
        // One id with two names; it is decoded as the other.
        tokens.push((200_018, "<|reserved_200018|>".into()));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_models_by_name_by_family_and_as_fine_tunes() {
        for (name, encoding) in [
            ("gpt-4o", O200K),
            ("gpt-4o-mini-2024-07-18", O200K),
            ("gpt-5.1-codex", O200K),
            ("o3-mini", O200K),
            ("gpt-4", CL100K),
            ("gpt-4-0613", CL100K),
            ("gpt-3.5-turbo-16k", CL100K),
            ("gpt-oss-120b", HARMONY),
            ("ft:gpt-4o-mini:acme::x", O200K),
            ("ft:gpt-4:acme", CL100K),
            ("ft:gpt-4.1-mini:acme", O200K),
            ("ft:davinci-002:acme", CL100K),
            ("text-embedding-3-small", CL100K),
            ("o200k_harmony", HARMONY),
        ] {
            assert_eq!(encoding_of(name), Some(encoding), "{name}");
        }
    }

    #[test]
    fn unknown_names_have_no_encoding() {
        for name in ["", "gpt-4omni", "gpt2", "text-davinci-003", "claude", "O200K_BASE", "ft:", "o2"] {
            assert_eq!(encoding_of(name), None, "{name}");
        }
    }
}
