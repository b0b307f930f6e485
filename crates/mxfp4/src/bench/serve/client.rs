//! One client: sends a request, measures the answer, keeps the connection for the next.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::answer::{Answer, Measuring, message};
use super::sse::Events;
use super::target::{Target, Tls};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The most that is read of an answer that is an error.
const ERROR_BYTES: usize = 64 << 10;

/// Sends requests one after the other.
pub struct Client {
    target: Arc<Target>,
    connection: Option<Connection>,
}

impl Client {
    /// A client of this server, not connected yet.
    pub fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            connection: None,
        }
    }

    /// Sends a request for so many tokens; an error says why it was lost.
    pub async fn ask(&mut self, body: Bytes, tokens: u32) -> Result<Answer, String> {
        let mut measuring = Measuring::begin(tokens as usize);
        match timeout(PATIENCE, self.exchange(body, &mut measuring)).await {
            Err(_) => Err(format!("no whole answer within {PATIENCE:?}")),
            Ok(Err(why)) => Err(why),
            Ok(Ok(())) => measuring.finish(),
        }
    }

    async fn exchange(&mut self, body: Bytes, measuring: &mut Measuring) -> Result<(), String> {
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && !connection.is_ready().await
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.target).await?,
        };
        let Connection { sender, driver } = &mut connection;
        let sending = sender.send_request(self.target.request(body));
        let response = driver.run(sending).await.map_err(|error| told(&error))?;
        if response.status() != StatusCode::OK {
            return Err(driver.run(refusal(response)).await);
        }
        let mut stream = response.into_body();
        let mut events = Events::default();
        while let Some(frame) = driver.run(stream.frame()).await {
            if let Some(bytes) = frame.map_err(|error| told(&error))?.data_ref() {
                let now = Instant::now();
                events.push(bytes, &mut |data| measuring.event(data, now))?;
            }
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// A connection, and the work on it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// What reads and writes a connection; `None` once it is closed. It runs inside the task that asks: a task of its own
/// would be woken, and would wake the other, for every event.
struct Driver(Option<Pin<Box<Work>>>);

type Work = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// What it goes by.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Connection {
    async fn open(target: &Target) -> Result<Self, String> {
        let address = &target.address;
        let cannot =
            |error: &dyn std::fmt::Display| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| cannot(&error))?;
        stream.set_nodelay(true).map_err(|error| cannot(&error))?;
        let stream = match &target.tls {
            None => Either::Left(stream),
            Some(Tls { connector, name }) => {
                let shaken = connector.connect(name.clone(), stream).await;
                Either::Right(shaken.map_err(|error| cannot(&error))?)
            }
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
    async fn is_ready(&mut self) -> bool {
        self.driver.run(self.sender.ready()).await.is_ok()
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

/// What an answer says that is none.
async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), ERROR_BYTES);
    let body = body.collect().await.map(|body| body.to_bytes());
    match body.ok().and_then(|body| message(&body)) {
        Some(message) => format!("{status}: {message}"),
        None => status.to_string(),
    }
}

/// An error with its causes, the last of which is the system's.
fn told(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
