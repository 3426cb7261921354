//! Where the fields of a table lie, and the vtables that say so to readers.

use super::pen::{Byte, Pen, to_u32};

/// The fields of a table in the order in which they lie, each with its number in the schema and its bytes. The widest come first, so that
/// none needs padding.
#[derive(Debug)]
pub(super) struct Layout {
    fields: &'static [(u8, u8)],
    /// One more than the highest number.
    n_fields: u8,
}

pub(super) const SNAPSHOT: Layout =
    Layout { fields: &[(9, 8), (10, 8), (1, 4), (2, 4), (3, 4), (5, 4), (7, 4), (8, 4), (4, 4), (6, 4)], n_fields: 11 };
pub(super) const TURN: Layout = Layout {
    fields: &[(10, 8), (1, 4), (2, 4), (3, 4), (4, 4), (6, 4), (7, 4), (5, 4), (8, 4), (0, 1), (9, 1), (11, 1)],
    n_fields: 12,
};
pub(super) const TOOL_CALL: Layout = Layout { fields: &[(0, 4), (1, 4), (2, 4), (4, 4), (3, 1)], n_fields: 5 };
/// A cache entry.
pub(super) const ENTRY: Layout = Layout {
    fields: &[(7, 8), (8, 8), (13, 8), (1, 4), (5, 4), (6, 4), (2, 4), (10, 4), (11, 4), (3, 1), (9, 1), (12, 1)],
    n_fields: 14,
};

/// The most fields that a table has.
const MOST_FIELDS: usize = 14;

impl Layout {
    /// Bytes of a table that has these fields, a multiple of 4, and where each lies in it by its number; 0: not there.
    fn places(&self, fields: usize) -> (usize, [usize; MOST_FIELDS]) {
        let mut places = [0; MOST_FIELDS];
        let mut at = 4;
        for &(field, bytes) in self.fields {
            if fields & 1 << field != 0 {
                places[usize::from(field)] = at;
                at += usize::from(bytes);
            }
        }
        (at.next_multiple_of(4), places)
    }

    /// The shape of a table that has these fields: bit `n` stands for field `n`.
    pub(super) fn shape(&self, fields: usize) -> Shape {
        let is_wide = self.fields.iter().any(|&(field, bytes)| bytes == 8 && fields & 1 << field != 0);
        Shape { vtable: 0, len: to_u32(self.places(fields).0), is_wide }
    }

    /// Writes the vtable of tables that have these fields.
    pub(super) fn write_vtable<B: Byte>(&self, fields: usize, pen: &mut Pen<'_, B>) {
        let (len, places) = self.places(fields);
        pen.u16(vtable_len(fields));
        pen.u16(len);
        for &place in &places[..n_entries(fields)] {
            pen.u16(place);
        }
    }
}

/// Entries of a vtable: one for each field up to the last that is there.
fn n_entries(fields: usize) -> usize {
    (usize::BITS - fields.leading_zeros()) as usize
}

/// Bytes of a vtable.
pub(super) fn vtable_len(fields: usize) -> usize {
    4 + 2 * n_entries(fields)
}

/// What all tables with the same fields share.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    /// Where their vtable lies, of a turn or a call among those of its kind; 0 until that is known.
    pub(super) vtable: u32,
    /// Bytes of a table.
    pub(super) len: u32,
    /// Whether a table has 8-byte numbers: they come first and lie at multiples of 8 if the table lies 4 before one.
    pub(super) is_wide: bool,
}

impl Shape {
    /// From where to where a table lies if everything before `at` is taken.
    #[inline]
    pub(super) fn span(self, at: usize) -> (usize, usize) {
        let start = if self.is_wide && at.is_multiple_of(8) { at.saturating_add(4) } else { at };
        (start, start.saturating_add(self.len as usize))
    }
}

/// The shapes of the tables of one kind, in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    seen: Vec<(usize, Shape)>,
    /// Bytes of their vtables.
    len: usize,
    /// Where among those seen the shape of a set of fields is, counted from 1; empty while they are few.
    numbers: Vec<u16>,
}

/// Shapes among which a search is as fast as a table. Most sessions have fewer.
const FEW: usize = 12;

impl Shapes {
    /// The shape of a table that has these fields.
    #[inline]
    pub(super) fn note(&mut self, layout: &Layout, fields: usize) -> Shape {
        let place = match self.numbers.get(fields) {
            Some(number) => usize::from(*number).wrapping_sub(1),
            None => self.seen.iter().position(|&(seen, _)| seen == fields).unwrap_or(usize::MAX),
        };
        match self.seen.get(place) {
            Some(&(_, shape)) => shape,
            None => self.add(layout, fields),
        }
    }

    #[cold]
    fn add(&mut self, layout: &Layout, fields: usize) -> Shape {
        let shape = Shape { vtable: to_u32(self.len), ..layout.shape(fields) };
        self.len += vtable_len(fields);
        self.seen.push((fields, shape));
        if self.seen.len() > FEW {
            self.numbers.resize(1 << layout.n_fields, 0);
            for (number, &(fields, _)) in (1..).zip(&self.seen) {
                self.numbers[fields] = number;
            }
        }
        shape
    }

    /// Bytes of their vtables.
    pub(super) fn vtables_len(&self) -> usize {
        self.len
    }

    /// Writes the vtables in the order of their places.
    pub(super) fn write<B: Byte>(&self, layout: &Layout, pen: &mut Pen<'_, B>) {
        for &(fields, _) in &self.seen {
            layout.write_vtable(fields, pen);
        }
    }
}
