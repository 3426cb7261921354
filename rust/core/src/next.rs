//! The window for messages that are yet to come: what of a history goes before them.

use std::sync::Arc;

use crate::compress::fit::FitOptions;
use crate::compress::window::Window;
use crate::error::{Error, Result};
use crate::history::{Counted, History};
use crate::message::{Message, Role};

/// What a request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tokens it should have at most.
    pub budget_tokens: u64,
    /// Tokens it may have where what must stay needs them.
    pub most_tokens: u64,
    /// Tokens of the new messages, as [`Message::tokens`] counts them.
    pub next_tokens: u64,
    /// Tokens of it that are neither the history's nor the new messages'.
    pub other_tokens: u64,
}

impl History {
    /// Chooses what goes before `next`: a message that is not in the history, or the results of all calls that wait there, in any order, and at most
    /// one message after them. The two together are the request, which is legal and within the limits. Of the newest turns that must stay, a user's
    /// message in `next` is one.
    ///
    /// # Errors
    /// [`Error::Budget`] when what must stay needs more than the limits' most, with the exact smallest number that works;
    /// [`Error::Message`], without an index, when no request can be made with `next`.
    ///
    /// Cost: that of [`History::fit`]; O(bytes of the history) where calls wait for results and `next` has none, or room is short.
    pub fn fit_next(&self, next: &[Message], limits: Limits, options: &FitOptions<'_>) -> Result<Window> {
        if let Some(newest) = self.keep_before(next, options.keep_last)? {
            let spent = limits.other_tokens + limits.next_tokens;
            let most = limits.most_tokens.checked_sub(spent);
            let options = FitOptions { keep_last: newest, ..*options };
            let fitted = most.map(|most| self.fit_up_to(limits.budget_tokens.saturating_sub(spent), most, &options));
            match fitted {
                // There may be room yet if nothing of the history has to go with it.
                None | Some(Err(Error::Budget { .. })) => {}
                Some(fitted) => return fitted,
            }
        }
        let whole = self.with(next)?;
        let [budget, most] =
            [limits.budget_tokens, limits.most_tokens].map(|limit| limit.saturating_sub(limits.other_tokens));
        let mut window = whole.fit_up_to(budget, most, options).map_err(|error| match error {
            Error::Budget { needed, .. } => {
                Error::Budget { needed: needed + limits.other_tokens, budget: limits.most_tokens }
            }
            other => other,
        })?;
        // They were pinned.
        let n_before = window.entries.len() - next.len();
        window.entries.truncate(n_before);
        window.tokens -= window.kept.drain(n_before..).map(|kept| kept.tokens).sum::<u64>();
        Ok(window)
    }

    /// How many newest turns must stay before `next`; None where what is before it depends on it in other ways.
    fn keep_before(&self, next: &[Message], keep_last: usize) -> Result<Option<usize>> {
        let n_results = next.iter().take_while(|message| message.role == Role::Tool).count();
        let Some(last) = next.last().filter(|_| next.len() - n_results <= 1) else {
            return Err(refused(format!(
                "{} messages come after {n_results} results; give the results of all calls first, and at most one message after them",
                next.len() - n_results
            )));
        };
        if n_results > 0 {
            self.check_results(&next[..n_results])?;
        }
        Ok(match last.role {
            Role::Tool => Some(keep_last),
            Role::User if n_results > 0 || !self.is_pending() => Some(keep_last.saturating_sub(1)),
            _ => None,
        })
    }

    /// Fails unless the results are those of all calls that wait.
    fn check_results(&self, results: &[Message]) -> Result<()> {
        let mut waiting = self.waiting();
        for (i, result) in results.iter().enumerate() {
            let id = result.tool_call_id.as_deref().unwrap_or_default();
            match waiting.get_mut(id).filter(|n| **n > 0) {
                Some(n) => *n -= 1,
                None => {
                    return Err(refused(format!(
                        "result {} of {} answers no call that waits for one; leave it out, or send a user's message",
                        i + 1,
                        results.len()
                    )));
                }
            }
        }
        match waiting.into_values().sum::<usize>() {
            0 => Ok(()),
            n => Err(refused(format!(
                "{n} more calls wait for results, and no request can be made before they are there; send the results of all calls together, as a list"
            ))),
        }
    }

    /// The window of `budget`, or where what must stay needs more, of that, up to `most`.
    fn fit_up_to(&self, budget: u64, most: u64, options: &FitOptions<'_>) -> Result<Window> {
        match self.fit(budget, options) {
            Err(Error::Budget { needed, .. }) if needed <= most => self.fit(needed, options),
            fitted => fitted,
        }
    }

    /// A history of the same messages and some more, which stay in every window.
    fn with(&self, next: &[Message]) -> Result<Self> {
        let mut whole = Self::lazy(Arc::clone(self.tokenizer()));
        for index in 0..self.len() {
            whole.push(self.counted(index), self.is_pinned(index));
        }
        for message in next {
            whole.push(Counted::new(message.clone(), self.tokenizer())?, true);
        }
        Ok(whole)
    }
}

fn refused(why: String) -> Error {
    Error::Message { index: None, why }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::message::{Parts, ToolCall};
    use crate::text::Text;
    use crate::tokens::Tokenizer;

    fn said(role: Role, text: &str) -> Message {
        Message::text(role, text)
    }

    fn calls(ids: &[&str]) -> Message {
        let mut message = said(Role::Assistant, "");
        message.parts = Parts::new();
        message.tool_calls = ids
            .iter()
            .map(|id| ToolCall { id: Text::from(*id), name: Text::from("f"), arguments: Text::from("{}") })
            .collect();
        message
    }

    fn result(id: &str) -> Message {
        let mut message = said(Role::Tool, "42");
        message.tool_call_id = Some(Text::from(id));
        message
    }

    fn history(messages: &[Message]) -> History {
        let tokenizer = Tokenizer::named("o200k_base").unwrap();
        let mut history = History::new(Arc::clone(&tokenizer));
        for message in messages {
            history.push(Counted::new(message.clone(), &tokenizer).unwrap(), false);
        }
        history
    }

    fn talk(n: usize) -> Vec<Message> {
        let text = |i: usize| format!("Number {i}: the ferry to the island leaves at six from pier {i}.");
        (0..n).map(|i| said(if i % 2 == 0 { Role::User } else { Role::Assistant }, &text(i))).collect()
    }

    fn fit(
        history: &History,
        next: &[Message],
        [budget_tokens, most_tokens]: [u64; 2],
        options: &FitOptions<'_>,
    ) -> Result<Window> {
        let next_tokens = next.iter().map(|message| message.tokens(history.tokenizer())).sum();
        history.fit_next(next, Limits { budget_tokens, most_tokens, next_tokens, other_tokens: 7 }, options)
    }

    fn options() -> FitOptions<'static> {
        FitOptions { keep_last: 2, ..FitOptions::default() }
    }

    fn indices(window: &Window) -> Vec<usize> {
        window.entries.iter().filter_map(crate::Entry::index).collect()
    }

    #[test]
    fn counts_the_next_message_and_takes_it_for_the_newest_turn() {
        let history = history(&talk(20));
        let next = said(Role::User, "And the last one?");
        let tokens = next.tokens(history.tokenizer());
        let window = fit(&history, slice::from_ref(&next), [120, 120], &options()).unwrap();
        assert!(window.tokens + tokens + 7 <= 120);
        assert_eq!(indices(&window)[indices(&window).len() - 2..], [18, 19]);
        let needed = window.kept[window.kept.len() - 2..].iter().map(|kept| kept.tokens).sum::<u64>() + tokens + 7;
        let least = fit(&history, slice::from_ref(&next), [0, needed], &options()).unwrap();
        assert_eq!(indices(&least), [18, 19]);
        let error = fit(&history, slice::from_ref(&next), [0, needed - 1], &options()).unwrap_err();
        assert!(matches!(error, Error::Budget { needed: n, budget } if n == needed && budget == needed - 1));
    }

    #[test]
    fn leaves_all_of_the_history_out_where_only_the_next_message_must_stay() {
        let history = history(&talk(4));
        let next = said(Role::User, "And now?");
        let tokens = next.tokens(history.tokenizer()) + 7;
        let options = FitOptions { keep_last: 1, ..options() };
        assert!(fit(&history, slice::from_ref(&next), [tokens, tokens], &options).unwrap().entries.is_empty());
        assert!(fit(&history, slice::from_ref(&next), [tokens - 1, tokens - 1], &options).is_err());
    }

    #[test]
    fn takes_waiting_calls_out_before_a_users_message() {
        let mut messages = talk(2);
        messages.push(calls(&["a"]));
        let window = fit(&history(&messages), &[said(Role::User, "Never mind.")], [500, 500], &options());
        assert_eq!(indices(&window.unwrap()), [0, 1]);
    }

    #[test]
    fn keeps_a_call_before_its_result_and_refuses_others() {
        let mut messages = talk(2);
        messages.push(calls(&["a"]));
        let one = history(&messages);
        assert_eq!(indices(&fit(&one, &[result("a")], [500, 500], &options()).unwrap()), [0, 1, 2]);
        assert!(matches!(fit(&one, &[result("b")], [500, 500], &options()), Err(Error::Message { .. })));
        messages[2] = calls(&["a", "b"]);
        let two = history(&messages);
        assert!(matches!(fit(&two, &[result("a")], [500, 500], &options()), Err(Error::Message { .. })));
        messages.push(result("a"));
        let left = history(&messages);
        assert_eq!(indices(&fit(&left, &[result("b")], [500, 500], &options()).unwrap()), [0, 1, 2, 3]);
    }

    #[test]
    fn takes_the_results_of_all_calls_in_any_order() {
        let mut messages = talk(20);
        messages.push(calls(&["a", "b", "a"]));
        let history = history(&messages);
        let next = [result("a"), result("b"), result("a"), said(Role::User, "And both together?")];
        let spent = |next: &[Message]| next.iter().map(|message| message.tokens(history.tokenizer())).sum::<u64>() + 7;
        let kept = |window: &Window| window.kept.iter().map(|kept| kept.tokens).sum::<u64>();
        for n in [3, 4] {
            let mut next = next[..n].to_vec();
            for _ in 0..3 {
                next[..3].rotate_left(1);
                let all = fit(&history, &next, [5000, 5000], &options()).unwrap();
                assert_eq!(indices(&all).len(), 21);
                let least = fit(&history, &next, [0, 5000], &options()).unwrap();
                assert_eq!(*indices(&least).last().unwrap(), 20);
                assert_eq!(kept(&least), least.tokens);
                let needed = least.tokens + spent(&next);
                let again = fit(&history, &next, [0, needed], &options()).unwrap();
                assert_eq!(indices(&again), indices(&least));
                let error = fit(&history, &next, [0, needed - 1], &options()).unwrap_err();
                assert!(matches!(error, Error::Budget { needed: n, .. } if n == needed));
            }
        }
        let error = |next: &[Message]| fit(&history, next, [5000, 5000], &options()).unwrap_err().to_string();
        assert!(error(&next[..2]).starts_with("1 more calls wait"));
        assert!(error(&next[1..]).starts_with("1 more calls wait"));
        assert!(error(&[result("a"), result("a"), result("a")]).starts_with("result 3 of 3 answers no call"));
        assert!(error(&[result("a"), result("c")]).starts_with("result 2 of 2 answers no call"));
        assert!(error(&[&next[..], &next[3..]].concat()).starts_with("2 messages come after 3 results"));
        assert!(error(&[next[3].clone(), result("a")]).starts_with("2 messages come after 0 results"));
        assert!(error(&[]).starts_with("0 messages"));
    }

    #[test]
    fn gives_way_to_what_must_stay_up_to_the_most() {
        let history = history(&talk(20));
        let next = said(Role::User, "And the last one?");
        let soft = fit(&history, slice::from_ref(&next), [10, 1000], &options()).unwrap();
        assert_eq!(indices(&soft), [18, 19]);
        let all = fit(&history, slice::from_ref(&next), [1000, 1000], &options()).unwrap();
        assert_eq!(indices(&all).len(), 20);
    }
}
