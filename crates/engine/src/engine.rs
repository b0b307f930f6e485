//! The engine as the front end sees it.

use crate::error::{EngineError, Gone};
use crate::frame::{self, FrameError, FrameReader};
use crate::generation::{Generation, Slot};
use crate::hello::Hello;
use crate::listener::Lifeline;
use crate::request::Request;
use crate::step::Step;
use crate::wire::{ErrorKind, FromEngine, Row, StepFrame, ToEngine};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

/// A running engine. Clones are the same engine; it is disconnected, and so ended, when
/// the last clone and the last [`Generation`] are dropped.
#[derive(Clone)]
pub struct Engine {
    pub(crate) link: Arc<Link>,
}

/// What the handles of an engine share.
pub(crate) struct Link {
    hello: Hello,
    pub(crate) live: Arc<Live>,
    pub(crate) outbox: mpsc::UnboundedSender<Outgoing>,
    gone: watch::Receiver<Option<Gone>>,
}

/// What the writer is handed.
pub(crate) enum Outgoing {
    /// A whole frame.
    Frame(Vec<u8>),
    /// A request to cancel.
    Cancel(u64),
}

/// The requests that wait for an answer.
#[derive(Default)]
pub(crate) struct Live {
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    last: u64,
    slots: HashMap<u64, Arc<Slot>, BuildHasherDefault<Identity>>,
    gone: Option<String>,
}

impl Engine {
    pub(crate) fn new(
        hello: Hello,
        reader: FrameReader<OwnedReadHalf>,
        writer: OwnedWriteHalf,
        lifeline: Lifeline,
    ) -> Self {
        let live = Arc::new(Live::default());
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let (tell, gone) = watch::channel(None);
        let reading = tokio::spawn(read(reader, live.clone(), tell));
        tokio::spawn(async move {
            write(writer, outgoing).await;
            // Nobody is left to read for.
            drop(lifeline);
            reading.abort();
        });
        Self {
            link: Arc::new(Link {
                hello,
                live,
                outbox,
                gone,
            }),
        }
    }

    /// What the engine said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.link.hello
    }

    /// Sends a request. Whatever is wrong with it comes as the generation's first
    /// result.
    #[must_use]
    pub fn generate(&self, request: Request) -> Generation {
        let slot = Arc::new(Slot::default());
        let id = self.link.live.add(&slot);
        if let Some(id) = id {
            let mut frame = Vec::new();
            match frame::write(&mut frame, &ToEngine::Generate { id, request }) {
                // Where the writer has ended, the reader ends all requests.
                Ok(()) => drop(self.link.outbox.send(Outgoing::Frame(frame))),
                Err(error) => {
                    self.link.live.remove(id);
                    let text = format!("the request is too long: {error}");
                    slot.fail(EngineError::Invalid(text));
                }
            }
        }
        Generation::new(self.link.clone(), id.unwrap_or(0), slot)
    }

    /// Waits until the engine has ended.
    pub async fn gone(&self) -> Gone {
        let mut gone = self.link.gone.clone();
        match gone.wait_for(Option::is_some).await {
            Ok(gone) => gone.clone().expect("it was waited for"),
            Err(_) => Gone {
                reason: "the connection to the engine was closed".into(),
            },
        }
    }

    /// Requests that have no whole answer yet.
    #[must_use]
    pub fn live(&self) -> usize {
        self.link.live.lock().slots.len()
    }
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the request's number; none where the engine has ended, which the slot
    /// then says.
    fn add(&self, slot: &Arc<Slot>) -> Option<u64> {
        let mut requests = self.lock();
        if let Some(reason) = &requests.gone {
            slot.fail(EngineError::Gone(reason.clone()));
            return None;
        }
        requests.last += 1;
        let id = requests.last;
        requests.slots.insert(id, slot.clone());
        Some(id)
    }

    /// Says whether the request had no whole answer yet.
    pub(crate) fn remove(&self, id: u64) -> bool {
        self.lock().slots.remove(&id).is_some()
    }

    fn hand_out(&self, frame: StepFrame) {
        let mut requests = self.lock();
        for (id, &token) in frame.ids.iter().zip(&frame.tokens) {
            // What is not there was cancelled.
            if let Some(slot) = requests.slots.get(id) {
                slot.push_token(token);
            }
        }
        for row in frame.rows {
            let Row {
                id,
                tokens,
                finish,
                cached,
                logprobs,
            } = row;
            let step = Step {
                tokens,
                logprobs,
                finish,
                cached_tokens: cached,
            };
            if finish.is_some() {
                if let Some(slot) = requests.slots.remove(&id) {
                    slot.push(step);
                }
            } else if let Some(slot) = requests.slots.get(&id) {
                slot.push(step);
            }
        }
    }

    fn fail(&self, id: u64, error: EngineError) {
        if let Some(slot) = self.lock().slots.remove(&id) {
            slot.fail(error);
        }
    }

    fn end(&self, reason: &str) {
        let mut requests = self.lock();
        requests.gone = Some(reason.to_owned());
        for (_, slot) in requests.slots.drain() {
            slot.fail(EngineError::Gone(reason.to_owned()));
        }
    }
}

async fn read(
    mut reader: FrameReader<OwnedReadHalf>,
    live: Arc<Live>,
    tell: watch::Sender<Option<Gone>>,
) {
    let reason = loop {
        match reader.next().await {
            Ok(FromEngine::Step(frame)) => live.hand_out(frame),
            Ok(FromEngine::Error { id, kind, message }) => {
                let error = match kind {
                    ErrorKind::Full => EngineError::QueueFull,
                    ErrorKind::Invalid => EngineError::Invalid(message),
                    ErrorKind::Failed => EngineError::Failed(message),
                };
                live.fail(id, error);
            }
            Ok(FromEngine::Lifeline { .. } | FromEngine::Hello(_)) => {
                break "the engine greeted twice".to_owned();
            }
            Err(FrameError::Ended) => break "the engine has ended".to_owned(),
            Err(error) => break format!("the engine is unreadable: {error}"),
        }
    };
    live.end(&reason);
    // Nobody may be waiting for it.
    let _ = tell.send(Some(Gone { reason }));
}

async fn write(mut writer: OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Outgoing>) {
    let mut waiting = Vec::new();
    let mut bytes = Vec::new();
    while outgoing.recv_many(&mut waiting, 64).await > 0 {
        bytes.clear();
        let mut cancelled = Vec::new();
        for each in waiting.drain(..) {
            match each {
                Outgoing::Frame(frame) => bytes.extend_from_slice(&frame),
                Outgoing::Cancel(id) => cancelled.push(id),
            }
        }
        if !cancelled.is_empty() {
            frame::write(&mut bytes, &ToEngine::Cancel(cancelled)).expect("a short message");
        }
        if let Err(error) = writer.write_all(&bytes).await {
            // The reader sees the end, too, and tells everybody.
            tracing::debug!("the engine reads no more: {error}");
            // Handles are still there, and so must the reader be.
            while outgoing.recv().await.is_some() {}
        }
    }
}

/// Hashes numbers that are counted up.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("numbers alone are hashed");
    }

    fn write_u64(&mut self, id: u64) {
        // hashbrown takes the control byte from the upper bits.
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
