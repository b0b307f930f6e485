//! What has come for a request and is not read yet.

use crate::error::EngineError;
use crate::step::Step;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

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

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Step, EngineError>> {
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
