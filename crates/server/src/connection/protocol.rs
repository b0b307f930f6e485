//! Which HTTP a client speaks.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::tls::HTTP_2;

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What HTTP/2's first bytes are. No method of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

impl Protocol {
    /// As a client chose it in its handshake.
    pub(super) fn chosen<S: AsyncRead + AsyncWrite>(stream: &TlsStream<S>) -> Self {
        match stream.get_ref().1.alpn_protocol() {
            Some(HTTP_2) => Self::Http2,
            _ => Self::Http1,
        }
    }

    /// As a client begins, without having been asked; none where it leaves or says nothing
    /// for so long.
    pub(super) async fn spoken(stream: &TcpStream, idle_time: Duration) -> Option<Self> {
        let mut first = [0; PREFACE.len()];
        // Clients send the first bytes of HTTP/2 in one piece.
        let length = timeout(idle_time, stream.peek(&mut first))
            .await
            .ok()?
            .ok()?;
        match &first[..length] {
            [] => None,
            bytes if bytes == PREFACE => Some(Self::Http2),
            _ => Some(Self::Http1),
        }
    }
}
