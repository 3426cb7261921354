//! Classes of ASCII bytes, 64 at a time, and a word to the caches.

/// Bring what lies there into the caches, without waiting for it.
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 CPU has SSE, and a reference may be read.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
        }
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint to the CPU, which changes nothing; a reference may be read.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) std::ptr::from_ref(place), options(readonly, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}

/// Which of 64 bytes are what: the first byte is the lowest bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AsciiMasks {
    /// `A` to `Z`.
    pub(crate) upper: u64,
    /// `a` to `z`.
    pub(crate) lower: u64,
    /// `0` to `9`.
    pub(crate) digit: u64,
    /// White space, space and line breaks too.
    pub(crate) blank: u64,
    pub(crate) space: u64,
    /// Carriage returns and line feeds.
    pub(crate) line_break: u64,
    pub(crate) apostrophe: u64,
    pub(crate) slash: u64,
    /// Not ASCII.
    pub(crate) beyond: u64,
}

impl AsciiMasks {
    /// Cost: 150 instructions on x86-64 and 250 on 64-bit ARM, where SSE2 and NEON are always there; a loop elsewhere.
    #[inline]
    pub(crate) fn of(bytes: &[u8; 64]) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: every x86-64 CPU has SSE2.
            unsafe { Self::by_sse2(bytes) }
        }
        #[cfg(target_arch = "aarch64")]
        {
            // SAFETY: every 64-bit ARM CPU has NEON.
            unsafe { Self::by_neon(bytes) }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Self::by_bytes(bytes)
    }

    #[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    fn by_bytes(bytes: &[u8; 64]) -> Self {
        let mask = |is_it: fn(&u8) -> bool| bytes.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(is_it(byte)));
        Self {
            upper: mask(u8::is_ascii_uppercase),
            lower: mask(u8::is_ascii_lowercase),
            digit: mask(u8::is_ascii_digit),
            blank: mask(|byte| matches!(byte, 9..=13 | 32)),
            space: mask(|&byte| byte == b' '),
            line_break: mask(|&byte| byte == b'\r' || byte == b'\n'),
            apostrophe: mask(|&byte| byte == b'\''),
            slash: mask(|&byte| byte == b'/'),
            beyond: mask(|&byte| byte >= 0x80),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "sse2")]
    fn by_sse2(bytes: &[u8; 64]) -> Self {
        use std::arch::x86_64::{
            __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
            _mm_set1_epi8,
        };
        let mut masks = Self::default();
        for (i, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let half = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
            let bytes = _mm_set_epi64x(half(8), half(0));
            let is = |byte: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()));
            // Moved so that those from `first` on are the lowest numbers there are.
            let among = |first: u8, n: i8| {
                let moved = _mm_add_epi8(bytes, _mm_set1_epi8(i8::MIN.wrapping_sub(first.cast_signed())));
                _mm_cmplt_epi8(moved, _mm_set1_epi8(i8::MIN + n))
            };
            let put = |mask: &mut u64, which: __m128i| {
                *mask |= u64::from(_mm_movemask_epi8(which).cast_unsigned()) << (16 * i);
            };
            put(&mut masks.upper, among(b'A', 26));
            put(&mut masks.lower, among(b'a', 26));
            put(&mut masks.digit, among(b'0', 10));
            put(&mut masks.space, is(b' '));
            put(&mut masks.blank, _mm_or_si128(among(9, 5), is(b' ')));
            put(&mut masks.line_break, _mm_or_si128(is(b'\r'), is(b'\n')));
            put(&mut masks.apostrophe, is(b'\''));
            put(&mut masks.slash, is(b'/'));
            put(&mut masks.beyond, bytes);
        }
        masks
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    fn by_neon(bytes: &[u8; 64]) -> Self {
        use super::neon::{among, load};
        use std::arch::aarch64::vdupq_n_u8;
        let mut quarters = [vdupq_n_u8(0); 4];
        for (quarter, bytes) in quarters.iter_mut().zip(bytes.as_chunks::<16>().0) {
            *quarter = load(bytes);
        }
        let space = among(quarters, b' ', 1);
        Self {
            upper: among(quarters, b'A', 26),
            lower: among(quarters, b'a', 26),
            digit: among(quarters, b'0', 10),
            blank: among(quarters, 9, 5) | space,
            space,
            line_break: among(quarters, b'\r', 1) | among(quarters, b'\n', 1),
            apostrophe: among(quarters, b'\'', 1),
            slash: among(quarters, b'/', 1),
            beyond: among(quarters, 0x80, 0x80),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AsciiMasks;

    #[test]
    fn every_byte_in_every_place_is_what_it_is() {
        for byte in 0..=u8::MAX {
            for at in 0..64 {
                let mut bytes = [b'-'; 64];
                bytes[at] = byte;
                bytes[63 - at] = byte.rotate_left(3);
                assert_eq!(AsciiMasks::of(&bytes), AsciiMasks::by_bytes(&bytes), "{byte} at {at}");
            }
        }
    }
}
