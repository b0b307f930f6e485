//! Who may ask, and how much.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;

use mxfp4_server::{Config, KeyLimits, KeySource, Keys, Secret};
use serde_json::{Value, json};

use crate::client::{Reply, raw};
use crate::rig::{Rig, config, endless, in_turn, options, paced, says, until, with_message};
use crate::vocabulary::tokens;

const KEY: &str = "sk-0123456789abcdef";
const OTHER: &str = "sk-fedcba9876543210";

fn with_keys(source: KeySource) -> Config {
    Config {
        keys: Keys::new(source).unwrap(),
        metrics_port: Some(0),
        ..config()
    }
}

fn one_key() -> KeySource {
    KeySource {
        keys: vec![Secret::new(KEY)],
        ..KeySource::default()
    }
}

fn of_file(file: &Path, text: &str) -> KeySource {
    fs::write(file, text).unwrap();
    KeySource {
        file: Some(file.to_owned()),
        ..KeySource::default()
    }
}

async fn hi(config: Config) -> Rig {
    Rig::with(config, options(), in_turn(vec![tokens(&says("Hi")).into()])).await
}

/// A request with these lines in its head.
async fn send(address: SocketAddr, method: &str, path: &str, lines: &str, body: &str) -> Reply {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    raw(address, request.as_bytes()).await
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

async fn chat(rig: &Rig, key: &str, body: Value) -> Reply {
    let body = with_message(body).to_string();
    send(
        rig.address,
        "POST",
        "/v1/chat/completions",
        &bearer(key),
        &body,
    )
    .await
}

#[tokio::test]
async fn all_routes_but_health_and_live_need_a_key() {
    let rig = hi(with_keys(one_key())).await;
    let body = with_message(json!({"prompt": "Say", "tokens": [1]})).to_string();
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/gpt-oss"),
        ("GET", "/version"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("GET", "//health"),
        ("GET", "/health/"),
        ("GET", "/%68ealth"),
        ("PUT", "/v1/models"),
        ("OPTIONS", "/v1/chat/completions"),
        ("POST", "/"),
    ] {
        for lines in [
            String::new(),
            bearer("wrong"),
            bearer(&KEY[..KEY.len() - 1]),
            format!("x-api-key: {OTHER}\r\n"),
        ] {
            let reply = send(rig.address, method, path, &lines, &body).await;
            assert_eq!(reply.status, 401, "{method} {path} {lines}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            let (message, param, code) = reply.error();
            assert_eq!((param, code), (json!(null), json!("invalid_api_key")));
            assert!(
                !message.contains(KEY) && !message.contains("wrong,"),
                "{message}"
            );
        }
        for lines in [bearer(KEY), format!("X-Api-Key: {KEY}\r\n")] {
            let reply = send(rig.address, method, path, &lines, &body).await;
            assert_ne!(reply.status, 401, "{method} {path} {lines}");
        }
    }
    for path in ["/health", "/live"] {
        assert_eq!(send(rig.address, "GET", path, "", "").await.status, 200);
    }
    let metrics = rig.server.metrics_addresses()[0];
    assert_eq!(send(metrics, "GET", "/metrics", "", "").await.status, 401);
    assert_eq!(
        send(metrics, "GET", "/metrics", &bearer(KEY), "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_page_asks_for_the_key_itself() {
    let rig = hi(with_keys(one_key())).await;
    let page = send(rig.address, "GET", "/", &bearer(KEY), "").await;
    assert_eq!(page.status, 200);
    let known = format!("if-none-match: {}\r\n", page.header("etag").unwrap());
    for lines in [String::new(), bearer("wrong"), known] {
        let reply = send(rig.address, "GET", "/", &lines, "").await;
        assert_eq!(reply.status, 401, "{lines}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let policy = "content-security-policy";
        assert_eq!(reply.header(policy), page.header(policy));
        assert_eq!(reply.text(), page.text());
        let head = send(rig.address, "HEAD", "/", &lines, "").await;
        assert_eq!((head.status, head.body.len()), (401, 0));
    }
}

#[tokio::test]
async fn where_there_is_no_page_its_path_needs_a_key_as_any() {
    let rig = hi(Config {
        page: false,
        ..with_keys(one_key())
    })
    .await;
    for address in [rig.address, rig.server.metrics_addresses()[0]] {
        let reply = send(address, "GET", "/", "", "").await;
        assert_eq!(
            (reply.status, reply.error().2),
            (401, json!("invalid_api_key"))
        );
        let reply = send(address, "GET", "/", &bearer(KEY), "").await;
        assert_eq!((reply.status, reply.error().2), (404, json!("not_found")));
    }
}

#[tokio::test]
async fn metrics_may_go_without() {
    let rig = hi(Config {
        metrics_without_key: true,
        ..with_keys(one_key())
    })
    .await;
    for address in [rig.address, rig.server.metrics_addresses()[0]] {
        assert_eq!(send(address, "GET", "/metrics", "", "").await.status, 200);
    }
    assert_eq!(
        send(rig.address, "GET", "/version", "", "").await.status,
        401
    );
}

#[tokio::test]
async fn a_large_body_without_a_key_gets_its_answer() {
    let rig = hi(with_keys(one_key())).await;
    let body = "x".repeat(3 << 20);
    let reply = send(rig.address, "POST", "/v1/chat/completions", "", &body).await;
    assert_eq!(reply.status, 401);
    // Whoever waits for a word to send the body is told at once.
    let request = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
                   content-length: 1000000\r\n\r\n";
    let reply = raw(rig.address, request.as_bytes()).await;
    assert_eq!(reply.status, 401, "{}", reply.head);
}

#[tokio::test]
async fn a_revoked_key_is_wrong_and_a_renewed_one_right_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let rig = hi(with_keys(of_file(&file, &format!("bob {KEY}\n")))).await;
    assert_eq!(chat(&rig, KEY, json!({})).await.status, 200);
    fs::write(&file, format!("bob {OTHER}\n")).unwrap();
    assert_eq!(
        chat(&rig, OTHER, json!({})).await.status,
        401,
        "it is not read yet"
    );
    rig.server.reload();
    assert_eq!(chat(&rig, KEY, json!({})).await.status, 401);
    assert_eq!(chat(&rig, OTHER, json!({})).await.status, 200);
    fs::write(&file, "broken").unwrap();
    rig.server.reload();
    assert_eq!(
        chat(&rig, OTHER, json!({})).await.status,
        200,
        "the old ones stay"
    );
    let metrics = send(rig.address, "GET", "/metrics", &bearer(OTHER), "")
        .await
        .text();
    let line = "mxfp4_key_requests_total{key=\"bob\",status=\"200\"} 3";
    assert!(metrics.lines().any(|each| each == line), "{metrics}");
    assert!(!metrics.contains(KEY) && !metrics.contains(OTHER));
}

fn limits(requests: u32, tokens: u32, parallel: u32) -> KeyLimits {
    KeyLimits {
        requests: NonZeroU32::new(requests),
        tokens: NonZeroU32::new(tokens),
        parallel: NonZeroU32::new(parallel),
    }
}

#[tokio::test]
async fn requests_a_minute_are_bounded() {
    let source = KeySource {
        keys: vec![Secret::new(KEY), Secret::new(OTHER)],
        limits: limits(3, 0, 0),
        ..KeySource::default()
    };
    let rig = hi(with_keys(source)).await;
    for remaining in ["2", "1", "0"] {
        let reply = chat(&rig, KEY, json!({})).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("3"));
        assert_eq!(
            reply.header("x-ratelimit-remaining-requests"),
            Some(remaining)
        );
        assert!(reply.header("x-ratelimit-reset-requests").is_some());
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), None);
    }
    let reply = chat(&rig, KEY, json!({})).await;
    assert_eq!(
        (reply.status, reply.error().2),
        (429, json!("rate_limit_exceeded"))
    );
    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
    // What asks nothing counts nothing, and another key has its own.
    let models = send(rig.address, "GET", "/v1/models", &bearer(KEY), "").await;
    assert_eq!(models.status, 200);
    assert_eq!(chat(&rig, OTHER, json!({})).await.status, 200);
}

#[tokio::test]
async fn tokens_a_minute_are_reserved_and_corrected() {
    let source = KeySource {
        limits: limits(0, 1000, 0),
        ..one_key()
    };
    let rig = hi(with_keys(source)).await;
    let remaining = |reply: &Reply| -> u32 {
        let text = reply.header("x-ratelimit-remaining-tokens").unwrap();
        text.parse().unwrap()
    };
    let first = chat(&rig, KEY, json!({"max_tokens": 400})).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(remaining(&first) < 600);
    // It used a few of them, and got the others back.
    let prompt = rig.last_request().prompt.len() as u32;
    let used = prompt + tokens(&says("Hi")).len() as u32;
    let second = chat(&rig, KEY, json!({"max_tokens": 1})).await;
    assert!(
        remaining(&second) >= 1000 - used - prompt - 1,
        "{}",
        second.head
    );
    let large = chat(&rig, KEY, json!({"max_tokens": 900, "n": 2})).await;
    assert_eq!((large.status, large.header("retry-after")), (429, None));
    assert!(large.error().0.contains("max_tokens"), "{}", large.text());
    let soon = chat(&rig, KEY, json!({"max_tokens": 1000 - prompt})).await;
    assert_eq!(soon.status, 429, "{}", soon.text());
    assert!(soon.header("retry-after").is_some());
    assert_eq!(chat(&rig, KEY, json!({"max_tokens": 10})).await.status, 200);
}

#[tokio::test]
async fn requests_at_once_are_bounded_and_end_with_their_clients() {
    let source = KeySource {
        limits: limits(0, 0, 1),
        ..one_key()
    };
    let rig = Rig::with(with_keys(source), paced(2), endless()).await;
    for _ in 0..3 {
        let first = chat(&rig, KEY, json!({"stream": true}));
        let second = async {
            until("the first", || rig.engine.live() == 1).await;
            chat(&rig, KEY, json!({})).await
        };
        // The first is cut where the second has its answer.
        let refused = tokio::select! {
            reply = first => panic!("an endless answer ended: {reply:?}"),
            reply = second => reply,
        };
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (429, Some("1"))
        );
        until("the end", || rig.engine.live() == 0).await;
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_ask_where_they_are_named() {
    let origin = "http://localhost:3000";
    let preflight = format!(
        "origin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization,x-stainless-os\r\n"
    );
    let path = "/v1/chat/completions";
    let rig = hi(Config {
        origins: vec![origin.parse().unwrap()],
        ..with_keys(one_key())
    })
    .await;
    let reply = send(rig.address, "OPTIONS", path, &preflight, "").await;
    assert_eq!(reply.status, 200);
    let allowed = reply.header("access-control-allow-headers");
    assert_eq!(allowed, Some("authorization,x-stainless-os"));
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
    let body = with_message(json!({})).to_string();
    for (lines, status) in [(bearer(KEY), 200), (bearer("wrong"), 401)] {
        let lines = format!("origin: {origin}\r\n{lines}");
        let reply = send(rig.address, "POST", path, &lines, &body).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
        let shown = reply.header("access-control-expose-headers").unwrap();
        assert!(shown.contains("x-ratelimit-remaining-tokens"), "{shown}");
    }
    let lines = format!("origin: http://evil.example\r\n{}", bearer(KEY));
    let reply = send(rig.address, "POST", path, &lines, &body).await;
    assert_eq!(reply.header("access-control-allow-origin"), None);

    let rig = hi(with_keys(one_key())).await;
    let reply = send(rig.address, "OPTIONS", path, &preflight, "").await;
    assert_eq!(reply.status, 401);
    assert!(!reply.head.contains("access-control"), "{}", reply.head);
}

#[tokio::test]
async fn what_is_kept_for_a_key_is_no_other_keys() {
    let keys = KeySource {
        keys: vec![Secret::new(KEY), Secret::new(OTHER)],
        ..KeySource::default()
    };
    let config = Config {
        store: Some(mxfp4_server::Store::memory(Default::default())),
        ..with_keys(keys)
    };
    let rig = hi(config).await;
    let asked = |key, body: Value| {
        let (address, body) = (rig.address, body.to_string());
        async move { send(address, "POST", "/v1/responses", &bearer(key), &body).await }
    };
    let body = json!({"input": "Hello", "include": ["reasoning.encrypted_content"]});
    let first = asked(KEY, body).await.json();
    let path = format!("/v1/responses/{}", first["id"].as_str().unwrap());
    let items = format!("{path}/input_items");
    for (method, path) in [("GET", &path), ("GET", &items), ("DELETE", &path)] {
        let reply = send(rig.address, method, path, &bearer(OTHER), "").await;
        assert_eq!(reply.status, 404, "{method} {path}");
        assert_eq!(reply.error().2, "response_not_found");
    }
    let on = json!({"input": "And?", "previous_response_id": first["id"]});
    let reply = asked(OTHER, on.clone()).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.error().2, "previous_response_not_found");
    let item = json!({"input": [{"type": "item_reference", "id": first["output"][0]["id"]}]});
    assert_eq!(asked(OTHER, item).await.status, 400);
    assert_eq!(asked(KEY, on).await.status, 200);
    for (method, path) in [("GET", &items), ("GET", &path), ("DELETE", &path)] {
        let reply = send(rig.address, method, path, &bearer(KEY), "").await;
        assert_eq!(reply.status, 200, "{method} {path}");
    }
}
