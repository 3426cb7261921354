//! An answer found again: by the question's own key, then by its row among the questions near it.

use std::sync::Arc;

use super::{Address, Cache, Face, Hit, Item, Outcome, Value};
use crate::error::Result;
use crate::index::Query;

/// Questions above the threshold that are shown to the gate, best first: what comes after four refusals is further off.
const MOST_CANDIDATES: usize = 4;
/// Rows of a first search; more are asked for while rows without an answer take the places.
const FIRST_ROWS: usize = 8;

/// How a question was looked up.
#[derive(Debug, Clone)]
pub enum Answered {
    /// The same key has an answer.
    Exact(Arc<Item>),
    /// A question near it, which the gate let pass, has one.
    Semantic(Hit),
    /// There are such questions, and the gate refused them; the nearest.
    Refused(Hit),
    /// There are none.
    Miss,
}

impl<F: Face> Cache<F> {
    /// The answer to the question `at.key`, whose row is `query`: that of the same key, or of the nearest row from `threshold` on whose
    /// key `passes`. Rows whose value is no text never hide one. Counts as a use of what it finds.
    ///
    /// # Errors
    /// [`crate::Error::Cache`] when an earlier operation failed halfway.
    ///
    /// # Panics
    /// When `query` is of another length than the rows.
    pub fn answer(
        &self,
        at: &Address<'_>,
        query: &Query<'_>,
        threshold: f64,
        now_ns: Option<u64>,
        mut passes: impl FnMut(&[u8]) -> bool,
    ) -> Result<Answered> {
        let same = self.run(|store| Ok(store.get(at, now_ns).map(|found| Arc::clone(found.item()))))?;
        if let Some(item) = same.filter(|item| matches!(item.value(), Value::Text(_))) {
            return Ok(Answered::Exact(item));
        }
        let (found, refused) = self.judged(at, query, threshold, now_ns, &mut passes)?;
        let outcome = match (&found, &refused) {
            (Some(hit), _) => Outcome::Hit(hit),
            (None, Some(_)) => Outcome::Refused,
            (None, None) => Outcome::Miss,
        };
        self.run(|store| {
            store.settle(outcome);
            Ok(())
        })?;
        Ok(found.map(Answered::Semantic).or_else(|| refused.map(Answered::Refused)).unwrap_or(Answered::Miss))
    }

    /// The nearest answer that passes, and the nearest one that was refused.
    fn judged(
        &self,
        at: &Address<'_>,
        query: &Query<'_>,
        threshold: f64,
        now_ns: Option<u64>,
        passes: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(Option<Hit>, Option<Hit>)> {
        let Some(best) = self.nearest(at.scope, query, threshold, now_ns)? else { return Ok((None, None)) };
        let mut refused = None;
        if is_answer(&best) {
            if passes(best.item.key()) {
                return Ok((Some(best), None));
            }
            refused = Some(best.clone());
        }
        // The nearest has no answer, or one to another question: what stands behind it?
        for hit in self.candidates(at, query, threshold, now_ns)? {
            if hit.item.key() == best.item.key() {
                continue;
            }
            if passes(hit.item.key()) {
                return Ok((Some(hit), refused));
            }
            refused = refused.or(Some(hit));
        }
        Ok((None, refused))
    }

    /// Questions near enough that have an answer, the nearest first.
    fn candidates(&self, at: &Address<'_>, query: &Query<'_>, threshold: f64, now_ns: Option<u64>) -> Result<Vec<Hit>> {
        let mut n_rows = FIRST_ROWS;
        loop {
            let mut near = self.search(at.scope, query, n_rows, now_ns)?;
            near.retain(|hit| hit.score >= threshold);
            let n_near = near.len();
            near.retain(is_answer);
            near.truncate(MOST_CANDIDATES);
            if near.len() == MOST_CANDIDATES || n_near < n_rows {
                return Ok(near);
            }
            n_rows *= 4;
        }
    }
}

fn is_answer(hit: &Hit) -> bool {
    matches!(hit.item.value(), Value::Text(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{New, Policy, Scope, Settings, Shown};
    use crate::index::Row;

    const SCOPE: Scope<'_> = Scope { tenant: b"acme", model_id: b"m" };

    fn cache(rows: &[(&str, f32, Option<&str>)]) -> Cache<Shown> {
        let settings =
            Settings { dim: 2, capacity: 100, max_bytes: usize::MAX, time_to_live_ns: None, policy: Policy::Lru };
        let cache: Cache<Shown> = Cache::new(settings).unwrap();
        for &(key, angle, answer) in rows {
            let value = answer.map_or(Value::Nothing, |text| Value::Text(text.as_bytes().into()));
            let row = Row::unit(&[angle.cos(), angle.sin()]).unwrap();
            let item = Arc::new(Item::new(key.as_bytes(), value, row, 1.0));
            let face = Some(Shown::new(Arc::clone(&item), false));
            let at = Address { scope: SCOPE, key: key.as_bytes() };
            let mut new = New { at, item, face, is_pinned: false, time_to_live_ns: None };
            cache.run(|store| store.put(&mut new, None)).unwrap().unwrap();
        }
        cache
    }

    fn ask(cache: &Cache<Shown>, scope: Scope<'_>, key: &str, refuses: &[&str]) -> (&'static str, String) {
        let at = Address { scope, key: key.as_bytes() };
        let passes = |key: &[u8]| !refuses.iter().any(|refused| refused.as_bytes() == key);
        let of = |item: &Item| String::from_utf8(item.key().to_vec()).unwrap();
        match cache.answer(&at, &Query::new(&[1.0, 0.0]).unwrap(), 0.9, None, passes).unwrap() {
            Answered::Exact(item) => ("exact", of(&item)),
            Answered::Semantic(hit) => ("semantic", of(&hit.item)),
            Answered::Refused(hit) => ("refused", of(&hit.item)),
            Answered::Miss => ("miss", String::new()),
        }
    }

    #[test]
    fn finds_by_key_then_by_row() {
        let cache = cache(&[("same", 3.0, Some("A")), ("near", 0.1, Some("B")), ("far", 2.0, Some("C"))]);
        assert_eq!(ask(&cache, SCOPE, "same", &[]), ("exact", "same".to_owned()));
        assert_eq!(ask(&cache, SCOPE, "other", &[]), ("semantic", "near".to_owned()));
        assert_eq!(ask(&cache, SCOPE, "other", &["near"]), ("refused", "near".to_owned()));
        assert_eq!(ask(&cache, Scope { tenant: b"b", ..SCOPE }, "same", &[]), ("miss", String::new()));
        let stats = cache.run(|store| store.stats(None)).unwrap();
        assert_eq!((stats.hits_exact, stats.hits_semantic, stats.refused), (1, 1, 1));
    }

    #[test]
    fn rows_without_an_answer_hide_none() {
        let mut rows: Vec<(String, f32, Option<&str>)> =
            (0..20_u8).map(|i| (format!("turn {i}"), 0.001 * f32::from(i), None)).collect();
        rows.push(("refused".to_owned(), 0.1, Some("A")));
        rows.push(("near".to_owned(), 0.2, Some("B")));
        let rows: Vec<_> = rows.iter().map(|(key, angle, answer)| (key.as_str(), *angle, *answer)).collect();
        let cache = cache(&rows);
        assert_eq!(ask(&cache, SCOPE, "turn 0", &["refused"]), ("semantic", "near".to_owned()));
        assert_eq!(ask(&cache, SCOPE, "other", &["refused", "near"]), ("refused", "refused".to_owned()));
    }
}
