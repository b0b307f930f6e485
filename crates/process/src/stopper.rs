use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;

/// Ends running children from another thread: SIGTERM to the group of each, SIGKILL
/// after the grace period. It stops every child that it, or a clone of it, was given to.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    requested: bool,
    events: Vec<Sender<Event>>,
}

impl Stopper {
    /// A stopper to hand to [`crate::Command::stopper`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the children to end. One that has not started yet ends right after.
    pub fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.requested = true;
        for events in &state.events {
            let _ = events.send(Event::Stop);
        }
    }

    /// Whether the children were asked to end.
    pub fn is_requested(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requested
    }

    pub(crate) fn connect(&self, events: Sender<Event>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.requested {
            let _ = events.send(Event::Stop);
        }
        state.events.push(events);
    }
}
