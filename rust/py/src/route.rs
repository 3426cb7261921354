//! What `Router` asks of the core: one crossing a decision.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rolecore_core::HashingEmbedder as Embedder;
use rolecore_core::route::{Decision, Field, Live, Policy, Reason, Router, Rules};

use crate::arguments::{one_of, string};
use crate::buffers::Doubles;
use crate::errors::{ArgumentError, CoreError};
use crate::hashing::HashingEmbedder;
use crate::text::text_of;
use crate::vector::read;

/// Most characters of a query that are embedded, half from each end: what is asked stands at one of them.
const MOST_CHARACTERS: usize = 4096;

/// Names of policies.
const POLICIES: [(&str, Policy); 3] =
    [("adaptive", Policy::Adaptive), ("softmax", Policy::Softmax), ("shortest_queue", Policy::ShortestQueue)];

/// The roles of a `Router`, and the rules they are chosen by.
///
/// Args:
///     rows: float32, shape (n, dim).
///     counts: how many of them each role has, in order.
///     words: the sensitive words of each.
///     live: float64, shape (8 * roles,), read at each decision: queue, since, busy, answers, failures, at, blocked and
///         closed, each of all roles.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct RoleIndex {
    router: Router,
    live: Doubles,
    embedder: Option<Embedder>,
}

/// A decision of a `RoleIndex`.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Routed {
    decision: Decision,
    row: Option<Vec<f32>>,
}

/// Statistics that Python writes between calls.
struct Statistics<'a> {
    numbers: &'a Doubles,
    n_roles: usize,
}

impl Live for Statistics<'_> {
    fn get(&self, field: Field, role: usize) -> f64 {
        self.numbers.get(field as usize * self.n_roles + role)
    }
}

#[pymethods]
impl RoleIndex {
    #[new]
    #[pyo3(
        signature = (
            rows: "numpy.typing.NDArray[numpy.float32]",
            counts: "list[int]",
            words: "list[list[str]]",
            live: "typing_extensions.Buffer",
            *,
            embedder: "HashingEmbedder | None",
            policy: "str",
            threshold: "float",
            margin: "float",
            hold: "float",
            fallback: "int | None",
            time_constant_s: "float",
            seed: "int"
        )
    )]
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "as many rules; what PyO3 extracts is owned"
    )]
    fn new(
        py: Python<'_>,
        rows: PyBuffer<f32>,
        counts: Vec<usize>,
        words: Vec<Vec<Bound<'_, PyString>>>,
        live: &Bound<'_, PyAny>,
        embedder: Option<&HashingEmbedder>,
        policy: &Bound<'_, PyAny>,
        threshold: f64,
        margin: f64,
        hold: f64,
        fallback: Option<usize>,
        time_constant_s: f64,
        seed: u64,
    ) -> PyResult<Self> {
        let dim = rows.shape().get(1).copied().unwrap_or(0);
        let policy = one_of(policy, "policy", &POLICIES)?;
        let mut texts = Vec::with_capacity(words.len());
        for words in &words {
            texts.push(words.iter().map(text_of).collect::<PyResult<Vec<_>>>()?);
        }
        let rules = Rules { threshold, margin, hold, fallback, policy, time_constant_s, seed };
        let router = Router::new(dim, &rows.to_vec(py)?, &counts, &texts, rules).map_err(CoreError)?;
        let n_roles = router.n_roles();
        let live = Doubles::of(live, "live")?;
        if live.len() != Field::N * n_roles
            || fallback.is_some_and(|role| role >= n_roles)
            || embedder.is_some_and(|embedder| embedder.0.dim() != dim)
        {
            return Err(ArgumentError::new_err(format!("live, fallback or embedder are not of {n_roles} roles")));
        }
        Ok(Self { router, live, embedder: embedder.map(|embedder| embedder.0) })
    }

    /// Return the decision for a query, whose vector may be None where the embedder is known or a sensitive word decides.
    ///
    /// Cost: some microseconds at 1,000 roles. The GIL is held.
    #[pyo3(
        signature = (query: "str", vector: "numpy.typing.ArrayLike | None", last: "int | None", now: "float") -> "Routed"
    )]
    fn choose(
        &self,
        query: &Bound<'_, PyAny>,
        vector: Option<&Bound<'_, PyAny>>,
        last: Option<usize>,
        now: f64,
    ) -> PyResult<Routed> {
        let text = text_of(string(query, "query")?)?;
        let sensitive = self.router.sensitive(&text);
        let row = match vector {
            Some(vector) => Some(read(vector, self.router.dim(), ArgumentError::new_err)?),
            None => self.embedder.as_ref().map(|embedder| embedder.embed(&[ends(&text)])),
        };
        let decision = match (sensitive, &row) {
            (Some(role), _) => {
                Decision { role: Some(role), second: None, reason: Reason::SensitiveWord, candidates: Vec::new() }
            }
            (None, Some(row)) => {
                let live = Statistics { numbers: &self.live, n_roles: self.router.n_roles() };
                let last = last.filter(|&role| role < self.router.n_roles());
                self.router.choose(row, last, &live, now).map_err(CoreError)?
            }
            (None, None) => return Err(ArgumentError::new_err("vector is None, and there is no embedder here")),
        };
        Ok(Routed { decision, row: row.filter(|_| vector.is_none()) })
    }

    /// Return the index of the role that a query with a sensitive word goes to, or None.
    #[pyo3(signature = (query: "str") -> "int | None")]
    fn sensitive(&self, query: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        Ok(self.router.sensitive(&text_of(string(query, "query")?)?))
    }

    /// Return how well each role matches a vector.
    #[pyo3(signature = (vector: "numpy.typing.ArrayLike") -> "list[float]")]
    fn similarities(&self, vector: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
        let row = read(vector, self.router.dim(), ArgumentError::new_err)?;
        Ok(self.router.similarities(&row).map_err(CoreError)?)
    }
}

#[pymethods]
impl Routed {
    /// The index of the role, or None.
    #[getter]
    fn role(&self) -> Option<usize> {
        self.decision.role
    }

    /// The index of the next best role that could do the same, or None.
    #[getter]
    fn second(&self) -> Option<usize> {
        self.decision.second
    }

    /// Why: "match", "policy", "sensitive word", "held", "fallback", "no match" or "blocked".
    #[getter]
    fn reason(&self) -> &'static str {
        match self.decision.reason {
            Reason::Match => "match",
            Reason::Policy => "policy",
            Reason::SensitiveWord => "sensitive word",
            Reason::Held => "held",
            Reason::Fallback => "fallback",
            Reason::NoMatch => "no match",
            Reason::Blocked(_) => "blocked",
        }
    }

    /// Until when, by the clock, all that match are blocked; None where that is not the reason.
    #[getter]
    fn blocked_until(&self) -> Option<f64> {
        if let Reason::Blocked(until) = self.decision.reason { Some(until) } else { None }
    }

    /// The query's row as bytes of float32, where it was embedded here.
    #[getter]
    fn row<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let row = self.row.as_ref()?;
        Some(PyBytes::new(py, &row.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>()))
    }

    /// Role, similarity, queue, seconds an answer, success, whether blocked, and weight of each that was looked at, best match first.
    #[getter]
    fn candidates(&self) -> Vec<(usize, f64, f64, f64, f64, bool, f64)> {
        let all = self.decision.candidates.iter();
        all.map(|c| (c.role, c.similarity, c.queue, c.seconds, c.success, c.is_blocked, c.weight)).collect()
    }
}

/// What of a text is embedded.
fn ends(text: &str) -> String {
    let half = MOST_CHARACTERS / 2;
    // No more bytes than characters are allowed, or no more characters.
    if text.len() <= MOST_CHARACTERS || text.chars().nth(MOST_CHARACTERS).is_none() {
        return text.to_owned();
    }
    let head: String = text.chars().take(half).collect();
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    head + "\n" + &tail.into_iter().rev().collect::<String>()
}
