//! What is logged, and what is not.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::client::{post, raw};
use crate::rig::{Rig, config, in_turn, options, says, with_message};
use crate::vocabulary::tokens;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self, having: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = log.lines().filter(|line| line.contains(having));
        lines.map(str::to_owned).collect()
    }
}

/// The part of a line that has no times.
fn untimed(line: &str) -> String {
    let words = line
        .split(' ')
        .skip_while(|word| !word.starts_with("method="));
    let steady = |word: &&str| {
        !["milliseconds=", "first_token="]
            .iter()
            .any(|time| word.starts_with(time))
    };
    words.filter(steady).collect::<Vec<_>>().join(" ")
}

/// A request that calls itself `mine`.
fn named(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions?key=Secret HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: mine\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn requests_without_their_prompts() {
    let log = Log::default();
    // Of all tests of this program: those of this one have names.
    tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .init();
    let rig = Rig::with(
        config(),
        options(),
        in_turn(vec![tokens(&says("Answer")).into()]),
    )
    .await;
    let secret = json!([{"role": "user", "content": "Secret", "unheard": 1}]);
    let body = json!({"messages": secret, "unheard_of": "Secret", "user": "Secret"});
    for _ in 0..2 {
        assert_eq!(raw(rig.address, &named(&body)).await.status, 200);
    }
    let body = with_message(json!({"n": "Secret", "stream": true}));
    assert_eq!(raw(rig.address, &named(&body)).await.status, 400);
    crate::client::get(rig.address, "/health").await;
    let prompt = rig.last_request().prompt.len();
    let tool = json!({"type": "unheard_of_search_20990101", "name": "search"});
    let body = with_message(json!({"tools": [tool], "max_tokens": 9}));
    for _ in 0..2 {
        let reply = post(rig.address, "/v1/messages", &body).await;
        assert_eq!(reply.status, 200);
    }

    let completion = tokens(&says("Answer")).len();
    let answered = format!(
        "method=\"POST\" route=\"/v1/chat/completions\" status=200 prompt={prompt} cached=0 \
         completion={completion} reasoning=0 end=\"whole\" id=\"mine\""
    );
    let refused =
        "method=\"POST\" route=\"/v1/chat/completions\" status=400 end=\"whole\" id=\"mine\"";
    let lines: Vec<String> = log
        .lines("id=\"mine\"")
        .iter()
        .map(|line| untimed(line))
        .collect();
    assert_eq!(lines, [answered.clone(), answered, refused.to_owned()]);
    for word in ["\"unheard_of\"", "\"unheard_of_search_20990101\""] {
        assert_eq!(log.lines(word).len(), 1, "{word} is named once");
    }
    for word in ["Secret", "Answer"] {
        assert_eq!(log.lines(word), [""; 0]);
    }
}
