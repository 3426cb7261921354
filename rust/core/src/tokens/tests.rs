//! The public type: known answers, and what must hold for any text.

use proptest::prelude::*;

use super::*;

#[test]
fn counts_and_encodes_as_tiktoken_does() {
    let o200k = Tokenizer::named("o200k_base").unwrap();
    let cl100k = Tokenizer::named("cl100k_base").unwrap();
    assert_eq!(o200k.encode("hello world"), [24912, 2375]);
    assert_eq!(cl100k.encode("hello world"), [15339, 1917]);
    assert_eq!(o200k.count(""), 0);
}

#[test]
fn names_share_one_tokenizer_and_one_vocabulary() {
    let o200k = Tokenizer::named("gpt-4o").unwrap();
    let harmony = Tokenizer::named("gpt-oss-20b").unwrap();
    assert!(Arc::ptr_eq(&o200k, &Tokenizer::named("o200k_base").unwrap()));
    assert!(Arc::ptr_eq(&o200k.bpe, &harmony.bpe));
    assert_eq!((o200k.name(), harmony.name()), ("o200k_base", "o200k_harmony"));
    assert_eq!((o200k.chat().family, harmony.chat().family), ("openai", "harmony"));
}

#[test]
fn unknown_name_lists_what_is_known() {
    let Err(Error::Tokenizer(message)) = Tokenizer::named("claude") else { panic!("claude is not known") };
    assert!(message.contains("\"claude\"") && message.contains("o200k_harmony") && message.contains("tokenizer.json"));
}

#[test]
fn special_tokens_are_text_when_counted_and_named_when_decoded() {
    let harmony = Tokenizer::named("o200k_harmony").unwrap();
    assert_eq!(harmony.decode(&[200_006, 200_012, 199_999]).unwrap(), "<|start|><|call|><|endoftext|>");
    assert!(harmony.count("<|start|>") > 1);
    let o200k = Tokenizer::named("o200k_base").unwrap();
    assert!(matches!(o200k.decode(&[200_006]), Err(Error::Tokenizer(_))));
    assert!(matches!(o200k.decode(&[u32::MAX]), Err(Error::Tokenizer(_))));
}

#[test]
fn special_tokens_are_tokens_where_they_are_allowed() {
    let harmony = Tokenizer::named("o200k_harmony").unwrap();
    let text = "<|start|>user<|message|>hi<|end|><|reserved_200018|>";
    let all = [200_006, 1428, 200_008, 3686, 200_007, 200_018];
    assert_eq!(harmony.encode_allowing(text, Specials::All), all);
    assert_eq!(harmony.count_allowing(text, Specials::All), 6);
    let one = harmony.encode_allowing(text, Specials::Allowed(&["<|message|>"]));
    assert_eq!(one.iter().filter(|id| all.contains(id) && **id > 199_997).count(), 1);
    assert_eq!(harmony.decode(&one).unwrap(), text);
    assert_eq!(harmony.encode_allowing(text, Specials::Allowed(&[])), harmony.encode(text));
    assert_eq!(harmony.decode(&[200_018]).unwrap(), "<|endofprompt|>");
    assert!(harmony.check_specials(Specials::All).is_ok());
    let Err(Error::Tokenizer(refusal)) = harmony.check_specials(Specials::Allowed(&["<|end|>", "end"])) else {
        panic!()
    };
    assert!(refusal.starts_with("\"end\" is no special token") && refusal.contains("<|startoftext|>"), "{refusal}");
}

#[test]
fn batches_are_counted_by_any_number_of_threads() {
    let o200k = Tokenizer::named("o200k_base").unwrap();
    let texts: Vec<String> = (0..50).map(|i| "word, 你好 ".repeat(i * i % 70)).collect();
    let expected: Vec<usize> = texts.iter().map(|text| o200k.count(text)).collect();
    for n_threads in [0, 1, 2, 3, 64, 1000] {
        assert_eq!(o200k.count_batch(&texts, n_threads), expected);
    }
    assert!(o200k.count_batch::<&str>(&[], 4).is_empty());
    assert_eq!(o200k.count_batch(&["", ""], 4), [0, 0]);
}

#[test]
fn decodes_half_a_character_as_replacement() {
    let o200k = Tokenizer::named("o200k_base").unwrap();
    let ids = o200k.encode("\u{1F9D9}\u{200D}\u{2642}");
    assert!(o200k.decode(&ids[..1]).unwrap().contains('\u{FFFD}'));
}

#[test]
fn long_runs_neither_overflow_nor_take_long() {
    let o200k = Tokenizer::named("o200k_base").unwrap();
    assert_eq!(o200k.count(&" ".repeat(1_000_000)), 7813);
    for c in ["a", "\n", "^", "\u{4f60}", "\u{1f600}", "\u{0}"] {
        let text = c.repeat(50_000);
        let n = o200k.count(&text);
        assert_eq!(o200k.count_within(&text, n), Some(n));
        assert_eq!(o200k.count_within(&text, n - 1), None);
        assert!(o200k.count(o200k.truncate(&text, 100, Side::Head)) == 100);
        assert!(o200k.count(o200k.truncate(&text, 100, Side::Tail)) == 100);
    }
}

#[test]
fn truncates_at_token_ends_from_either_side() {
    let o200k = Tokenizer::named("o200k_base").unwrap();
    let text = "The quick brown fox jumps over the lazy dog";
    assert_eq!(o200k.truncate(text, 3, Side::Head), "The quick brown");
    assert_eq!(o200k.truncate(text, 3, Side::Tail), " the lazy dog");
    assert_eq!(o200k.truncate(text, 0, Side::Head), "");
    assert_eq!(o200k.truncate(text, 9, Side::Tail), text);
    assert_eq!(o200k.truncate(text, usize::MAX, Side::Head), text);
}

#[test]
fn keeps_a_text_whole_whose_end_alone_has_more_tokens() {
    let cl100k = Tokenizer::named("cl100k_base").unwrap();
    let text = format!("{} ", "/".repeat(60));
    assert_eq!((cl100k.count(&text), cl100k.count(&text[45..])), (2, 3));
    assert_eq!(cl100k.truncate(&text, 2, Side::Tail), text);
}

fn text() -> impl Strategy<Value = String> {
    let parts = [
        "\u{4f60}\u{597d}",
        "\u{e9}",
        "e\u{301}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "'s",
        "'LL",
        "\u{17f}",
        " ",
        "   ",
        "\t",
        "\n",
        "\r\n",
        "\u{a0}",
        "\u{3000}",
        "\u{85}",
        "hello",
        "World",
        "HTTPServer",
        "12345",
        "<|endoftext|>",
        "{\"a\": [1, 2]}",
        "==",
        "/",
        "\u{0}",
        "\u{1100}\u{1161}",
        "\u{fb01}",
    ];
    prop_oneof![
        ".{0,60}",
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..30).prop_map(|parts| parts.concat())
    ]
}

proptest! {
    #[test]
    fn count_encode_decode_and_truncate_agree(text in text(), max in 0..40_usize) {
        for name in ["o200k_base", "cl100k_base"] {
            let tokenizer = Tokenizer::named(name).unwrap();
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(tokenizer.count(&text), ids.len());
            prop_assert_eq!(&tokenizer.decode(&ids).unwrap(), &text);
            prop_assert_eq!(tokenizer.count_within(&text, max).is_some(), ids.len() <= max);
            let head = tokenizer.truncate(&text, max, Side::Head);
            let tail = tokenizer.truncate(&text, max, Side::Tail);
            prop_assert!(text.starts_with(head) && tokenizer.count(head) <= max);
            prop_assert!(text.ends_with(tail) && tokenizer.count(tail) <= max);
            prop_assert!(ids.len() > max || (head == text && tail == text));
        }
    }
}
