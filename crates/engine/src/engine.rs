//! The engine as the front end sees it.

use crate::error::{EngineError, Gone};
use crate::frame::{self, FrameError, FrameReader};
use crate::generation::Generation;
use crate::hello::Hello;
use crate::link::{Lifeline, Link, Live, Outgoing};
use crate::request::Request;
use crate::slot::Slot;
use crate::wire::{ErrorKind, FromEngine, ToEngine};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

/// A running engine. Clones are the same engine; it is disconnected, and so ended, when
/// the last clone and the last [`Generation`] are dropped.
#[derive(Clone)]
pub struct Engine {
    pub(crate) link: Arc<Link>,
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
        self.link.live.count()
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
