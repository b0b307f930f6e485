//! A call that the model has made, as an item.

use serde_json::Value;

use super::item::{OutputItem, Status};
use super::tools::Called;

/// A call of a function or of a custom tool.
pub(super) struct Call {
    pub(super) called: Called,
    pub(super) id: String,
    call_id: String,
    /// Arguments, or an input.
    pub(super) text: String,
}

impl Call {
    pub(super) fn new(called: Called, id: String, call_id: String, arguments: String) -> Self {
        let text = match called.is_custom {
            true => input(arguments),
            false => arguments,
        };
        Self {
            called,
            id,
            call_id,
            text,
        }
    }

    /// The prefix of such an item's id.
    pub(super) fn prefix(called: &Called) -> &'static str {
        match called.is_custom {
            true => "ctc",
            false => "fc",
        }
    }

    /// The names of the events of its text, and of its text in the last.
    pub(super) fn events(&self) -> (&'static str, &'static str, &'static str) {
        match self.called.is_custom {
            true => (
                "response.custom_tool_call_input.delta",
                "response.custom_tool_call_input.done",
                "input",
            ),
            false => (
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                "arguments",
            ),
        }
    }

    /// The item. One that has just begun has no text.
    pub(super) fn item(&self, status: Status) -> OutputItem {
        let text = match status {
            Status::InProgress => String::new(),
            _ => self.text.clone(),
        };
        let Called {
            name, namespace, ..
        } = self.called.clone();
        let (id, call_id) = (self.id.clone(), self.call_id.clone());
        match self.called.is_custom {
            true => OutputItem::CustomToolCall {
                id,
                call_id,
                name,
                namespace,
                input: text,
                status,
            },
            false => OutputItem::FunctionCall {
                id,
                call_id,
                name,
                namespace,
                arguments: text,
                status,
            },
        }
    }
}

/// The text that a custom tool was called with. The model may have written another argument's
/// name, or none.
fn input(arguments: String) -> String {
    match serde_json::from_str(&arguments) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(mut members)) => match members.get_mut("input").map(Value::take) {
            Some(Value::String(text)) => text,
            None if members.len() == 1 => match members.into_iter().next() {
                Some((_, Value::String(text))) => text,
                _ => arguments,
            },
            _ => arguments,
        },
        _ => arguments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_of_a_custom_tool_is_found() {
        for (arguments, text) in [
            (r#"{"input": "a\nb"}"#, "a\nb"),
            (r#"{"patch": "a"}"#, "a"),
            (r#""a""#, "a"),
            (r#"{"input": 1}"#, r#"{"input": 1}"#),
            (r#"{"a": "b", "c": "d"}"#, r#"{"a": "b", "c": "d"}"#),
            ("{}", "{}"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(input(arguments.to_owned()), text);
        }
    }
}
