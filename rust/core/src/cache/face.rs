//! What an entry is shown by, and how a look-up by key comes to it with little memory to wait for.

use std::sync::Arc;

use super::item::Item;

/// Whatever a caller shows an entry by, made once and not once a look-up.
pub trait Face {
    /// What it shows.
    fn shown(&self) -> &Shown;
}

/// What a face holds of its entry.
///
/// In a large cache a look-up by key takes as long as the memory it waits for. So all that it needs is here, since whoever finds an
/// entry touches its face anyway, and the table of keys points straight to it. What is read comes first, so that it is in one cache
/// line behind the header of a Python object.
#[derive(Debug)]
#[repr(C)]
pub struct Shown {
    cost: f64,
    is_pinned: bool,
    key: ShortKey,
    item: Arc<Item>,
}

/// A copy of a key that is short.
#[derive(Debug)]
struct ShortKey {
    /// 255 for any longer key.
    len: u8,
    bytes: [u8; SHORT],
}

const SHORT: usize = 70;

/// An entry in the table of keys.
#[derive(Debug)]
pub(super) struct Handle<F> {
    /// None where each look-up shows another rest of time.
    pub(super) face: Option<F>,
    /// The number of its node.
    pub(super) number: u32,
    pub(super) space: u32,
}

impl Shown {
    /// What is shown of `item`.
    pub fn new(item: Arc<Item>, is_pinned: bool) -> Self {
        let mut bytes = [0; SHORT];
        let len = item.key().len();
        if let Some(place) = bytes.get_mut(..len) {
            place.copy_from_slice(item.key());
        }
        let key = ShortKey { len: u8::try_from(len).unwrap_or(u8::MAX), bytes };
        Self { cost: item.cost(), is_pinned, key, item }
    }

    /// Key, value and row.
    pub fn item(&self) -> &Arc<Item> {
        &self.item
    }

    /// What a hit saves.
    pub(super) fn cost(&self) -> f64 {
        self.cost
    }

    /// Whether it must not be evicted.
    pub(super) fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    /// Whether this is the entry's key.
    #[inline]
    pub(super) fn is_of(&self, key: &[u8]) -> bool {
        match self.key.bytes.get(..usize::from(self.key.len)) {
            Some(own) => own == key,
            None => self.item.key() == key,
        }
    }
}

impl Face for Shown {
    fn shown(&self) -> &Self {
        self
    }
}
