//! An answer that is being made.

use crate::engine::{Link, Outgoing};
use crate::error::EngineError;
use crate::step::Step;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// An answer that is being made. Dropping it before its end cancels it.
pub struct Generation {
    link: Arc<Link>,
    id: u64,
    slot: Arc<Slot>,
    ended: bool,
}

/// Where the reader puts what a request waits for.
#[derive(Default)]
pub(crate) struct Slot {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    step: Option<Step>,
    error: Option<EngineError>,
    waker: Option<Waker>,
}

impl Generation {
    pub(crate) fn new(link: Arc<Link>, id: u64, slot: Arc<Slot>) -> Self {
        Self {
            link,
            id,
            slot,
            ended: false,
        }
    }

    /// Waits for tokens. Steps that came since the last call are one. `None` after the
    /// step with a finish or an error. Dropping this future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Step, EngineError>> {
        if self.ended {
            return None;
        }
        let result = poll_fn(|context| self.slot.poll(context)).await;
        self.ended = result.as_ref().map_or(true, |step| step.finish.is_some());
        Some(result)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.ended && self.link.live.remove(self.id) {
            // Where the writer has ended there is nothing to cancel.
            let _ = self.link.outbox.send(Outgoing::Cancel(self.id));
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push_token(&self, token: u32) {
        let mut waiting = self.lock();
        waiting.step.get_or_insert_default().tokens.push(token);
        waiting.wake();
    }

    pub(crate) fn push(&self, step: Step) {
        let mut waiting = self.lock();
        match &mut waiting.step {
            Some(earlier) => earlier.append(step),
            none => *none = Some(step),
        }
        waiting.wake();
    }

    pub(crate) fn fail(&self, error: EngineError) {
        let mut waiting = self.lock();
        waiting.error = Some(error);
        waiting.wake();
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Step, EngineError>> {
        let mut waiting = self.lock();
        if let Some(step) = waiting.step.take() {
            return Poll::Ready(Ok(step));
        }
        if let Some(error) = waiting.error.take() {
            return Poll::Ready(Err(error));
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Waiting {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
