use super::*;
use crate::message::ToolCall;

fn history(messages: Vec<Message>) -> History {
    let tokenizer = Tokenizer::named("o200k_base").unwrap();
    let mut history = History::new(Arc::clone(&tokenizer));
    for message in messages {
        history.push(Counted::new(message, &tokenizer).unwrap(), false);
    }
    history
}

fn calls(ids: &[&str]) -> Message {
    let mut message = Message::text(Role::Assistant, "");
    let call = |id: &&str| ToolCall { id: (*id).into(), name: "find".into(), arguments: "{}".into() };
    message.tool_calls = ids.iter().map(call).collect();
    message
}

fn result(id: &str) -> Message {
    Message { tool_call_id: Some(id.into()), ..Message::text(Role::Tool, "found") }
}

fn removed(index: usize, calls: &[usize]) -> Repair {
    Repair { index, removed_calls: Some(calls.to_vec()) }
}

fn dropped(index: usize) -> Repair {
    Repair { index, removed_calls: None }
}

#[test]
fn a_result_belongs_to_the_nearest_open_call_of_its_id() {
    let history = history(vec![calls(&["a", "b", "a"]), result("a"), Message::text(Role::User, "go on")]);
    assert_eq!(history.repairs(), [removed(0, &[0, 1])]);
}

#[test]
fn ids_may_repeat_in_a_history() {
    let history = history(vec![calls(&["a"]), result("a"), calls(&["a"]), result("a")]);
    assert_eq!(history.repairs(), []);
}

#[test]
fn a_result_after_the_next_message_comes_too_late() {
    let history = history(vec![calls(&["a"]), Message::text(Role::User, "well?"), result("a")]);
    assert_eq!(history.repairs(), [dropped(0), dropped(2)]);
}

#[test]
fn calls_of_the_last_group_are_pending() {
    let history = history(vec![calls(&["a", "b"]), result("b")]);
    assert!(history.is_pending());
    assert_eq!(history.repairs(), []);
}

#[test]
fn ten_thousand_parallel_calls_are_matched_at_once() {
    let ids: Vec<String> = (0..10_000).map(|i| format!("call {i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut messages = vec![calls(&ids)];
    messages.extend(ids.iter().map(|id| result(id)));
    assert_eq!(history(messages).repairs(), []);
}

#[test]
fn tokens_are_those_of_all_messages() {
    let messages = vec![Message::text(Role::User, "hello"), calls(&["a"])];
    let tokenizer = Tokenizer::named("o200k_base").unwrap();
    let fresh: u64 = messages.iter().map(|message| message.tokens(&tokenizer)).sum();
    assert_eq!(history(messages).tokens(), fresh);
}
