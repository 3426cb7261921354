//! Which of the roles that match takes the turn: by how busy, fast and sound each is.

use crate::error::{Error, Result};

/// What is known of roles while they work: a number a role and field, in the caller's memory.
pub trait Live {
    /// The number of a field of a role.
    fn get(&self, field: Field, role: usize) -> f64;
}

/// Numbers that are kept of each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Calls on their way.
    Queue,
    /// Since when, by the clock, the role has been at work without an answer.
    Since,
    /// Seconds of work, faded to the instant `At`.
    Busy,
    /// Answers, likewise.
    Answers,
    /// Failures, likewise.
    Failures,
    /// To which instant these three are faded.
    At,
    /// Until when the role is sent nothing; 0 where nothing is wrong.
    Blocked,
    /// 1 where the role may not take turns.
    Closed,
}

impl Field {
    /// How many there are.
    pub const N: usize = Self::Closed as usize + 1;
}

/// How roles are chosen among those that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The least expected wait.
    Adaptive,
    /// One of the two of the highest similarity x (1 - queue / 10) x success, drawn by their softmax.
    Softmax,
    /// The shortest queue.
    ShortestQueue,
}

/// What speaks for and against a role.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its number.
    pub role: usize,
    /// How well it matches, up to 1.
    pub similarity: f64,
    /// Calls on their way.
    pub queue: f64,
    /// Seconds of work an answer takes it.
    pub seconds: f64,
    /// The share of calls that are answered.
    pub success: f64,
    /// Whether it is sent nothing now.
    pub is_blocked: bool,
    /// What the policy makes of it: the higher the better.
    pub weight: f64,
}

/// Answers that a role with none is taken to have given, at the mean pace of all, and successes likewise.
///
/// Chosen on servers, loads and seeds other than those of the report: `router_simulation.py --tune`.
const PRIOR: f64 = 2.0;

/// Most of anything that is counted or timed: so that no sum overflows.
const MOST: f64 = 1e18;

/// A queue of so many has no weight in [`Policy::Softmax`].
const FULL_QUEUE: f64 = 10.0;

/// Fills in all but the similarity of the candidates.
///
/// The pace of a role is the seconds it was at work over its answers: for exponential times the estimate of maximum likelihood, in which
/// calls that failed, were given up or are still on their way count by the time they took (censored: Lawless, Statistical
/// Models and Methods for Lifetime Data, section 4.1). It is drawn towards the mean of all by [`PRIOR`] answers, since what few answers
/// say is mostly chance.
pub(super) fn weigh(
    candidates: &mut [Candidate],
    live: &impl Live,
    policy: Policy,
    now: f64,
    time_constant_s: f64,
) -> Result<()> {
    let mut paces = Vec::with_capacity(candidates.len());
    let (mut all_busy, mut all_answers) = (0.0, 0.0);
    for candidate in &mut *candidates {
        let role = candidate.role;
        let get = |field, most| read(live, field, role, most);
        candidate.queue = get(Field::Queue, MOST)?;
        let [busy, answers, failures] =
            [get(Field::Busy, MOST)?, get(Field::Answers, MOST)?, get(Field::Failures, MOST)?];
        let fade = ((instant(live, Field::At, role)? - now) / time_constant_s).min(0.0).exp();
        let at_work = if candidate.queue > 0.0 { (now - instant(live, Field::Since, role)?).max(0.0) } else { 0.0 };
        let blocked = get(Field::Blocked, f64::INFINITY)?;
        candidate.is_blocked = blocked > now;
        candidate.success = (PRIOR + answers * fade) / (PRIOR + (answers + failures) * fade);
        paces.push((busy * fade + at_work, answers * fade));
        all_busy += busy * fade;
        all_answers += answers * fade;
    }
    let mean = if all_answers > 0.0 && all_busy > 0.0 { all_busy / all_answers } else { 1.0 };
    for (candidate, (busy, answers)) in candidates.iter_mut().zip(paces) {
        candidate.seconds = ((PRIOR * mean + busy) / (PRIOR + answers)).max(f64::MIN_POSITIVE);
        candidate.weight = match policy {
            Policy::Adaptive => candidate.success / ((candidate.queue + 1.0) * candidate.seconds),
            Policy::ShortestQueue => 1.0 / (candidate.queue + 1.0),
            Policy::Softmax => {
                let free = (1.0 - candidate.queue / FULL_QUEUE).max(0.0);
                candidate.similarity.max(0.0) * free * candidate.success
            }
        };
    }
    Ok(())
}

/// A statistic from 0 to `most`.
fn read(live: &impl Live, field: Field, role: usize, most: f64) -> Result<f64> {
    let value = live.get(field, role);
    if (0.0..=most).contains(&value) { Ok(value) } else { Err(wrong(field, role, value)) }
}

/// A statistic that is a time by the clock.
fn instant(live: &impl Live, field: Field, role: usize) -> Result<f64> {
    let value = live.get(field, role);
    if value.abs() <= MOST { Ok(value) } else { Err(wrong(field, role, value)) }
}

fn wrong(field: Field, role: usize, value: f64) -> Error {
    let name = match field {
        Field::Queue => "queue length",
        Field::Since => "start of work",
        Field::Busy => "time at work",
        Field::Answers => "count of answers",
        Field::Failures => "count of failures",
        Field::At => "time of the last call",
        Field::Blocked => "time until which it is blocked",
        Field::Closed => "closedness",
    };
    Error::Argument(format!("the {name} of role {role} is {value}; it must be a number from 0 to 1e18"))
}

/// The two best candidates that are not blocked, by weight, then similarity, then chance. `chance` returns a number from 0 up to 1.
pub(super) fn best_two(
    candidates: &[Candidate],
    policy: Policy,
    mut chance: impl FnMut() -> f64,
) -> (Option<usize>, Option<usize>) {
    let mut best: [Option<(&Candidate, f64)>; 2] = [None, None];
    for candidate in candidates.iter().filter(|candidate| !candidate.is_blocked) {
        let new = Some((candidate, chance()));
        if is_before(new, best[0]) {
            best = [new, best[0]];
        } else if is_before(new, best[1]) {
            best[1] = new;
        }
    }
    if let (Policy::Softmax, [Some((first, _)), Some((second, _))]) = (policy, best) {
        // The softmax of two: its sum over all others cancels out.
        let share = 1.0 / (1.0 + (second.weight - first.weight).exp());
        if chance() >= share {
            best.swap(0, 1);
        }
    }
    (best[0].map(|(candidate, _)| candidate.role), best[1].map(|(candidate, _)| candidate.role))
}

fn is_before(new: Option<(&Candidate, f64)>, old: Option<(&Candidate, f64)>) -> bool {
    let key = |(candidate, chance): (&Candidate, f64)| (candidate.weight, candidate.similarity, chance);
    new.map(key) > old.map(key)
}
