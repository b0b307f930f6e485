//! TLS: what holds in the clear holds here, and handshakes are bounded.

use std::time::Duration;

use mxfp4_server::{Config, Limits};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, parse, post_request};
use crate::rig::{Rig, config, endless, in_turn, limited, options, says, until, with_message};
use crate::vocabulary::tokens;
use crate::wire::{Certificate, NAME, connect};

const CHAT: &str = "/v1/chat/completions";

async fn hi(limits: Limits, certificate: &Certificate) -> Rig {
    let config = Config {
        tls: Some(certificate.tls()),
        ..limited(limits)
    };
    Rig::with(config, options(), in_turn(vec![tokens(&says("Hi")).into()])).await
}

/// The status of an answer to one request by HTTP/1.1.
async fn ask(rig: &Rig, certificate: &Certificate) -> u16 {
    let mut wire = connect(rig.address, Some(certificate), &["http/1.1"]).await;
    let request = post_request(CHAT, with_message(json!({})).to_string().as_bytes());
    wire.write_all(&request).await.unwrap();
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, wire.read_to_end(&mut bytes)).await;
    read.unwrap().unwrap();
    let reply = parse(&bytes);
    assert!(reply.whole);
    reply.status
}

#[tokio::test]
async fn a_client_without_a_choice_of_protocols_speaks_the_old_one() {
    let certificate = Certificate::new();
    let rig = hi(Limits::default(), &certificate).await;
    assert_eq!(ask(&rig, &certificate).await, 200);
    let mut wire = connect(rig.address, Some(&certificate), &[]).await;
    let request = b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    wire.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    wire.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(parse(&bytes).status, 200);
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let certificate = Certificate::new();
    let rig = hi(Limits::default(), &certificate).await;
    assert_eq!(ask(&rig, &certificate).await, 200);
    // A connection that is open stays so.
    let mut kept = connect(rig.address, Some(&certificate), &["http/1.1"]).await;
    std::fs::write(certificate.key(), "broken").unwrap();
    rig.server.reload();
    assert_eq!(ask(&rig, &certificate).await, 200, "the old one stays");
    certificate.renew();
    // Its files are looked at, with no word from anyone.
    let connector = certificate.connector(&[]);
    let renewed = async {
        loop {
            let stream = TcpStream::connect(rig.address).await.unwrap();
            let name = ServerName::try_from(NAME).unwrap();
            if connector.connect(name, stream).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("the new one");
    let request = b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    kept.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    kept.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(parse(&bytes).status, 200);
}

#[tokio::test]
async fn slow_handshakes_are_cut_and_take_no_connection() {
    let certificate = Certificate::new();
    let limits = Limits {
        connections: 2,
        handshakes: 64,
        handshake_time: Duration::from_millis(500),
        ..Limits::default()
    };
    let rig = hi(limits, &certificate).await;
    let mut silent = Vec::new();
    for number in 0..32 {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        // Some begin a handshake, some speak in the clear.
        let begun: &[u8] = match number % 3 {
            0 => b"",
            1 => b"\x16\x03\x01\x02\x00\x01",
            _ => b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        };
        stream.write_all(begun).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(ask(&rig, &certificate).await, 200);
    for mut stream in silent {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it was not closed");
        assert!(!rest.starts_with(b"HTTP"), "an answer in the clear");
    }
}

#[tokio::test]
async fn too_many_handshakes_end_the_oldest() {
    let certificate = Certificate::new();
    let limits = Limits {
        handshakes: 8,
        handshake_time: Duration::from_secs(600),
        ..Limits::default()
    };
    let rig = hi(limits, &certificate).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(ask(&rig, &certificate).await, 200);
    }
    for mut stream in silent.drain(..80) {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it was not closed");
    }
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_cancelled() {
    let certificate = Certificate::new();
    let limits = Limits {
        write_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let config = Config {
        tls: Some(certificate.tls()),
        ..limited(limits)
    };
    let rig = Rig::with(config, options(), endless()).await;
    let mut wire = connect(rig.address, Some(&certificate), &["http/1.1"]).await;
    let body = with_message(json!({"stream": true})).to_string();
    wire.write_all(&post_request(CHAT, body.as_bytes()))
        .await
        .unwrap();
    until("the request", || rig.engine.live() == 1).await;
    until("the cancellation", || rig.scripted.cancelled() == 1).await;
    until("the end", || rig.engine.live() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_cancelled_and_one_that_lies_idle_closed() {
    let certificate = Certificate::new();
    let limits = Limits {
        idle_time: Duration::from_millis(300),
        head_time: Duration::from_millis(100),
        ..Limits::default()
    };
    let config = Config {
        tls: Some(certificate.tls()),
        ..limited(limits)
    };
    let rig = Rig::with(config, options(), endless()).await;
    let mut wire = connect(rig.address, Some(&certificate), &["http/1.1"]).await;
    let body = with_message(json!({})).to_string();
    wire.write_all(&post_request(CHAT, body.as_bytes()))
        .await
        .unwrap();
    until("the request", || rig.engine.live() == 1).await;
    drop(wire);
    until("the cancellation", || rig.scripted.cancelled() == 1).await;
    for sent in ["", "POST /v1/ch"] {
        let mut wire = connect(rig.address, Some(&certificate), &["http/1.1"]).await;
        wire.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, wire.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it was not closed");
        assert_eq!(rest, b"");
    }
}

#[tokio::test]
async fn metrics_are_behind_tls_too() {
    let certificate = Certificate::new();
    let config = Config {
        tls: Some(certificate.tls()),
        metrics_port: Some(0),
        ..config()
    };
    let rig = Rig::with(config, options(), endless()).await;
    let address = rig.server.metrics_addresses()[0];
    let mut wire = connect(address, Some(&certificate), &["http/1.1"]).await;
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    wire.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    wire.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(parse(&bytes).status, 200);
}
