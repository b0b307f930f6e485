use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use crate::supervise::Event;

/// Ends a running child from another thread: SIGTERM to its group, SIGKILL
/// after the grace period. A clone stops the same child.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    requested: bool,
    events: Option<Sender<Event>>,
}

impl Stopper {
    /// A stopper to hand to [`crate::Command::stopper`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the child to end. One that has not started yet ends right after.
    pub fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.requested = true;
        if let Some(events) = &state.events {
            let _ = events.send(Event::Stop);
        }
    }

    pub(crate) fn connect(&self, events: Sender<Event>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.requested {
            let _ = events.send(Event::Stop);
        }
        state.events = Some(events);
    }
}
