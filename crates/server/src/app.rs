//! What all requests share.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use mxfp4_engine::Engine;
use mxfp4_harmony::Vocabulary;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::answer::Ids;
use crate::api_error::ApiError;
use crate::config::{Config, Limits};
use crate::json::readable;
use crate::metrics::Metrics;
use crate::request::{Reader, UnknownKeys};
use crate::seal::Seal;
use crate::serving::Serving;
use crate::signal::Signal;
use crate::tls::Handshakes;

/// What all requests share.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ids: Arc<Ids>,
    /// For reasoning that clients keep.
    pub(crate) seal: Seal,
    unknown: UnknownKeys,
    phase: RwLock<Phase>,
    /// Bytes of bodies that are read and not yet answered.
    pub(crate) bodies: AtomicUsize,
    /// Threads that may read long requests at once.
    readers: Semaphore,
    /// Requests that have no whole answer.
    pub(crate) requests: TaskTracker,
    pub(crate) connections: TaskTracker,
    pub(crate) handshakes: Arc<Handshakes>,
    /// Ends all answers.
    pub(crate) ending: Signal,
    /// Ends all connections, and listens no more.
    pub(crate) closing: Signal,
}

/// How far the server is.
#[derive(Clone)]
enum Phase {
    Starting,
    Ready(Arc<Serving>),
    Draining,
    /// The engine has ended, as the text says.
    Gone(String),
}

impl Phase {
    fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready(_) => "ready",
            Self::Draining => "draining",
            Self::Gone(_) => "gone",
        }
    }

    fn serving(self) -> Result<Arc<Serving>, ApiError> {
        match self {
            Self::Ready(serving) => Ok(serving),
            Self::Starting => Err(ApiError::unavailable("the model is not loaded yet", 5)),
            Self::Draining => Err(ApiError::shutting_down()),
            Self::Gone(reason) => {
                let reason = format!("no model answers any more: {reason}");
                Err(ApiError::unavailable(reason, 30))
            }
        }
    }
}

/// Requests of so many bytes are read in the thread that came with them; longer ones
/// would keep other answers waiting.
const SHORT: usize = 4096;

impl App {
    pub(crate) fn new(config: Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let Limits {
            handshakes,
            handshake_time,
            ..
        } = config.limits;
        Self {
            handshakes: Arc::new(Handshakes::new(handshakes, handshake_time)),
            seal: Seal::new(&config.seal_keys),
            config,
            metrics: Arc::new(Metrics::new()),
            ids: Arc::default(),
            unknown: UnknownKeys::default(),
            phase: RwLock::new(Phase::Starting),
            bodies: AtomicUsize::new(0),
            readers: Semaphore::new(cores.div_ceil(2)),
            requests: TaskTracker::new(),
            connections: TaskTracker::new(),
            ending: Signal::default(),
            closing: Signal::default(),
        }
    }

    fn phase(&self) -> Phase {
        let phase = self.phase.read().unwrap_or_else(PoisonError::into_inner);
        phase.clone()
    }

    fn set(&self, next: impl FnOnce(&Phase) -> Option<Phase>) {
        let mut phase = self.phase.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = next(&phase) {
            *phase = next;
        }
    }

    pub(crate) fn ready(&self, engine: Engine, vocabulary: Arc<Vocabulary>) {
        let serving = Arc::new(Serving::new(engine, vocabulary, &self.config.models));
        self.set(|phase| match phase {
            Phase::Draining => None,
            _ => Some(Phase::Ready(serving)),
        });
    }

    pub(crate) fn drain(&self) {
        self.set(|_| Some(Phase::Draining));
    }

    pub(crate) fn gone(&self, reason: String) {
        self.set(|phase| match phase {
            Phase::Draining => None,
            _ => Some(Phase::Gone(reason)),
        });
    }

    /// Refuses what would be more than may wait. The engine's own queue counts messages
    /// beyond those that the system's buffers hold, so short requests hardly fill it.
    pub(crate) fn admit(&self, serving: &Serving, choices: usize) -> Result<(), ApiError> {
        if serving.engine.live() + choices > self.config.limits.choices {
            return Err(ApiError::queue_full());
        }
        Ok(())
    }

    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.phase(), Phase::Draining)
    }

    /// How far the server is, in a word for machines, and why it answers nothing.
    pub(crate) fn health(&self) -> (&'static str, Result<(), ApiError>) {
        let phase = self.phase();
        (phase.word(), phase.serving().map(drop))
    }

    /// The model, or why there is none.
    pub(crate) fn serving(&self) -> Result<Arc<Serving>, ApiError> {
        self.phase().serving()
    }

    /// Reads a body, away from the threads that write answers where it is long.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        serving: &Arc<Serving>,
        body: impl AsRef<[u8]> + Send + 'static,
        read: impl FnOnce(&str, &Reader<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        if body.as_ref().len() > SHORT {
            return self.read_elsewhere(serving, body, read).await;
        }
        let text = readable(body.as_ref()).map_err(|error| ApiError::invalid(error.0))?;
        read(&text, &self.reader(serving))
    }

    /// Reads a body away from the threads that write answers.
    pub(crate) async fn read_elsewhere<T: Send + 'static>(
        self: &Arc<Self>,
        serving: &Arc<Serving>,
        body: impl AsRef<[u8]> + Send + 'static,
        read: impl FnOnce(&str, &Reader<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (app, serving) = (self.clone(), serving.clone());
        let work = move || {
            let text = readable(body.as_ref()).map_err(|error| ApiError::invalid(error.0))?;
            read(&text, &app.reader(&serving))
        };
        // It is never closed.
        let _permit = self.readers.acquire().await;
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!("reading a request failed: {error}");
                Err(ApiError::internal("reading the request failed"))
            }
        }
    }

    fn reader<'a>(&'a self, serving: &'a Serving) -> Reader<'a> {
        Reader {
            hello: serving.engine.hello(),
            vocabulary: &serving.vocabulary,
            harmony: &serving.harmony,
            models: &serving.models,
            effort: self.config.effort,
            date: self.config.date.text(),
            unknown: &self.unknown,
        }
    }

    /// Takes room for a body's bytes.
    pub(crate) fn take_room(&self, bytes: usize) -> bool {
        let taken = self.bodies.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if taken <= self.config.limits.bodies {
            return true;
        }
        self.give_room(bytes);
        false
    }

    pub(crate) fn give_room(&self, bytes: usize) {
        self.bodies.fetch_sub(bytes, Ordering::Relaxed);
    }
}
