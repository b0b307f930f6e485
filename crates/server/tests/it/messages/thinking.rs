//! Thinking that clients send back.

use mxfp4_server::{Config, KeySource, Keys, SealKey, Secret};
use serde_json::{Value, json};

use super::{TURN, add, ask, events, filled, joined, message};
use crate::client::{Reply, raw};
use crate::rig::{Rig, config, in_turn, options};
use crate::vocabulary::tokens;

/// A turn that comes back with its call's result.
fn sent_back(content: &Value) -> Value {
    let id = content.as_array().unwrap().last().unwrap()["id"].clone();
    json!([
        {"role": "user", "content": "1 and 2?"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "3"}]},
        ]},
    ])
}

const AFTER: &str = "1 and 2?<|end|><|start|>assistant<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant\
    <|channel|>commentary<|message|>I add.<|end|><|start|>assistant to=functions.add<|channel|>commentary \
    <|constrain|>json<|message|>{\"a\":1}<|call|><|start|>functions.add to=assistant<|channel|>commentary<|message|>3\
    <|end|><|start|>assistant";

async fn turn(rig: &Rig, thinking: Value, stream: bool) -> Value {
    let body = json!({"tools": [add()], "thinking": thinking, "stream": stream});
    match stream {
        true => joined(&events(&ask(rig, body).await)),
        false => message(rig, body).await,
    }
}

async fn rig(config: Config) -> Rig {
    Rig::with(config, options(), in_turn(vec![tokens(TURN).into()])).await
}

async fn ask_again(rig: &Rig, content: &Value) -> Reply {
    ask(
        rig,
        json!({"tools": [add()], "messages": sent_back(content)}),
    )
    .await
}

fn refused(reply: &Reply) -> String {
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    reply.error().0
}

#[tokio::test]
async fn a_turn_that_comes_back_is_what_the_model_wrote() {
    let rig = rig(config()).await;
    for stream in [false, true] {
        let shown = turn(&rig, json!({"type": "adaptive"}), stream).await;
        assert_eq!(ask_again(&rig, &shown["content"]).await.status, 200);
        assert!(rig.last_prompt().ends_with(AFTER), "{}", rig.last_prompt());
        let hidden = json!({"type": "adaptive", "display": "omitted"});
        let mut hidden = turn(&rig, hidden, stream).await;
        assert_eq!(hidden["content"][0]["thinking"], "");
        assert_eq!(ask_again(&rig, &hidden["content"]).await.status, 200);
        assert!(rig.last_prompt().ends_with(AFTER));
        let data = hidden["content"][0]["signature"].take();
        hidden["content"][0] = json!({"type": "redacted_thinking", "data": data});
        assert_eq!(ask_again(&rig, &hidden["content"]).await.status, 200);
        assert!(rig.last_prompt().ends_with(AFTER));
    }
}

#[tokio::test]
async fn thinking_that_was_altered_is_refused() {
    let rig = rig(config()).await;
    let shown = turn(&rig, json!({"type": "adaptive"}), false).await;
    let mut altered = shown["content"].clone();
    altered[0]["thinking"] = "Subtract them.".into();
    let error = refused(&ask_again(&rig, &altered).await);
    assert!(
        error.starts_with("`messages[1].content[0].signature`: Invalid `signature` in `thinking` block: it was altered"),
        "{error}"
    );
    let signature = shown["content"][0]["signature"].as_str().unwrap();
    let (before, after) = signature.split_at(signature.len() / 2);
    let letter = if after.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{before}{letter}{}", &after[1..]);
    for other in ["EqQBCkYIBBgC", "\u{0}", &signature[1..], &flipped] {
        let mut altered = shown["content"].clone();
        altered[0]["signature"] = other.into();
        refused(&ask_again(&rig, &altered).await);
        altered[0] = json!({"type": "redacted_thinking", "data": other});
        refused(&ask_again(&rig, &altered).await);
    }
    // Thinking of another model has no signature of ours, and may have none.
    let mut foreign = shown["content"].clone();
    foreign[0]["signature"] = "".into();
    assert_eq!(ask_again(&rig, &foreign).await.status, 200);
    assert!(rig.last_prompt().ends_with(AFTER));
}

#[tokio::test]
async fn thinking_belongs_to_a_server_a_model_and_a_key() {
    let key = SealKey::random();
    let sealing = |models: &[&str]| Config {
        seal_keys: vec![key.clone()],
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        ..config()
    };
    let first = rig(sealing(&["gpt-oss"])).await;
    let content = turn(&first, json!({"type": "adaptive"}), false).await["content"].take();
    let restarted = rig(sealing(&["gpt-oss"])).await;
    assert_eq!(ask_again(&restarted, &content).await.status, 200);
    let other_model = rig(sealing(&["gpt-oss-120b", "gpt-oss"])).await;
    refused(&ask_again(&other_model, &content).await);
    let other_server = rig(config()).await;
    let error = refused(&ask_again(&other_server, &content).await);
    assert!(error.contains("MXFP4_SEAL_KEY"), "{error}");
}

const KEYS: [&str; 2] = ["sk-0123456789abcdef", "sk-fedcba9876543210"];

#[tokio::test]
async fn thinking_of_another_key_is_refused() {
    let keys = Keys::new(KeySource {
        keys: KEYS.map(Secret::new).into(),
        ..KeySource::default()
    });
    let rig = rig(Config {
        keys: keys.unwrap(),
        ..config()
    })
    .await;
    let send = async |key: &str, body: Value| {
        let body = filled(body).to_string();
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        raw(rig.address, request.as_bytes()).await
    };
    let asked = json!({"tools": [add()], "thinking": {"type": "adaptive"}});
    let content = send(KEYS[0], asked).await.json()["content"].take();
    let again = json!({"tools": [add()], "messages": sent_back(&content)});
    assert_eq!(send(KEYS[0], again.clone()).await.status, 200);
    refused(&send(KEYS[1], again).await);
}
