//! How much of a history to retain when memory runs short: the article's formula, and a controller that keeps it calm.

use crate::{Error, Result};

/// Share of the memory limit above which a history shrinks to [`LOW_RATIO`]. Source: the article, as in
/// [`compute_retain_ratio`].
pub const USAGE_LIMIT: f64 = 0.85;
/// Ratio at and above [`USAGE_LIMIT`], and the smallest there is. Source: as above.
pub const LOW_RATIO: f64 = 0.4;
/// The largest ratio there is. Source: as above.
pub const HIGH_RATIO: f64 = 0.9;
/// Ratio gained for each unit of usage under [`USAGE_LIMIT`]: 0.5 % a 1 %. Source: as above.
pub const DEFAULT_SLOPE: f64 = 0.5;

/// Return the share of a history to retain at a memory usage.
///
/// Above 85 % usage it is 0.4, else `min(0.9, 0.4 + (0.85 - used / total) * slope)`: in 0.4..=0.9 and never growing with
/// usage. At slope 0.5 it runs without a jump from 0.825 on an idle machine down to 0.4; the cap of 0.9 is reached at 0
/// usage from slope 0.589 on. A use above the total is legal.
///
/// Source: the article's rule "above 85 %: 0.4, else `min(0.9, 0.4 + (0.85 - usage) * 50)`". Its prose says "+0.5 % per
/// 1 %", which is slope 0.5, the default here; slope 50, as in its formula, stays at 0.9 up to 84 % and falls to 0.4
/// within the last per cent.
///
/// # Errors
/// [`Error::Argument`] unless both amounts and the slope are finite and at least 0, and the total is above 0.
pub fn compute_retain_ratio(used_mem_gb: f64, total_mem_gb: f64, slope: f64) -> Result<f64> {
    let usage = usage("used_mem_gb", used_mem_gb, "total_mem_gb", total_mem_gb)?;
    at_least_zero("slope", slope)?;
    Ok(ratio_at(usage.min(USAGE_LIMIT), slope))
}

/// Turns memory readings into a retain ratio that stays the same while memory only swings.
///
/// It acts on a reading that is more than `margin` away from the reading it last acted on, or above 85 %, and keeps its
/// ratio otherwise. So a usage that swings within one margin around 85 % changes the ratio at most once, at any slope.
/// - **Down at once**: above 85 % the ratio is 0.4 with the very first reading.
/// - **Up in steps**: by at most `max_rise` a reading, and only while usage is at or under 85 % - `margin`.
/// - The first reading gives exactly [`compute_retain_ratio`]; `margin` 0 and `max_rise` 1 always do.
///
/// It keeps two numbers, reads no clock and does nothing between readings: the same readings give the same ratios.
#[derive(Debug, Clone, PartialEq)]
pub struct RetainController {
    slope: f64,
    margin: f64,
    max_rise: f64,
    state: Option<State>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    /// The usage last acted on, at most [`USAGE_LIMIT`]: all above it is one and the same.
    usage: f64,
    ratio: f64,
}

impl RetainController {
    /// Return a controller that has seen no reading.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `slope` is finite and at least 0, `margin` in 0..0.85 and `max_rise` in 0..=1, not 0.
    pub fn new(slope: f64, margin: f64, max_rise: f64) -> Result<Self> {
        at_least_zero("slope", slope)?;
        if !(0.0..USAGE_LIMIT).contains(&margin) {
            return Err(Error::Argument(format!(
                "margin is {margin}, it must be a share of the memory limit, 0 or more and below {USAGE_LIMIT}"
            )));
        }
        if !(max_rise > 0.0 && max_rise <= 1.0) {
            return Err(Error::Argument(format!("max_rise is {max_rise}, it must be above 0 and at most 1")));
        }
        Ok(Self { slope, margin, max_rise, state: None })
    }

    /// Take one reading and return the ratio from now on.
    ///
    /// # Errors
    /// [`Error::Argument`] unless both amounts are finite and at least 0, and the limit is above 0. The ratio stays as
    /// it was.
    pub fn update(&mut self, used_bytes: f64, limit_bytes: f64) -> Result<f64> {
        let usage = usage("used_bytes", used_bytes, "limit_bytes", limit_bytes)?.min(USAGE_LIMIT);
        let state = match self.state {
            None => State { usage, ratio: ratio_at(usage, self.slope) },
            Some(last) => {
                let acts = usage >= USAGE_LIMIT || (usage - last.usage).abs() > self.margin;
                let usage_acted_on = if acts { usage } else { last.usage };
                // A rise under way stops inside the margin too, or it would add changes to a swing around the limit.
                let rise = if usage <= USAGE_LIMIT - self.margin { self.max_rise } else { 0.0 };
                State { usage: usage_acted_on, ratio: ratio_at(usage_acted_on, self.slope).min(last.ratio + rise) }
            }
        };
        self.state = Some(state);
        Ok(state.ratio)
    }

    /// The ratio after the last reading; `None` before the first.
    pub fn ratio(&self) -> Option<f64> {
        self.state.map(|state| state.ratio)
    }

    /// Ratio gained for each unit of usage under 0.85.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// Change of usage that is ignored, as a share of the limit.
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// The most the ratio may rise with one reading.
    pub fn max_rise(&self) -> f64 {
        self.max_rise
    }
}

/// The formula for a usage that is at most [`USAGE_LIMIT`], where it gives [`LOW_RATIO`] at any slope.
fn ratio_at(usage: f64, slope: f64) -> f64 {
    ((USAGE_LIMIT - usage) * slope + LOW_RATIO).min(HIGH_RATIO)
}

fn usage(used_name: &str, used: f64, total_name: &str, total: f64) -> Result<f64> {
    at_least_zero(used_name, used)?;
    at_least_zero(total_name, total)?;
    if total == 0.0 {
        return Err(Error::Argument(format!("{total_name} is 0, it must be above 0")));
    }
    Ok(used / total)
}

fn at_least_zero(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::Argument(format!("{name} is {value}, it must be a finite number, 0 or more")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn controller(slope: f64) -> RetainController {
        RetainController::new(slope, 0.05, 0.1).unwrap()
    }

    #[expect(clippy::float_cmp, reason = "any change counts")]
    fn changes(ratios: &[f64]) -> usize {
        ratios.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn gives_the_articles_figures() {
        let at = |used, slope| compute_retain_ratio(used, 100.0, slope).unwrap();
        for (used, slope, expected) in [
            (0.0, 0.5, 0.825),
            (50.0, 0.5, 0.575),
            (85.0, 0.5, 0.4),
            (85.1, 0.5, 0.4),
            (250.0, 0.5, 0.4),
            (0.0, 50.0, 0.9),
            (84.0, 50.0, 0.9),
            (84.5, 50.0, 0.65),
            (85.0, 50.0, 0.4),
        ] {
            assert!((at(used, slope) - expected).abs() < 1e-9, "{used} {slope}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for (used, total, slope, name) in [
            (f64::NAN, 1.0, 0.5, "used_mem_gb is NaN"),
            (-1.0, 1.0, 0.5, "used_mem_gb is -1"),
            (f64::INFINITY, 1.0, 0.5, "used_mem_gb is inf"),
            (1.0, 0.0, 0.5, "total_mem_gb is 0, it must be above 0"),
            (1.0, -2.0, 0.5, "total_mem_gb is -2"),
            (1.0, f64::INFINITY, 0.5, "total_mem_gb is inf"),
            (1.0, 2.0, -0.5, "slope is -0.5"),
            (1.0, 2.0, f64::NAN, "slope is NaN"),
        ] {
            let message = compute_retain_ratio(used, total, slope).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }

    #[test]
    fn refuses_parameters_out_of_range() {
        for (slope, margin, max_rise) in [
            (-1.0, 0.05, 0.1),
            (0.5, -0.01, 0.1),
            (0.5, 0.85, 0.1),
            (0.5, f64::NAN, 0.1),
            (0.5, 0.05, 0.0),
            (0.5, 0.05, 1.1),
        ] {
            assert!(RetainController::new(slope, margin, max_rise).is_err());
        }
    }

    #[test]
    fn falls_at_once_and_rises_in_steps() {
        let mut c = controller(0.5);
        let mut ratios = Vec::new();
        for used in [20.0, 90.0, 83.0, 81.0, 30.0, 30.0, 30.0, 30.0] {
            ratios.push(c.update(used, 100.0).unwrap());
        }
        for (ratio, expected) in ratios.iter().zip([0.725, 0.4, 0.4, 0.4, 0.5, 0.6, 0.675, 0.675]) {
            assert!((ratio - expected).abs() < 1e-9, "{ratios:?}");
        }
    }

    #[test]
    fn keeps_its_ratio_when_a_reading_is_refused() {
        let mut c = controller(0.5);
        assert_eq!(c.ratio(), None);
        c.update(50.0, 100.0).unwrap();
        let before = c.clone();
        assert!(c.update(f64::NAN, 100.0).is_err());
        assert_eq!(c, before);
    }

    proptest! {
        #[test]
        fn agrees_with_whole_number_arithmetic(used in 0_u32..3000, total in 1_u32..2000, slope_tenths in 0_u32..1000) {
            // In units of 1 / (1000 * total), so that nothing is rounded before the end.
            let (u, t, s) = (i128::from(used), i128::from(total), i128::from(slope_tenths));
            let exact = if u * 100 > t * 85 { 400 * t } else { (900 * t).min(400 * t + (85 * t - 100 * u) * s) };
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let expected = exact as f64 / (1000 * t) as f64;
            let got = compute_retain_ratio(used.into(), total.into(), f64::from(slope_tenths) / 10.0).unwrap();
            prop_assert!((got - expected).abs() < 1e-9, "{got} {expected}");
        }

        #[test]
        fn never_grows_with_usage(a in 0.0..1e6_f64, b in 0.0..1e6_f64, total in 1e-3..1e6_f64, slope in 0.0..1e3_f64) {
            let (less, more) = (a.min(b), a.max(b));
            let high = compute_retain_ratio(less, total, slope).unwrap();
            let low = compute_retain_ratio(more, total, slope).unwrap();
            prop_assert!(LOW_RATIO <= low && low <= high && high <= HIGH_RATIO);
        }

        #[test]
        fn any_amounts_give_a_ratio_or_an_error(used: f64, total: f64, slope: f64) {
            if let Ok(ratio) = compute_retain_ratio(used, total, slope) {
                prop_assert!((LOW_RATIO..=HIGH_RATIO).contains(&ratio));
            }
        }

        #[test]
        fn controller_stays_in_range_and_answers_a_higher_usage_with_no_more(
            readings in prop::collection::vec(0.0..1.3_f64, 0..40),
            a in 0.0..1.3_f64, b in 0.0..1.3_f64, slope in prop::sample::select(vec![0.0, 0.5, 50.0]),
            margin in 0.0..0.8_f64, max_rise in 0.01..1.0_f64,
        ) {
            let mut c = RetainController::new(slope, margin, max_rise).unwrap();
            for used in readings {
                let ratio = c.update(used, 1.0).unwrap();
                prop_assert!((LOW_RATIO..=HIGH_RATIO).contains(&ratio));
                prop_assert!(used <= USAGE_LIMIT || ratio <= LOW_RATIO);
            }
            let mut other = c.clone();
            prop_assert!(c.update(a.min(b), 1.0).unwrap() >= other.update(a.max(b), 1.0).unwrap());
        }

        #[test]
        fn swing_around_the_limit_changes_the_ratio_at_most_once(
            readings in prop::collection::vec(0.83..0.87_f64, 1..60), slope in prop::sample::select(vec![0.5, 50.0]),
        ) {
            let mut c = controller(slope);
            let ratios: Vec<f64> = readings.iter().map(|used| c.update(*used, 1.0).unwrap()).collect();
            prop_assert!(changes(&ratios) <= 1, "{ratios:?}");
        }

        #[test]
        fn swing_after_any_history_changes_the_ratio_at_most_twice(
            before in prop::collection::vec(0.0..1.3_f64, 0..20), readings in prop::collection::vec(0.83..0.87_f64, 1..60),
            slope in prop::sample::select(vec![0.5, 50.0]),
        ) {
            let mut c = controller(slope);
            for used in before {
                c.update(used, 1.0).unwrap();
            }
            let ratios: Vec<f64> = readings.iter().map(|used| c.update(*used, 1.0).unwrap()).collect();
            prop_assert!(changes(&ratios) <= 2, "{ratios:?}");
        }

        #[test]
        fn steady_usage_is_followed_to_within_a_margin(
            before in prop::collection::vec(0.0..1.3_f64, 0..20), used in 0.0..0.79_f64,
        ) {
            let mut c = controller(0.5);
            for used in before {
                c.update(used, 1.0).unwrap();
            }
            let mut last = 0.0;
            for _ in 0..10 {
                last = c.update(used, 1.0).unwrap();
            }
            prop_assert!((last - compute_retain_ratio(used, 1.0, 0.5).unwrap()).abs() <= 0.05 * 0.5 + 1e-9);
        }

        #[test]
        fn margin_zero_and_a_full_rise_follow_the_formula(readings in prop::collection::vec(0.0..1.3_f64, 1..30)) {
            let mut c = RetainController::new(0.5, 0.0, 1.0).unwrap();
            for used in readings {
                prop_assert_eq!(c.update(used, 1.0), compute_retain_ratio(used, 1.0, 0.5));
            }
        }
    }
}
