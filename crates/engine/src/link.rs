//! What the handles of an engine share.

use crate::error::{EngineError, Gone};
use crate::frame::FrameReader;
use crate::hello::Hello;
use crate::slot::Slot;
use crate::step::Step;
use crate::wire::{Row, StepFrame};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

/// Both halves of the connection that carries nothing.
pub(crate) type Lifeline = (FrameReader<OwnedReadHalf>, OwnedWriteHalf);

/// What the handles of an engine share.
pub(crate) struct Link {
    pub(crate) hello: Hello,
    pub(crate) live: Arc<Live>,
    pub(crate) outbox: mpsc::UnboundedSender<Outgoing>,
    pub(crate) gone: watch::Receiver<Option<Gone>>,
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

impl Live {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the request's number; none where the engine has ended, which the slot
    /// then says.
    pub(crate) fn add(&self, slot: &Arc<Slot>) -> Option<u64> {
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

    /// Requests that have no whole answer yet.
    pub(crate) fn count(&self) -> usize {
        self.lock().slots.len()
    }

    /// Says whether the request had no whole answer yet.
    pub(crate) fn remove(&self, id: u64) -> bool {
        self.lock().slots.remove(&id).is_some()
    }

    pub(crate) fn hand_out(&self, frame: StepFrame) {
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

    pub(crate) fn fail(&self, id: u64, error: EngineError) {
        if let Some(slot) = self.lock().slots.remove(&id) {
            slot.fail(error);
        }
    }

    pub(crate) fn end(&self, reason: &str) {
        let mut requests = self.lock();
        requests.gone = Some(reason.to_owned());
        for (_, slot) in requests.slots.drain() {
            slot.fail(EngineError::Gone(reason.to_owned()));
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
