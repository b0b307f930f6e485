//! A connection, and the work on it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::lost::Lost;
use crate::tls::Tls;

/// A connection. Dropped, it is closed, and what the server does for it ends.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// What reads and writes a connection; `None` once it is closed. It runs inside the task that asks: a task of its own
/// would be woken, and would wake the other, for every event.
struct Driver(Option<Pin<Box<Work>>>);

type Work = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Connection {
    /// Connects to HOST:PORT.
    pub async fn open(address: &str, tls: Option<&Tls>) -> Result<Self, Lost> {
        let cannot = |error: &dyn std::fmt::Display| {
            Lost::Connection(format!("cannot connect to {address}: {error}"))
        };
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| cannot(&error))?;
        stream.set_nodelay(true).map_err(|error| cannot(&error))?;
        let stream = match tls {
            None => Stream::Left(stream),
            Some(tls) => Stream::Right(tls.connect(stream).await.map_err(|error| cannot(&error))?),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| cannot(&error))?;
        Ok(Self {
            sender,
            driver: Driver(Some(Box::pin(connection))),
        })
    }

    /// Whether it takes another request.
    pub async fn is_ready(&mut self) -> bool {
        self.driver.run(self.sender.ready()).await.is_ok()
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        let sending = self.sender.send_request(request);
        self.driver.run(sending).await.map_err(|error| told(&error))
    }

    /// The next bytes of an answer; `None` at its end.
    pub async fn next(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Lost> {
        loop {
            match self.driver.run(body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(told(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Reads and writes until `work` is done.
    pub async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.driver.run(work).await
    }
}

impl Driver {
    /// Runs the connection until `work` is done.
    async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Some(connection) = &mut self.0
                && connection.as_mut().poll(context).is_ready()
            {
                // What went wrong is told to the work, too.
                self.0 = None;
            }
            work.as_mut().poll(context)
        })
        .await
    }
}

/// An error with its causes, the last of which is the system's.
fn told(error: &hyper::Error) -> Lost {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Lost::Connection(text)
}
