//! Where the fields of a table lie, and the vtables that say so to readers.

use super::pen::Pen;

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
    fields: &[(10, 8), (1, 4), (2, 4), (3, 4), (4, 4), (6, 4), (7, 4), (5, 4), (8, 4), (0, 1), (9, 1)],
    n_fields: 11,
};
pub(super) const TOOL_CALL: Layout = Layout { fields: &[(0, 4), (1, 4), (2, 4), (4, 4), (3, 1)], n_fields: 5 };

impl Layout {
    /// Bytes of a table that has the fields of `shape`, a multiple of 4, and where each lies in it by its number; 0: not there.
    fn places(&self, shape: usize) -> (usize, [usize; 11]) {
        let mut places = [0; 11];
        let mut at = 4;
        for &(field, bytes) in self.fields {
            if shape & 1 << field != 0 {
                places[usize::from(field)] = at;
                at += usize::from(bytes);
            }
        }
        (at.next_multiple_of(4), places)
    }

    /// Whether a table of that shape has 8-byte numbers: they come first and lie at multiples of 8 if the table lies 4 before one.
    fn is_wide(&self, shape: usize) -> bool {
        self.fields.iter().any(|&(field, bytes)| bytes == 8 && shape & 1 << field != 0)
    }
}

/// What all tables with the same fields share.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    /// Where their vtable lies; 0 until the first pass is through.
    pub(super) vtable: usize,
    /// Bytes of a table; 0: no table has these fields.
    pub(super) len: usize,
    is_wide: bool,
}

impl Shape {
    /// From where to where a table lies if everything before `at` is taken.
    #[inline]
    pub(super) fn span(self, at: usize) -> (usize, usize) {
        let start = if self.is_wide && at.is_multiple_of(8) { at.saturating_add(4) } else { at };
        (start, start.saturating_add(self.len))
    }
}

/// The shapes of the tables of one kind, by the set of their fields: bit `n` stands for field `n`.
#[derive(Debug)]
pub(super) struct Shapes {
    layout: &'static Layout,
    /// By set of fields.
    by_fields: Vec<Shape>,
    /// The sets that there are, in the order in which they were seen.
    seen: Vec<usize>,
}

impl Shapes {
    pub(super) fn new(layout: &'static Layout) -> Self {
        Self { layout, by_fields: Vec::new(), seen: Vec::new() }
    }

    /// The shape of a table with these fields, which is noted.
    #[inline]
    pub(super) fn note(&mut self, fields: usize) -> Shape {
        match self.by_fields.get(fields) {
            Some(&shape) if shape.len > 0 => shape,
            _ => self.add(fields),
        }
    }

    #[cold]
    fn add(&mut self, fields: usize) -> Shape {
        self.by_fields.resize(1 << self.layout.n_fields, Shape::default());
        self.seen.push(fields);
        self.by_fields[fields] =
            Shape { vtable: 0, len: self.layout.places(fields).0, is_wide: self.layout.is_wide(fields) };
        self.by_fields[fields]
    }

    /// Gives the vtables their places from `at` on; where they end.
    pub(super) fn place(&mut self, mut at: usize) -> usize {
        for &fields in &self.seen {
            self.by_fields[fields].vtable = at;
            at = at.saturating_add(vtable_len(fields));
        }
        at
    }

    /// The shape of a table with these fields, if the first pass met one.
    #[inline]
    pub(super) fn get(&self, fields: usize) -> Option<Shape> {
        self.by_fields.get(fields).copied().filter(|shape| shape.len > 0)
    }

    /// Writes the vtables.
    pub(super) fn write(&self, pen: &mut Pen<'_>) {
        for &fields in &self.seen {
            let (len, places) = self.layout.places(fields);
            pen.u16(vtable_len(fields));
            pen.u16(len);
            for &place in &places[..n_entries(fields)] {
                pen.u16(place);
            }
        }
    }
}

/// Entries of a vtable: one for each field up to the last that is there.
fn n_entries(fields: usize) -> usize {
    (usize::BITS - fields.leading_zeros()) as usize
}

fn vtable_len(fields: usize) -> usize {
    4 + 2 * n_entries(fields)
}
