//! A client that does as it is told: it also sends what no client should, and reads as slowly as it likes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take that is not meant to.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Connection {
    stream: TcpStream,
    /// What came and was not read yet.
    rest: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Lines of the head but the first, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The events of a stream, without their `data: `.
    pub fn events(&self) -> Vec<String> {
        let text = self.text();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        events.map(str::to_owned).collect()
    }
}

/// The text of a POST request with this body.
pub fn post(path: &str, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The text of a GET request.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
        })
    }

    /// Sends and waits for the answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request).await?;
        self.response().await
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await?
    }

    /// The next answer.
    pub async fn response(&mut self) -> io::Result<Response> {
        timeout(PATIENCE, self.read_response()).await?
    }

    /// What comes until the other side closes.
    pub async fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.rest);
        match timeout(PATIENCE, self.stream.read_to_end(&mut all)).await? {
            Err(error) if !is_end(&error) => Err(error),
            _ => Ok(all),
        }
    }

    /// What comes until the other side closes, or nothing more comes for so long.
    pub async fn until_quiet(&mut self, most: Duration) -> io::Result<Vec<u8>> {
        while let Ok(more) = timeout(most, self.more()).await {
            match more {
                Err(error) if is_end(&error) => break,
                other => other?,
            }
        }
        Ok(std::mem::take(&mut self.rest))
    }

    /// Waits for so many bytes.
    pub async fn some(&mut self, count: usize) -> io::Result<()> {
        while self.rest.len() < count {
            timeout(PATIENCE, self.more()).await??;
        }
        Ok(())
    }

    async fn read_response(&mut self) -> io::Result<Response> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| wrong(&head))?;
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let header = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        let body = if header("transfer-encoding").is_some() {
            self.chunks().await?
        } else {
            let length = header("content-length").and_then(|length| length.parse().ok());
            self.exactly(length.unwrap_or(0)).await?
        };
        Ok(Response {
            status,
            headers,
            body,
        })
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let size = String::from_utf8_lossy(&line).trim().to_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| wrong(&size))?;
            body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.rest.windows(end.len()).position(|bytes| bytes == end);
            if let Some(at) = found {
                let rest = self.rest.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.rest, rest));
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < count {
            self.more().await?;
        }
        let rest = self.rest.split_off(count);
        Ok(std::mem::replace(&mut self.rest, rest))
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.rest).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A close with bytes unread arrives as a reset.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}

fn wrong(text: &str) -> io::Error {
    io::Error::other(format!("no answer of HTTP: {text:?}"))
}
