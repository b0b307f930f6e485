//! What a server is told.

use std::net::SocketAddr;
use std::time::Duration;

use mxfp4_harmony::Effort;

use crate::auth::Keys;
use crate::cors::Origin;
use crate::seal::SealKey;
use crate::store::Store;
use crate::tls::Tls;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// A name or an address. A name with several addresses is listened to at each.
    pub host: String,
    /// 0 is any that is free.
    pub port: u16,
    /// A second port, for `/metrics` alone.
    pub metrics_port: Option<u16>,
    /// Where the engine serves its own metrics, by HTTP at `/metrics`. They are fetched
    /// when ours are.
    pub engine_metrics: Option<SocketAddr>,
    /// The names that requests may call the model by. The first is the answers'. Without
    /// one it is the engine's own.
    pub models: Vec<String>,
    /// How much the model thinks where a request does not say.
    pub effort: Effort,
    /// What the model is told of today.
    pub date: Date,
    /// Whether a page is at `/`.
    pub page: bool,
    /// What clients may take.
    pub limits: Limits,
    /// Who may ask.
    pub keys: Keys,
    /// Whether `/metrics` needs no key.
    pub metrics_without_key: bool,
    /// What TLS needs. Without it all goes in the clear.
    pub tls: Option<Tls>,
    /// Whose pages may ask by a browser, beside the server's own.
    pub origins: Vec<Origin>,
    /// What reasoning is sealed with that clients keep: the first key seals, all open. Without one
    /// it opens until the server ends.
    pub seal_keys: Vec<SealKey>,
    /// Where responses are kept that clients may go on from. Without it none is.
    pub store: Option<Store>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8000,
            metrics_port: None,
            engine_metrics: None,
            models: Vec::new(),
            effort: Effort::default(),
            date: Date::Today,
            page: true,
            limits: Limits::default(),
            keys: Keys::default(),
            metrics_without_key: false,
            tls: None,
            origins: Vec::new(),
            seal_keys: Vec::new(),
            store: None,
        }
    }
}

/// What the model is told of today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Date {
    /// The day in UTC.
    Today,
    /// A day, as `2026-12-01`.
    Day(String),
    /// Nothing.
    Untold,
}

impl Date {
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Today => Some(jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()),
            Self::Day(day) => Some(day.clone()),
            Self::Untold => None,
        }
    }
}

/// What clients may take. Each protects from one way to exhaust a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body; 0 is no limit (`MAX_SERVE_MAX_REQUEST_BYTES`). More is 413.
    pub body: usize,
    /// Bytes of all bodies together that are read and not yet answered. More is 503.
    pub bodies: usize,
    /// The time that a body may take, besides a second for each 64 KiB of it. More is 408.
    pub body_time: Duration,
    /// Bytes of a request's head, and how many headers it may have. More is 431.
    pub head: usize,
    /// See [`Self::head`].
    pub headers: usize,
    /// The time that a head may take from its first byte on.
    pub head_time: Duration,
    /// How long a connection may lie idle (`MAX_SERVE_HTTP_KEEPALIVE_TIMEOUT_S`).
    pub idle_time: Duration,
    /// How long a client may read nothing of what is written to it. Then its request is
    /// cancelled.
    pub write_time: Duration,
    /// Open connections. One more is answered with 503 and closed; with TLS it is closed.
    pub connections: usize,
    /// TLS handshakes at once, which are no connections yet. One more ends the oldest.
    pub handshakes: usize,
    /// The time that a handshake may take.
    pub handshake_time: Duration,
    /// Requests at once on a connection of HTTP/2. The client keeps others back.
    pub streams: u32,
    /// Choices that the engine may be asked for at once: those that it runs and those that
    /// wait. More is 429.
    pub choices: usize,
    /// The longest silence in a stream: then a comment is sent.
    pub quiet_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            bodies: 1 << 30,
            body_time: Duration::from_secs(60),
            head: 64 << 10,
            headers: 128,
            head_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(120),
            write_time: Duration::from_secs(60),
            connections: 16_384,
            handshakes: 1024,
            handshake_time: Duration::from_secs(10),
            streams: 1024,
            choices: 2560,
            quiet_time: Duration::from_secs(15),
        }
    }
}
