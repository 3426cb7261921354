//! Rows of nibbles: where one lies, and word to the caches that it will be read.

/// How many rows ahead nibbles are announced.
pub(super) const AHEAD: usize = 16;

/// A row's nibbles.
#[inline]
pub(super) fn row_of(codes: &[u8], stride: usize, row: u32) -> &[u8] {
    &codes[row as usize * stride..][..stride]
}

/// Announces that a row's nibbles will be read.
#[inline]
pub(super) fn announce(codes: &[u8], stride: usize, row: u32) {
    for line in row_of(codes, stride, row).as_chunks::<64>().0 {
        super::prefetch(line);
    }
}
