//! Where the turns of a snapshot come from: dicts, or a history and those of its messages that hold more than it keeps.

use pyo3::prelude::*;
use rolecore_core::codec::{PlainTurn, ToolCallParts, TurnParts, Turns};
use rolecore_core::{History, Result};

use crate::arguments::each;
use crate::history::History as PyHistory;
use crate::message::parse;
use crate::told::Told;

pub(crate) enum Source<'a> {
    Messages(Vec<Told>),
    History {
        core: &'a History,
        /// Messages there were when the others were taken apart.
        len: usize,
        /// Those others, each in its place; short of them where there are none after it.
        told: &'a [Option<Box<Told>>],
        /// Which keys are null, of each of the rest.
        nulls: &'a [u8],
    },
}

impl Source<'_> {
    pub(crate) fn of_messages(messages: &Bound<'_, PyAny>) -> PyResult<Self> {
        let told = each(messages, "history", "a History or an iterable of dicts")?
            .enumerate()
            .map(|(index, message)| Told::new(&message?, index));
        told.collect::<PyResult<_>>().map(Self::Messages)
    }

    /// The name of the tokenizer that counted.
    pub(crate) fn tokenizer(&self) -> Option<&str> {
        match self {
            Self::Messages(_) => None,
            Self::History { core, .. } => Some(core.tokenizer().name()),
        }
    }

    /// The history, if it has all there is of a message.
    #[inline]
    fn plain_history(&self, index: usize) -> Option<&History> {
        match self {
            Self::History { core, told, nulls, .. }
                if nulls[index] == 0 && !matches!(told.get(index), Some(Some(_))) =>
            {
                Some(core)
            }
            _ => None,
        }
    }
}

impl Turns for Source<'_> {
    fn n_turns(&self) -> usize {
        match self {
            Self::Messages(told) => told.len(),
            Self::History { len, .. } => *len,
        }
    }

    fn turn(&self, index: usize) -> Result<TurnParts<'_>> {
        match self {
            Self::Messages(told) => Ok(told[index].turn(0, false)),
            Self::History { core, told, nulls, .. } => match told.get(index) {
                Some(Some(told)) => {
                    let tokens = u32::try_from(core.message_tokens(index)).unwrap_or(0);
                    Ok(told.turn(tokens, core.is_pinned(index)))
                }
                _ => Ok(TurnParts { nulls: nulls[index], ..core.turn(index)? }),
            },
        }
    }

    fn plain(&self, index: usize) -> Option<PlainTurn<&str>> {
        self.plain_history(index)?.plain(index)
    }

    fn plain_len(&self, index: usize) -> Option<PlainTurn<usize>> {
        Turns::plain_len(self.plain_history(index)?, index)
    }

    fn prefetch(&self, index: usize) {
        if let Self::History { core, .. } = self {
            core.prefetch(index);
        }
    }

    fn call(&self, turn: usize, call: usize) -> Result<ToolCallParts<'_>> {
        match self {
            Self::Messages(told) => Ok(told[turn].call(call)),
            Self::History { core, told, .. } => match told.get(turn) {
                Some(Some(told)) => Ok(told.call(call)),
                _ => core.call(turn, call),
            },
        }
    }
}

impl PyHistory {
    /// Appends all of `messages`, pinned or not.
    pub(crate) fn append_all(&self, py: Python<'_>, messages: Vec<Bound<'_, PyAny>>, pin: bool) -> PyResult<()> {
        let first = self.lock(py)?.objects.len();
        let parsed =
            messages.into_iter().enumerate().map(|(i, message)| Ok((parse(&message, first + i)?, message.unbind())));
        self.push_all(py, parsed.collect::<PyResult<_>>()?, pin)
    }

    /// Runs `f` with the turns that there are, holding the lock. It may make bytes: they start no collection, which would wait for the lock.
    pub(crate) fn with_source<T>(&self, py: Python<'_>, f: impl FnOnce(&Source<'_>) -> PyResult<T>) -> PyResult<T> {
        let (len, rich) = {
            let state = self.lock(py)?;
            let rich = state.rich.iter().map(|&index| (index, state.objects[index].clone_ref(py)));
            (state.objects.len(), rich.collect::<Vec<_>>())
        };
        let mut told = Vec::new();
        for (index, object) in rich {
            told.resize_with(index, || None);
            told.push(Some(Box::new(Told::new(object.bind(py), index)?)));
        }
        let state = self.lock(py)?;
        // What was there then is still there: messages are only appended.
        f(&Source::History { core: &state.core, len, told: &told, nulls: &state.nulls })
    }
}
