//! A chat request as a conversation, by the fields that matter to the format.

use mxfp4_harmony::{Call, Conversation, System, Tool, Turn};
use serde_json::Value;

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub fn conversation(request: &Value) -> Conversation {
    let messages = list(&request["messages"]);
    let effort = request["reasoning_effort"].as_str().unwrap_or("medium");
    Conversation {
        system: System {
            effort: effort.parse().expect("the cases' efforts are known"),
            ..System::default()
        },
        tools: list(&request["tools"]).iter().map(tool).collect(),
        format: None,
        turns: messages
            .iter()
            .map(|message| turn(message, messages))
            .collect(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn tool(tool: &Value) -> Tool {
    let function = &tool["function"];
    Tool {
        name: text(&function["name"]).expect("tools have names"),
        description: text(&function["description"]),
        parameters: function.get("parameters").cloned(),
    }
}

fn turn(message: &Value, messages: &[Value]) -> Turn {
    let content = text(&message["content"]);
    match message["role"].as_str() {
        Some("system" | "developer") => Turn::Developer(content.unwrap_or_default()),
        Some("user") => Turn::User(content.unwrap_or_default()),
        Some("tool") => Turn::ToolResult {
            name: function_of(&message["tool_call_id"], messages),
            content: content.unwrap_or_default(),
        },
        Some("assistant") => {
            let reasoning = text(&message["reasoning"]).or(text(&message["reasoning_content"]));
            let calls = list(&message["tool_calls"]).iter().map(call).collect();
            Turn::assistant(reasoning, content, calls)
        }
        other => panic!("a case has the role {other:?}"),
    }
}

fn call(call: &Value) -> Call {
    Call {
        name: text(&call["function"]["name"]).expect("calls have names"),
        arguments: text(&call["function"]["arguments"]).expect("calls have arguments"),
    }
}

/// The function that a result is of.
fn function_of(id: &Value, messages: &[Value]) -> String {
    let mut calls = messages
        .iter()
        .flat_map(|message| list(&message["tool_calls"]));
    let call = calls
        .find(|call| call["id"] == *id)
        .expect("results have calls");
    text(&call["function"]["name"]).expect("calls have names")
}
