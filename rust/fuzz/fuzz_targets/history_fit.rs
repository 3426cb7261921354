//! Any history and any way to ask for a window of it: what `rust/core/tests/oracle` says must hold.
#![no_main]

#[path = "../../core/tests/oracle/mod.rs"]
mod oracle;
mod text;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::tokens::ImageSize;
use rolecore_core::{Counted, Error, Message, Part, Parts, Role, Tokenizer, ToolCall};

use oracle::{Case, check, check_rolling};
use text::Text;

/// The oracle takes time quadratic in them.
const MAX_MESSAGES: usize = 120;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    budget_per_mille: u16,
    keep_last: u8,
    query: Option<Text<'a>>,
    by_sentence: bool,
    shrinks: bool,
    start_with_user: bool,
    said: Vec<Said<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Said<'a> {
    User(Text<'a>),
    Assistant(Text<'a>),
    Calls(Option<Text<'a>>, Vec<u8>),
    Result(Text<'a>, u8),
    Refusal(Text<'a>),
    Instruction(Text<'a>),
    Pinned(u8, Text<'a>),
    /// Also what no provider takes.
    Any(Box<Anything<'a>>),
}

#[derive(Arbitrary, Debug)]
struct Anything<'a> {
    role: u8,
    name: Option<&'a str>,
    parts: Vec<AnyPart<'a>>,
    refusal: Option<&'a str>,
    calls: Vec<(&'a str, &'a str, &'a str)>,
    tool_call_id: Option<&'a str>,
    pin: bool,
}

#[derive(Arbitrary, Debug)]
enum AnyPart<'a> {
    Text(Text<'a>),
    Image { low_detail: bool, data: &'a str },
    Other(&'a str),
}

fn id(number: u8) -> String {
    format!("c{}", number % 4)
}

fn call(number: u8) -> ToolCall {
    ToolCall { id: id(number).into(), name: "find".into(), arguments: format!("{{\"q\": {number}}}").into() }
}

impl Said<'_> {
    /// The message and its pin.
    fn build(&self) -> (Message, bool) {
        let plain = |role, text: &Text<'_>| Message::text(role, text.build());
        let message = match self {
            Self::User(text) => plain(Role::User, text),
            Self::Assistant(text) => plain(Role::Assistant, text),
            Self::Calls(text, calls) => Message {
                parts: text.iter().map(|text| Part::Text(text.build().into())).collect(),
                tool_calls: calls.iter().take(8).copied().map(call).collect(),
                ..Message::text(Role::Assistant, "")
            },
            Self::Result(text, number) => Message { tool_call_id: Some(id(*number).into()), ..plain(Role::Tool, text) },
            Self::Refusal(text) => Message {
                parts: Parts::new(),
                refusal: Some(text.build().into()),
                ..Message::text(Role::Assistant, "")
            },
            Self::Instruction(text) => plain(Role::System, text),
            Self::Pinned(role, text) => return (plain(Role::ALL[usize::from(role % 4)], text), true),
            Self::Any(any) => return any.build(),
        };
        (message, false)
    }
}

impl Anything<'_> {
    fn build(&self) -> (Message, bool) {
        let part = |part: &AnyPart<'_>| match part {
            AnyPart::Text(text) => Part::Text(text.build().into()),
            AnyPart::Image { low_detail, data } => {
                Part::Image { low_detail: *low_detail, size: ImageSize::of_base64(data) }
            }
            AnyPart::Other(json) => Part::other(json),
        };
        let call = |&(id, name, arguments): &(&str, &str, &str)| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let message = Message {
            role: Role::ALL[usize::from(self.role) % Role::ALL.len()],
            name: self.name.map(Into::into),
            parts: self.parts.iter().map(part).collect(),
            refusal: self.refusal.map(Into::into),
            tool_calls: self.calls.iter().map(call).collect(),
            tool_call_id: self.tool_call_id.map(Into::into),
            nulls: 0,
        };
        (message, self.pin)
    }
}

fn is_taken(message: &Message) -> bool {
    let tokenizer = Tokenizer::named("o200k_base").expect("the encoding is embedded");
    match Counted::new(message.clone(), &tokenizer) {
        Ok(_) => true,
        Err(Error::Message { index: None, .. }) => false,
        Err(error) => panic!("refused as something else: {error:?}"),
    }
}

fuzz_target!(|input: Input<'_>| {
    let messages = input.said.iter().take(MAX_MESSAGES).map(Said::build).filter(|(message, _)| is_taken(message));
    let case = Case {
        messages: messages.collect(),
        budget_per_mille: u64::from(input.budget_per_mille) % 1100,
        keep_last: usize::from(input.keep_last),
        query: input.query.as_ref().map(Text::build),
        by_sentence: input.by_sentence,
        shrinks: input.shrinks,
        start_with_user: input.start_with_user,
    };
    if let Err(why) = check(&case).and_then(|()| check_rolling(&case)) {
        panic!("{why}\n{case:#?}");
    }
});
