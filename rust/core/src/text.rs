//! The texts of messages, many in one block of memory, as a snapshot has them.

use std::fmt;
use std::mem::take;
use std::ops::Deref;
use std::sync::Arc;

use crate::codec::{ROOM_FOR_LEN, room_of_text};
use crate::message::Message;

/// A text that nobody changes. Clones share its bytes; it may share them with texts beside it too, and keeps all of those then.
///
/// In its block it has the room that a snapshot needs around it, filled with NULs.
#[derive(Clone)]
pub struct Text {
    block: Arc<String>,
    start: usize,
    len: usize,
}

impl Text {
    /// Itself and the room around it: [`room_of_text`] bytes.
    pub(crate) fn in_room(&self) -> &str {
        let start = self.start - ROOM_FOR_LEN;
        &self.block[start..start + room_of_text(self.len)]
    }

    /// Its length in bytes, without a look at it.
    pub(crate) fn n_bytes(&self) -> usize {
        self.len
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let room = room_of_text(text.len());
        let mut block = String::with_capacity(room);
        block.push_str(&NULS[..ROOM_FOR_LEN]);
        block.push_str(text);
        block.push_str(&NULS[..room - block.len()]);
        Self { block: Arc::new(block), start: ROOM_FOR_LEN, len: text.len() }
    }
}

/// As much as a text has on each side of it.
const NULS: &str = "\0\0\0\0";

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.block[self.start..self.start + self.len]
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The texts of a history's messages, those of a message in the order of [`Message::all_texts`]: a snapshot takes a block at once.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    full: Vec<Arc<String>>,
    /// The first message whose texts are in none of them yet.
    first_open: usize,
    /// Bytes of those texts with their room.
    open_len: usize,
}

/// Bytes from which on texts are moved together: few enough that one text which outlives its history keeps little, and that what is
/// copied is still near to the CPU when the lengths are put into it.
const FULL: usize = 32 << 10;

impl Blocks {
    /// Takes note of the last message, whose texts have so many bytes with their room.
    pub(crate) fn push(&mut self, messages: &mut [Message], room: usize) {
        if room >= FULL {
            let last = messages.len() - 1;
            self.close(&mut messages[..last]);
        }
        self.open_len += room;
        if self.open_len >= FULL {
            self.close(messages);
        }
    }

    /// Moves the texts that are in no block into one.
    fn close(&mut self, messages: &mut [Message]) {
        let open = &mut messages[self.first_open..];
        self.first_open += open.len();
        let len = take(&mut self.open_len);
        if len == 0 {
            return;
        }
        // What fills a block by itself stays where it is.
        let first = open.iter().flat_map(Message::all_texts).next();
        if let Some(only) = first.filter(|text| text.block.len() == len && room_of_text(text.len) == len) {
            self.full.push(Arc::clone(&only.block));
            return;
        }
        let mut block = String::with_capacity(len);
        open.iter().flat_map(Message::all_texts).for_each(|text| block.push_str(text.in_room()));
        let block = Arc::new(block);
        let mut end = 0;
        open.iter_mut().flat_map(Message::all_texts_mut).for_each(|text| {
            *text = Text { block: Arc::clone(&block), start: end + ROOM_FOR_LEN, len: text.len };
            end += room_of_text(text.len);
        });
        self.full.push(block);
    }

    /// All texts with their room, in pieces; `messages` are those that came.
    pub(crate) fn pieces<'a>(&'a self, messages: &'a [Message]) -> impl Iterator<Item = &'a str> {
        let open = messages[self.first_open..].iter().flat_map(Message::all_texts).map(Text::in_room);
        self.full.iter().map(|block| block.as_str()).chain(open)
    }
}
