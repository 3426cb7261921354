//! The embedded encodings on any text: the very tokens of tiktoken, and methods that agree.
#![no_main]

mod agreement;
mod text;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::Tokenizer;
use rolecore_core::tokens::Specials;
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton, o200k_harmony_singleton};

#[derive(Arbitrary, Debug)]
enum Encoding {
    Cl100k,
    O200k,
    Harmony,
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    encoding: Encoding,
    max_tokens: u8,
    /// To decode.
    ids: Vec<u32>,
    text: text::Text<'a>,
}

fuzz_target!(|input: Input<'_>| {
    let (name, tiktoken): (&str, &CoreBPE) = match input.encoding {
        Encoding::Cl100k => ("cl100k_base", cl100k_base_singleton()),
        Encoding::O200k => ("o200k_base", o200k_base_singleton()),
        Encoding::Harmony => ("o200k_harmony", o200k_harmony_singleton()),
    };
    let tokenizer = Tokenizer::named(name).expect("the encoding is embedded");
    let text = input.text.build();
    let ids = agreement::tokens(&tokenizer, &text, usize::from(input.max_tokens));
    assert_eq!(ids, tiktoken.encode_ordinary(&text), "{name} and tiktoken differ on {text:?}");
    let special = tokenizer.encode_allowing(&text, Specials::All);
    assert_eq!(special, tiktoken.encode_with_special_tokens(&text), "{name}: special tokens differ on {text:?}");
    assert_eq!(tokenizer.decode(&ids).expect("they are tokens"), text, "{name} does not give the text back");

    // Any id is in both vocabularies or in neither; half characters are replaced. tiktoken has two names for one id of harmony.
    let is_ambiguous = |id: &u32| *id == 200_018 && name == "o200k_harmony";
    let ids = input.ids.iter().map(|id| if id % 2 == 0 { *id } else { id % 201_100 });
    let ids: Vec<u32> = ids.filter(|id| !is_ambiguous(id)).collect();
    let theirs = tiktoken.decode_bytes(&ids).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(tokenizer.decode(&ids).ok(), theirs, "{name} and tiktoken decode {ids:?} differently");
});
