//! What a chat message costs besides its text: one row a model family, each with its source.
//!
//! A message costs `per_message` + its role + (its name + `per_name`) + each text part + for each tool call (`per_call` + the
//! function's name + its arguments) + a refusal's text + each image part. Ids are not rendered, so they cost nothing.
//! Providers publish no rule for tool calls, and templates treat roles unevenly; where a row cannot be exact it is chosen high:
//! a window rather holds a few tokens less than it could than more than it should. The tools of a request are in no message:
//! `ToolRule`.

use super::image::ImageRule;
use super::tools::{Declaration, ToolForm, ToolRule};

/// What a message of one model family costs besides its text, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatRule {
    /// The family: `"openai"`, `"harmony"`, `"chatml"`, `"llama3"`, `"deepseek"` or `"generic"`.
    pub family: &'static str,
    /// Marks around each message.
    pub per_message: u32,
    /// Mark of a message's `name`, besides the name itself.
    pub per_name: u32,
    /// Marks around each tool call and its later result, besides the function's name and arguments.
    pub per_call: u32,
    /// What opens the model's reply, and anything a request carries once. Not part of any message.
    pub reply: u32,
    /// Cost of an image part.
    pub image: ImageRule,
    /// Cost of the request's tools, which are in no message.
    pub tools: ToolRule,
    /// Where the numbers come from.
    pub source: &'static str,
}

/// The rule of gpt-4o, gpt-4.1 and gpt-4.5.
const IMAGE: ImageRule = ImageRule {
    low: 85,
    base: 85,
    per_tile: 170,
    source: "OpenAI, 'Images and vision', tile rule: 85 with low detail, else 85 and 170 a tile of 512 x 512",
};

/// Harmony renders a call as `<|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>ARGS
/// <|call|>`: 5 marks, 1 + 6 + 1 + 1 of text, one more where `.` and the name do not merge as they do apart. Its result,
/// `<|start|>functions.NAME to=assistant<|channel|>commentary<|message|>...<|end|>`, has 7 besides what a message has, and the
/// name again, which only the message of a lone call leaves room for (8 tokens).
const PER_CALL: u32 = 5 + 9 + 1 + 7;

/// Of gpt-4o; 12 for the namespace around all functions.
const PUBLISHED_TOOLS: ToolRule = ToolRule {
    once: 12,
    per_tool: 7,
    form: ToolForm::Declaration(Declaration { per_properties: 3, per_property: 3, per_choice: 3, per_line: 0 }),
    source: "OpenAI cookbook, 'How to count tokens with tiktoken', tool calls: flat properties with type, description and enum; upper bound for the rest",
};

const OPENAI: ChatRule = ChatRule {
    family: "openai",
    per_message: 3,
    per_name: 1,
    per_call: PER_CALL,
    reply: 3,
    image: IMAGE,
    tools: PUBLISHED_TOOLS,
    source: "OpenAI cookbook, 'How to count tokens with tiktoken': 3 a message, 1 a name, 3 for the reply; tool calls: upper bound from the harmony format",
};
/// Of gpt-4 and gpt-3.5.
const OPENAI_CL100K: ChatRule = ChatRule { tools: ToolRule { per_tool: 10, ..PUBLISHED_TOOLS }, ..OPENAI };
const HARMONY: ChatRule = ChatRule {
    family: "harmony",
    // start, message, end, and channel + final on the assistant's.
    per_message: 5,
    per_name: 1,
    per_call: PER_CALL,
    // start, assistant.
    reply: 2,
    image: IMAGE,
    tools: ToolRule {
        // start, developer, message, end; headings and braces of the namespace; a line in the system message.
        once: 32,
        per_tool: 9,
        form: ToolForm::Declaration(Declaration { per_properties: 4, per_property: 5, per_choice: 3, per_line: 2 }),
        source: "OpenAI harmony response format, namespace functions; upper bound, never under openai-harmony 0.0.8 on 10,000 generated lists of tools",
    },
    source: "OpenAI harmony response format: <|start|>role<|channel|>final<|message|>text<|end|>; upper bound for roles without a channel",
};
const CHATML: ChatRule = ChatRule {
    family: "chatml",
    per_message: 4,
    per_name: 1,
    per_call: PER_CALL,
    reply: 3,
    image: IMAGE,
    tools: ToolRule {
        once: 107,
        per_tool: 1,
        form: ToolForm::Json,
        source: "Qwen 2.5 and 3 chat templates: JSON lines between <tools> and </tools> in a system message; once: their words (104), 3 marks",
    },
    source: "ChatML as in Qwen's chat template: <|im_start|>role, line break, text, <|im_end|>, line break; tool calls: upper bound",
};
const LLAMA3: ChatRule = ChatRule {
    family: "llama3",
    per_message: 4,
    per_name: 1,
    per_call: PER_CALL,
    // The header of the reply, and <|begin_of_text|> once.
    reply: 5,
    image: IMAGE,
    tools: ToolRule {
        once: 61,
        per_tool: 1,
        form: ToolForm::IndentedJson,
        source: "Llama 3.1 chat template: indented JSON in the first user message; once: its words (58), 3 marks",
    },
    source: "Llama 3 prompt format: <|start_header_id|>role<|end_header_id|>, two line breaks in one token, text, <|eot_id|>; tool calls: upper bound",
};
const DEEPSEEK: ChatRule = ChatRule {
    family: "deepseek",
    // One mark before the text; the mark after the assistant's is covered by the role, which is not rendered as text.
    per_message: 1,
    per_name: 1,
    per_call: PER_CALL,
    // The assistant's mark, a thinking mark, and the beginning of the sequence.
    reply: 3,
    image: IMAGE,
    tools: ToolRule {
        once: 102,
        per_tool: 1,
        form: ToolForm::Json,
        source: "DeepSeek V3.1 chat template: name, description and the parameters' JSON in the system prompt; upper bound: the JSON of all",
    },
    source: "DeepSeek V3 chat template: one mark for user or assistant, one at the end of an assistant's text; upper bound for the rest",
};
const GENERIC: ChatRule = ChatRule {
    family: "generic",
    per_message: 5,
    per_name: 1,
    per_call: PER_CALL,
    reply: 5,
    image: IMAGE,
    tools: ToolRule {
        once: 107,
        per_tool: 1,
        form: ToolForm::IndentedJson,
        source: "no published rule: the most that any JSON form in this table needs",
    },
    source: "no published rule: the most that any family in this table needs",
};

/// The row of an encoding inside the package: that of its newest chat model.
pub(crate) fn of_encoding(encoding: &str) -> &'static ChatRule {
    match encoding {
        "o200k_harmony" => &HARMONY,
        "cl100k_base" => &OPENAI_CL100K,
        _ => &OPENAI,
    }
}

/// The row that fits the special tokens of a `tokenizer.json`.
pub(crate) fn of_special_tokens(holds: impl Fn(&str) -> bool) -> &'static ChatRule {
    if holds("<|channel|>") && holds("<|message|>") {
        &HARMONY
    } else if holds("<|im_start|>") {
        &CHATML
    } else if holds("<|start_header_id|>") {
        &LLAMA3
    } else if holds("<\u{FF5C}User\u{FF5C}>") {
        &DEEPSEEK
    } else {
        &GENERIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_tell_the_family() {
        for (token, family) in [
            ("<|im_start|>", "chatml"),
            ("<|start_header_id|>", "llama3"),
            ("<\u{FF5C}User\u{FF5C}>", "deepseek"),
            ("<s>", "generic"),
        ] {
            assert_eq!(of_special_tokens(|held| held == token).family, family);
        }
    }

    #[test]
    fn encodings_use_their_newest_chat_model() {
        assert_eq!(of_encoding("o200k_base").per_message, 3);
        assert_eq!(of_encoding("o200k_harmony").family, "harmony");
        assert_eq!([of_encoding("o200k_base"), of_encoding("cl100k_base")].map(|row| row.tools.per_tool), [7, 10]);
    }
}
