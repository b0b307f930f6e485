//! A plain client of HTTP/1.1, which can be rude.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No test waits longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A response, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// `error.message`, and where they are there `error.param` and `error.code`.
    pub fn error(&self) -> (String, Value, Value) {
        let error = &self.json()["error"];
        assert!(error["type"].is_string(), "{error}");
        let message = error["message"].as_str().unwrap().to_owned();
        (message, error["param"].clone(), error["code"].clone())
    }

    /// The chunks of a stream, and whether `[DONE]` ended it.
    pub fn events(&self) -> (Vec<Value>, bool) {
        let mut chunks = Vec::new();
        let mut done = false;
        let text = self.text();
        for event in text.split_terminator("\n\n") {
            assert!(!done, "{event} after the end");
            match event.strip_prefix("data: ") {
                Some("[DONE]") => done = true,
                Some(data) => chunks.push(serde_json::from_str(data).unwrap()),
                None => assert!(event.starts_with(':'), "{event:?} is no event"),
            }
        }
        (chunks, done)
    }
}

pub async fn get(address: SocketAddr, path: &str) -> Reply {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    raw(address, request.as_bytes()).await
}

pub async fn delete(address: SocketAddr, path: &str) -> Reply {
    let request = format!("DELETE {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    raw(address, request.as_bytes()).await
}

pub async fn post(address: SocketAddr, path: &str, body: &Value) -> Reply {
    post_bytes(address, path, body.to_string().as_bytes()).await
}

pub async fn post_bytes(address: SocketAddr, path: &str, body: &[u8]) -> Reply {
    raw(address, &post_request(path, body)).await
}

/// A request as bytes.
pub fn post_request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends bytes and reads what comes until the other side closes.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read all.
    let _ = stream.write_all(request).await;
    read(&mut stream).await
}

/// Reads until the other side closes.
pub async fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the server did not close: {bytes:?}");
    parse(&bytes)
}

pub fn parse(bytes: &[u8]) -> Reply {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Reply {
            status: 0,
            head: String::from_utf8_lossy(bytes).into_owned(),
            body: Vec::new(),
            whole: false,
        };
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut reply = Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: bytes[end + 4..].to_vec(),
        whole: true,
    };
    if reply.header("transfer-encoding") == Some("chunked") {
        (reply.body, reply.whole) = unchunk(&reply.body);
    } else if let Some(length) = reply.header("content-length") {
        reply.whole = reply.body.len() == length.parse::<usize>().unwrap();
    }
    reply
}

fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = bytes.get(end + 2..end + 2 + size) else {
            return (body, false);
        };
        body.extend_from_slice(chunk);
        bytes = &bytes[(end + 4 + size).min(bytes.len())..];
    }
}
