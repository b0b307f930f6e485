//! Clients that are many, slow, or gone.

use std::time::{Duration, Instant};

use mxfp4_engine::scripted::Fault;
use mxfp4_server::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{get, post_request, raw, read};
use crate::rig::{
    Rig, config, endless, in_turn, limited, options, paced, says, until, with_message,
};
use crate::vocabulary::tokens;

const CHAT: &str = "/v1/chat/completions";

fn stream_request(extra: serde_json::Value) -> Vec<u8> {
    let mut body = with_message(extra);
    body["stream"] = true.into();
    post_request(CHAT, body.to_string().as_bytes())
}

#[tokio::test]
async fn bodies_are_bounded() {
    let limits = Limits {
        body: 4000,
        ..Limits::default()
    };
    let rig = Rig::with(
        limited(limits),
        options(),
        in_turn(vec![tokens(&says("Hi")).into()]),
    )
    .await;
    for body in [vec![b'x'; 4001], vec![b'x'; 3 << 20]] {
        let declared = raw(rig.address, &post_request(CHAT, &body)).await;
        assert_eq!(
            (declared.status, declared.error().2),
            (413, json!("request_too_large"))
        );
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let chunk = format!("{:x}\r\n", body.len());
        let chunked = [head.as_bytes(), chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        assert_eq!(raw(rig.address, &chunked).await.status, 413);
    }
    assert_eq!(rig.chat(json!({})).await.status, 200);
}

#[tokio::test]
async fn bodies_together_are_bounded() {
    let limits = Limits {
        bodies: 3000,
        ..Limits::default()
    };
    let rig = Rig::with(
        limited(limits),
        options(),
        in_turn(vec![tokens(&says("Hi")).into()]),
    )
    .await;
    let reply = raw(rig.address, &post_request(CHAT, &[b' '; 3001])).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    // What was taken is given back.
    for _ in 0..20 {
        assert_eq!(rig.chat(json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let rig = Rig::new(&[]).await;
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    assert_eq!(raw(rig.address, request.as_bytes()).await.status, 415);
}

#[tokio::test]
async fn slow_senders_are_cut() {
    let limits = Limits {
        body_time: Duration::from_millis(100),
        head_time: Duration::from_millis(100),
        idle_time: Duration::from_millis(1200),
        ..Limits::default()
    };
    let rig = Rig::with(
        limited(limits),
        options(),
        in_turn(vec![tokens(&says("Hi")).into()]),
    )
    .await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let request = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = read(&mut stream).await;
    assert_eq!(
        (reply.status, reply.error().2),
        (408, json!("request_timeout"))
    );

    for (sent, least, most) in [("POST /v1/ch", 100, 1150), ("", 1200, 5000)] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let started = Instant::now();
        assert_eq!(read(&mut stream).await.status, 0);
        let took = started.elapsed().as_millis();
        assert!(
            (least..most).contains(&took),
            "{sent:?} was closed after {took} ms"
        );
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_for_a_while() {
    let limits = Limits {
        idle_time: Duration::from_millis(1000),
        head_time: Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = Rig::with(
        limited(limits),
        paced(3),
        in_turn(vec![tokens(&says(&"x".repeat(40))).into()]),
    )
    .await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let body = with_message(json!({})).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..3 {
        // Longer than a head may take, and an answer takes longer than that, too.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        assert!(bytes[..length].starts_with(b"HTTP/1.1 200 OK"));
    }
    let started = Instant::now();
    read(&mut stream).await;
    assert!(
        started.elapsed() >= Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn connections_are_bounded() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let rig = Rig::with(limited(limits), options(), in_turn(vec![])).await;
    let first = TcpStream::connect(rig.address).await.unwrap();
    let _second = TcpStream::connect(rig.address).await.unwrap();
    let mut third = TcpStream::connect(rig.address).await.unwrap();
    let reply = read(&mut third).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(reply.error().2, "service_unavailable");
    drop(first);
    let answered = async {
        loop {
            if get(rig.address, "/live").await.status == 200 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), answered)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_queue_is_429() {
    let full = || Fault::QueueFull.into();
    let rig = Rig::with(config(), options(), in_turn(vec![full(), full(), full()])).await;
    for body in [json!({}), json!({"stream": true}), json!({"n": 3})] {
        let reply = rig.chat(body).await;
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (429, Some("1"))
        );
        assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
        assert_eq!(reply.error().2, "rate_limit_exceeded");
    }
    until("nothing to live", || rig.engine.live() == 0).await;
}

#[tokio::test]
async fn what_waits_is_bounded_before_the_engine_s_queue() {
    let limits = Limits {
        choices: 3,
        ..Limits::default()
    };
    let rig = Rig::with(limited(limits), paced(5), endless()).await;
    let asked = post_request(CHAT, with_message(json!({"n": 2})).to_string().as_bytes());
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&asked).await.unwrap();
    until("two choices", || rig.engine.live() == 2).await;
    let reply = rig.chat(json!({"n": 2})).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(reply.error().2, "rate_limit_exceeded");
    let one = rig.complete(json!({"max_tokens": 3})).await;
    assert_eq!(one.status, 200);
}

#[tokio::test]
async fn clients_that_leave_are_cancelled() {
    let rig = Rig::with(config(), paced(5), endless()).await;
    let mut cancelled = 0;
    for (body, requests) in [
        (json!({}), 1),
        (json!({"stream": true}), 1),
        (json!({"n": 3}), 3),
        (json!({"n": 3, "stream": true}), 3),
    ] {
        let request = post_request(CHAT, with_message(body.clone()).to_string().as_bytes());
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        until("the request", || rig.engine.live() == requests).await;
        drop(stream);
        until("the cancellation", || rig.engine.live() == 0).await;
        cancelled += requests;
        until("the engine's", || rig.scripted.cancelled() == cancelled).await;
    }
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_cancelled() {
    let limits = Limits {
        write_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let rig = Rig::with(limited(limits), options(), endless()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(rig.address).await.unwrap();
    stream.write_all(&stream_request(json!({}))).await.unwrap();
    until("the request", || rig.engine.live() == 1).await;
    until("the cancellation", || rig.scripted.cancelled() == 1).await;
    until("the end", || rig.engine.live() == 0).await;
    let mut rest = Vec::new();
    // What was sent before is there; then comes the end, or a reset.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_reader_that_pauses_gets_all_of_it() {
    let answer = "x".repeat(3000);
    let rig = Rig::with(
        config(),
        options(),
        in_turn(vec![tokens(&says(&answer)).into()]),
    )
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(rig.address).await.unwrap();
    stream.write_all(&stream_request(json!({}))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reply = read(&mut stream).await;
    let (chunks, done) = reply.events();
    assert!(done);
    assert_eq!(crate::rig::joined(&chunks, 0)["content"], answer);
}

#[tokio::test]
async fn many_streams_at_once_are_all_whole() {
    let answers = (0..8)
        .map(|number| tokens(&says(&format!("{number}").repeat(50))).into())
        .collect();
    let rig = Rig::with(config(), paced(1), in_turn(answers)).await;
    let asked = (0..128).map(|number| rig.chat(json!({"stream": number % 2 == 0, "seed": number})));
    let mut counts = [0; 8];
    for (number, reply) in futures_util::future::join_all(asked)
        .await
        .iter()
        .enumerate()
    {
        let content = if number % 2 == 0 {
            crate::rig::joined(&reply.events().0, 0)["content"].clone()
        } else {
            reply.json()["choices"][0]["message"]["content"].clone()
        };
        let content = content.as_str().unwrap();
        let digit = content[..1].parse::<usize>().unwrap();
        assert_eq!(content, digit.to_string().repeat(50));
        counts[digit] += 1;
    }
    assert_eq!(counts, [16; 8]);
}
