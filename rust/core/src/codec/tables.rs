//! The first of a writer's two passes: the tables of turns as they will be, but for what is known only when all of them have come.

use super::encode::{ToolCallParts, TurnParts, calls_of, turn_of};
use super::layout::{Shapes, TOOL_CALL, TURN};
use super::pen::{room_of_text, to_u32};
use crate::message::{Message, Part, Role};

/// Tables of turns and of their calls in words of 4 bytes, and how many bytes their texts take.
///
/// An offset in them is to be told from where the tables begin to the place among those that it leads to, [`To`]; what lies between the two
/// is added at the end. So whatever has no 2^31 bytes in all has right offsets, and everything else is refused before.
///
/// Memory: 28 bytes for a turn that is one text.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// What they are from a multiple of 8 on.
    pub(super) words: Vec<u32>,
    /// To where each word leads, a [`To`].
    pub(super) leads: Vec<u8>,
    /// Where the table of each turn begins, in bytes.
    pub(super) turns: Vec<u32>,
    /// Bytes of each text.
    pub(super) text_lens: Vec<u32>,
    /// Bytes of all texts with their room.
    pub(super) texts_len: usize,
    /// Whether one of them has an 8-byte number, which has to lie at a multiple of 8.
    pub(super) is_wide: bool,
    pub(super) turn_shapes: Shapes,
    pub(super) call_shapes: Shapes,
    /// The first message that a history does not keep as it came.
    pub(super) lost: Option<usize>,
}

/// To where a word leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// Nowhere, or to another table: it is as it will be.
    Here,
    /// Into the texts.
    Texts,
    /// Back from a vtable of turns.
    TurnVtables,
    /// Back from a vtable of calls.
    CallVtables,
}

/// How many [`To`] there are.
pub(super) const N_LEADS: usize = 4;

impl Tables {
    /// No turns yet, but room for as many that are one text each.
    pub(super) fn with_capacity(n_turns: usize) -> Self {
        Self {
            words: Vec::with_capacity(4 * n_turns),
            leads: Vec::with_capacity(4 * n_turns),
            turns: Vec::with_capacity(n_turns),
            text_lens: Vec::with_capacity(n_turns),
            ..Self::default()
        }
    }

    /// Bytes of the tables and of all texts.
    pub(super) fn len(&self) -> usize {
        self.tables_len().saturating_add(self.texts_len)
    }

    /// Bytes of the tables.
    pub(super) fn tables_len(&self) -> usize {
        self.words.len().saturating_mul(WORD)
    }

    /// Adds a message of a history; one that is not kept as it came is noted as that. Bytes of its texts with their room.
    #[inline]
    pub(crate) fn push_message(&mut self, message: &Message, tokens: u64, is_pinned: bool) -> usize {
        let texts_len = self.texts_len;
        let Message { role, name, parts, refusal, tool_calls, tool_call_id, nulls } = message;
        let has_more = name.is_some() || refusal.is_some() || tool_call_id.is_some() || !tool_calls.is_empty();
        match parts.as_slice() {
            [Part::Text(text)] if !has_more && *nulls == 0 => {
                self.push_plain(*role, text.n_bytes(), u32::try_from(tokens).unwrap_or(0), is_pinned);
            }
            _ => self.push_rich_message(message, tokens, is_pinned),
        }
        self.texts_len - texts_len
    }

    /// Adds a turn of one text of so many bytes, with nothing but tokens and a pin beside it, as most are: at each append, so in as few
    /// instructions as can be.
    #[inline]
    pub(super) fn push_plain(&mut self, role: Role, text_len: usize, tokens: u32, is_pinned: bool) {
        let fields = field(0, role != Role::User) | field(1, true) | field(8, tokens != 0) | field(9, is_pinned);
        let shape = self.turn_shapes.note(&TURN, fields);
        let marks = marks([(role != Role::User, role as u8), (is_pinned, u8::from(is_pinned))]);
        let at = to_u32(self.tables_len());
        let to_text = to_u32(self.texts_len).wrapping_sub(at.wrapping_add(4));
        let words = [at.wrapping_sub(shape.vtable), to_text, if tokens == 0 { marks } else { tokens }, marks];
        let leads = [To::TurnVtables as u8, To::Texts as u8, To::Here as u8, To::Here as u8];
        let n_words = (shape.len as usize / WORD).min(words.len());
        self.turns.push(at);
        self.words.extend_from_slice(&words[..n_words]);
        self.leads.extend_from_slice(&leads[..n_words]);
        self.note_text(text_len);
    }

    fn push_rich_message(&mut self, message: &Message, tokens: u64, is_pinned: bool) {
        match turn_of(message, tokens, is_pinned) {
            Some(turn) => self.push(&turn, calls_of(message)),
            None => self.lost = self.lost.or(Some(self.turns.len())),
        }
    }

    /// Adds a turn with its calls; `None`: it has no list of them.
    pub(super) fn push<'a>(
        &mut self,
        turn: &TurnParts<'a>,
        calls: Option<impl IntoIterator<Item = ToolCallParts<'a>, IntoIter: ExactSizeIterator>>,
    ) {
        let marks = [
            (turn.role != Role::User, turn.role as u8),
            (turn.is_pinned, u8::from(turn.is_pinned)),
            (turn.nulls != 0, turn.nulls),
        ];
        let fields = field(0, turn.role != Role::User)
            | field(1, turn.text.is_some())
            | field(2, turn.parts.is_some())
            | field(3, turn.name.is_some())
            | field(4, turn.refusal.is_some())
            | field(5, calls.is_some())
            | field(6, turn.tool_call_id.is_some())
            | field(7, turn.extra.is_some())
            | field(8, turn.tokens != 0)
            | field(9, turn.is_pinned)
            | field(10, turn.time_ms != 0)
            | field(11, turn.nulls != 0);
        let shape = self.turn_shapes.note(&TURN, fields);
        self.is_wide |= shape.is_wide;
        let (start, end) = shape.span(self.tables_len());
        if start > self.tables_len() {
            self.word(0, To::Here);
        }
        self.turns.push(to_u32(start));
        self.word(to_u32(start).wrapping_sub(shape.vtable), To::TurnVtables);
        if turn.time_ms != 0 {
            self.words.extend(halves(turn.time_ms));
            self.leads.extend([To::Here as u8; 2]);
        }
        self.texts(&turn.texts());
        if calls.is_some() {
            self.offset(end, To::Here);
        }
        if turn.tokens != 0 {
            self.word(turn.tokens, To::Here);
        }
        if marks.iter().any(|&(is_there, _)| is_there) {
            self.word(self::marks(marks), To::Here);
        }
        if let Some(calls) = calls {
            self.push_calls(calls.into_iter());
        }
    }

    /// Adds the offsets of a turn's calls, and the calls.
    fn push_calls<'a>(&mut self, calls: impl ExactSizeIterator<Item = ToolCallParts<'a>>) {
        // More would have 2^31 bytes, which is found out.
        self.word(to_u32(calls.len()), To::Here);
        let slots = self.words.len();
        let end = slots.saturating_add(calls.len());
        self.words.resize(end, 0);
        self.leads.resize(end, To::Here as u8);
        for (slot, call) in (slots..).zip(calls) {
            self.words[slot] = to_u32(self.tables_len()).wrapping_sub(to_u32(slot * WORD));
            let fields = field(0, call.id.is_some())
                | field(1, call.name.is_some())
                | field(2, call.arguments.is_some())
                | field(3, call.is_custom)
                | field(4, call.extra.is_some());
            let shape = self.call_shapes.note(&TOOL_CALL, fields);
            self.word(to_u32(self.tables_len()).wrapping_sub(shape.vtable), To::CallVtables);
            self.texts(&call.texts());
            if call.is_custom {
                self.word(1, To::Here);
            }
        }
    }

    #[inline]
    fn word(&mut self, word: u32, to: To) {
        self.words.push(word);
        self.leads.push(to as u8);
    }

    /// An offset to `place` among those that it leads to, or among the tables.
    fn offset(&mut self, place: usize, to: To) {
        self.word(to_u32(place).wrapping_sub(to_u32(self.tables_len())), to);
    }

    /// The offsets of the texts that there are.
    fn texts<const N: usize>(&mut self, texts: &[Option<&str>; N]) {
        for text in texts.iter().flatten() {
            self.offset(self.texts_len, To::Texts);
            self.note_text(text.len());
        }
    }

    #[inline]
    fn note_text(&mut self, len: usize) {
        self.texts_len = self.texts_len.saturating_add(room_of_text(len));
        self.text_lens.push(to_u32(len));
    }
}

/// Bytes of a word.
const WORD: usize = size_of::<u32>();

/// The two words of an 8-byte number.
fn halves(number: i64) -> [u32; 2] {
    let [low, high] = *number.to_le_bytes().as_chunks().0 else { return [0; 2] };
    [low, high].map(u32::from_le_bytes)
}

/// The bytes of a table that there are, one after another in one word, as they lie.
#[inline]
fn marks<const N: usize>(bytes: [(bool, u8); N]) -> u32 {
    let (mut word, mut n_bits) = (0, 0);
    for (is_there, byte) in bytes {
        if is_there {
            word |= u32::from(byte) << n_bits;
            n_bits += 8;
        }
    }
    word
}

#[inline]
pub(super) fn field(number: u32, is_there: bool) -> usize {
    usize::from(is_there) << number
}
