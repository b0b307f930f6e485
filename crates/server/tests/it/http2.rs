//! What holds with HTTP/1.1 holds with HTTP/2, in the clear and by TLS.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use mxfp4_server::{Config, Drained, KeySource, Keys, Limits, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::PATIENCE;
use crate::rig::{
    Rig, config, endless, in_turn, limited, options, paced, says, until, with_message,
};
use crate::vocabulary::tokens;
use crate::wire::{Certificate, Http2, connect, text};

const CHAT: &str = "/v1/chat/completions";

/// Runs a test in the clear and by TLS.
async fn both<F: Future<Output = ()>>(test: impl Fn(Option<Certificate>) -> F) {
    test(None).await;
    test(Some(Certificate::new())).await;
}

fn with_tls(config: Config, certificate: Option<&Certificate>) -> Config {
    Config {
        tls: certificate.map(Certificate::tls),
        ..config
    }
}

fn chat(extra: Value) -> Value {
    with_message(extra)
}

fn stream() -> Value {
    chat(json!({"stream": true}))
}

#[tokio::test]
async fn answers_whole_and_streamed_many_at_once() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let answer = "Z".repeat(60);
        let script = in_turn(vec![tokens(&says(&answer)).into()]);
        let rig = Rig::with(with_tls(config(), certificate), paced(1), script).await;
        let client = Http2::connect(rig.address, certificate).await;
        let asked = (0..64).map(async |number| {
            let streams = number % 2 == 0;
            let body = chat(json!({"stream": streams}));
            let response = client.post(CHAT, &body).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("connection"));
            assert!(response.headers().contains_key("x-request-id"));
            let text = text(response).await.unwrap();
            if streams {
                assert_eq!(text.matches('Z').count(), 60, "{text}");
                assert!(text.ends_with("data: [DONE]\n\n"));
            } else {
                let whole: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(whole["choices"][0]["message"]["content"], answer);
            }
        });
        futures_util::future::join_all(asked).await;
        until("the end", || rig.engine.live() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_reset_is_cancelled_and_the_others_go_on() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let rig = Rig::with(with_tls(config(), certificate), paced(2), endless()).await;
        let client = Http2::connect(rig.address, certificate).await;
        let mut kept = client.post(CHAT, &stream()).await.unwrap().into_body();
        // In a stream, and before there is a head.
        let streamed = client.post(CHAT, &stream()).await.unwrap();
        until("both", || rig.engine.live() == 2).await;
        drop(streamed);
        until("the first cancellation", || rig.scripted.cancelled() == 1).await;
        let body = chat(json!({}));
        let whole = timeout(Duration::from_millis(200), client.post(CHAT, &body)).await;
        assert!(whole.is_err(), "an endless answer ended");
        until("the second cancellation", || rig.scripted.cancelled() == 2).await;
        until("one", || rig.engine.live() == 1).await;
        for _ in 0..10 {
            assert!(kept.frame().await.unwrap().is_ok());
        }
        // The connection's end is that of all.
        drop((kept, client));
        until("the last cancellation", || rig.scripted.cancelled() == 3).await;
        until("none", || rig.engine.live() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_cancelled_and_the_others_go_on() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let limits = Limits {
            write_time: Duration::from_millis(300),
            ..Limits::default()
        };
        let rig = Rig::with(with_tls(limited(limits), certificate), options(), endless()).await;
        let client = Http2::connect(rig.address, certificate).await;
        let unread = client.post(CHAT, &stream()).await.unwrap();
        let mut read = client.post(CHAT, &stream()).await.unwrap().into_body();
        let reading = async {
            loop {
                assert!(read.frame().await.unwrap().is_ok());
            }
        };
        tokio::select! {
            () = reading => {}
            () = until("the cancellation", || rig.scripted.cancelled() == 1) => {}
        }
        assert_eq!(rig.engine.live(), 1);
        assert!(text(unread).await.is_err(), "it was reset");
        assert!(read.frame().await.unwrap().is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_at_all_is_closed() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let limits = Limits {
            write_time: Duration::from_millis(300),
            ..Limits::default()
        };
        let rig = Rig::with(with_tls(limited(limits), certificate), options(), endless()).await;
        let mut wire = connect(rig.address, certificate, &["h2"]).await;
        // A window as large as can be, so that the socket alone holds it up.
        let body = stream().to_string();
        wire.write_all(&raw_request(&body)).await.unwrap();
        until("the request", || rig.engine.live() == 1).await;
        until("the cancellation", || rig.scripted.cancelled() == 1).await;
        until("the end", || rig.engine.live() == 0).await;
    })
    .await;
}

/// The frames of a client that begins with one request, and lets the server send all it has.
fn raw_request(body: &str) -> Vec<u8> {
    let most = 0x7fff_ffff_u32;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let setting = [&4_u16.to_be_bytes()[..], &most.to_be_bytes()].concat();
    bytes.extend(frame(4, 0, 0, &setting));
    bytes.extend(frame(8, 0, 0, &(most - 65_535).to_be_bytes()));
    // Of HPACK's own table: POST, http; a path and a host as they are.
    let mut head = vec![0x83, 0x86];
    for (index, value) in [(4, CHAT), (1, "x")] {
        head.extend([index, value.len() as u8]);
        head.extend(value.as_bytes());
    }
    bytes.extend(frame(1, 4, 1, &head));
    bytes.extend(frame(0, 1, 1, body.as_bytes()));
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[tokio::test]
async fn idle_connections_are_closed_whatever_they_did_before() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let limits = Limits {
            idle_time: Duration::from_millis(300),
            head_time: Duration::from_millis(100),
            ..Limits::default()
        };
        let script = in_turn(vec![tokens(&says(&"x".repeat(300))).into()]);
        let rig = Rig::with(with_tls(limited(limits), certificate), paced(2), script).await;
        let fresh = Http2::connect(rig.address, certificate).await;
        let used = Http2::connect(rig.address, certificate).await;
        // An answer that takes longer than a connection may lie idle.
        let response = used.post(CHAT, &stream()).await.unwrap();
        assert!(text(response).await.unwrap().ends_with("[DONE]\n\n"));
        assert!(!used.is_closed());
        until("both ends", || fresh.is_closed() && used.is_closed()).await;
    })
    .await;
}

#[tokio::test]
async fn bodies_and_heads_are_bounded() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let limits = Limits {
            body: 4000,
            body_time: Duration::from_millis(200),
            ..Limits::default()
        };
        let script = in_turn(vec![tokens(&says("Hi")).into()]);
        let rig = Rig::with(with_tls(limited(limits), certificate), options(), script).await;
        let client = Http2::connect(rig.address, certificate).await;
        for length in [4001, 3 << 20] {
            let body = Bytes::from(vec![b'x'; length]);
            let response = client.send("POST", CHAT, &[], body).await.unwrap();
            assert_eq!(response.status(), 413);
            assert!(text(response).await.unwrap().contains("request_too_large"));
        }
        let slow = client.send_without_end(CHAT, "{").await.unwrap();
        assert_eq!(slow.status(), 408);
        let many: Vec<_> = (0..129)
            .map(|number| (format!("x-{number}"), "1"))
            .collect();
        let many: Vec<_> = many
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let response = client
            .send("GET", "/health", &many, Bytes::new())
            .await
            .unwrap();
        assert_eq!(response.status(), 431);
        let long = "x".repeat(100_000);
        let refused = client
            .send("GET", "/health", &[("x-long", &long)], Bytes::new())
            .await;
        assert!(refused.is_err_and(|error| !error.is_timeout()) || !client.is_closed());
        let response = client.post(CHAT, &chat(json!({}))).await.unwrap();
        assert_eq!(response.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_key_is_needed() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let keys = KeySource {
            keys: vec![Secret::new("sk-0123456789abcdef")],
            ..KeySource::default()
        };
        let config = Config {
            keys: Keys::new(keys).unwrap(),
            ..with_tls(config(), certificate)
        };
        let script = in_turn(vec![tokens(&says("Hi")).into()]);
        let rig = Rig::with(config, options(), script).await;
        let client = Http2::connect(rig.address, certificate).await;
        let body = Bytes::from(chat(json!({})).to_string());
        for (key, status) in [("sk-0123456789abcdef", 200), ("sk-0123456789abcdee", 401)] {
            let bearer = format!("Bearer {key}");
            let headers = [("authorization", bearer.as_str())];
            let response = client
                .send("POST", CHAT, &headers, body.clone())
                .await
                .unwrap();
            assert_eq!(response.status(), status);
        }
        let large = Bytes::from(vec![b'x'; 3 << 20]);
        let response = client.send("POST", CHAT, &[], large).await.unwrap();
        assert_eq!(response.status(), 401);
    })
    .await;
}

#[tokio::test]
async fn requests_that_run_finish_while_new_ones_are_refused() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let script = in_turn(vec![tokens(&says(&"x".repeat(100))).into()]);
        let rig = Rig::with(with_tls(config(), certificate), paced(3), script).await;
        let client = Http2::connect(rig.address, certificate).await;
        let response = client.post(CHAT, &stream()).await.unwrap();
        let draining = async {
            let drain = rig.server.drain(Duration::from_secs(10));
            let meanwhile = async {
                until("503", || true).await;
                client.post(CHAT, &stream()).await.unwrap().status()
            };
            tokio::join!(drain, meanwhile)
        };
        let (whole, (drained, refused)) = tokio::join!(text(response), draining);
        assert!(whole.unwrap().ends_with("[DONE]\n\n"));
        assert_eq!((drained, refused.as_u16()), (Drained { cut: 0 }, 503));
        until("the end", || client.is_closed()).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_own_connection_alone() {
    both(async |certificate: Option<Certificate>| {
        let certificate = certificate.as_ref();
        let rig = Rig::with(with_tls(config(), certificate), paced(2), endless()).await;
        let mut wire = connect(rig.address, certificate, &["h2"]).await;
        let mut bytes = raw_request("{}");
        let mut head = vec![0x82, 0x86, 4, 7];
        head.extend(b"/health");
        head.extend([1, 1, b'x']);
        for number in 1..20_000 {
            bytes.extend(frame(1, 5, 2 * number + 1, &head));
            bytes.extend(frame(3, 0, 2 * number + 1, &8_u32.to_be_bytes()));
        }
        // The server closes before it has read all.
        let _ = wire.write_all(&bytes).await;
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, wire.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the server reads all of it");
        let other = Http2::connect(rig.address, certificate).await;
        let response = other
            .send("GET", "/health", &[], Bytes::new())
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        until("no request", || rig.engine.live() == 0).await;
    })
    .await;
}
