//! Which role answers a query: a gate of sensitive words, an exact match of meanings, and a choice among those that match alike.

mod select;
#[cfg(test)]
mod tests;
mod words;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::index::{FlatIndex, Query, Row};
pub use select::{Candidate, Field, Live, Policy};
use words::Words;

/// Roles, what they answer, and the rules they are chosen by.
#[derive(Debug)]
pub struct Router {
    index: FlatIndex,
    /// The rows of each role.
    slots: Vec<Range<u32>>,
    words: Words,
    rules: Rules,
    chance: AtomicU64,
    /// Whether the last query had a sure match: the next one likely has, or has not, too.
    was_sure: AtomicBool,
}

/// The rules that roles are chosen by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What a role has to score to match at all.
    pub threshold: f64,
    /// How much less than the best a role may score and be as good.
    pub margin: f64,
    /// By how much another role must score more than the session's last one to take its place.
    pub hold: f64,
    /// The role that answers what none matches.
    pub fallback: Option<usize>,
    /// How roles are chosen among those that match.
    pub policy: Policy,
    /// Seconds after which what was seen of a role counts for 1/e.
    pub time_constant_s: f64,
    /// Where chance starts.
    pub seed: u64,
}

/// Why a role was chosen, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// The only one that matches.
    Match,
    /// The policy chose among several that match alike.
    Policy,
    /// A sensitive word stands in the query.
    SensitiveWord,
    /// The session's last role, which no other beats by enough.
    Held,
    /// No role matches, or none that does can be reached.
    Fallback,
    /// No role matches.
    NoMatch,
    /// All roles that match are blocked, the first until this instant.
    Blocked(f64),
}

/// A choice.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The role, unless `reason` says that there is none.
    pub role: Option<usize>,
    /// The next best that could do the same.
    pub second: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// The roles that were looked at, best match first. None for sensitive words, which are never compared.
    pub candidates: Vec<Candidate>,
}

impl Router {
    /// Roles with `counts[i]` of the rows, `dim` numbers each, and sensitive words each.
    ///
    /// # Errors
    /// [`Error::Argument`] when a word has nothing to be seen, a row is not finite or zeros, or the counts are not those of rows.
    pub fn new<T: AsRef<str>>(
        dim: usize,
        rows: &[f32],
        counts: &[usize],
        words: &[Vec<T>],
        rules: Rules,
    ) -> Result<Self> {
        let n_rows = counts.iter().try_fold(0_usize, |sum, &count| sum.checked_add(count).filter(|_| count > 0));
        let n_numbers = n_rows.and_then(|n_rows| n_rows.checked_mul(dim));
        if rows.is_empty() || n_numbers != Some(rows.len()) || words.len() != counts.len() {
            return Err(Error::Argument(format!(
                "{} numbers and words of {} roles are not those of {} roles with rows of {dim} numbers",
                rows.len(),
                words.len(),
                counts.len()
            )));
        }
        let mut index = FlatIndex::new(dim);
        let (mut slots, mut rows) = (Vec::with_capacity(counts.len()), rows.chunks_exact(dim));
        let mut next = 0;
        for (role, &count) in counts.iter().enumerate() {
            let first = next;
            for row in rows.by_ref().take(count) {
                next = index.insert(Row::unit(row).map_err(argument)?, role as u64) + 1;
            }
            slots.push(first..next);
        }
        Ok(Self {
            index,
            slots,
            words: Words::new(words)?,
            chance: AtomicU64::new(rules.seed),
            was_sure: AtomicBool::new(true),
            rules,
        })
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.index.dim()
    }

    /// Roles in it.
    pub fn n_roles(&self) -> usize {
        self.slots.len()
    }

    /// The role that a text with a sensitive word goes to.
    pub fn sensitive(&self, text: &str) -> Option<usize> {
        self.words.find(text)
    }

    /// How well each role matches a vector: the best of its rows, exactly.
    ///
    /// # Errors
    /// [`Error::Argument`] when the vector is not finite or zeros.
    ///
    /// # Panics
    /// When it is of another length.
    pub fn similarities(&self, vector: &[f32]) -> Result<Vec<f64>> {
        let query = Query::new(vector).map_err(argument)?;
        Ok((0..self.n_roles()).map(|role| self.similarity(&query, role)).collect())
    }

    /// Which role answers a query that has no sensitive word, and matches by `vector`.
    ///
    /// # Errors
    /// [`Error::Argument`] when the vector is not finite or zeros, or a statistic that matters is not a number from 0.
    ///
    /// # Panics
    /// When the vector is of another length.
    pub fn choose(&self, vector: &[f32], last: Option<usize>, live: &impl Live, now: f64) -> Result<Decision> {
        let query = Query::new(vector).map_err(argument)?;
        let Rules { threshold, margin, hold, .. } = self.rules;
        let is_open = |role: usize| live.get(Field::Closed, role) == 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "the number of a role")]
        let admits = |id| is_open(id as usize);
        let was_sure = self.was_sure.load(Ordering::Relaxed);
        let mut found = self.index.near(&query, threshold, margin, was_sure, admits);
        let best = found.first().map_or(f64::NEG_INFINITY, |best| best.score);
        self.was_sure.store(best - margin > FlatIndex::SURE, Ordering::Relaxed);
        // Best first, so that of each role the best stays.
        found.sort_by_key(|row| row.id);
        found.dedup_by_key(|row| row.id);
        #[expect(clippy::cast_possible_truncation, reason = "the number of a role")]
        let mut candidates: Vec<Candidate> =
            found.iter().map(|row| Candidate::new(row.id as usize, row.score)).collect();
        candidates.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));

        let held = last.filter(|&role| is_open(role)).and_then(|role| {
            let similarity = self.similarity(&query, role);
            (similarity + hold >= best).then(|| Candidate::new(role, similarity))
        });
        if let Some(held) = held.filter(|held| candidates.iter().all(|other| other.role != held.role)) {
            candidates.push(held);
        }
        self.weigh(&mut candidates, live, now)?;
        if let Some(held) = held.filter(|held| candidates.iter().any(|c| c.role == held.role && !c.is_blocked)) {
            let others: Vec<Candidate> = candidates.iter().filter(|other| other.role != held.role).copied().collect();
            let (second, _) = self.best_two(&others);
            return Ok(Decision { role: Some(held.role), second, reason: Reason::Held, candidates });
        }
        let (role, second) = self.best_two(&candidates);
        if role.is_some() {
            let reason = if candidates.len() > 1 { Reason::Policy } else { Reason::Match };
            return Ok(Decision { role, second, reason, candidates });
        }
        self.fall_back(candidates, &query, live, now)
    }

    /// What is done when no role matches that can be reached.
    fn fall_back(&self, mut candidates: Vec<Candidate>, query: &Query, live: &impl Live, now: f64) -> Result<Decision> {
        let fallback = self.rules.fallback.filter(|&role| live.get(Field::Closed, role) == 0.0);
        if let Some(role) = fallback.filter(|&role| candidates.iter().all(|other| other.role != role)) {
            candidates.push(Candidate::new(role, self.similarity(query, role)));
            self.weigh(&mut candidates, live, now)?;
        }
        let (role, _) = self.best_two(&candidates);
        let until = candidates.iter().map(|candidate| live.get(Field::Blocked, candidate.role));
        let reason = match role {
            Some(_) => Reason::Fallback,
            None if candidates.is_empty() => Reason::NoMatch,
            None => Reason::Blocked(until.fold(f64::INFINITY, f64::min)),
        };
        Ok(Decision { role, second: None, reason, candidates })
    }

    fn similarity(&self, query: &Query, role: usize) -> f64 {
        let scores = self.slots[role].clone().map(|slot| self.index.score(query, slot));
        scores.fold(f64::NEG_INFINITY, f64::max)
    }

    fn weigh(&self, candidates: &mut [Candidate], live: &impl Live, now: f64) -> Result<()> {
        select::weigh(candidates, live, self.rules.policy, now, self.rules.time_constant_s)
    }

    fn best_two(&self, candidates: &[Candidate]) -> (Option<usize>, Option<usize>) {
        select::best_two(candidates, self.rules.policy, || self.chance())
    }

    /// A number from 0 up to 1.
    ///
    /// Source: `SplitMix64`, Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (OOPSLA 2014), figure 17.
    fn chance(&self) -> f64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.chance.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let share = ((z ^ z >> 31) >> 11) as f64;
        share / 9_007_199_254_740_992.0
    }
}

impl Candidate {
    fn new(role: usize, similarity: f64) -> Self {
        Self { role, similarity, queue: 0.0, seconds: 0.0, success: 0.0, is_blocked: false, weight: 0.0 }
    }
}

/// A vector's fault, which the index tells as a cache's.
fn argument(error: Error) -> Error {
    match error {
        Error::Cache(why) => Error::Argument(why),
        error => error,
    }
}
