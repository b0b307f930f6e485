//! Clients at once, and what became of their requests.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use libtest_mimic::Failed;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::http::{Connection, Response, post};
use super::process::orders;

/// What became of requests, counted.
#[derive(Clone, Default)]
pub struct Outcomes(Arc<Mutex<BTreeMap<String, usize>>>);

impl Outcomes {
    pub fn add(&self, outcome: impl Into<String>) {
        *self.0.lock().unwrap().entry(outcome.into()).or_default() += 1;
    }

    pub fn count(&self, outcome: &str) -> usize {
        self.0.lock().unwrap().get(outcome).copied().unwrap_or(0)
    }

    /// Compares all of them, and says what there was.
    pub fn are<const N: usize>(
        &self,
        what: &str,
        expect: [(&str, usize); N],
    ) -> Result<(), Failed> {
        let found = self.0.lock().unwrap();
        println!("{what}: {found:?}");
        let expect = expect.map(|(outcome, count)| (outcome.to_owned(), count));
        let expect: BTreeMap<_, _> = expect.into_iter().filter(|(_, count)| *count > 0).collect();
        if *found == expect {
            return Ok(());
        }
        Err(format!("{what}: {found:?} instead of {expect:?}").into())
    }
}

pub fn chat(question: &str, stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": question}], "stream": stream})
}

/// A request for so many tokens.
pub fn long(tokens: usize, stream: bool) -> Value {
    let mut request = chat("Go on.", stream);
    request["seed"] = orders::LONG.into();
    request["max_tokens"] = tokens.into();
    request
}

/// A request without an answer.
pub fn stall(stream: bool) -> Value {
    let mut request = chat("Wait.", stream);
    request["seed"] = orders::STALL.into();
    request
}

/// An answer's parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub reasoning: String,
    pub content: String,
    pub reason: String,
}

/// The parts of an answer, or what came instead.
pub fn parts(response: io::Result<Response>, stream: bool) -> Result<Parts, String> {
    match response {
        Err(error) => Err(format!("connection: {:?}", error.kind())),
        Ok(response) if response.status != 200 => Err(response.status.to_string()),
        Ok(response) if stream => parts_of_stream(&response),
        Ok(response) => {
            let choice = &response.json()["choices"][0];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            Ok(Parts {
                reasoning: text(&choice["message"]["reasoning"]),
                content: text(&choice["message"]["content"]),
                reason: text(&choice["finish_reason"]),
            })
        }
    }
}

fn parts_of_stream(response: &Response) -> Result<Parts, String> {
    let mut parts = Parts::default();
    for event in response.events() {
        if event == "[DONE]" {
            return Ok(parts);
        }
        let event: Value = serde_json::from_str(&event).map_err(|_| format!("no JSON: {event}"))?;
        if let Some(code) = event["error"]["code"].as_str() {
            return Err(format!("error event: {code}"));
        }
        let choice = &event["choices"][0];
        for (into, value) in [
            (&mut parts.reasoning, &choice["delta"]["reasoning"]),
            (&mut parts.content, &choice["delta"]["content"]),
            (&mut parts.reason, &choice["finish_reason"]),
        ] {
            into.push_str(value.as_str().unwrap_or_default());
        }
    }
    Err("a stream without its end".into())
}

/// Asks, and says what became of it: `whole`, or what else.
pub async fn ask(connection: &mut Connection, question: &str, stream: bool) -> String {
    let request = post("/v1/chat/completions", &chat(question, stream));
    let expect = Parts {
        reasoning: "Hm.".into(),
        content: question.into(),
        reason: "stop".into(),
    };
    match parts(connection.ask(&request).await, stream) {
        Ok(parts) if parts == expect => "whole".into(),
        Ok(parts) => format!("wrong: {parts:?}"),
        Err(why) => why,
    }
}

/// So many clients at once, each of which asks `each` questions on one connection.
pub async fn crowd(address: SocketAddr, count: usize, each: usize, outcomes: &Outcomes) {
    let mut tasks = JoinSet::new();
    for client in 0..count {
        let outcomes = outcomes.clone();
        tasks.spawn(async move {
            let mut connection = match Connection::open(address).await {
                Ok(connection) => connection,
                Err(error) => return outcomes.add(format!("connect: {:?}", error.kind())),
            };
            for turn in 0..each {
                let question = format!("question {client}, {turn}: 你好 😀?");
                let outcome = ask(&mut connection, &question, (client + turn) % 2 == 0).await;
                outcomes.add(outcome);
            }
        });
    }
    tasks.join_all().await;
}
