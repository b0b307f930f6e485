//! The engine's own metrics, which it serves at a private address.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long they may take, and how many bytes they may have.
const TIME: Duration = Duration::from_secs(2);
const MOST: u64 = 16 << 20;

/// Fetches them.
pub(crate) async fn fetch(address: SocketAddr) -> io::Result<String> {
    let answer = timeout(TIME, get(address)).await??;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("it is no HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other("it has none")),
    }
}

/// HTTP/1.0 has no chunks and ends with the connection.
async fn get(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(answer)
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
