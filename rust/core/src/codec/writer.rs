//! Writes snapshots in two passes: the first learns the exact size, the second writes each byte once, front to back.
//!
//! The order in a snapshot: offset of the root, file identifier, root table, its texts, vectors, payload, the offsets of the turns, then
//! each turn with its texts and its calls. Tables come before what they refer to, since offsets are unsigned. Last come the vtables, one for each
//! set of fields that a table has: readers that narrow the buffer to a table and what follows it find them there.
//! Everything lies at a multiple of 4, so only 8-byte numbers and `vectors` need care.
//!
//! Source: <https://flatbuffers.dev/internals/>.

use super::encode::{PlainTurn, SnapshotParts, ToolCallParts, TurnParts, Turns};
use super::format::{HEADER, IDENTIFIER, MOST_BYTES};
use super::layout::{SNAPSHOT, Shape, Shapes, TOOL_CALL, TURN, vtable_len};
use super::pen::{Byte, Pen, offsets_len, room_of_text, texts_len, to_u32};
use super::view::Vectors;
use crate::error::{Error, Result};
use crate::message::Role;

/// Bytes of one number of `vectors`.
const NUMBER: usize = size_of::<f32>();

/// Alignment of the first number of `vectors`, counted from the snapshot's start.
const VECTORS_ALIGN: usize = 16;

/// A snapshot's size and the places of its vtables; [`Plan::write`] writes it.
///
/// Equal parts give equal bytes.
///
/// Cost: O(turns + calls) in time; 30 kB at most in memory, whatever the parts.
#[derive(Debug)]
pub struct Plan<'p, T: ?Sized> {
    parts: &'p SnapshotParts<'p, T>,
    n_turns: usize,
    len: usize,
    root: Shape,
    turns: Shapes,
    calls: Shapes,
}

impl<'p, T: Turns + ?Sized> Plan<'p, T> {
    /// Learns the size of what `parts` come to.
    ///
    /// # Errors
    /// [`Error::Codec`] if it would have 2^31 bytes or more, or if `vectors` is no multiple of `vector_dim`; what the turns' source refuses.
    pub fn new(parts: &'p SnapshotParts<'p, T>) -> Result<Self> {
        let Vectors { dim, bytes } = parts.vectors;
        let vector_len = (dim as usize).saturating_mul(NUMBER);
        if !bytes.len().is_multiple_of(vector_len) {
            let n = bytes.len();
            let why = format!(
                "vectors has {n} bytes, which is no multiple of {NUMBER} times their dim, {dim}; give whole vectors and their dim"
            );
            return Err(Error::Codec(why));
        }
        let n_turns = parts.turns.n_turns();
        let (turns, calls) = (Shapes::new(&TURN), Shapes::new(&TOOL_CALL));
        let mut plan = Self { parts, n_turns, len: 0, root: Shape::default(), turns, calls };
        let root_fields = plan.root_fields();
        plan.root = SNAPSHOT.shape(root_fields);
        let mut at = plan.places(plan.root.span(HEADER).1).turns;
        if n_turns > 0 {
            at = at.saturating_add(offsets_len(n_turns));
        }
        for index in 0..n_turns {
            at = match parts.turns.plain_len(index) {
                Some(turn) => at.saturating_add(plan.plain_turn_len(&turn)),
                None => plan.turn_end(index, &parts.turns.turn(index)?, at)?,
            };
        }
        plan.root.vtable = to_u32(at);
        at = plan.turns.place(at.saturating_add(vtable_len(root_fields)));
        plan.len = plan.calls.place(at);
        if plan.len > MOST_BYTES {
            let why = format!(
                "the snapshot would have {} bytes, the limit is {MOST_BYTES}; split the session or keep vectors and payload elsewhere",
                plan.len
            );
            return Err(Error::Codec(why));
        }
        Ok(plan)
    }

    /// Bytes of the snapshot.
    #[expect(clippy::len_without_is_empty, reason = "no snapshot is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes the snapshot. `out` may hold anything before, or nothing; where this is `Ok`, every byte of it was written.
    ///
    /// # Errors
    /// [`Error::Codec`] if `out` is not of [`Plan::len`] bytes or the turns are not what they were when their sizes were learnt; what the
    /// turns' source refuses. Then `out` holds nothing of use and may be written in part.
    pub fn write<B: Byte>(&self, out: &mut [B]) -> Result<()> {
        if out.len() != self.len {
            return Err(Error::Codec(format!("out has {} bytes, the snapshot needs {}", out.len(), self.len)));
        }
        let mut pen = Pen::new(out);
        pen.offset(self.root.span(HEADER).0);
        pen.put(IDENTIFIER);
        self.write_root(&mut pen);
        if self.n_turns > 0 {
            let mut slots = pen.offsets(self.n_turns);
            for index in 0..self.n_turns {
                self.parts.turns.prefetch(index);
                let at = match self.parts.turns.plain(index) {
                    Some(turn) => self.write_plain_turn(&mut pen, &turn)?,
                    None => self.write_turn(&mut pen, index, &self.parts.turns.turn(index)?)?,
                };
                slots.offset(at);
            }
        }
        SNAPSHOT.write_vtable(self.root_fields(), &mut pen);
        self.turns.write(&mut pen);
        self.calls.write(&mut pen);
        if pen.is_done() { Ok(()) } else { Err(changed()) }
    }

    fn root_fields(&self) -> usize {
        let parts = self.parts;
        field(1, parts.session_id.is_some())
            | field(2, parts.role.is_some())
            | field(3, parts.tokenizer.is_some())
            | field(4, self.n_turns > 0)
            | field(5, parts.summary.is_some())
            | field(6, parts.vectors.dim != 0)
            | field(7, !parts.vectors.bytes.is_empty())
            | field(8, parts.payload.is_some())
            | field(9, parts.created_ms != 0)
            | field(10, parts.updated_ms != 0)
    }

    fn root_texts(&self) -> [Option<&str>; 4] {
        [self.parts.session_id, self.parts.role, self.parts.tokenizer, self.parts.summary]
    }

    /// Where what the root refers to lies if its texts begin at `at`.
    fn places(&self, at: usize) -> Places {
        let texts_end = at.saturating_add(texts_len(&self.root_texts()));
        let (vectors, vectors_end) = match self.parts.vectors.bytes.len() {
            0 => (texts_end, texts_end),
            bytes => {
                let first = texts_end.saturating_add(4).checked_next_multiple_of(VECTORS_ALIGN).unwrap_or(usize::MAX);
                (first - 4, first.saturating_add(bytes))
            }
        };
        let payload_len = self.parts.payload.map_or(0, |payload| 4 + payload.len().div_ceil(4) * 4);
        Places { vectors, payload: vectors_end, turns: vectors_end.saturating_add(payload_len) }
    }

    /// Writes the root table and what it refers to, but for the turns.
    fn write_root<B: Byte>(&self, pen: &mut Pen<'_, B>) {
        let (parts, vectors) = (self.parts, self.parts.vectors);
        let (_, end) = pen.table(self.root);
        let places = self.places(end);
        pen.number(parts.created_ms);
        pen.number(parts.updated_ms);
        pen.text_offsets(&self.root_texts(), end);
        if !vectors.bytes.is_empty() {
            pen.offset(places.vectors);
        }
        if parts.payload.is_some() {
            pen.offset(places.payload);
        }
        if self.n_turns > 0 {
            pen.offset(places.turns);
        }
        if vectors.dim != 0 {
            pen.put(vectors.dim.to_le_bytes());
        }
        pen.texts(&self.root_texts());
        if !vectors.bytes.is_empty() {
            pen.zeros_to(places.vectors);
            pen.u32(vectors.bytes.len() / NUMBER);
            pen.padded(vectors.bytes, vectors.bytes.len());
        }
        if let Some(payload) = parts.payload {
            pen.u32(payload.len());
            pen.padded(payload, places.turns - pen.at());
        }
    }

    /// Bytes of a plain turn and its text, wherever they begin: it has no 8-byte numbers.
    #[inline]
    fn plain_turn_len(&mut self, turn: &PlainTurn<usize>) -> usize {
        self.turns.note(plain_turn_fields(turn)).len as usize + room_of_text(turn.text)
    }

    /// Writes a plain turn and its text; where it lies.
    #[inline]
    fn write_plain_turn<B: Byte>(&self, pen: &mut Pen<'_, B>, turn: &PlainTurn<&str>) -> Result<usize> {
        let shape = self.turns.get(plain_turn_fields(turn)).ok_or_else(changed)?;
        let start = pen.at();
        // In as few pieces as can be: this is where time goes.
        let table = to_u32(start).wrapping_sub(shape.vtable);
        let text = shape.len - 4;
        let len = to_u32(turn.text.len());
        match (turn.tokens, bytes_word(turn.role, turn.is_pinned, 0)) {
            (0, None) => pen.words([table, text, len]),
            (0, Some(bytes)) => pen.words([table, text, bytes, len]),
            (tokens, None) => pen.words([table, text, tokens, len]),
            (tokens, Some(bytes)) => pen.words([table, text, tokens, bytes, len]),
        }
        pen.padded(turn.text.as_bytes(), room_of_text(turn.text.len()) - 4);
        Ok(start)
    }

    /// Where turn `index` and what it refers to end if they begin at `at`.
    fn turn_end(&mut self, index: usize, turn: &TurnParts<'_>, at: usize) -> Result<usize> {
        let (_, end) = self.turns.note(turn_fields(turn)).span(at);
        let end = end.saturating_add(texts_len(&turn_texts(turn)));
        turn.n_tool_calls.map_or(Ok(end), |n_calls| self.calls_end(index, n_calls, end))
    }

    fn calls_end(&mut self, turn: usize, n_calls: usize, at: usize) -> Result<usize> {
        let mut at = at.saturating_add(offsets_len(n_calls));
        for call in 0..n_calls {
            let call = self.parts.turns.call(turn, call)?;
            let (_, end) = self.calls.note(call_fields(&call)).span(at);
            at = end.saturating_add(texts_len(&call_texts(&call)));
        }
        Ok(at)
    }

    /// Writes turn `index`, its texts and its calls; where it lies.
    fn write_turn<B: Byte>(&self, pen: &mut Pen<'_, B>, index: usize, turn: &TurnParts<'_>) -> Result<usize> {
        let shape = self.turns.get(turn_fields(turn)).ok_or_else(changed)?;
        let texts = turn_texts(turn);
        let (start, end) = pen.table(shape);
        pen.number(turn.time_ms);
        let calls = pen.text_offsets(&texts, end);
        if turn.n_tool_calls.is_some() {
            pen.offset(calls);
        }
        if turn.tokens != 0 {
            pen.put(turn.tokens.to_le_bytes());
        }
        if let Some(word) = bytes_word(turn.role, turn.is_pinned, turn.nulls) {
            pen.put(word.to_le_bytes());
        }
        pen.texts(&texts);
        if let Some(n_calls) = turn.n_tool_calls {
            self.write_calls(pen, index, n_calls)?;
        }
        Ok(start)
    }

    fn write_calls<B: Byte>(&self, pen: &mut Pen<'_, B>, turn: usize, n_calls: usize) -> Result<()> {
        let mut slots = pen.offsets(n_calls);
        for call in 0..n_calls {
            let call = self.parts.turns.call(turn, call)?;
            let shape = self.calls.get(call_fields(&call)).ok_or_else(changed)?;
            let (start, end) = pen.table(shape);
            pen.text_offsets(&call_texts(&call), end);
            if call.is_custom {
                pen.put([1, 0, 0, 0]);
            }
            pen.texts(&call_texts(&call));
            slots.offset(start);
        }
        Ok(())
    }
}

/// Where what the root refers to lies, its texts aside.
struct Places {
    vectors: usize,
    payload: usize,
    turns: usize,
}

#[inline]
fn field(number: u32, is_there: bool) -> usize {
    usize::from(is_there) << number
}

#[inline]
fn plain_turn_fields<T>(turn: &PlainTurn<T>) -> usize {
    field(0, turn.role != Role::User) | field(1, true) | field(8, turn.tokens != 0) | field(9, turn.is_pinned)
}

fn turn_fields(turn: &TurnParts<'_>) -> usize {
    field(0, turn.role != Role::User)
        | field(1, turn.text.is_some())
        | field(2, turn.parts.is_some())
        | field(3, turn.name.is_some())
        | field(4, turn.refusal.is_some())
        | field(5, turn.n_tool_calls.is_some())
        | field(6, turn.tool_call_id.is_some())
        | field(7, turn.extra.is_some())
        | field(8, turn.tokens != 0)
        | field(9, turn.is_pinned)
        | field(10, turn.time_ms != 0)
        | field(11, turn.nulls != 0)
}

fn turn_texts<'a>(turn: &TurnParts<'a>) -> [Option<&'a str>; 6] {
    [turn.text, turn.parts, turn.name, turn.refusal, turn.tool_call_id, turn.extra]
}

fn call_fields(call: &ToolCallParts<'_>) -> usize {
    field(0, call.id.is_some())
        | field(1, call.name.is_some())
        | field(2, call.arguments.is_some())
        | field(3, call.is_custom)
        | field(4, call.extra.is_some())
}

fn call_texts<'a>(call: &ToolCallParts<'a>) -> [Option<&'a str>; 4] {
    [call.id, call.name, call.arguments, call.extra]
}

/// The one word in which a turn's bytes lie that are not the default, if there are any.
#[inline]
fn bytes_word(role: Role, is_pinned: bool, nulls: u8) -> Option<u32> {
    let (mut word, mut n_bits) = (0, 0);
    for (is_there, byte) in
        [(role != Role::User, role_number(role)), (is_pinned, u8::from(is_pinned)), (nulls != 0, nulls)]
    {
        if is_there {
            word |= u32::from(byte) << n_bits;
            n_bits += 8;
        }
    }
    (n_bits > 0).then_some(word)
}

#[inline]
fn role_number(role: Role) -> u8 {
    match role {
        Role::System => 0,
        Role::Developer => 1,
        Role::User => 2,
        Role::Assistant => 3,
        Role::Tool => 4,
    }
}

#[cold]
fn changed() -> Error {
    Error::Codec("the turns changed while they were written; hold them still and write them again".to_owned())
}
