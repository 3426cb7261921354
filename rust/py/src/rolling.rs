//! `rolecore.RollingWindow`: a window over a growing history whose beginning stays the same from view to view.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use rolecore_core::{Rolling, RollingOptions, Unit};

use crate::arguments::{share, string, whole_number, wrong_kind};
use crate::errors::CoreError;
use crate::history::{History, State as HistoryState, poisoned};
use crate::options::{keep_last, unit};
use crate::text::text_of;
use crate::window::{Copy, Figures, Source, Summary, Window};

/// A window over a History that grows, made so that a provider's prompt cache keeps its beginning.
///
/// While the history fits the budget, a view is the whole of it. From then on views change in epochs: between two epochs each
/// view is the one before with the new messages at its end, the same objects. When that passes the budget, an epoch makes room:
/// the messages since the last epoch are weighed and the worthiest stay, and what stayed before is left as it is; when that
/// frees too little, all is chosen anew from the whole history, down to `target` of the budget, or to what must stay. Use it
/// where a chat is sent turn by turn, and `History.fit` where a window is wanted once.
///
/// Args:
///     history: the History it follows: append to that, then view. It is shared, not copied.
///     budget_tokens: most tokens a view may have; reply priming not included.
///     target: share of the budget that a choice from the whole history goes down to, above 0 and at most 1. Lower, epochs are
///         rarer and views hold less.
///     keep_last: newest turns that stay; a turn is a user message and all up to the next. Turns that are over the budget
///         themselves, as a long run of tool calls can be, are held to their newest messages: at least the newest, and more of
///         them up to a tenth of the budget.
///     unit: "message" keeps or leaves out whole messages; "sentence" also cuts inside a message, at an epoch.
///
/// Raises:
///     ArgumentError: an argument is of a wrong kind or out of its range.
///
/// Safe to share between threads.
///
/// Example:
///     >>> import rolecore
///     >>> history = rolecore.History()
///     >>> roll = rolecore.RollingWindow(history, 1000)
///     >>> history.append({"role": "user", "content": "hello"})
///     >>> roll.view().tokens
///     5
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct RollingWindow {
    history: Py<History>,
    state: Mutex<State>,
}

/// What the lock guards. Whoever holds it neither waits for the GIL nor makes nor drops Python objects; see `History`.
struct State {
    rolling: Rolling,
    /// One for each entry of the window, the folded one not counted.
    slots: Vec<Slot>,
    /// Gives each slot a number of its own.
    n_slots: u64,
}

struct Slot {
    object: Py<PyAny>,
    number: u64,
    /// What the object still has to be made into, to be sent.
    to_make: Option<Copy>,
}

/// A view with its messages, some still to be made.
struct View {
    figures: Figures,
    sources: Vec<Source>,
    objects: Vec<Py<PyAny>>,
    /// Place in `objects`, number of the slot, and what to make.
    to_make: Vec<(usize, u64, Copy)>,
    folded: Option<(usize, Copy)>,
    /// What the window no longer holds: to be dropped without the lock.
    _gone: Vec<Slot>,
}

#[pymethods]
impl RollingWindow {
    #[new]
    #[pyo3(
        signature = (
            history: "History",
            budget_tokens: "int",
            *,
            target: "float" = 0.6,
            keep_last: "int" = 3,
            unit: "str" = Unit::Message
        ),
        text_signature = "(history, budget_tokens, *, target=0.6, keep_last=3, unit='message')"
    )]
    fn new(
        history: &Bound<'_, PyAny>,
        budget_tokens: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = target)] target: f64,
        #[pyo3(from_py_with = keep_last)] keep_last: usize,
        #[pyo3(from_py_with = unit)] unit: Unit,
    ) -> PyResult<Self> {
        let history = history.cast::<History>().map_err(|_| wrong_kind(history, "history", "a History"))?;
        let budget_tokens = whole_number(budget_tokens, "budget_tokens")?;
        let options = RollingOptions { budget_tokens, target, keep_last, unit };
        let rolling = Rolling::new(options).map_err(CoreError)?;
        let state = State { rolling, slots: Vec::new(), n_slots: 0 };
        Ok(Self { history: history.clone().unbind(), state: Mutex::new(state) })
    }

    /// Return the window of the history as it is now.
    ///
    /// System, developer and pinned messages, the newest turns and a pending tool call stay; a tool call and its results stay or
    /// go together; whole messages are your own objects. One thing may change a message between epochs: when the next message
    /// shows that a pending call will get no result, the call is taken out, as no provider takes it.
    ///
    /// With `query`, the worthiest sentences for it of messages that are left out come as one more message of the role user, just
    /// before the newest turn: a first line that says so, then a sentence a line, under a line with the speaker. It takes what
    /// the budget leaves; once there was a query, a tenth of the budget is kept free for it. The rest of the window is as
    /// without a query, so what comes before the excerpts stays the same.
    ///
    /// Args:
    ///     query: what the next request is about.
    ///
    /// Returns:
    ///     A Window. Its `reused_prefix_tokens` are those of the leading messages that are the previous view's; 0 at first.
    ///
    /// Raises:
    ///     BudgetError: instructions, pinned messages, a pending call and the newest message are over the budget; `.needed` is
    ///         the smallest budget that works.
    ///
    /// Cost: O(new messages) between epochs and without a query, and a list of pointers; that of one or two fits at an epoch, of
    /// one with a query. The GIL is held.
    #[pyo3(signature = (query: "str | None" = None) -> "Window")]
    fn view(&self, py: Python<'_>, query: Option<&Bound<'_, PyAny>>) -> PyResult<Window> {
        let query = query.map(|query| text_of(string(query, "query")?)).transpose()?;
        let chosen = self.with_both(py, |state, history| state.view(py, history, query.as_deref()))?;
        let View { figures, sources, mut objects, to_make, folded, _gone } = chosen.map_err(CoreError)?;
        if !to_make.is_empty() {
            let mut made = Vec::with_capacity(to_make.len());
            for (at, number, copy) in &to_make {
                made.push((*at, *number, copy.make(objects[*at].bind(py))?));
            }
            self.keep_made(py, made, &mut objects)?;
        }
        if let Some((at, copy)) = folded {
            objects.insert(at, copy.make(py.None().bind(py))?);
        }
        Window::new(py, figures, sources, objects, Summary::default())
    }

    /// The history it follows.
    #[getter]
    fn history(&self, py: Python<'_>) -> Py<History> {
        self.history.clone_ref(py)
    }

    /// Most tokens a view may have.
    #[getter]
    fn budget_tokens(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.rolling.options().budget_tokens)
    }

    /// Epochs so far: how often a view was not the one before with more at its end.
    #[getter]
    fn epochs(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.rolling.n_epochs())
    }

    /// Lets the cycle collector see the history and the messages; see `History.__traverse__`.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.history)?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slots.iter().try_for_each(|slot| visit.call(&slot.object))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let state = self.lock(py)?;
        let options = state.rolling.options();
        Ok(format!(
            "RollingWindow(budget_tokens={}, target={}, keep_last={}, epochs={})",
            options.budget_tokens,
            options.target,
            options.keep_last,
            state.rolling.n_epochs()
        ))
    }
}

impl State {
    fn view(
        &mut self,
        py: Python<'_>,
        history: &HistoryState,
        query: Option<&str>,
    ) -> Result<View, rolecore_core::Error> {
        let n_unchanged = {
            self.rolling.view(&history.core, query)?;
            self.rolling.n_unchanged()
        };
        let window = self.rolling.window();
        let folded_at = self.rolling.folded_at();
        let gone = self.slots.split_off(n_unchanged.min(self.slots.len()));
        let whole = window.entries.iter().enumerate().filter(|(at, _)| Some(*at) != folded_at);
        for (_, entry) in whole.skip(self.slots.len()) {
            let Some(index) = entry.index() else { continue };
            let object = history.objects[index].clone_ref(py);
            self.slots.push(Slot { object, number: self.n_slots, to_make: Copy::of(entry, &window.repairs) });
            self.n_slots += 1;
        }
        let folded = folded_at.and_then(|at| Some((at, Copy::of(&window.entries[at], &[])?)));
        let unmade =
            self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.number, slot.to_make.clone()?)));
        Ok(View {
            figures: Figures::of(window),
            sources: window.entries.iter().map(Source::of).collect(),
            objects: self.slots.iter().map(|slot| slot.object.clone_ref(py)).collect(),
            to_make: unmade.collect(),
            folded,
            _gone: gone,
        })
    }
}

impl RollingWindow {
    /// Runs `f` with both locks. Neither is waited for while the other is held.
    fn with_both<T>(&self, py: Python<'_>, f: impl FnOnce(&mut State, &HistoryState) -> T) -> PyResult<T> {
        let history = self.history.get();
        loop {
            let mut state = self.lock(py)?;
            if let Some(history) = history.try_lock()? {
                return Ok(f(&mut state, &history));
            }
            drop(state);
            history.wait(py);
        }
    }

    /// Keeps the messages that were made, so that later views give the same objects; where another thread was first, takes its.
    fn keep_made(&self, py: Python<'_>, made: Vec<(usize, u64, Py<PyAny>)>, objects: &mut [Py<PyAny>]) -> PyResult<()> {
        let mut replaced = Vec::with_capacity(2 * made.len());
        {
            let mut state = self.lock(py)?;
            for (at, number, mut object) in made {
                if let Ok(place) = state.slots.binary_search_by_key(&number, |slot| slot.number) {
                    let slot = &mut state.slots[place];
                    if slot.to_make.take().is_some() {
                        replaced.push(std::mem::replace(&mut slot.object, object.clone_ref(py)));
                    } else {
                        replaced.push(std::mem::replace(&mut object, slot.object.clone_ref(py)));
                    }
                }
                replaced.push(std::mem::replace(&mut objects[at], object));
            }
        }
        Ok(())
    }

    fn lock<'a>(&'a self, py: Python<'_>) -> PyResult<MutexGuard<'a, State>> {
        loop {
            match self.state.try_lock() {
                Ok(state) => return Ok(state),
                Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
                // As `History` waits: not while holding a lock that `__traverse__` waits for with the GIL.
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.state.lock())),
            }
        }
    }
}

fn target(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    share(value, "target")
}
