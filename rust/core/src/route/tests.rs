//! The router against slow definitions of its stages.

#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use super::*;

/// Statistics: fields by roles.
struct Table([Vec<f64>; Field::N]);

impl Table {
    fn new(n: usize) -> Self {
        Self(std::array::from_fn(|_| vec![0.0; n]))
    }

    fn set(&mut self, field: Field, role: usize, value: f64) {
        self.0[field as usize][role] = value;
    }
}

impl Live for Table {
    fn get(&self, field: Field, role: usize) -> f64 {
        self.0[field as usize][role]
    }
}

fn rules() -> Rules {
    let policy = Policy::Adaptive;
    Rules { threshold: 0.3, margin: 0.02, hold: 0.1, fallback: None, policy, time_constant_s: 60.0, seed: 1 }
}

/// Roles along the axes, one row each.
fn axes(n: usize, rules: Rules) -> Router {
    let rows: Vec<f32> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
    Router::new(n, &rows, &vec![1; n], &vec![Vec::<&str>::new(); n], rules).unwrap()
}

#[test]
fn the_best_match_takes_the_turn() {
    let decision = axes(3, rules()).choose(&[0.1, 0.9, 0.1], None, &Table::new(3), 0.0).unwrap();
    assert_eq!((decision.role, decision.second, decision.reason), (Some(1), None, Reason::Match));
}

#[test]
fn a_closed_role_is_as_if_it_were_not_there() {
    let mut table = Table::new(3);
    table.set(Field::Closed, 1, 1.0);
    let router = axes(3, rules());
    assert_eq!(router.choose(&[0.5, 0.9, 0.1], None, &table, 0.0).unwrap().role, Some(0));
    let none = router.choose(&[0.0, 1.0, 0.0], None, &table, 0.0).unwrap();
    assert_eq!((none.role, none.reason), (None, Reason::NoMatch));
}

#[test]
fn the_fallback_takes_what_none_matches_or_reaches() {
    let router = axes(3, Rules { fallback: Some(2), ..rules() });
    let mut table = Table::new(3);
    let decision = router.choose(&[-1.0, 0.1, 0.0], None, &table, 0.0).unwrap();
    assert_eq!((decision.role, decision.reason), (Some(2), Reason::Fallback));
    table.set(Field::Blocked, 0, 7.0);
    let decision = router.choose(&[1.0, 0.0, 0.0], None, &table, 5.0).unwrap();
    assert_eq!((decision.role, decision.reason), (Some(2), Reason::Fallback));
    table.set(Field::Blocked, 2, 6.0);
    let decision = router.choose(&[1.0, 0.0, 0.0], None, &table, 5.0).unwrap();
    assert_eq!((decision.role, decision.reason), (None, Reason::Blocked(6.0)));
    assert_eq!(router.choose(&[1.0, 0.0, 0.0], None, &table, 7.0).unwrap().role, Some(0));
}

#[test]
fn the_last_role_stays_until_another_is_better_by_enough() {
    let router = axes(3, rules());
    let mut table = Table::new(3);
    let choose = |table: &Table, vector: [f32; 3]| router.choose(&vector, Some(0), table, 1.0).unwrap();
    let held = choose(&table, [0.70, 0.71, 0.0]);
    assert_eq!((held.role, held.second, held.reason), (Some(0), Some(1), Reason::Held));
    assert_eq!(choose(&table, [0.5, 0.86, 0.0]).role, Some(1));
    let follow_up = choose(&table, [-0.1, -0.1, -0.1]);
    assert_eq!((follow_up.role, follow_up.reason), (Some(0), Reason::Held));
    table.set(Field::Blocked, 0, f64::INFINITY);
    assert_eq!(choose(&table, [0.70, 0.71, 0.0]).role, Some(1));
    table.set(Field::Closed, 0, 1.0);
    assert_eq!(choose(&table, [-0.1, -0.1, -0.1]).reason, Reason::NoMatch);
}

#[test]
fn statistics_that_are_none_are_refused_by_name() {
    for (field, value, why) in [
        (Field::Queue, f64::NAN, "the queue length of role 1 is NaN; it must be a number from 0 to 1e18"),
        (Field::Queue, -1.0, "the queue length of role 1 is -1"),
        (Field::Queue, 1e19, "the queue length of role 1 is 10000000000000000000"),
        (Field::Answers, f64::INFINITY, "the count of answers of role 1 is inf"),
        (Field::At, f64::NAN, "the time of the last call of role 1 is NaN"),
        (Field::Blocked, f64::NAN, "the time until which it is blocked of role 1 is NaN"),
    ] {
        let mut table = Table::new(3);
        table.set(field, 1, value);
        let error = axes(3, rules()).choose(&[0.0, 1.0, 0.0], None, &table, 0.0).unwrap_err();
        assert!(error.to_string().starts_with(why), "{error}");
    }
}

#[test]
fn statistics_at_their_limits_give_weights() {
    let mut table = Table::new(3);
    for field in [Field::Queue, Field::Busy, Field::Answers, Field::Failures] {
        for value in [0.0, f64::MIN_POSITIVE / 4.0, 1e18] {
            for policy in [Policy::Adaptive, Policy::Softmax, Policy::ShortestQueue] {
                table.set(field, 1, value);
                let decision = axes(3, Rules { policy, ..rules() }).choose(&[0.0, 1.0, 0.0], None, &table, 0.0);
                let decision = decision.unwrap();
                assert_eq!(decision.role, Some(1));
                assert!(decision.candidates[0].weight.is_finite(), "{field:?} {value}");
            }
        }
    }
}

#[test]
fn rows_that_are_not_those_of_the_roles_are_refused() {
    let none = || vec![Vec::<&str>::new()];
    for (dim, rows, counts) in [
        (2, 2, &[][..]),
        (2, 2, &[2]),
        (0, 0, &[1]),
        (2, 0, &[0]),
        (2, 2, &[1, 0]),
        (2, 2, &[usize::MAX, 2]),
        (2, 2, &[usize::MAX / 2 + 2]),
    ] {
        let error = Router::new(dim, &vec![1.0; rows], counts, &none(), rules()).unwrap_err();
        assert!(error.to_string().contains("are not those of"), "{error}");
    }
    let error = Router::new(2, &[0.0, f32::NAN], &[1], &none(), rules()).unwrap_err();
    assert!(error.to_string().contains("NaN or infinite"), "{error}");
}
