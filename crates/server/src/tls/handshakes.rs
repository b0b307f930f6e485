//! Handshakes, bounded in time and in number.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Tls;

/// The handshakes that run. Where there is one too many, the oldest ends: an honest client
/// is done with it in no time, and so whoever is slow keeps nobody away.
pub(crate) struct Handshakes {
    most: usize,
    time: Duration,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next: u64,
    /// What ends each of them when it is dropped.
    ends: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Handshakes {
    pub(crate) fn new(most: usize, time: Duration) -> Self {
        Self {
            most: most.max(1),
            time,
            running: Mutex::default(),
        }
    }

    /// Shakes hands.
    pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        tls: &Tls,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let (turn, ended) = self.begin();
        let accepting = TlsAcceptor::from(tls.config()).accept(stream);
        let shaken = tokio::select! {
            shaken = timeout(self.time, accepting) => shaken,
            _ = ended => return Err(io::Error::other("too many handshakes ran")),
        };
        drop(turn);
        shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn begin(self: &Arc<Self>) -> (Turn, oneshot::Receiver<()>) {
        let (end, ended) = oneshot::channel();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.ends.len() >= self.most {
            running.ends.pop_first();
        }
        let number = running.next;
        running.next += 1;
        running.ends.insert(number, end);
        let turn = Turn {
            handshakes: self.clone(),
            number,
        };
        (turn, ended)
    }
}

/// A handshake that runs.
struct Turn {
    handshakes: Arc<Handshakes>,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let running = self.handshakes.running.lock();
        let mut running = running.unwrap_or_else(PoisonError::into_inner);
        running.ends.remove(&self.number);
    }
}
