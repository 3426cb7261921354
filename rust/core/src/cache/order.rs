//! In which order entries are evicted: one of three policies, each over the numbers of the entries that are not pinned.

use super::bytes::vec;
use super::gdsf::Gdsf;
use super::lru::Lru;
use super::s3fifo::S3Fifo;

/// Which entry goes when one has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The one whose last use is the longest ago.
    #[default]
    Lru,
    /// The oldest that was not used again: new entries wait in a small queue, and only those that are used there, or come back
    /// soon after, get into the main one.
    S3Fifo,
    /// The one whose uses saved the least for its bytes, old uses counting less and less.
    Gdsf,
}

/// What a policy may know of a new entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer {
    /// Of its key.
    pub(super) hash: u64,
    /// What a hit saves, by byte.
    pub(super) worth: f64,
    /// Uses that the entry it replaces had.
    pub(super) uses: u32,
}

/// What a policy knows of an entry besides its place in the order. Each policy uses some of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Standing {
    pub(super) uses: u32,
    /// Whether it is in S3-FIFO's main queue.
    pub(super) is_main: bool,
    /// GDSF's, above its level.
    pub(super) priority: f64,
}

#[derive(Debug)]
pub(super) enum Order {
    Lru(Lru),
    S3Fifo(S3Fifo),
    Gdsf(Gdsf),
}

/// Runs a method of whichever policy it is.
macro_rules! each {
    ($self:expr, $order:ident => $call:expr) => {
        match $self {
            Order::Lru($order) => $call,
            Order::S3Fifo($order) => $call,
            Order::Gdsf($order) => $call,
        }
    };
}

impl Order {
    pub(super) fn new(policy: Policy) -> Self {
        match policy {
            Policy::Lru => Self::Lru(Lru::default()),
            Policy::S3Fifo => Self::S3Fifo(S3Fifo::default()),
            Policy::Gdsf => Self::Gdsf(Gdsf::default()),
        }
    }

    pub(super) fn len(&self) -> usize {
        each!(self, order => order.len())
    }

    /// Makes room for entries with numbers below `n`, so that no insertion takes more bytes.
    pub(super) fn reserve(&mut self, n: usize) {
        each!(self, order => order.reserve(n));
    }

    pub(super) fn insert(&mut self, id: u32, new: Newcomer) {
        each!(self, order => order.insert(id, new));
    }

    /// An entry was used.
    #[inline]
    pub(super) fn touch(&mut self, id: u32) {
        each!(self, order => order.touch(id));
    }

    /// Which goes next; it stays where it is.
    pub(super) fn victim(&mut self) -> Option<u32> {
        match self {
            Self::Lru(order) => order.victim(),
            Self::S3Fifo(order) => order.victim(),
            Self::Gdsf(order) => order.victim(),
        }
    }

    /// The victim goes.
    pub(super) fn evict(&mut self, id: u32, hash: u64) {
        match self {
            Self::Lru(order) => _ = order.remove(id),
            Self::S3Fifo(order) => order.evict(id, hash),
            Self::Gdsf(order) => order.evict(id),
        }
    }

    /// Takes an entry out for another reason; returns its uses so far.
    pub(super) fn remove(&mut self, id: u32) -> u32 {
        each!(self, order => order.remove(id))
    }

    /// All entries, from the one that goes next to the one that goes last; S3-FIFO's small queue before its main one.
    pub(super) fn standings(&self) -> Vec<(u32, Standing)> {
        each!(self, order => order.standings())
    }

    /// Puts the entry inserted last where it was in an order whose entries before it are all in.
    pub(super) fn restore(&mut self, id: u32, standing: Standing) {
        match self {
            Self::Lru(_) => {}
            Self::S3Fifo(order) => order.restore(id, standing),
            Self::Gdsf(order) => order.restore(id, standing),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        each!(self, order => order.bytes())
    }

    /// Gives back all bytes that evictions have added.
    pub(super) fn forget_evicted(&mut self) {
        match self {
            Self::S3Fifo(order) => order.forget_evicted(),
            Self::Lru(_) | Self::Gdsf(_) => {}
        }
    }

    /// Most bytes that evicting all entries can add.
    pub(super) fn growth_by_evicting(&self) -> usize {
        match self {
            Self::S3Fifo(order) => order.growth_by_evicting(),
            Self::Lru(_) | Self::Gdsf(_) => 0,
        }
    }
}

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// The links of all entries that are in some list.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

#[derive(Debug, Clone, Copy)]
struct Link {
    newer: u32,
    older: u32,
}

/// A doubly linked list through [`Links`].
#[derive(Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE, len: 0 }
    }
}

impl Links {
    pub(super) fn reserve(&mut self, n: usize) {
        grow(&mut self.0, n, Link { newer: NONE, older: NONE });
    }

    pub(super) fn bytes(&self) -> usize {
        vec(&self.0)
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// From the oldest to the newest.
    pub(super) fn iter(&self, links: &Links) -> impl Iterator<Item = u32> {
        std::iter::successors(self.oldest(), |&id| Some(links.0[id as usize].newer).filter(|&newer| newer != NONE))
    }

    pub(super) fn is_newest(&self, id: u32) -> bool {
        self.newest == id
    }

    pub(super) fn push(&mut self, links: &mut Links, id: u32) {
        links.0[id as usize] = Link { newer: NONE, older: self.newest };
        match self.newest {
            NONE => self.oldest = id,
            newest => links.0[newest as usize].newer = id,
        }
        self.newest = id;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, links: &mut Links, id: u32) {
        let Link { newer, older } = links.0[id as usize];
        match newer {
            NONE => self.newest = older,
            newer => links.0[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => links.0[older as usize].newer = newer,
        }
        self.len -= 1;
    }
}

/// Lengthens a list to `n`, and its allocation to no more.
pub(super) fn grow<T: Clone>(list: &mut Vec<T>, n: usize, fill: T) {
    if n > list.len() {
        list.reserve_exact(n - list.len());
        list.resize(n, fill);
    }
}
