//! From the first breath to the last.

use std::net::SocketAddr;
use std::time::Duration;

use mxfp4_engine::scripted::{Answer, Fault};
use mxfp4_server::{BindError, Config, Drained, Server};
use serde_json::{Value, json};

use crate::client::{get, post};
use crate::rig::{
    Rig, config, endless, engine, in_turn, options, paced, says, until, with_message,
};
use crate::vocabulary::{tokens, vocabulary};

#[tokio::test]
async fn a_port_that_is_in_use_is_said_at_once() {
    let first = Server::bind(config()).await.unwrap();
    let port = first.addresses()[0].port();
    let second = Server::bind(Config { port, ..config() }).await;
    let Err(error @ BindError::InUse { .. }) = second else {
        panic!("no error, or another");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "127.0.0.1:{port} is in use by another program; end that one, or choose another port"
        )
    );
    // The port is free again when the server has ended.
    drop(first);
    let mut last = None;
    for _ in 0..100 {
        match Server::bind(Config { port, ..config() }).await {
            Ok(_) => return,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{last:?}");
}

#[tokio::test]
async fn a_host_may_be_a_name_or_none() {
    let server = Server::bind(Config {
        host: "localhost".to_owned(),
        ..config()
    })
    .await
    .unwrap();
    assert_eq!(get(server.addresses()[0], "/live").await.status, 200);
    let error = Server::bind(Config {
        host: "no.such.host.invalid".to_owned(),
        ..config()
    })
    .await;
    assert!(matches!(error, Err(BindError::Host { .. })));
    let error = Server::bind(Config {
        host: "192.0.2.1".to_owned(),
        ..config()
    })
    .await;
    assert!(matches!(error, Err(BindError::Listen { .. })));
}

#[tokio::test]
async fn before_the_model_is_there() {
    let server = Server::bind(config()).await.unwrap();
    let address = server.addresses()[0];
    for (path, status) in [
        ("/live", 200),
        ("/version", 200),
        ("/metrics", 200),
        ("/health", 503),
        ("/v1/models", 503),
        ("/nowhere", 404),
    ] {
        assert_eq!(get(address, path).await.status, status, "{path}");
    }
    assert_eq!(get(address, "/version").await.json()["max"], json!(null));
    assert_eq!(status_of(address).await, "starting");
    let reply = post(address, "/v1/chat/completions", &json!({})).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(reply.error().2, "service_unavailable");

    let (engine, _scripted) = engine(options(), in_turn(vec![tokens(&says("Hi")).into()])).await;
    server.ready(engine, vocabulary());
    assert_eq!(get(address, "/health").await.status, 200);
    assert_eq!(status_of(address).await, "ready");
    let reply = post(address, "/v1/chat/completions", &with_message(json!({}))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn when_the_engine_dies() {
    let dies = Answer {
        fault: Some(Fault::Die),
        ..tokens("<|channel|>final<|message|>Hi").into()
    };
    let rig = Rig::with(config(), paced(2), in_turn(vec![dies.clone(), dies])).await;
    let (whole, stream) = tokio::join!(rig.chat(json!({})), rig.chat(json!({"stream": true})));
    assert_eq!(whole.status, 503, "{}", whole.text());
    // The second may come too late to begin.
    if stream.status == 200 {
        let (chunks, done) = stream.events();
        assert!(!done && stream.whole);
        assert_eq!(
            chunks.last().unwrap()["error"]["code"],
            "service_unavailable"
        );
    } else {
        assert_eq!(stream.status, 503);
    }
    until("503", || rig.engine.live() == 0).await;
    let health = get(rig.address, "/health").await;
    assert_eq!(health.status, 503);
    assert!(
        health.error().0.contains("no model answers any more"),
        "{}",
        health.text()
    );
    assert_eq!(health.json()["status"], "gone");
    assert_eq!(rig.chat(json!({})).await.status, 503);
    assert_eq!(get(rig.address, "/live").await.status, 200);
}

/// What `/health` says in a word.
async fn status_of(address: SocketAddr) -> Value {
    get(address, "/health").await.json()["status"].clone()
}

#[tokio::test]
async fn an_engine_that_fails_at_a_request() {
    let fails = Answer {
        fault: Some(Fault::Failed("out of pages".to_owned())),
        ..tokens("<|channel|>final<|message|>Hi").into()
    };
    let invalid = Answer::from(Fault::Invalid("not so".to_owned()));
    let rig = Rig::with(
        config(),
        paced(2),
        in_turn(vec![fails.clone(), fails, invalid.clone(), invalid]),
    )
    .await;
    let reply = rig.chat(json!({})).await;
    assert_eq!(reply.status, 500);
    assert!(reply.error().0.contains("out of pages"), "{}", reply.text());
    let (chunks, done) = rig.chat(json!({"stream": true})).await.events();
    assert!(!done);
    assert!(
        chunks.last().unwrap()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("out of pages")
    );
    for stream in [false, true] {
        let reply = rig.chat(json!({"stream": stream})).await;
        assert_eq!((reply.status, reply.error().0), (400, "not so".to_owned()));
    }
}

#[tokio::test]
async fn requests_that_run_finish_while_new_ones_are_refused() {
    let answer = says(&"x".repeat(100));
    let rig = Rig::with(config(), paced(3), in_turn(vec![tokens(&answer).into()])).await;
    let draining = async {
        until("both", || rig.engine.live() == 2).await;
        let drain = rig.server.drain(Duration::from_secs(10));
        let meanwhile = async {
            until("503", || true).await;
            let refused = rig.chat(json!({})).await;
            assert_eq!(
                (refused.status, refused.header("connection")),
                (503, Some("close"))
            );
            assert!(refused.header("retry-after").is_some());
            assert_eq!(get(rig.address, "/health").await.status, 503);
            assert_eq!(status_of(rig.address).await, "draining");
            assert_eq!(get(rig.address, "/live").await.status, 200);
        };
        tokio::join!(drain, meanwhile).0
    };
    let (whole, stream, drained) = tokio::join!(
        rig.chat(json!({})),
        rig.chat(json!({"stream": true})),
        draining
    );
    assert_eq!(
        whole.json()["choices"][0]["message"]["content"],
        "x".repeat(100)
    );
    assert!(stream.events().1);
    assert_eq!(drained, Drained { cut: 0 });
    assert!(
        tokio::net::TcpStream::connect(rig.address).await.is_err(),
        "it listens no more"
    );
}

#[tokio::test]
async fn requests_that_run_too_long_are_cut_and_say_so() {
    let rig = Rig::with(config(), paced(2), endless()).await;
    let draining = async {
        until("both", || rig.engine.live() == 2).await;
        rig.server.drain(Duration::from_millis(50)).await
    };
    let started = std::time::Instant::now();
    let (whole, stream, drained) = tokio::join!(
        rig.chat(json!({})),
        rig.chat(json!({"stream": true})),
        draining
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(drained, Drained { cut: 2 });
    assert_eq!(whole.status, 503);
    let (chunks, done) = stream.events();
    assert!(!done && stream.whole);
    assert_eq!(
        chunks.last().unwrap()["error"]["code"],
        "service_unavailable"
    );
    until("cancellation", || rig.scripted.cancelled() == 2).await;
}

#[tokio::test]
async fn a_silent_stream_has_comments() {
    let mut config = config();
    config.limits.quiet_time = Duration::from_millis(30);
    let call = "<|channel|>commentary to=functions.f<|message|>{";
    let answer = format!(
        "<|channel|>final<|message|>Hi<|end|><|start|>assistant{call}{}",
        " ".repeat(200)
    );
    let stalls = Answer {
        fault: Some(Fault::Failed("late".to_owned())),
        ..tokens(&answer).into()
    };
    let rig = Rig::with(config, paced(2), in_turn(vec![stalls])).await;
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let reply = rig.chat(json!({"stream": true, "tools": tools})).await;
    let comments = reply.text().matches("\n\n: the answer goes on\n\n").count();
    assert!(comments >= 3, "{}", reply.text());
    let (chunks, _) = reply.events();
    assert_eq!(chunks.last().unwrap()["error"]["code"], "internal_error");
}
