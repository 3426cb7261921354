//! Writes snapshots in two passes: the first learns the exact size, turn by turn as they come, the second writes each byte once, front to back.
//!
//! The order in a snapshot: offset of the root, file identifier, root table, its texts, vectors, payload, the offsets of the turns, the turns,
//! each with its calls, and then the texts of all of them, which a history has in few pieces. Tables come before what they refer to, since
//! offsets are unsigned. Last come the vtables, one for each set of fields that a table has: readers that narrow the buffer to a table and what
//! follows it find them there.
//! Everything lies at a multiple of 4, so only 8-byte numbers and `vectors` need care.
//!
//! Source: <https://flatbuffers.dev/internals/>.

use super::encode::{SnapshotParts, Source, has_parts};
use super::format::{HEADER, IDENTIFIER, MOST_BYTES};
use super::layout::{SNAPSHOT, Shape, TOOL_CALL, TURN, vtable_len};
use super::pen::{Byte, Pen, offsets_len, texts_len, to_u32};
use super::tables::{N_LEADS, Tables, To, field};
use super::view::Vectors;
use crate::error::{Error, Result};
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
    /// Where the vtables of turns lie, and those of calls.
    turn_vtables: u32,
    call_vtables: u32,
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
        let tables = parts.turns.tables();
        if let Some(index) = tables.lost {
            return Err(has_parts(index));
        }
        let fields = root_fields(parts);
        let root = SNAPSHOT.shape(fields);
        let at = Places::new(parts, root.span(HEADER).1).end.saturating_add(tables.len());
        let root = Shape { vtable: to_u32(at), ..root };
        let turn_vtables = at.saturating_add(vtable_len(fields));
        let call_vtables = turn_vtables.saturating_add(tables.turn_shapes.vtables_len());
        let len = call_vtables.saturating_add(tables.call_shapes.vtables_len());
        if len > MOST_BYTES {
            let why = format!(
                "the snapshot would have {len} bytes, the limit is {MOST_BYTES}; split the session or keep vectors and payload elsewhere"
            );
            return Err(Error::Codec(why));
        }
        Ok(Self { parts, len, root, turn_vtables: to_u32(turn_vtables), call_vtables: to_u32(call_vtables) })
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
        self.write_to(out, self.len, true)
    }

    /// Bytes of the snapshot without those of vectors and payload.
    pub fn len_around(&self) -> usize {
        self.len - self.parts.vectors.bytes.len() - self.parts.payload.map_or(0, <[u8]>::len)
    }

    /// Writes the snapshot but for the bytes of vectors and payload; the places in `out` before which those belong.
    ///
    /// # Errors
    /// [`Error::Codec`] if `out` is not of [`Plan::len_around`] bytes.
    pub fn write_around<B: Byte>(&self, out: &mut [B]) -> Result<[usize; 2]> {
        self.write_to(out, self.len_around(), false)?;
        let Places { vectors, payload, .. } = Places::new(self.parts, self.root.span(HEADER).1);
        let vectors_len = self.parts.vectors.bytes.len();
        Ok([vectors + if vectors_len > 0 { 4 } else { 0 }, payload + 4 - vectors_len].map(|place| place.min(out.len())))
    }

    fn write_to<B: Byte>(&self, out: &mut [B], len: usize, is_whole: bool) -> Result<()> {
        let wrong = Error::Codec(format!("out has {} bytes, the snapshot needs {len}", out.len()));
        if out.len() != len {
            return Err(wrong);
        }
        let mut pen = Pen::new(out);
        pen.offset(self.root.span(HEADER).0);
        pen.put(IDENTIFIER);
        self.write_root(&mut pen, is_whole);
        if has_turns(self.parts) {
            self.write_tables(&mut pen);
            match self.parts.turns {
                Source::Turns(turns) => write_texts(&mut pen, &turns.texts),
                Source::History(history) => {
                    let mut lens = history.tables().text_lens.iter().copied();
                    history.texts_in_room().for_each(|texts| pen.texts_in_room(texts, &mut lens));
                }
            }
        }
        SNAPSHOT.write_vtable(root_fields(self.parts), &mut pen);
        let Tables { turn_shapes, call_shapes, .. } = self.parts.turns.tables();
        turn_shapes.write(&TURN, &mut pen);
        call_shapes.write(&TOOL_CALL, &mut pen);
        if pen.is_done() { Ok(()) } else { Err(wrong) }
    }

    /// Writes the root table and what it refers to, but for the turns, and unless it is to be whole for the bytes of vectors and payload.
    fn write_root<B: Byte>(&self, pen: &mut Pen<'_, B>, is_whole: bool) {
        let (parts, vectors) = (self.parts, self.parts.vectors);
        let (_, end) = pen.table(self.root);
        let places = Places::new(parts, end);
        let bytes = |pen: &mut Pen<'_, B>, bytes: &[u8]| {
            let n_zeros = bytes.len().next_multiple_of(4) - bytes.len();
            if is_whole {
                pen.padded(bytes, bytes.len() + n_zeros);
            } else {
                pen.skip(bytes.len());
                pen.zeros_to(pen.at() + n_zeros);
            }
        };
        pen.number(parts.created_ms);
        pen.number(parts.updated_ms);
        pen.text_offsets(&root_texts(parts), end);
        if !vectors.bytes.is_empty() {
            pen.offset(places.vectors);
        }
        if parts.payload.is_some() {
            pen.offset(places.payload);
        }
        if has_turns(parts) {
            pen.offset(places.turns);
        }
        if vectors.dim != 0 {
            pen.put(vectors.dim.to_le_bytes());
        }
        pen.texts(&root_texts(parts));
        if !vectors.bytes.is_empty() {
            pen.zeros_to(places.vectors);
            pen.u32(vectors.bytes.len() / NUMBER);
            bytes(pen, vectors.bytes);
        }
        if let Some(payload) = parts.payload {
            pen.u32(payload.len());
            bytes(pen, payload);
        }
        pen.zeros_to(places.turns);
    }

    /// Writes the offsets of the turns, and their tables.
    fn write_tables<B: Byte>(&self, pen: &mut Pen<'_, B>) {
        let tables = self.parts.turns.tables();
        let n_turns = to_u32(tables.turns.len());
        pen.u32(tables.turns.len());
        pen.words(tables.turns.iter().zip(0..n_turns).map(|(turn, number)| (n_turns - number) * 4 + turn));
        let start = to_u32(pen.at());
        let mut between = [0; N_LEADS];
        between[To::Texts as usize] = to_u32(tables.tables_len());
        between[To::TurnVtables as usize] = start.wrapping_sub(self.turn_vtables);
        between[To::CallVtables as usize] = start.wrapping_sub(self.call_vtables);
        let words = tables.words.iter().zip(&tables.leads);
        pen.words(words.map(|(word, lead)| word.wrapping_add(between[usize::from(*lead) % N_LEADS])));
    }
}

/// Writes texts that lie here and there, too short for the CPU to see that one is read in order.
fn write_texts<B: Byte>(pen: &mut Pen<'_, B>, texts: &[&str]) {
    for (number, text) in texts.iter().enumerate() {
        if let Some(next) = texts.get(number + 4) {
            next.as_bytes().iter().step_by(64).take(8).for_each(prefetch);
        }
        pen.text(text);
    }
}

fn root_fields(parts: &SnapshotParts<'_>) -> usize {
    field(1, parts.session_id.is_some())
        | field(2, parts.role.is_some())
        | field(3, parts.tokenizer.is_some())
        | field(4, has_turns(parts))
        | field(5, parts.summary.is_some())
        | field(6, parts.vectors.dim != 0)
        | field(7, !parts.vectors.bytes.is_empty())
        | field(8, parts.payload.is_some())
        | field(9, parts.created_ms != 0)
        | field(10, parts.updated_ms != 0)
}

fn has_turns(parts: &SnapshotParts<'_>) -> bool {
    !parts.turns.tables().turns.is_empty()
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
        let Tables { turns: tables, is_wide, .. } = parts.turns.tables();
        let offsets = if has_turns(parts) { offsets_len(tables.len()) } else { 0 };
        // The sizes of the turns were learnt from a multiple of 8 on.
        let is_amiss = *is_wide && !turns.saturating_add(offsets).is_multiple_of(8);
        let turns = if is_amiss { turns.saturating_add(4) } else { turns };
        Self { vectors, payload: vectors_end, turns, end: turns.saturating_add(offsets) }
    }
}
