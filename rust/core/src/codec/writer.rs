//! Writes snapshots in two passes: the first learns the exact size, turn by turn as they come, the second writes each byte once, front to back.
//!
//! The order in a snapshot: offset of the root, file identifier, root table, its texts, vectors, payload, the offsets of the turns, then
//! each turn with its texts and its calls. Tables come before what they refer to, since offsets are unsigned. Last come the vtables, one for each
//! set of fields that a table has: readers that narrow the buffer to a table and what follows it find them there.
//! Everything lies at a multiple of 4, so only 8-byte numbers and `vectors` need care.
//!
//! Source: <https://flatbuffers.dev/internals/>.

use super::encode::{Sizes, SnapshotParts, Source, TableParts, field, has_parts};
use super::format::{HEADER, IDENTIFIER, MOST_BYTES};
use super::layout::{SNAPSHOT, Shape, TOOL_CALL, TURN, vtable_len};
use super::pen::{Byte, Pen, offsets_len, room_of_text, texts_len, to_u32};
use super::view::Vectors;
use crate::error::{Error, Result};
use crate::message::{Message, Part};
use crate::simd::prefetch;

/// Bytes of one number of `vectors`.
const NUMBER: usize = size_of::<f32>();

/// Alignment of the first number of `vectors`, counted from the snapshot's start.
const VECTORS_ALIGN: usize = 16;

/// A snapshot's size and the places of its vtables; [`Plan::write`] writes it.
///
/// Equal parts give equal bytes.
#[derive(Debug)]
pub struct Plan<'p> {
    parts: &'p SnapshotParts<'p>,
    len: usize,
    root: Shape,
    turns: Vec<Shape>,
    calls: Vec<Shape>,
}

impl<'p> Plan<'p> {
    /// Learns the size of what `parts` come to.
    ///
    /// # Errors
    /// [`Error::Codec`] if it would have 2^31 bytes or more, if `vectors` are not whole, or if a message of a history has another content
    /// than one text.
    pub fn new(parts: &'p SnapshotParts<'p>) -> Result<Self> {
        let Vectors { dim, bytes } = parts.vectors;
        let vector_len = (dim as usize).saturating_mul(NUMBER);
        if !bytes.len().is_multiple_of(vector_len) {
            let n = bytes.len();
            let why = format!(
                "vectors has {n} bytes, which is no multiple of {NUMBER} times their dim, {dim}; give whole vectors and their dim"
            );
            return Err(Error::Codec(why));
        }
        let sizes = parts.turns.sizes();
        if let Some(index) = sizes.lost {
            return Err(has_parts(index));
        }
        let fields = root_fields(parts);
        let root = SNAPSHOT.shape(fields);
        let at = Places::new(parts, root.span(HEADER).1).end.saturating_add(sizes.len);
        let root = Shape { vtable: to_u32(at), ..root };
        let (turns, at) = sizes.turn_shapes.placed(at.saturating_add(vtable_len(fields)));
        let (calls, len) = sizes.call_shapes.placed(at);
        if len > MOST_BYTES {
            let why = format!(
                "the snapshot would have {len} bytes, the limit is {MOST_BYTES}; split the session or keep vectors and payload elsewhere"
            );
            return Err(Error::Codec(why));
        }
        Ok(Self { parts, len, root, turns, calls })
    }

    /// Bytes of the snapshot.
    #[expect(clippy::len_without_is_empty, reason = "no snapshot is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes the snapshot. `out` may hold anything before, or nothing; where this is `Ok`, every byte of it was written.
    ///
    /// # Errors
    /// [`Error::Codec`] if `out` is not of [`Plan::len`] bytes.
    pub fn write<B: Byte>(&self, out: &mut [B]) -> Result<()> {
        let wrong = Error::Codec(format!("out has {} bytes, the snapshot needs {}", out.len(), self.len));
        if out.len() != self.len {
            return Err(wrong);
        }
        let mut pen = Pen::new(out);
        pen.offset(self.root.span(HEADER).0);
        pen.put(IDENTIFIER);
        self.write_root(&mut pen);
        match self.parts.turns {
            Source::Turns(turns) => self.write_turns(&mut pen, turns.texts.as_slice()),
            Source::History(history) => {
                self.write_turns(&mut pen, InMessages { messages: history.messages(), n: 0 });
            }
        }
        SNAPSHOT.write_vtable(root_fields(self.parts), &mut pen);
        let Sizes { turn_shapes, call_shapes, .. } = self.parts.turns.sizes();
        turn_shapes.write(&TURN, &mut pen);
        call_shapes.write(&TOOL_CALL, &mut pen);
        if pen.is_done() { Ok(()) } else { Err(wrong) }
    }

    /// Writes the root table and what it refers to, but for the turns.
    fn write_root<B: Byte>(&self, pen: &mut Pen<'_, B>) {
        let (parts, vectors) = (self.parts, self.parts.vectors);
        let (_, end) = pen.table(self.root);
        let places = Places::new(parts, end);
        pen.number(parts.created_ms);
        pen.number(parts.updated_ms);
        pen.text_offsets(&root_texts(parts), end);
        if !vectors.bytes.is_empty() {
            pen.offset(places.vectors);
        }
        if parts.payload.is_some() {
            pen.offset(places.payload);
        }
        if parts.turns.sizes().n_turns > 0 {
            pen.offset(places.turns);
        }
        if vectors.dim != 0 {
            pen.put(vectors.dim.to_le_bytes());
        }
        pen.texts(&root_texts(parts));
        if !vectors.bytes.is_empty() {
            pen.zeros_to(places.vectors);
            pen.u32(vectors.bytes.len() / NUMBER);
            pen.padded(vectors.bytes, vectors.bytes.len());
        }
        if let Some(payload) = parts.payload {
            pen.u32(payload.len());
            pen.padded(payload, payload.len().next_multiple_of(4));
        }
        pen.zeros_to(places.turns);
    }

    fn write_turns<'t, B: Byte>(&self, pen: &mut Pen<'_, B>, mut texts: impl Texts<'t>) {
        let Sizes { tables, n_turns, .. } = self.parts.turns.sizes();
        if *n_turns == 0 {
            return;
        }
        let mut slots = pen.offsets(*n_turns);
        let mut tables = tables.iter();
        while let Some(turn) = tables.next() {
            let shape = self.turns[usize::from(turn.shape)];
            if shape.is_plain {
                slots.offset(write_plain(pen, shape, turn, texts.plain()));
                continue;
            }
            slots.offset(write_table(pen, shape, turn, &texts.turn(turn.n_texts.into())));
            if !shape.has_calls {
                continue;
            }
            let mut slots = pen.offsets(turn.n_calls as usize);
            for (number, call) in tables.by_ref().take(turn.n_calls as usize).enumerate() {
                let texts = texts.call(number, call.n_texts.into());
                slots.offset(write_table(pen, self.calls[usize::from(call.shape)], call, &texts));
            }
        }
    }
}

/// The texts of a table, and empty ones after them.
type Few<'a> = [&'a str; 6];

/// Gives the texts of one turn after the other.
trait Texts<'a> {
    /// The only text of the next turn.
    fn plain(&mut self) -> &'a str;
    /// The `n` texts of the next turn.
    fn turn(&mut self, n: usize) -> Few<'a>;
    /// The `n` texts of call `number` of that turn.
    fn call(&mut self, number: usize, n: usize) -> Few<'a>;
}

/// Texts one after another.
impl<'a> Texts<'a> for &[&'a str] {
    #[inline]
    fn plain(&mut self) -> &'a str {
        let (first, rest) = self.split_first().unwrap_or((&"", &[]));
        *self = rest;
        first
    }

    fn turn(&mut self, n: usize) -> Few<'a> {
        let (texts, rest) = self.split_at(n);
        *self = rest;
        let mut few = [""; 6];
        few[..n].copy_from_slice(texts);
        few
    }

    fn call(&mut self, _: usize, n: usize) -> Few<'a> {
        self.turn(n)
    }
}

/// The texts of a history, where they are.
struct InMessages<'a> {
    messages: &'a [Message],
    /// Messages whose turns were given.
    n: usize,
}

impl<'a> InMessages<'a> {
    #[inline]
    fn next(&mut self) -> &'a Message {
        // Texts lie here and there, too short for the CPU to see that one is read in order. Where all is in near caches, this costs 5 %; where it
        // is not, as in any program that does something else in between, it saves a fifth.
        if let Some(message) = self.messages.get(self.n + 16) {
            prefetch(&message.parts);
        }
        if let Some(Part::Text(text)) = self.messages.get(self.n + 4).and_then(|message| message.parts.first()) {
            text.as_bytes().iter().step_by(64).take(8).for_each(prefetch);
        }
        self.n += 1;
        &self.messages[self.n - 1]
    }
}

impl<'a> Texts<'a> for InMessages<'a> {
    #[inline]
    fn plain(&mut self) -> &'a str {
        if let [Part::Text(text)] = self.next().parts.as_slice() { text } else { "" }
    }

    fn turn(&mut self, _: usize) -> Few<'a> {
        let Message { parts, name, refusal, tool_call_id, .. } = self.next();
        let text = if let [Part::Text(text)] = parts.as_slice() { Some(text) } else { None };
        let mut few = [""; 6];
        let texts = [text, name.as_ref(), refusal.as_ref(), tool_call_id.as_ref()];
        few.iter_mut().zip(texts.into_iter().flatten()).for_each(|(to, text)| *to = text);
        few
    }

    fn call(&mut self, number: usize, _: usize) -> Few<'a> {
        let call = &self.messages[self.n - 1].tool_calls[number];
        [&call.id, &call.name, &call.arguments, "", "", ""]
    }
}

/// Writes a table and its texts; where it lies.
fn write_table<B: Byte>(pen: &mut Pen<'_, B>, shape: Shape, table: &TableParts, texts: &Few<'_>) -> usize {
    let texts = &texts[..usize::from(table.n_texts)];
    let (start, end) = pen.table(shape);
    pen.number(table.time_ms);
    let mut at = end;
    for text in texts {
        pen.offset(at);
        at += room_of_text(text.len());
    }
    if shape.has_calls {
        pen.offset(at);
    }
    if table.tokens != 0 {
        pen.put(table.tokens.to_le_bytes());
    }
    if shape.has_marks {
        pen.put(table.marks.to_le_bytes());
    }
    for text in texts {
        pen.text(text);
    }
    start
}

/// Writes a table of one text and numbers in as few pieces as can be: this is where most time goes.
#[expect(clippy::inline_always, reason = "a call costs as much as what it does; with `inline` alone it is one")]
#[inline(always)]
fn write_plain<B: Byte>(pen: &mut Pen<'_, B>, shape: Shape, table: &TableParts, text: &str) -> usize {
    let start = pen.at();
    let to_vtable = to_u32(start).wrapping_sub(shape.vtable);
    let to_text = shape.len - 4;
    let len = to_u32(text.len());
    match (table.tokens, shape.has_marks) {
        (0, false) => pen.words([to_vtable, to_text, len]),
        (0, true) => pen.words([to_vtable, to_text, table.marks, len]),
        (tokens, false) => pen.words([to_vtable, to_text, tokens, len]),
        (tokens, true) => pen.words([to_vtable, to_text, tokens, table.marks, len]),
    }
    pen.padded(text.as_bytes(), room_of_text(text.len()) - 4);
    start
}

fn root_fields(parts: &SnapshotParts<'_>) -> usize {
    field(1, parts.session_id.is_some())
        | field(2, parts.role.is_some())
        | field(3, parts.tokenizer.is_some())
        | field(4, parts.turns.sizes().n_turns > 0)
        | field(5, parts.summary.is_some())
        | field(6, parts.vectors.dim != 0)
        | field(7, !parts.vectors.bytes.is_empty())
        | field(8, parts.payload.is_some())
        | field(9, parts.created_ms != 0)
        | field(10, parts.updated_ms != 0)
}

fn root_texts<'a>(parts: &SnapshotParts<'a>) -> [Option<&'a str>; 4] {
    [parts.session_id, parts.role, parts.tokenizer, parts.summary]
}

/// Where what the root refers to lies, its texts aside.
struct Places {
    vectors: usize,
    payload: usize,
    /// The offsets of the turns; where those that are there begin.
    turns: usize,
    /// Where the first turn begins, or would.
    end: usize,
}

impl Places {
    /// `at`: where the root's texts begin.
    fn new(parts: &SnapshotParts<'_>, at: usize) -> Self {
        let texts_end = at.saturating_add(texts_len(&root_texts(parts)));
        let (vectors, vectors_end) = match parts.vectors.bytes.len() {
            0 => (texts_end, texts_end),
            bytes => {
                let first = texts_end.saturating_add(4).checked_next_multiple_of(VECTORS_ALIGN).unwrap_or(usize::MAX);
                (first - 4, first.saturating_add(bytes))
            }
        };
        let payload_len = parts.payload.map_or(0, |payload| 4 + payload.len().div_ceil(4) * 4);
        let turns = vectors_end.saturating_add(payload_len);
        let &Sizes { n_turns, is_wide, .. } = parts.turns.sizes();
        let offsets = if n_turns > 0 { offsets_len(n_turns) } else { 0 };
        // The sizes of the turns were learnt from a multiple of 8 on.
        let is_amiss = is_wide && !turns.saturating_add(offsets).is_multiple_of(8);
        let turns = if is_amiss { turns.saturating_add(4) } else { turns };
        Self { vectors, payload: vectors_end, turns, end: turns.saturating_add(offsets) }
    }
}
