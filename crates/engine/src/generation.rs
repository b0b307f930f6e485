//! An answer that is being made.

use crate::error::EngineError;
use crate::link::{Link, Outgoing};
use crate::slot::Slot;
use crate::step::Step;
use std::future::poll_fn;
use std::sync::Arc;

/// An answer that is being made. Dropping it before its end cancels it.
pub struct Generation {
    link: Arc<Link>,
    id: u64,
    slot: Arc<Slot>,
    ended: bool,
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
