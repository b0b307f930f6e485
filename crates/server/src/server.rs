//! A server, from its first breath to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mxfp4_engine::Engine;
use mxfp4_harmony::Vocabulary;
use tokio::time::timeout;

use crate::app::App;
use crate::config::Config;
use crate::connection::listen;
use crate::descriptors::room_for;
use crate::error::BindError;
use crate::routes::{metrics_router, router};
use crate::tls::{self, renew};

/// A server. It ends when this is dropped.
pub struct Server {
    app: Arc<App>,
    addresses: Vec<SocketAddr>,
    metrics_addresses: Vec<SocketAddr>,
}

/// How a server's last requests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Requests that were cut at the limit.
    pub cut: usize,
}

/// How long answers that are cut get to say so.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Server {
    /// Listens, and answers at once: `/live` with 200, `/health` and all that needs a
    /// model with 503, until [`Self::ready`].
    ///
    /// The process's soft limit of open files is raised for [`Limits::connections`], as far
    /// as the hard one lets it.
    ///
    /// [`Limits::connections`]: crate::Limits::connections
    ///
    /// # Errors
    ///
    /// Where an address is in use, or this user may not listen there.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and timers.
    pub async fn bind(mut config: Config) -> Result<Self, BindError> {
        let listeners = listen(&config.host, config.port).await?;
        let metrics_listeners = match config.metrics_port {
            Some(port) => Some(listen(&config.host, port).await?),
            None => None,
        };
        let handshakes = config.tls.as_ref().map_or(0, |_| config.limits.handshakes);
        let room = room_for(config.limits.connections + handshakes);
        config.limits.connections = room.saturating_sub(handshakes).max(1);
        let app = Arc::new(App::new(config));
        let mut server = Self {
            app: app.clone(),
            addresses: listeners.addresses()?,
            metrics_addresses: Vec::new(),
        };
        if let Some(listeners) = metrics_listeners {
            server.metrics_addresses = listeners.addresses()?;
            listeners.serve(&app, &metrics_router(app.clone()));
        }
        listeners.serve(&app, &router(app.clone()));
        if let Some(tls) = app.config.tls.clone() {
            tokio::spawn(renew(app.clone(), tls));
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for `/metrics` alone; empty without [`Config::metrics_port`].
    #[must_use]
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics_addresses
    }

    /// Begins to answer with a model. When the engine ends, `/health` and requests are
    /// 503 again.
    pub fn ready(&self, engine: Engine, vocabulary: Arc<Vocabulary>) {
        self.app.ready(engine.clone(), vocabulary);
        let app = self.app.clone();
        tokio::spawn(async move {
            tokio::select! {
                gone = engine.gone() => app.gone(gone.reason),
                () = app.closing.given() => {}
            }
        });
    }

    /// Whether it was told anything by files.
    #[must_use]
    pub fn can_reload(&self) -> bool {
        let config = &self.app.config;
        config.keys.has_file() || config.tls.is_some()
    }

    /// Reads again what it was told by files. What is broken stays as it was, and a warning
    /// says so.
    pub fn reload(&self) {
        match self.app.config.keys.reload() {
            Ok(None) => {}
            Ok(Some(read)) => tracing::info!(
                "{}: {} API keys were read again; names that are new: {}, gone: {}",
                read.file.display(),
                read.keys,
                read.added,
                read.removed
            ),
            Err(error) => tracing::warn!("{error}; the API keys stay as they were"),
        }
        if let Some(tls) = &self.app.config.tls {
            tls::read(tls);
        }
    }

    /// Answers new requests with 503, waits until those that run have their answers, and
    /// ends what still runs after `limit`. Then all connections are closed.
    pub async fn drain(&self, limit: Duration) -> Drained {
        self.app.drain();
        self.app.requests.close();
        let mut cut = 0;
        if timeout(limit, self.app.requests.wait()).await.is_err() {
            cut = self.app.requests.len();
            self.app.ending.give();
            // Whoever does not read is closed below.
            let _ = timeout(LAST_WORDS, self.app.requests.wait()).await;
        }
        self.app.closing.give();
        self.app.connections.close();
        let _ = timeout(LAST_WORDS, self.app.connections.wait()).await;
        Drained { cut }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.drain();
        self.app.ending.give();
        self.app.closing.give();
    }
}
