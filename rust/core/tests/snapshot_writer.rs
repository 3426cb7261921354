//! What `codec::Plan` writes is a legal snapshot by the official verifier, and the official library reads in it what was given.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod wire;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use flatbuffers::Table;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rolecore_core::codec::{Plan, SnapshotParts, Source, ToolCallParts, TurnParts, Turns, Vectors};
use rolecore_core::{Counted, Error, History, Message, Part, Parts, Role, Text, Tokenizer, ToolCall};
use wire::snapshot as official;

#[derive(Debug, Clone, Default, PartialEq)]
struct Call {
    texts: [Option<String>; 4],
    is_custom: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Said {
    role: Role,
    texts: [Option<String>; 6],
    calls: Option<Vec<Call>>,
    tokens: u32,
    is_pinned: bool,
    time_ms: i64,
    nulls: u8,
}

#[derive(Debug, Clone, PartialEq)]
struct Session {
    texts: [Option<String>; 4],
    turns: Talk,
    vector_dim: u32,
    /// By their bits, so that NaN is itself.
    vectors: Vec<u32>,
    payload: Option<Vec<u8>>,
    times_ms: [i64; 2],
}

#[derive(Debug, Clone, PartialEq)]
struct Talk(Vec<Said>);

impl Said {
    fn parts(&self) -> TurnParts<'_> {
        let [text, parts, name, refusal, tool_call_id, extra] = self.texts.each_ref().map(Option::as_deref);
        let Self { role, tokens, is_pinned, time_ms, nulls, .. } = *self;
        TurnParts { role, text, parts, name, refusal, tool_call_id, extra, tokens, is_pinned, time_ms, nulls }
    }

    fn calls(&self) -> Option<impl ExactSizeIterator<Item = ToolCallParts<'_>>> {
        let calls = self.calls.as_ref()?.iter().map(|call| {
            let [id, name, arguments, extra] = call.texts.each_ref().map(Option::as_deref);
            ToolCallParts { id, name, arguments, is_custom: call.is_custom, extra }
        });
        Some(calls)
    }
}

impl Talk {
    fn turns(&self) -> Turns<'_> {
        let mut turns = Turns::default();
        for said in &self.0 {
            turns.push(&said.parts(), said.calls());
        }
        turns
    }
}

fn parts<'a>(session: &'a Session, turns: Source<'a>, vectors: &'a [u8]) -> SnapshotParts<'a> {
    let [session_id, role, tokenizer, summary] = session.texts.each_ref().map(Option::as_deref);
    let [created_ms, updated_ms] = session.times_ms;
    let payload = session.payload.as_deref();
    let vectors = Vectors { dim: session.vector_dim, bytes: vectors };
    SnapshotParts { session_id, role, tokenizer, turns, summary, vectors, payload, created_ms, updated_ms }
}

/// Writes over bytes that are all `before`.
fn write(parts: &SnapshotParts<'_>, before: u8) -> Vec<u8> {
    let plan = Plan::new(parts).unwrap();
    let mut out = vec![before; plan.len()];
    plan.write(&mut out).unwrap();
    out
}

fn encode(session: &Session, before: u8) -> Vec<u8> {
    let vectors: Vec<u8> = session.vectors.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    write(&parts(session, Source::Turns(&session.turns.turns()), &vectors), before)
}

fn decode(bytes: &[u8]) -> Session {
    assert!(official::snapshot_buffer_has_identifier(bytes));
    let snapshot = official::root_as_snapshot(bytes).unwrap();
    assert_eq!(snapshot.version(), 1);
    let texts = [snapshot.session_id(), snapshot.role(), snapshot.tokenizer(), snapshot.summary()];
    let vectors = snapshot.vectors().into_iter().flatten().map(f32::to_bits).collect();
    Session {
        texts: texts.map(|text| text.map(str::to_owned)),
        turns: Talk(snapshot.turns().into_iter().flatten().map(said).collect()),
        vector_dim: snapshot.vector_dim(),
        vectors,
        payload: snapshot.payload().map(|payload| payload.bytes().to_vec()),
        times_ms: [snapshot.created_ms(), snapshot.updated_ms()],
    }
}

fn said(turn: official::Turn<'_>) -> Said {
    let texts = [turn.text(), turn.parts(), turn.name(), turn.refusal(), turn.tool_call_id(), turn.extra()];
    let call = |call: official::ToolCall<'_>| Call {
        texts: [call.id(), call.name(), call.arguments(), call.extra()].map(|text| text.map(str::to_owned)),
        is_custom: call.is_custom(),
    };
    Said {
        role: Role::parse(&turn.role().variant_name().unwrap().to_lowercase()).unwrap(),
        texts: texts.map(|text| text.map(str::to_owned)),
        calls: turn.tool_calls().map(|calls| calls.iter().map(call).collect()),
        tokens: turn.tokens(),
        is_pinned: turn.is_pinned(),
        time_ms: turn.time_ms(),
        nulls: turn.nulls(),
    }
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Where a table and its vtable lie.
fn place(bytes: &[u8], table: Table<'_>) -> (usize, Range<usize>) {
    let start = table.loc();
    let back = i32::from_le_bytes(bytes[start..start + 4].try_into().unwrap());
    let vtable = start.checked_add_signed(-isize::try_from(back).unwrap()).unwrap();
    (start, vtable..vtable + usize::try_from(number(bytes, vtable, 2)).unwrap())
}

fn tables(bytes: &[u8]) -> Vec<(usize, Range<usize>)> {
    let snapshot = official::root_as_snapshot(bytes).unwrap();
    let mut tables = vec![place(bytes, snapshot._tab)];
    for turn in snapshot.turns().into_iter().flatten() {
        tables.push(place(bytes, turn._tab));
        tables.extend(turn.tool_calls().into_iter().flatten().map(|call| place(bytes, call._tab)));
    }
    tables
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just(String::new()), "[a-z]{1,9}", "[\u{4e00}-\u{9fff}]{1,20}", ".{0,60}", any::<String>()]
}

fn texts<const N: usize>() -> impl Strategy<Value = [Option<String>; N]> {
    proptest::array::uniform(option::of(text()))
}

fn turn() -> impl Strategy<Value = Said> {
    let role = (0..Role::ALL.len()).prop_map(|i| Role::ALL[i]);
    let call = (texts(), any::<bool>()).prop_map(|(texts, is_custom)| Call { texts, is_custom });
    let tokens = prop_oneof![Just(0), any::<u32>()];
    let time_ms = prop_oneof![Just(0), any::<i64>()];
    let nulls = prop_oneof![Just(0), 0..32_u8];
    let any = (role, texts(), option::of(vec(call, 0..4)), tokens, any::<bool>(), time_ms, nulls).prop_map(
        |(role, texts, calls, tokens, is_pinned, time_ms, nulls)| Said {
            role,
            texts,
            calls,
            tokens,
            is_pinned,
            time_ms,
            nulls,
        },
    );
    let any = any.boxed();
    let plain = (any.clone(), text()).prop_map(|(said, text)| Said {
        texts: [Some(text), None, None, None, None, None],
        calls: None,
        time_ms: 0,
        nulls: 0,
        ..said
    });
    prop_oneof![any, plain]
}

fn session() -> impl Strategy<Value = Session> {
    let vectors = (0_usize..20, 0_usize..8).prop_flat_map(|(dim, n)| (Just(dim), vec(any::<u32>(), dim * n)));
    let time_ms = || prop_oneof![Just(0), any::<i64>()];
    let turns = prop_oneof![vec(turn(), 0..3), vec(turn(), 0..=50)];
    (texts(), turns, vectors, option::of(vec(any::<u8>(), 0..40)), [time_ms(), time_ms()]).prop_map(
        |(texts, turns, (dim, vectors), payload, times_ms)| Session {
            texts,
            turns: Talk(turns),
            vector_dim: u32::try_from(dim).unwrap(),
            vectors,
            payload,
            times_ms,
        },
    )
}

proptest! {
    #[test]
    fn official_library_reads_what_was_given(session in session()) {
        prop_assert_eq!(decode(&encode(&session, 0)), session);
    }

    #[test]
    fn in_pieces_it_is_the_same(session in session(), before in any::<u8>()) {
        let vectors: Vec<u8> = session.vectors.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let turns = session.turns.turns();
        let parts = parts(&session, Source::Turns(&turns), &vectors);
        let plan = Plan::new(&parts).unwrap();
        let mut around = vec![before; plan.len_around()];
        let [to_vectors, to_payload] = plan.write_around(&mut around).unwrap();
        let payload = session.payload.as_deref().unwrap_or_default();
        let pieces = [&around[..to_vectors], &vectors, &around[to_vectors..to_payload], payload, &around[to_payload..]];
        prop_assert_eq!(pieces.concat(), encode(&session, 0));
    }

    #[test]
    fn every_byte_is_written_and_equal_parts_give_equal_bytes(session in session()) {
        prop_assert_eq!(encode(&session, 0xAA), encode(&session.clone(), 0x55));
    }

    #[test]
    fn vectors_lie_at_a_multiple_of_16_and_8_byte_numbers_at_one_of_8(session in session()) {
        let bytes = encode(&session, 0);
        let snapshot = official::root_as_snapshot(&bytes).unwrap();
        if let Some(vectors) = snapshot.vectors() {
            let first = vectors.bytes().as_ptr().addr() - bytes.as_ptr().addr();
            prop_assert_eq!(first % 16, 0);
        }
        for turn in snapshot.turns().into_iter().flatten().filter(|turn| turn.time_ms() != 0) {
            let (start, vtable) = place(&bytes, turn._tab);
            prop_assert_eq!((start as u64 + number(&bytes, vtable.start + 4 + 2 * 10, 2)) % 8, 0);
        }
    }

    #[test]
    fn vtables_come_last_one_for_each_set_of_fields(session in session()) {
        let bytes = encode(&session, 0);
        let tables = tables(&bytes);
        let vtables: BTreeSet<_> = tables.iter().map(|(_, vtable)| (vtable.start, vtable.end)).collect();
        // They follow each other to the very end, and no two say the same of tables of one kind.
        let mut at = vtables.first().unwrap().0;
        for &(start, end) in &vtables {
            prop_assert_eq!(start, at);
            at = end;
        }
        prop_assert_eq!(at, bytes.len());
        prop_assert!(tables.iter().all(|(start, _)| *start < vtables.first().unwrap().0));
        let contents: BTreeSet<_> = vtables.iter().map(|&(start, end)| &bytes[start..end]).collect();
        prop_assert!(contents.len() + 2 >= vtables.len());
    }
}

const EMPTY: Session = Session {
    texts: [const { None }; 4],
    turns: Talk(Vec::new()),
    vector_dim: 0,
    vectors: Vec::new(),
    payload: None,
    times_ms: [0; 2],
};

#[test]
fn nothing_takes_the_room_of_nothing() {
    // The header, the root's offset to its vtable, and a vtable without entries.
    assert_eq!(encode(&EMPTY, 0), b"\x08\0\0\0RCSS\xFC\xFF\xFF\xFF\x04\0\x04\0");
}

#[test]
fn a_buffer_of_another_size_is_refused() {
    let session = EMPTY;
    let turns = session.turns.turns();
    let parts = parts(&session, Source::Turns(&turns), &[]);
    let plan = Plan::new(&parts).unwrap();
    for len in [0, 15, 17] {
        let error = plan.write(&mut vec![0; len]).unwrap_err();
        assert_eq!(error, Error::Codec(format!("out has {len} bytes, the snapshot needs 16")));
    }
}

#[test]
fn vectors_that_are_not_whole_are_refused() {
    for vector_dim in [0, 2] {
        let session = Session { vector_dim, ..EMPTY };
        let error = Plan::new(&parts(&session, Source::Turns(&Turns::default()), &[0; 12])).unwrap_err();
        assert!(error.to_string().contains("vectors has 12 bytes"), "{error}");
        assert!(error.to_string().contains(&format!("their dim, {vector_dim};")), "{error}");
    }
}

#[test]
fn two_gigabytes_are_too_many() {
    let text = "x".repeat((1 << 20) - 17);
    // Each turn: a table of 8, the text's length, the text with its NUL, and 4 for the turn's offset: 2^20.
    let said = TurnParts { text: Some(&text), ..TurnParts::NOTHING };
    let len_of = |n| {
        let mut turns = Turns::default();
        (0..n).for_each(|_| turns.push(&said, None::<[ToolCallParts<'_>; 0]>));
        Plan::new(&parts(&EMPTY, Source::Turns(&turns), &[])).map(|plan| plan.len())
    };
    let small = len_of(1).unwrap();
    assert_eq!(len_of(2047).unwrap(), small + 2046 * (1 << 20));
    let error = len_of(2048).unwrap_err().to_string();
    assert!(error.contains(&format!("{} bytes, the limit is 2147483647;", small + 2047 * (1 << 20))), "{error}");
}

fn history(messages: Vec<(Message, bool)>) -> History {
    let tokenizer = Tokenizer::named("o200k_base").unwrap();
    let mut history = History::new(Arc::clone(&tokenizer));
    for (message, pin) in messages {
        history.push(Counted::new(message, &tokenizer).unwrap(), pin);
    }
    history
}

/// Some are longer than what a history keeps together.
fn some_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof!["", "[a-z ]{0,40}", "我的灯笼呢？|👋🏽\u{0}|\u{fffd}"];
    let times = prop_oneof![8 => Just(1_usize), 3 => 20..400_usize, 1 => 2000..4000_usize];
    (piece, times).prop_map(|(piece, times)| piece.repeat(times))
}

fn message() -> impl Strategy<Value = Message> {
    let call = (some_text(), "[a-z]{1,9}", some_text()).prop_map(|(id, name, arguments)| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    });
    let plain = (0..Role::ALL.len() - 1, some_text()).prop_map(|(role, text)| Message::text(Role::ALL[role], text));
    let named = ("[a-z]{1,9}", some_text())
        .prop_map(|(name, text)| Message { name: Some(name.into()), ..Message::text(Role::User, text) });
    let refused = (some_text(), 0..32_u8).prop_map(|(text, nulls)| Message {
        parts: Parts::new(),
        refusal: Some(text.into()),
        nulls: nulls & !4,
        ..Message::text(Role::Assistant, "")
    });
    let calling = vec(call, 1..4).prop_map(|tool_calls| Message {
        parts: Parts::new(),
        tool_calls,
        ..Message::text(Role::Assistant, "")
    });
    let result = (some_text(), some_text())
        .prop_map(|(id, text)| Message { tool_call_id: Some(id.into()), ..Message::text(Role::Tool, text) });
    prop_oneof![8 => plain, 1 => named, 1 => refused, 2 => calling, 2 => result]
}

/// What a message is in a snapshot.
fn told(message: &Message, tokens: u64, is_pinned: bool) -> Said {
    let text = |text: &Option<Text>| text.as_deref().map(str::to_owned);
    let content =
        message.parts.first().map(|part| if let Part::Text(text) = part { text.to_string() } else { panic!() });
    let call = |ToolCall { id, name, arguments }: &ToolCall| Call {
        texts: [Some(id.to_string()), Some(name.to_string()), Some(arguments.to_string()), None],
        is_custom: false,
    };
    Said {
        role: message.role,
        texts: [content, None, text(&message.name), text(&message.refusal), text(&message.tool_call_id), None],
        calls: (!message.tool_calls.is_empty()).then(|| message.tool_calls.iter().map(call).collect()),
        tokens: u32::try_from(tokens).unwrap(),
        is_pinned,
        time_ms: 0,
        nulls: message.nulls,
    }
}

proptest! {
    #[test]
    fn a_history_is_written_as_it_holds_its_messages(messages in vec((message(), any::<bool>()), 0..40)) {
        let history = history(messages.clone());
        let said = |(message, is_pinned): &(Message, bool)| told(message, message.tokens(history.tokenizer()), *is_pinned);
        let expected: Vec<Said> = messages.iter().map(said).collect();
        let mut turns = Turns::default();
        for (index, (message, _)) in messages.iter().enumerate() {
            prop_assert_eq!(history.message(index), Some(message));
            turns.push_message(&history, index).unwrap();
        }
        let bytes = |source| write(&parts(&EMPTY, source, &[]), 0xAA);
        let written = bytes(Source::History(&history));
        prop_assert_eq!(decode(&written).turns.0, expected);
        prop_assert!(written == bytes(Source::Turns(&turns)));
    }
}

#[test]
fn a_history_does_not_write_parts_that_it_does_not_keep() {
    let image =
        Message { parts: [Part::Image { low_detail: true, size: None }].into(), ..Message::text(Role::User, "") };
    let two = Message {
        parts: [Part::Text("a".into()), Part::Text("b".into())].into_iter().collect(),
        ..Message::text(Role::User, "")
    };
    for odd in [image, two] {
        let history = history(vec![(Message::text(Role::User, "hello"), false), (odd, false)]);
        let mut turns = Turns::default();
        turns.push_message(&history, 0).unwrap();
        let error = turns.push_message(&history, 1).unwrap_err();
        assert_eq!(Plan::new(&parts(&EMPTY, Source::History(&history), &[])).unwrap_err(), error);
        let mut first = Turns::default();
        first.push_message(&history, 0).unwrap();
        let bytes = |turns| write(&parts(&EMPTY, Source::Turns(turns), &[]), 0);
        assert_eq!(bytes(&turns), bytes(&first));
        assert!(matches!(&error, Error::Codec(why) if why.starts_with("message 1 has a list of parts")), "{error}");
    }
}
