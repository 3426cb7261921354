//! `rolecore.Report`: what a window cost and left out, as numbers and as a table for notebooks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The figures behind a Window.
///
/// Attributes:
///     budget_tokens: the budget the window was chosen for.
///     history_tokens: tokens of the history, orphans included.
///     window_tokens: tokens of the window.
///     reused_prefix_tokens: tokens of the leading messages that the history and the window share; of a RollingWindow's view,
///         that it and the view before share.
///     history_messages: messages of the history.
///     window_messages: messages of the window.
///     reasons: for each reason, (messages, tokens) of the history that it covers; together they are the whole history. Kept:
///         "instruction", "pinned", "newest turn", "pending call", "starts with user", "worth its tokens", "since last
///         choice" (by a RollingWindow), "folded" (some of it); left out: "shrunk" (what smaller tool outputs saved), "over
///         budget", "orphan". A message that is cut counts where it is kept, its lost tokens as "over budget".
///     orphans_dropped: indices of the messages that repair left out.
///     calls_removed: (index, count) of the messages that lost unanswered tool calls.
///     summary: who wrote the summary in the window: "extractive", "callable", or None if there is none.
///     summary_fallback: why the callable's summary was not taken, or None.
#[pyclass(frozen, get_all, module = "rolecore")]
pub(crate) struct Report {
    pub(crate) budget_tokens: u64,
    pub(crate) history_tokens: u64,
    pub(crate) window_tokens: u64,
    pub(crate) reused_prefix_tokens: u64,
    pub(crate) history_messages: usize,
    pub(crate) window_messages: usize,
    pub(crate) reasons: BTreeMap<&'static str, (usize, u64)>,
    pub(crate) orphans_dropped: Vec<usize>,
    pub(crate) calls_removed: Vec<(usize, usize)>,
    pub(crate) summary: Option<&'static str>,
    pub(crate) summary_fallback: Option<String>,
}

#[pymethods]
impl Report {
    /// Return the figures as a new dict of plain numbers, lists and dicts.
    #[pyo3(signature = () -> "dict[str, typing.Any]")]
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("budget_tokens", self.budget_tokens)?;
        dict.set_item("history_tokens", self.history_tokens)?;
        dict.set_item("window_tokens", self.window_tokens)?;
        dict.set_item("reused_prefix_tokens", self.reused_prefix_tokens)?;
        dict.set_item("history_messages", self.history_messages)?;
        dict.set_item("window_messages", self.window_messages)?;
        dict.set_item("reasons", &self.reasons)?;
        dict.set_item("orphans_dropped", &self.orphans_dropped)?;
        dict.set_item("calls_removed", &self.calls_removed)?;
        dict.set_item("summary", self.summary)?;
        dict.set_item("summary_fallback", &self.summary_fallback)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let rows: Vec<String> = self.rows().iter().map(|(what, value)| format!("{what}: {value}")).collect();
        format!("Report({})", rows.join(", "))
    }

    fn _repr_html_(&self) -> String {
        let mut html = String::from("<table>");
        for (what, value) in self.rows() {
            // Writing to a String cannot fail.
            let _ = write!(html, "<tr><th style=\"text-align:left\">{what}</th><td>{value}</td></tr>");
        }
        html + "</table>"
    }
}

impl Report {
    fn rows(&self) -> Vec<(&str, String)> {
        let calls: usize = self.calls_removed.iter().map(|(_, count)| count).sum();
        let mut rows = vec![
            ("messages", format!("{} of {}", self.window_messages, self.history_messages)),
            ("tokens", format!("{} of {}", self.window_tokens, self.history_tokens)),
            ("budget", self.budget_tokens.to_string()),
            ("prefix reused", format!("{} tokens", self.reused_prefix_tokens)),
            ("repaired", format!("{} messages left out, {calls} calls removed", self.orphans_dropped.len())),
        ];
        if let Some(summary) = self.summary {
            let why = self.summary_fallback.as_ref().map_or_else(String::new, |why| format!(", the callable {why}"));
            rows.push(("summary", format!("{summary}{why}")));
        }
        let reasons = self.reasons.iter().filter(|(_, (messages, tokens))| *messages > 0 || *tokens > 0);
        rows.extend(
            reasons.map(|(reason, (messages, tokens))| (*reason, format!("{messages} messages, {tokens} tokens"))),
        );
        rows
    }
}
