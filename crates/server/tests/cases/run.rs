//! One case, end to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mxfp4_engine::scripted::{Options, in_turn};
use mxfp4_engine::{EngineListener, ScriptedEngine};
use mxfp4_harmony::Vocabulary;
use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_server::{Config, Server};
use serde_json::{Value, json};

use crate::client::post;
use crate::expected;

/// Runs a case, whose file's name begins with its number.
pub fn run(name: &str, case: &Value) {
    let vocabulary = published_vocabulary().unwrap();
    let number = &name[..2];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match case["kind"].as_str().unwrap() {
            "request" => request(number, case, &vocabulary).await,
            "model output" => model_output(number, case, &vocabulary).await,
            "client" => client(&vocabulary).await,
            other => panic!("a case of kind {other}"),
        }
    });
}

/// What a client sends: the answer is 200 and the prompt is right.
async fn request(number: &str, case: &Value, vocabulary: &Arc<Vocabulary>) {
    let answer = vocabulary.encode_with_special("<|channel|>final<|message|>Hi<|return|>");
    let rig = Rig::new(vocabulary, answer, Duration::ZERO).await;
    let reply = post(
        rig.address,
        case["path"].as_str().unwrap(),
        &case["request"],
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = rig.scripted.requests();
    let prompt = &asked[0].prompt;
    let text = vocabulary.decode(prompt);
    let right = expected::prompt(number);
    for part in right.has {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    for part in right.has_not {
        assert!(!text.contains(part), "{part:?} is in {text:?}");
    }
    if let "05" | "08" = number {
        // Nothing that was typed is a special token.
        let typed = case["request"]["messages"].as_array().unwrap().iter();
        let typed: usize = typed
            .map(|message| {
                message["content"]
                    .as_str()
                    .unwrap()
                    .matches("<|start|>")
                    .count()
            })
            .sum();
        let start = vocabulary.special().unwrap().start;
        let shown = text.matches("<|start|>").count();
        let real = prompt.iter().filter(|id| **id == start).count();
        assert_eq!((shown - real, typed), (typed, 1), "{text:?}");
    }
}

/// What a model writes: the message is right, whole and in a stream.
async fn model_output(number: &str, case: &Value, vocabulary: &Arc<Vocabulary>) {
    let tokens: Vec<u32> = serde_json::from_value(case["tokens"].clone()).unwrap();
    assert_eq!(vocabulary.decode(&tokens), case["text"]);
    let tools: Vec<Value> = case["offered"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| json!({"type": "function", "function": {"name": name}}))
        .collect();
    let mut body = json!({"messages": [{"role": "user", "content": "Weather?"}], "tools": tools});
    if let Some(stop) = case.get("stop") {
        body["stop"] = stop.clone();
    }
    let rig = Rig::new(vocabulary, tokens, Duration::from_millis(1)).await;
    let whole = rig.chat(&body).await.json();
    let choice = &whole["choices"][0];
    let message = &choice["message"];
    assert_eq!(message["reasoning"], message["reasoning_content"]);
    let calls = message["tool_calls"].as_array();
    let calls: Vec<Value> = calls.into_iter().flatten().map(call).collect();
    assert_eq!(message["content"].is_null(), !calls.is_empty());
    let got = json!({
        "content": message["content"].as_str().unwrap_or(""),
        "reasoning": message["reasoning"].as_str().unwrap_or(""),
        "calls": calls,
        "finish_reason": choice["finish_reason"],
    });
    assert_eq!(got, expected::answer(number));

    body["stream"] = true.into();
    let (chunks, done) = rig.chat(&body).await.events();
    assert!(done);
    assert_eq!(joined(&chunks), expected::answer(number));
}

/// The role is in the first chunk alone.
async fn client(vocabulary: &Arc<Vocabulary>) {
    let answer = vocabulary.encode_with_special("<|channel|>final<|message|>One, two.<|return|>");
    let rig = Rig::new(vocabulary, answer, Duration::from_millis(2)).await;
    let body = json!({"messages": [{"role": "user", "content": "Count."}], "stream": true});
    let (chunks, _) = rig.chat(&body).await.events();
    let roles: Vec<usize> = chunks
        .iter()
        .enumerate()
        .filter(|(_, chunk)| chunk["choices"][0]["delta"].get("role").is_some())
        .map(|(index, _)| index)
        .collect();
    assert_eq!(roles, [0]);
    assert!(chunks.len() > 3);
}

fn call(call: &Value) -> Value {
    json!([call["function"]["name"], call["function"]["arguments"]])
}

/// A stream's chunks as one message.
fn joined(chunks: &[Value]) -> Value {
    let (mut content, mut reasoning) = (String::new(), String::new());
    let mut calls = Vec::new();
    let mut reason = Value::Null;
    for chunk in chunks {
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        content.push_str(delta["content"].as_str().unwrap_or(""));
        reasoning.push_str(delta["reasoning"].as_str().unwrap_or(""));
        calls.extend(
            delta["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
                .map(call),
        );
        if !choice["finish_reason"].is_null() {
            reason = choice["finish_reason"].clone();
        }
    }
    json!({"content": content, "reasoning": reasoning, "calls": calls, "finish_reason": reason})
}

/// A server before an engine that gives one answer.
struct Rig {
    _server: Server,
    scripted: ScriptedEngine,
    address: SocketAddr,
}

impl Rig {
    async fn new(vocabulary: &Arc<Vocabulary>, answer: Vec<u32>, step: Duration) -> Self {
        let config = Config {
            port: 0,
            ..Config::default()
        };
        // The first published configuration had no `<|call|>` among the ends.
        let mut options = Options {
            step,
            ..Options::default()
        };
        options.hello.end_tokens = vec![200_002, 199_999];
        let server = Server::bind(config).await.unwrap();
        let listener = EngineListener::bind(&std::env::temp_dir()).unwrap();
        let script = in_turn(vec![answer.into()]);
        let scripted = ScriptedEngine::start(listener.path(), options, script);
        server.ready(listener.engine().await.unwrap(), vocabulary.clone());
        Self {
            address: server.addresses()[0],
            _server: server,
            scripted,
        }
    }

    async fn chat(&self, body: &Value) -> crate::client::Reply {
        let reply = post(self.address, "/v1/chat/completions", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply
    }
}
