//! `/metrics`.

use mxfp4_server::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::get;
use crate::rig::{Rig, config, in_turn, options, says};
use crate::vocabulary::tokens;

/// Answers as the engine's HTTP server does: in chunks.
async fn engine_metrics(text: &'static str) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 512];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /metrics HTTP/1.1\r\n"));
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
            let (first, rest) = text.split_at(text.len() / 2);
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let answer = format!("{head}{}{}0\r\n\r\n", chunk(first), chunk(rest));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, serve)
}

#[tokio::test]
async fn ours_and_the_engines_on_both_ports() {
    let theirs = "# HELP maxserve_itl_milliseconds x\n# TYPE maxserve_itl_milliseconds histogram\nmaxserve_itl_milliseconds_count 3.0\n";
    let (address, _serve) = engine_metrics(theirs).await;
    let config = Config {
        metrics_port: Some(0),
        engine_metrics: Some(address),
        ..config()
    };
    let rig = Rig::with(config, options(), in_turn(vec![tokens(&says("Hi")).into()])).await;
    rig.chat(json!({})).await;
    rig.chat(json!({"stream": true})).await;
    rig.chat(json!({"n": 0})).await;
    rig.complete(json!({})).await;
    let metrics_address = rig.server.metrics_addresses()[0];
    assert_eq!(get(metrics_address, "/v1/models").await.status, 404);
    for address in [rig.address, metrics_address] {
        let reply = get(address, "/metrics").await;
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        let text = reply.text();
        let chat = "route=\"/v1/chat/completions\"";
        let completion = 2 * tokens(&says("Hi")).len();
        for line in [
            format!("mxfp4_requests_total{{{chat},status=\"200\"}} 2"),
            format!("mxfp4_requests_total{{{chat},status=\"400\"}} 1"),
            format!("mxfp4_completion_tokens_total{{{chat}}} {completion}"),
            format!("mxfp4_time_to_first_token_seconds_count{{{chat}}} 2"),
            format!("mxfp4_time_per_output_token_seconds_count{{{chat}}} 2"),
            "mxfp4_requests_total{route=\"/v1/completions\",status=\"200\"} 1".to_owned(),
            "mxfp4_answers_running 0".to_owned(),
            "mxfp4_answers_waiting 0".to_owned(),
            "maxserve_itl_milliseconds_count 3.0".to_owned(),
        ] {
            assert!(text.lines().any(|each| each == line), "{line}\nin\n{text}");
        }
        check_format(&text);
    }
}

/// Each sample follows its metric's help and type, each of which comes once.
fn check_format(text: &str) {
    let mut types = std::collections::HashMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} twice"
            );
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        assert!(
            types.contains_key(name) || types.contains_key(base),
            "{line} has no type"
        );
        if let Some("counter") = types.get(name).map(String::as_str) {
            assert!(name.ends_with("_total"), "{name}");
        }
    }
}

#[tokio::test]
async fn ours_alone_where_the_engines_do_not_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let config = Config {
        engine_metrics: Some(gone),
        ..config()
    };
    let rig = Rig::with(config, options(), in_turn(vec![])).await;
    let reply = get(rig.address, "/metrics").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.text().contains("mxfp4_connections 1\n"),
        "{}",
        reply.text()
    );
}
