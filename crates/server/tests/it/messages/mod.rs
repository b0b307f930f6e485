//! Anthropic's interface.

mod alike;
mod errors;
mod prompts;
mod requests;
mod stream;
mod thinking;

use serde_json::{Value, json};

use crate::client::{Reply, post};
use crate::rig::Rig;

/// Thinking, a text and a call, as the model writes them.
const TURN: &str = "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>commentary<|message|>I \
    add.<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\":1}<|call|>";

/// Asks for a message; what the body lacks is filled in.
async fn ask(rig: &Rig, body: Value) -> Reply {
    post(rig.address, "/v1/messages", &filled(body)).await
}

fn filled(mut body: Value) -> Value {
    for (key, value) in [
        ("model", json!("gpt-oss")),
        ("max_tokens", json!(1000)),
        ("messages", json!([{"role": "user", "content": "Hi"}])),
    ] {
        if body.get(key).is_none() {
            body[key] = value;
        }
    }
    body
}

/// A message that has to come.
async fn message(rig: &Rig, body: Value) -> Value {
    let reply = ask(rig, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn add() -> Value {
    json!({
        "name": "add", "description": "Adds.", "input_schema":
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    })
}

/// The events of a stream, each with the name that stands before it.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.whole);
    let text = reply.text();
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    };
    text.split_terminator("\n\n").map(event).collect()
}

/// The message of a stream, put together as Anthropic's clients do. Every event has to be where
/// it may be.
fn joined(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut open: Option<Value> = None;
    let mut input = String::new();
    let mut ended = false;
    for event in events {
        assert!(!ended, "{event} after the end");
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "ping" => {}
            "message_start" => {
                assert_eq!(message, Value::Null, "two beginnings");
                message = event["message"].clone();
            }
            "content_block_start" => {
                assert!(open.is_none(), "a block in a block");
                let count = message["content"].as_array().unwrap().len();
                assert_eq!(index, Some(count as u64));
                open = Some(event["content_block"].clone());
                input.clear();
            }
            "content_block_delta" => {
                let block = open.as_mut().unwrap();
                let delta = &event["delta"];
                let (of, key) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text"),
                    "thinking_delta" => ("thinking", "thinking"),
                    "signature_delta" => ("thinking", "signature"),
                    "input_json_delta" => ("tool_use", "partial_json"),
                    other => panic!("{other}"),
                };
                assert_eq!(block["type"], of);
                let text = delta[key].as_str().unwrap();
                match key {
                    "partial_json" => input.push_str(text),
                    _ => block[key] = (block[key].as_str().unwrap().to_owned() + text).into(),
                }
            }
            "content_block_stop" => {
                let mut block = open.take().unwrap();
                if block["type"] == "tool_use" {
                    assert_eq!(block["input"], json!({}));
                    block["input"] = serde_json::from_str(&input).unwrap();
                }
                message["content"].as_array_mut().unwrap().push(block);
            }
            "message_delta" => {
                assert!(open.is_none(), "the end in a block");
                for key in ["stop_reason", "stop_sequence"] {
                    assert_eq!(message[key], Value::Null);
                    message[key] = event["delta"][key].clone();
                }
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => {
                assert_ne!(message["stop_reason"], Value::Null);
                ended = true;
            }
            other => panic!("{other}"),
        }
    }
    assert!(ended, "no end");
    message
}

/// A message without what no two have alike.
fn comparable(message: &Value) -> Value {
    let mut message = message.clone();
    message["id"].take();
    for block in message["content"].as_array_mut().unwrap() {
        for key in ["id", "signature"] {
            if let Some(value) = block.get_mut(key) {
                assert!(value.as_str().is_some_and(|text| text.len() > 20));
                value.take();
            }
        }
    }
    message
}
