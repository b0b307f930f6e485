//! The engine's own metrics, which it serves at a private address.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long they may take, and how many bytes they may have.
const TIME: Duration = Duration::from_secs(2);
const MOST: usize = 16 << 20;

/// Fetches them.
pub(crate) async fn fetch(address: SocketAddr) -> io::Result<String> {
    timeout(TIME, get(address)).await?.map_err(io::Error::other)
}

async fn get(address: SocketAddr) -> Result<String, Box<dyn Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = handshake(stream).await?;
    // It ends with the sender.
    let connection = tokio::spawn(connection);
    let request = Request::get("/metrics")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answered {}", answer.status()).into());
    }
    let body = Limited::new(answer.into_body(), MOST).collect().await?;
    connection.abort();
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// Appends metrics whose names are not ours.
pub(crate) fn append(ours: &mut String, theirs: &str) {
    let taken: HashSet<String> = ours.lines().filter_map(family).map(str::to_owned).collect();
    for line in theirs.lines() {
        let collides = family(line).is_some_and(|name| taken.contains(name));
        if !collides && line != "# EOF" {
            ours.push_str(line);
            ours.push('\n');
        }
    }
}

/// The metric that a line is about, without a sample's suffix.
fn family(line: &str) -> Option<&str> {
    let name = match line.strip_prefix("# ") {
        Some(comment) => comment.split(' ').nth(1)?,
        None => line.split(['{', ' ']).next()?,
    };
    let suffixes = ["_bucket", "_count", "_sum", "_total", "_created"];
    let suffix = suffixes.iter().find(|suffix| name.ends_with(**suffix));
    Some(&name[..name.len() - suffix.map_or(0, |suffix| suffix.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_not_repeated() {
        let mut ours = "# TYPE mxfp4_requests_total counter\nmxfp4_requests_total 1\n".to_owned();
        append(
            &mut ours,
            "# TYPE mxfp4_requests counter\nmxfp4_requests_created 5\n\
             # TYPE maxserve_itl histogram\nmaxserve_itl_bucket{le=\"1\"} 2\n# EOF\n",
        );
        assert_eq!(
            ours,
            "# TYPE mxfp4_requests_total counter\nmxfp4_requests_total 1\n\
             # TYPE maxserve_itl histogram\nmaxserve_itl_bucket{le=\"1\"} 2\n"
        );
    }
}
