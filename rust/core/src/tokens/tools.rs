//! What the tools of a request cost: each family shows them to its model in a form of its own.

use serde_json::{Map, Value, json};

use super::Tokenizer;

/// A function the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    name: String,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Debug, Clone, PartialEq)]
struct Parameters {
    /// The JSON text as it was given: its blanks and the order of its keys are the template's.
    text: String,
    schema: Value,
}

/// What the tools of a request cost one model family besides their text, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolRule {
    /// What stands around all tools; nothing without a tool.
    pub once: u32,
    /// What stands around each tool.
    pub per_tool: u32,
    /// How each tool is shown.
    pub form: ToolForm,
    /// Where the numbers come from.
    pub source: &'static str,
}

/// How a tool is shown to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolForm {
    /// As a type with a comment on each property.
    Declaration(Declaration),
    /// As its JSON text on one line.
    Json,
    /// As its JSON text, each value on a line of its own.
    IndentedJson,
}

/// What a declaration costs besides the texts in it, in tokens.
///
/// The rule that OpenAI publishes knows properties with a type, a description and an enum, one level deep. All else in a schema
/// has no published cost and is counted high: nested properties by the same rule, the description of an object twice, and each
/// other key as if it were a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration {
    /// Around the properties of an object.
    pub per_properties: u32,
    /// Each property, besides `name:type:description`.
    pub per_property: u32,
    /// Each further choice of an enum, besides the choice itself.
    pub per_choice: u32,
    /// Each line break in a text, besides the break itself.
    pub per_line: u32,
}

impl Tool {
    /// A tool; `parameters` is the JSON text of a JSON schema. `None` if that is no JSON, holds a number past the range of a
    /// double, or is nested over 127 levels deep.
    pub fn new(name: String, description: Option<String>, parameters: Option<String>) -> Option<Self> {
        let parameters = match parameters {
            Some(text) => Some(Parameters { schema: serde_json::from_str(&text).ok()?, text }),
            None => None,
        };
        Some(Self { name, description, parameters })
    }

    /// Bytes of all text the tool holds: what counting it costs.
    pub fn text_bytes(&self) -> usize {
        let parameters = self.parameters.as_ref().map_or(0, |parameters| parameters.text.len());
        self.name.len() + self.description.as_ref().map_or(0, String::len) + parameters
    }

    /// The tool as chat APIs take it, on one line with blanks after colons and commas, as chat templates write JSON.
    fn json_text(&self) -> String {
        let mut fields = vec![format!(r#""name": {}"#, json!(self.name))];
        if let Some(description) = &self.description {
            fields.push(format!(r#""description": {}"#, json!(description)));
        }
        if let Some(parameters) = &self.parameters {
            fields.push(format!(r#""parameters": {}"#, parameters.text));
        }
        format!(r#"{{"type": "function", "function": {{{}}}}}"#, fields.join(", "))
    }

    fn json(&self) -> Value {
        let mut function = json!({"name": self.name});
        if let Some(description) = &self.description {
            function["description"] = json!(description);
        }
        if let Some(parameters) = &self.parameters {
            function["parameters"] = parameters.schema.clone();
        }
        json!({"type": "function", "function": function})
    }
}

impl Tokenizer {
    /// Tokens that tools add to a request, once, besides its messages.
    pub fn count_tools(&self, tools: &[Tool]) -> u64 {
        if tools.is_empty() {
            return 0;
        }
        let rule = self.chat().tools;
        let count = |text: &str| self.count(text) as u64;
        let texts = tools.iter().map(|tool| match rule.form {
            ToolForm::Declaration(declaration) => declaration.tool(tool, &count),
            ToolForm::Json => count(&tool.json_text()),
            ToolForm::IndentedJson => count(&format!("{:#}", tool.json())),
        });
        u64::from(rule.once) + u64::from(rule.per_tool) * tools.len() as u64 + texts.sum::<u64>()
    }
}

type Count<'c> = &'c dyn Fn(&str) -> u64;

impl Declaration {
    fn tool(&self, tool: &Tool, count: Count) -> u64 {
        let line = format!("{}:{}", tool.name, without_stop(tool.description.as_deref().unwrap_or_default()));
        let schema = tool.parameters.as_ref().and_then(|parameters| parameters.schema.as_object());
        let parameters = schema.map_or(0, |schema| self.text(description(schema), count) + self.schema(schema, count));
        self.text(&line, count) + parameters
    }

    /// What a schema holds besides its type and its description.
    fn schema(&self, schema: &Map<String, Value>, count: Count) -> u64 {
        let keys = schema.iter().map(|(key, value)| match (key.as_str(), value) {
            ("type" | "description" | "$schema", Value::String(_))
            | ("required", Value::Array(_))
            | ("additionalProperties", Value::Bool(_)) => 0,
            ("enum", Value::Array(choices)) => {
                let texts: u64 = choices.iter().map(|choice| count(&plain(choice))).sum();
                u64::from(self.per_choice) * (choices.len() as u64).saturating_sub(1) + texts
            }
            ("properties", Value::Object(properties)) if properties.is_empty() => 0,
            ("properties", Value::Object(properties)) => {
                let members: u64 = properties.iter().map(|(name, value)| self.member(name, value, count)).sum();
                u64::from(self.per_properties) + members
            }
            _ => self.member(key, value, count),
        });
        keys.sum()
    }

    /// A property, or a key the rule does not name.
    fn member(&self, name: &str, value: &Value, count: Count) -> u64 {
        let mark = u64::from(self.per_property);
        match value {
            Value::Object(schema) => {
                let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
                let line = format!("{name}:{kind}:{}", description(schema));
                // The harmony format shows it beside the property and again inside the object.
                let again = if kind == "object" { self.text(description(schema), count) } else { 0 };
                mark + self.text(&line, count) + again + self.schema(schema, count)
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items.iter().map(|item| self.member(name, item, count)).sum()
            }
            Value::Array(items) => {
                let texts: u64 = items.iter().map(|item| u64::from(self.per_choice) + count(&item.to_string())).sum();
                mark + count(name) + texts
            }
            scalar => mark + self.text(&format!("{name}:{scalar}"), count),
        }
    }

    fn text(&self, text: &str, count: Count) -> u64 {
        let breaks = text.bytes().filter(|&byte| byte == b'\n').count();
        count(text) + u64::from(self.per_line) * breaks as u64
    }
}

fn description(schema: &Map<String, Value>) -> &str {
    without_stop(schema.get("description").and_then(Value::as_str).unwrap_or_default())
}

/// The published rule leaves a description's last full stop out.
fn without_stop(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

/// A string without its quotes, or any other value's JSON text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Declaration =
        Declaration { per_properties: 1_000, per_property: 10_000, per_choice: 100_000, per_line: 1_000_000 };

    fn tool(parameters: &Value) -> Tool {
        Tool::new("f".to_owned(), Some("Do it.".to_owned()), Some(parameters.to_string())).expect("JSON")
    }

    /// What parameters cost, a character being a token: `f:Do it` is in each.
    fn cost(parameters: &Value) -> u64 {
        COSTS.tool(&tool(parameters), &|text: &str| text.chars().count() as u64) - 7
    }

    #[test]
    fn published_parts() {
        assert_eq!(cost(&json!({"type": "object", "properties": {}})), 0);
        let flat = json!({"type": "object", "required": ["city"], "additionalProperties": false, "properties": {
            "city": {"type": "string", "description": "Where."},
            "unit": {"type": "string", "enum": ["c", "f", 1]},
        }});
        assert_eq!(cost(&flat), 1_000 + 2 * 10_000 + 17 + 12 + 2 * 100_000 + 3);
    }

    #[test]
    fn all_else_costs_like_a_property() {
        let object = json!({"type": "object", "description": "x.", "properties": {"p": 1}});
        for (schema, tokens) in [
            (json!({"default": 3}), 10_000 + "default:3".len()),
            (json!({"title": "T"}), 10_000 + "title:\"T\"".len()),
            (json!({"items": {"type": "string"}}), 10_000 + "items:string:".len()),
            (json!({"anyOf": [{"type": "string"}, {}]}), 20_000 + "anyOf:string:anyOf::".len()),
            (json!({"type": ["a", "b"]}), 210_000 + "type\"a\"\"b\"".len()),
            (json!({"$defs": {"d": {"description": "x\ny"}}}), 1_020_000 + "$defs::d::x\ny".len()),
            (json!({"description": "d.", "properties": {"o": object}}), 22_000 + "do:object:xxp:1".len()),
        ] {
            assert_eq!(cost(&schema), tokens as u64, "{schema}");
        }
        assert_eq!(cost(&json!([1])), 0);
    }

    #[test]
    fn each_form_of_a_tool() {
        let parameters = r#"{"type": "object", "a": 1}"#;
        let tool = Tool::new("f".to_owned(), Some("\"d\"".to_owned()), Some(parameters.to_owned())).expect("JSON");
        let text = r#"{"type": "function", "function": {"name": "f", "description": "\"d\"", "parameters": {"type": "object", "a": 1}}}"#;
        assert_eq!(tool.json_text(), text);
        assert_eq!(tool.json(), serde_json::from_str::<Value>(text).expect("JSON"));
        let bare = Tool::new("f".to_owned(), None, None).expect("JSON");
        assert_eq!(bare.json_text(), r#"{"type": "function", "function": {"name": "f"}}"#);
        assert_eq!(bare.json(), json!({"type": "function", "function": {"name": "f"}}));
    }

    #[test]
    fn parameters_that_are_no_json() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for text in ["", "{", "NaN", "1e999", &deep(128), &deep(1_000_000)] {
            assert_eq!(Tool::new(String::new(), None, Some(text.to_owned())), None);
        }
        let deepest = Tool::new(String::new(), None, Some(deep(127))).expect("JSON");
        assert!(format!("{:#}", deepest.json()).len() > 254);
    }

    #[test]
    fn no_tools_cost_nothing() {
        let o200k = Tokenizer::named("o200k_base").expect("a name");
        assert_eq!(o200k.count_tools(&[]), 0);
        let bare = Tool::new("f".to_owned(), None, None).expect("JSON");
        assert_eq!(o200k.count_tools(&[bare.clone(), bare]), 12 + 2 * (7 + 2));
    }
}
