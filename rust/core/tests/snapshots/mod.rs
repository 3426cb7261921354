//! Snapshots that the official library writes in every legal way, and what must hold of our reader on any bytes beside it.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use flatbuffers::{FlatBufferBuilder, Push, TableFinishedWIPOffset, UnionWIPOffset, VOffsetT, WIPOffset};
use rolecore_core::Result;
use rolecore_core::codec::{
    List, Plan, Snapshot, SnapshotParts, Source, ToolCall, ToolCallParts, Turn, TurnParts, Turns, Vectors, verify,
};

use super::wire::snapshot as wire;

/// How a buffer is written; what it says stays the same.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// Numbers that equal their defaults are written too.
    pub(crate) has_defaults: bool,
    /// Equal texts are written once.
    pub(crate) shares_texts: bool,
    /// Chooses the order of fields in tables.
    pub(crate) order: u16,
    /// Each table has fields that this release does not know.
    pub(crate) is_newer: bool,
}

/// What a snapshot says; texts are absent where they are `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// `session_id`, `role`, `tokenizer`, `summary`.
    pub(crate) texts: [Option<String>; 4],
    pub(crate) turns: Option<Vec<Said>>,
    pub(crate) dim: u32,
    pub(crate) vectors: Option<Vec<f32>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) times: [i64; 2],
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) role: u8,
    /// `text`, `parts`, `name`, `refusal`, `tool_call_id`, `extra`.
    pub(crate) texts: [Option<String>; 6],
    pub(crate) calls: Option<Vec<Call>>,
    pub(crate) tokens: u32,
    pub(crate) is_pinned: bool,
    pub(crate) time_ms: i64,
    pub(crate) nulls: u8,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    /// `id`, `name`, `arguments`, `extra`.
    pub(crate) texts: [Option<String>; 4],
    pub(crate) is_custom: bool,
}

type Written = WIPOffset<UnionWIPOffset>;

/// A value with its default.
enum Value {
    Bool(bool),
    Byte(u8, u8),
    Short(u16, u16),
    Word(u32),
    Long(i64),
    Offset(Option<Written>),
}

struct Writer {
    out: FlatBufferBuilder<'static>,
    style: Style,
}

impl Writer {
    fn text(&mut self, text: Option<&String>) -> Value {
        Value::Offset(text.map(|text| {
            let is_shared = self.style.shares_texts;
            let text = if is_shared { self.out.create_shared_string(text) } else { self.out.create_string(text) };
            text.as_union_value()
        }))
    }

    fn put<T: Push + PartialEq>(&mut self, slot: VOffsetT, value: T, default: T) {
        self.out.push_slot(slot, value, default);
    }

    fn table(&mut self, mut fields: Vec<(VOffsetT, Value)>) -> WIPOffset<TableFinishedWIPOffset> {
        if self.style.is_newer {
            let unknown = self.out.create_string("a field of a newer release").as_union_value();
            fields.extend([(90, Value::Offset(Some(unknown))), (92, Value::Long(-1)), (96, Value::Byte(7, 0))]);
        }
        let mut state = u32::from(self.style.order);
        fields.sort_by_cached_key(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if self.style.order == 0 { 0 } else { state >> 16 }
        });
        let start = self.out.start_table();
        for (slot, value) in fields {
            match value {
                Value::Bool(value) => self.put(slot, value, false),
                Value::Byte(value, default) => self.put(slot, value, default),
                Value::Short(value, default) => self.put(slot, value, default),
                Value::Word(value) => self.put(slot, value, 0),
                Value::Long(value) => self.put(slot, value, 0),
                Value::Offset(value) => {
                    if let Some(value) = value {
                        self.out.push_slot_always(slot, value);
                    }
                }
            }
        }
        self.out.end_table(start)
    }

    fn tables(&mut self, tables: Option<Vec<WIPOffset<TableFinishedWIPOffset>>>) -> Value {
        Value::Offset(tables.map(|tables| self.out.create_vector(&tables).as_union_value()))
    }

    fn call(&mut self, call: &Call) -> WIPOffset<TableFinishedWIPOffset> {
        use wire::ToolCall as T;
        let slots = [T::VT_ID, T::VT_NAME, T::VT_ARGUMENTS, T::VT_EXTRA];
        let mut fields: Vec<_> =
            slots.into_iter().zip(call.texts.each_ref().map(|text| self.text(text.as_ref()))).collect();
        fields.push((T::VT_IS_CUSTOM, Value::Bool(call.is_custom)));
        self.table(fields)
    }

    fn turn(&mut self, turn: &Said) -> WIPOffset<TableFinishedWIPOffset> {
        use wire::Turn as T;
        let calls = turn.calls.as_ref().map(|calls| calls.iter().map(|call| self.call(call)).collect());
        let calls = self.tables(calls);
        let slots = [T::VT_TEXT, T::VT_PARTS, T::VT_NAME, T::VT_REFUSAL, T::VT_TOOL_CALL_ID, T::VT_EXTRA];
        let mut fields: Vec<_> =
            slots.into_iter().zip(turn.texts.each_ref().map(|text| self.text(text.as_ref()))).collect();
        fields.extend([
            (T::VT_ROLE, Value::Byte(turn.role, 2)),
            (T::VT_TOOL_CALLS, calls),
            (T::VT_TOKENS, Value::Word(turn.tokens)),
            (T::VT_IS_PINNED, Value::Bool(turn.is_pinned)),
            (T::VT_TIME_MS, Value::Long(turn.time_ms)),
            (T::VT_NULLS, Value::Byte(turn.nulls, 0)),
        ]);
        self.table(fields)
    }

    fn session(&mut self, session: &Session) -> WIPOffset<TableFinishedWIPOffset> {
        use wire::Snapshot as T;
        let turns = session.turns.as_ref().map(|turns| turns.iter().map(|turn| self.turn(turn)).collect());
        let turns = self.tables(turns);
        let vectors = session.vectors.as_ref().map(|vectors| self.out.create_vector(vectors).as_union_value());
        let payload = session.payload.as_ref().map(|payload| self.out.create_vector(payload).as_union_value());
        let slots = [T::VT_SESSION_ID, T::VT_ROLE, T::VT_TOKENIZER, T::VT_SUMMARY];
        let mut fields: Vec<_> =
            slots.into_iter().zip(session.texts.each_ref().map(|text| self.text(text.as_ref()))).collect();
        fields.extend([
            (T::VT_VERSION, Value::Short(1, 1)),
            (T::VT_TURNS, turns),
            (T::VT_VECTOR_DIM, Value::Word(session.dim)),
            (T::VT_VECTORS, Value::Offset(vectors)),
            (T::VT_PAYLOAD, Value::Offset(payload)),
            (T::VT_CREATED_MS, Value::Long(session.times[0])),
            (T::VT_UPDATED_MS, Value::Long(session.times[1])),
        ]);
        self.table(fields)
    }
}

/// The session's bytes, by the official library.
pub(crate) fn write(session: &Session, style: Style) -> Vec<u8> {
    let mut writer = Writer { out: FlatBufferBuilder::new(), style };
    writer.out.force_defaults(style.has_defaults);
    let root = writer.session(session);
    writer.out.finish(root, Some(wire::SNAPSHOT_IDENTIFIER));
    writer.out.finished_data().to_vec()
}

/// Panics where our reader and the official one read anything different.
pub(crate) fn assert_same(ours: Snapshot<'_>, theirs: wire::Snapshot<'_>) {
    assert_eq!(ours.session_id(), Ok(theirs.session_id()));
    assert_eq!(ours.role(), Ok(theirs.role()));
    assert_eq!(ours.tokenizer(), Ok(theirs.tokenizer()));
    assert_eq!(ours.summary(), Ok(theirs.summary()));
    assert_eq!(ours.vector_dim(), Ok(theirs.vector_dim()));
    // None and no numbers are the same.
    let vectors = ours.vectors().unwrap().map_or(&[][..], |vectors| vectors.bytes);
    assert_eq!(vectors, theirs.vectors().map_or(&[][..], |vectors| vectors.bytes()));
    assert_eq!(ours.payload(), Ok(theirs.payload().map(|payload| payload.bytes())));
    assert_eq!((ours.created_ms(), ours.updated_ms()), (Ok(theirs.created_ms()), Ok(theirs.updated_ms())));
    let turns = ours.turns().unwrap();
    assert_eq!(turns.len(), theirs.turns().map_or(0, |turns| turns.len()));
    for (ours, theirs) in turns.iter().zip(theirs.turns().into_iter().flatten()) {
        assert_same_turn(ours.unwrap(), theirs);
    }
}

fn assert_same_turn(ours: Turn<'_>, theirs: wire::Turn<'_>) {
    assert_eq!(ours.role().unwrap() as u8, theirs.role().0);
    assert_eq!((ours.text(), ours.parts()), (Ok(theirs.text()), Ok(theirs.parts())));
    assert_eq!((ours.name(), ours.refusal()), (Ok(theirs.name()), Ok(theirs.refusal())));
    assert_eq!((ours.tool_call_id(), ours.extra()), (Ok(theirs.tool_call_id()), Ok(theirs.extra())));
    assert_eq!((ours.tokens(), ours.time_ms()), (Ok(theirs.tokens()), Ok(theirs.time_ms())));
    assert_eq!((ours.is_pinned(), ours.nulls()), (Ok(theirs.is_pinned()), Ok(theirs.nulls())));
    let calls = ours.tool_calls().unwrap();
    assert_eq!(calls.map(|calls| calls.len()), theirs.tool_calls().map(|calls| calls.len()));
    let Some(calls) = calls else { return };
    for (ours, theirs) in calls.iter().zip(theirs.tool_calls().into_iter().flatten()) {
        let ours = ours.unwrap();
        assert_eq!((ours.id(), ours.name()), (Ok(theirs.id()), Ok(theirs.name())));
        assert_eq!((ours.arguments(), ours.extra()), (Ok(theirs.arguments()), Ok(theirs.extra())));
        assert_eq!(ours.is_custom(), Ok(theirs.is_custom()));
    }
}

/// How many elements of a list are read where nothing vouches for the bytes: lists may share tables that share lists.
const MOST_READ: usize = 64;

/// Reads all that can be read of any bytes, past all errors; the bytes of the texts that were there.
fn read(bytes: &[u8]) -> usize {
    let Ok(session) = Snapshot::open(bytes) else { return 0 };
    let numbers = [session.created_ms(), session.updated_ms(), session.vector_dim().map(i64::from)];
    let vectors = session.vectors().ok().flatten().map_or(0, |vectors| vectors.bytes.len());
    let payload = session.payload().ok().flatten().map_or(0, <[u8]>::len);
    let texts = [session.session_id(), session.role(), session.tokenizer(), session.summary()];
    let turns = session.turns().ok();
    let turns = turns.iter().flat_map(|turns| turns.iter().take(MOST_READ)).flatten().map(read_turn);
    numbers.into_iter().flatten().count() + vectors + payload + lengths(&texts) + turns.sum::<usize>()
}

fn read_turn(turn: Turn<'_>) -> usize {
    let texts = [turn.text(), turn.parts(), turn.name(), turn.refusal(), turn.tool_call_id(), turn.extra()];
    let numbers = [turn.role().map(|role| role as i64), turn.tokens().map(i64::from), turn.time_ms()];
    let calls = turn.tool_calls().ok().flatten();
    let calls = calls.iter().flat_map(|calls| calls.iter().take(MOST_READ)).flatten().map(read_call);
    numbers.into_iter().flatten().count()
        + usize::from(turn.is_pinned().is_ok())
        + usize::from(turn.nulls().is_ok())
        + lengths(&texts)
        + calls.sum::<usize>()
}

fn read_call(call: ToolCall<'_>) -> usize {
    let texts = [call.id(), call.name(), call.arguments(), call.extra()];
    usize::from(call.is_custom().is_ok()) + lengths(&texts)
}

fn lengths(texts: &[Result<Option<&str>>]) -> usize {
    texts.iter().flatten().flatten().map(|text| text.len()).sum()
}

/// What a view reads, to be written again.
fn again<'a>(read: &List<'a, Turn<'a>>) -> Result<Turns<'a>> {
    let mut turns = Turns::with_capacity(read.len());
    for turn in read.iter() {
        let turn = turn?;
        let mut calls = Vec::new();
        let list = turn.tool_calls()?;
        for call in list.iter().flat_map(List::iter) {
            let call = call?;
            calls.push(ToolCallParts {
                id: call.id()?,
                name: call.name()?,
                arguments: call.arguments()?,
                is_custom: call.is_custom()?,
                extra: call.extra()?,
            });
        }
        let parts = TurnParts {
            role: turn.role()?,
            text: turn.text()?,
            parts: turn.parts()?,
            name: turn.name()?,
            refusal: turn.refusal()?,
            tool_call_id: turn.tool_call_id()?,
            extra: turn.extra()?,
            tokens: turn.tokens()?,
            is_pinned: turn.is_pinned()?,
            time_ms: turn.time_ms()?,
            nulls: turn.nulls()?,
        };
        turns.push(&parts, list.map(|_| calls));
    }
    Ok(turns)
}

/// What our writer makes of what our reader reads.
fn write_again(read: Snapshot<'_>) -> Result<Vec<u8>> {
    let bytes = read.vectors()?.map_or(&[][..], |vectors| vectors.bytes);
    let parts = SnapshotParts {
        session_id: read.session_id()?,
        role: read.role()?,
        tokenizer: read.tokenizer()?,
        turns: Source::Turns(&again(&read.turns()?)?),
        summary: read.summary()?,
        vectors: Vectors { dim: read.vector_dim()?, bytes },
        payload: read.payload()?,
        created_ms: read.created_ms()?,
        updated_ms: read.updated_ms()?,
    };
    let plan = Plan::new(&parts)?;
    let mut out = vec![0; plan.len()];
    plan.write(&mut out)?;
    Ok(out)
}

/// Panics where our reader does not hold on these bytes what it promises: no panic, and what it verifies the official library
/// verifies and reads alike, there and in what our writer makes of it. Whether it was verified.
pub(crate) fn check(bytes: &[u8]) -> bool {
    read(bytes);
    let Ok(ours) = verify(bytes) else { return false };
    let theirs = wire::root_as_snapshot(bytes).expect("verified by us");
    assert_eq!(ours.version(), Ok(theirs.version()));
    assert_same(ours, theirs);
    let again = write_again(ours).expect("verified by us");
    assert_same(verify(&again).expect("written by us"), theirs);
    true
}
