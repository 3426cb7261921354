//! Any bytes as a tokenizer.json: an error, or a tokenizer whose methods agree and whose counts are those of `tokenizers`.
#![no_main]

mod agreement;
mod json;
mod text;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::{Error, Tokenizer};

#[derive(Arbitrary, Debug)]
enum File<'a> {
    Any(&'a [u8]),
    Made(json::File<'a>),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    max_tokens: u8,
    text: text::Text<'a>,
    file: File<'a>,
}

thread_local! {
    static IS_THEIRS: Cell<bool> = const { Cell::new(false) };
}

/// What `tokenizers` makes of it; `None` where it refuses, or panics.
fn theirs<T>(ask: impl FnOnce() -> tokenizers::Result<T>) -> Option<T> {
    IS_THEIRS.set(true);
    let answer = panic::catch_unwind(AssertUnwindSafe(ask));
    IS_THEIRS.set(false);
    answer.ok()?.ok()
}

/// As we count: special tokens are text, none are put around it, and nothing is cut or filled up.
fn open(json: &[u8]) -> tokenizers::Result<tokenizers::Tokenizer> {
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(json)?;
    tokenizer.set_encode_special_tokens(true);
    tokenizer.with_truncation(None)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fuzz_target!(
    init: {
        // The fuzzer takes every panic for a finding; those of the oracle are none.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_THEIRS.get() {
                hook(info);
            }
        }));
    },
    |input: Input<'_>| {
        let json = match &input.file {
            File::Any(bytes) => bytes.to_vec(),
            File::Made(file) => file.build(),
        };
        let tokenizer = match Tokenizer::from_json(&json, "fuzz.json") {
            Ok(tokenizer) => Arc::new(tokenizer),
            Err(Error::Tokenizer(_)) => return,
            Err(error) => panic!("{error:?}"),
        };
        let text = input.text.build();
        let ids = agreement::tokens(&tokenizer, &text, usize::from(input.max_tokens));
        let decoded = tokenizer.decode(&ids).expect("they are tokens");
        if json::keeps_text(&json) {
            assert_eq!(decoded, text, "the text does not come back");
        }
        let Some(encoding) = theirs(|| open(&json)?.encode_fast(text.as_str(), false)) else { return };
        let names = encoding.get_tokens();
        assert_eq!(ids.len(), encoding.len(), "tokenizers has {names:?} for {text:?}, we {ids:?}");
    }
);
