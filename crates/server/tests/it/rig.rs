//! A server before a scripted engine.

use std::net::SocketAddr;
use std::time::Duration;

use mxfp4_engine::scripted::{Answer, Options, Script};
use mxfp4_engine::{Engine, EngineListener, Request, ScriptedEngine};
use mxfp4_server::{Config, Date, Limits, Server};
use serde_json::{Value, json};

use crate::client::{PATIENCE, Reply, post};
use crate::vocabulary::{tokens, vocabulary};

/// A server before a scripted engine.
pub struct Rig {
    pub server: Server,
    pub scripted: ScriptedEngine,
    pub engine: Engine,
    pub address: SocketAddr,
}

impl Rig {
    /// Answers in turn, each a text in the model's format.
    pub async fn new(answers: &[&str]) -> Self {
        let answers = answers.iter().map(|text| tokens(text).into()).collect();
        Self::with(config(), options(), in_turn(answers)).await
    }

    pub async fn with(config: Config, options: Options, script: Script) -> Self {
        let server = Server::bind(config).await.unwrap();
        let (engine, scripted) = engine(options, script).await;
        server.ready(engine.clone(), vocabulary());
        Self {
            address: server.addresses()[0],
            server,
            scripted,
            engine,
        }
    }

    pub async fn chat(&self, body: Value) -> Reply {
        post(self.address, "/v1/chat/completions", &with_message(body)).await
    }

    pub async fn complete(&self, body: Value) -> Reply {
        let mut body = body;
        if body.get("prompt").is_none() {
            body["prompt"] = "Say".into();
        }
        post(self.address, "/v1/completions", &body).await
    }

    /// The last request that reached the engine.
    pub fn last_request(&self) -> Request {
        self.scripted.requests().last().unwrap().clone()
    }

    /// The last prompt as text.
    pub fn last_prompt(&self) -> String {
        vocabulary().decode(&self.last_request().prompt)
    }
}

/// Connects a scripted engine.
pub async fn engine(options: Options, script: Script) -> (Engine, ScriptedEngine) {
    let folder = tempfile::tempdir().unwrap();
    let listener = EngineListener::bind(folder.path()).unwrap();
    let scripted = ScriptedEngine::start(listener.path(), options, script);
    (listener.engine().await.unwrap(), scripted)
}

/// Any free port, one model, a fixed day.
pub fn config() -> Config {
    Config {
        port: 0,
        models: vec!["openai/gpt-oss-20b".to_owned(), "gpt-oss".to_owned()],
        date: Date::Day("2026-12-01".to_owned()),
        ..Config::default()
    }
}

pub fn limited(limits: Limits) -> Config {
    Config { limits, ..config() }
}

/// As fast as can be.
pub fn options() -> Options {
    Options {
        step: Duration::ZERO,
        ..Options::default()
    }
}

/// A token each so many milliseconds.
pub fn paced(milliseconds: u64) -> Options {
    Options {
        step: Duration::from_millis(milliseconds),
        ..Options::default()
    }
}

pub fn in_turn(answers: Vec<Answer>) -> Script {
    mxfp4_engine::scripted::in_turn(answers)
}

/// An answer of the same letter without an end.
pub fn endless() -> Script {
    let mut answer = tokens("<|channel|>final<|message|>");
    answer.extend(vec![u32::from(b'x'); 1_000_000]);
    in_turn(vec![answer.into()])
}

/// An answer of the channel final, for raw text and chats alike.
pub fn says(text: &str) -> String {
    format!("<|channel|>final<|message|>{text}<|return|>")
}

pub fn with_message(mut body: Value) -> Value {
    if body.get("messages").is_none() {
        body["messages"] = json!([{"role": "user", "content": "Hi"}]);
    }
    body
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what} did not come");
}

/// One choice of a stream, put together as clients do.
pub fn joined(chunks: &[Value], index: u64) -> Value {
    let mut message =
        json!({"content": "", "reasoning": "", "tool_calls": [], "finish_reason": null});
    let mut roles = 0;
    for chunk in chunks {
        for choice in chunk["choices"].as_array().unwrap() {
            if choice["index"] != index {
                continue;
            }
            let delta = &choice["delta"];
            roles += usize::from(delta.get("role").is_some());
            assert_eq!(delta.get("reasoning"), delta.get("reasoning_content"));
            for key in ["content", "reasoning"] {
                if let Some(text) = delta[key].as_str() {
                    message[key] = (message[key].as_str().unwrap().to_owned() + text).into();
                }
            }
            if let Some(calls) = delta["tool_calls"].as_array() {
                for call in calls {
                    let call = json!([
                        call["index"],
                        call["function"]["name"],
                        call["function"]["arguments"]
                    ]);
                    message["tool_calls"].as_array_mut().unwrap().push(call);
                }
            }
            if !choice["finish_reason"].is_null() {
                assert!(message["finish_reason"].is_null(), "two ends");
                message["finish_reason"] = choice["finish_reason"].clone();
            }
        }
    }
    assert_eq!(roles, 1, "the role is in one chunk");
    message
}
