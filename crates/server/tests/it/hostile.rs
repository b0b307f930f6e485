//! Bytes that are no honest requests.

use serde_json::json;

use crate::client::{Reply, parse, raw, read};
use crate::rig::{Rig, says};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn rig() -> Rig {
    Rig::new(&[&says("Hi")]).await
}

async fn sent(rig: &Rig, head: &str, body: &str) -> Reply {
    let request = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{body}");
    raw(rig.address, request.as_bytes()).await
}

#[tokio::test]
async fn two_lengths_are_refused() {
    let rig = rig().await;
    let smuggled = "0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: 0x5",
        "content-length: 5 5",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        "content-length: 5\r\n folded: x",
        " transfer-encoding: chunked",
        "transfer-encoding:\n chunked",
        "na me: x",
        "x: a\0b",
    ] {
        let reply = sent(&rig, head, smuggled).await;
        assert_eq!(reply.status, 400, "{head:?}: {}", reply.head);
        assert!(
            !reply.text().contains("HTTP/1.1"),
            "{head:?} had a second answer"
        );
    }
}

/// Where both are there, the length is dropped and the connection closed, so that nothing
/// after the body is a request.
#[tokio::test]
async fn a_length_beside_chunks_does_not_count() {
    let rig = rig().await;
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let chunked = format!(
        "{:x}\r\n{body}\r\n0\r\n\r\nGET /version HTTP/1.1\r\nhost: x\r\n\r\n",
        body.len()
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n{chunked}"
    );
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let reply = read(&mut stream).await;
    let answers = [&reply.head, &reply.text()[..]]
        .concat()
        .matches("HTTP/1.1 ")
        .count();
    assert_eq!(answers, 1, "{}", reply.text());
}

#[tokio::test]
async fn broken_chunks_are_refused() {
    let rig = rig().await;
    for body in [
        "zz\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "-1\r\n\r\n",
    ] {
        let reply = sent(&rig, "transfer-encoding: chunked", body).await;
        assert!([0, 400].contains(&reply.status), "{body:?}: {}", reply.head);
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let rig = rig().await;
    let many = (0..200)
        .map(|number| format!("x-{number}: y"))
        .collect::<Vec<_>>()
        .join("\r\n");
    let long = format!("x: {}", "y".repeat(100_000));
    for head in [many, long] {
        let reply = sent(&rig, &head, "").await;
        assert_eq!(reply.status, 431, "{}", reply.head);
    }
    let request = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let reply = raw(rig.address, request.as_bytes()).await;
    assert!([414, 431].contains(&reply.status), "{}", reply.head);
}

#[tokio::test]
async fn noise_is_refused() {
    let rig = rig().await;
    let noise: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /version HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n\r\nfoo\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ];
    for bytes in noise {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let reply = read(&mut stream).await;
        assert!(
            reply.status < 500,
            "{:?}: {}",
            String::from_utf8_lossy(bytes),
            reply.head
        );
        assert_ne!(reply.status, 200);
    }
    assert_eq!(rig.chat(json!({})).await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let rig = rig().await;
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}\
         GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes)
        .await
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let second = text.rfind("HTTP/1.1 200 OK").unwrap();
    assert!(text[..second].contains("\"content\":\"Hi\""));
    assert!(parse(&text.as_bytes()[second..]).json()["version"].is_string());
}

#[tokio::test]
async fn a_body_may_be_waited_for() {
    let rig = rig().await;
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut continued = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut continued)
        .await
        .unwrap();
    assert_eq!(&continued, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream).await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_waited_for() {
    let rig = rig().await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 999999999\r\n\r\n";
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream).await.status, 413);
}

#[tokio::test]
async fn a_request_has_one_host() {
    let rig = rig().await;
    for (request, status) in [
        ("GET /live HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (
            "GET /live HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
            400,
        ),
        (
            "GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            200,
        ),
        ("GET /live HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(
            raw(rig.address, request.as_bytes()).await.status,
            status,
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_long_body_that_nobody_wants_gets_its_answer() {
    let rig = rig().await;
    let body = " ".repeat(8 << 20);
    for (line, status) in [("POST /v1/embeddings", 404), ("PUT /v1/completions", 405)] {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await.status, status, "{line}");
    }
}
