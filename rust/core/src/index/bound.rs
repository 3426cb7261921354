//! The bounds: why a row that is left out could not have reached the limit.
//!
//! Let `q` be the query and `v` a row, both rotated, of length 1 within 2e-6. What is kept of `v` in a few bytes stands for a unit
//! vector `c`; `a` is at most the cosine of `v` with it and `x` at least that of `q` with it. Angles on a sphere obey the triangle
//! inequality, so the angle between `q` and `v` is at least that of `q` with `c` less that of `v` with `c`, and
//!
//! ```text
//! <q, v>  <=  x a + sqrt((|q|^2 - x^2) (|v|^2 - a^2))            as long as x <= a |q| / |v|
//! ```
//!
//! which is also Cauchy and Schwarz on what is orthogonal to `c`. Where `x` is above that, nothing is concluded. The right side
//! grows with `x` there, and with a smaller `a` when `|v|^2 - a^2` is made of that smaller `a`; so `x` is rounded up, `a` down and the
//! squared sine up, and the bound stays one. A row is left out if the bound is below the limit, tested without a root:
//! `d = limit - x a` is positive and `(|q|^2 - x^2)(|v|^2 - a^2) < d^2`.
//!
//! Three vectors `c` are tried, cheapest first: the signs of the tail of `v` (one bit a number), four bits a number, eight bits.
//! The tail is what is left of `v` when its parts `g` along the directions `U` of the frame, as whole parts of 127, are taken off:
//! `v = U' g + t`. With `p = U q` and `s = q - U' p`,
//!
//! ```text
//! <q, v>  =  <p, g> + <s, t> + <p, U t>  <=  <p, g> + bound of <s, t> + |p| e
//! ```
//!
//! where `e` is at least `|U t|`, checked for each row when it is coded: nothing depends on how orthogonal `U` is. A row for which it
//! does not hold is never left out by its sketch.
//!
//! **Where `x` comes from.** The query's dot product with the signs is summed from tables, each of whose entries is rounded by at
//! most half a step, and whose sums by eight are averaged by fours, rounded up; the one with four or eight bits is an integer sum with the query in steps of a 127th of its peak, and what that
//! leaves out of `q`, of length `w`, adds at most `w`.
//!
//! **Rounding.** With `u = 2^-24` and `n` padded numbers, dot products in sixteen lanes err by at most `(n/16 + 5) u` times the
//! lengths (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). The rotation is `log2(n) + 3` roundings a number, on both
//! sides. A head is sixteen dot products with the query, whose errors add up to at most `4 (n/16 + 5) u`; taking it off is 32
//! roundings a number, on both sides. The float operations of the tests themselves round fewer than 32 numbers under 2. All are
//! less than [`slack`], which the limit is lowered by. The squares under the root cancel: their error of at most `3 u |q|^2` is put
//! on `|q|^2` beforehand, by [`SQUARE_UP`].

/// The unit of rounding of float32.
const U: f32 = 1.0 / 16_777_216.0;

/// What squared lengths are multiplied by: more than rounding takes from them.
pub(super) const SQUARE_UP: f32 = 1.0 + 160.0 * U;

/// What a length is multiplied by where it must not be above the true one.
pub(super) const LENGTH_DOWN: f32 = 1.0 - 160.0 * U;

/// The most that rounding takes from a bound, in rows of `padded` numbers.
pub(super) fn slack(padded: usize) -> f32 {
    6.0 * dot_error(padded) + U * 400.0
}

/// The most by which a dot product in sixteen lanes errs, as a share of the lengths' product.
pub(super) fn dot_error(padded: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
    let n = padded as f32;
    (n / 16.0 + 8.0) * U
}

/// A unit vector near a row: at most the row's cosine with it, at least the squared sine, and what whole numbers' dot products with
/// it are multiplied by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cap {
    pub(super) cosine: f32,
    pub(super) scale: f32,
}

impl Cap {
    /// From the dot product of a row with what its code stands for, and that one's squared length.
    pub(super) fn new(dot: f32, square: f32, padded: usize) -> Self {
        let scale = 1.0 / square.sqrt();
        Self { cosine: dot * scale * (1.0 - 2.0 * dot_error(padded)) - 8.0 * U, scale }
    }
}
