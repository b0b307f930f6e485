//! How a command that prints JSON says on standard output why it failed.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::error;
use crate::exit;

/// What the object belongs to.
#[derive(Clone, Copy, Debug)]
pub enum JsonError {
    /// It stands where the result would.
    Result,
    /// A line after those of a build or of tests.
    Message,
    /// The last event of a server.
    Event,
}

/// Whether the last event of a server is printed.
static EXITED: AtomicBool = AtomicBool::new(false);

impl JsonError {
    /// Prints it, unless it is printed already.
    pub fn print(self, error: &anyhow::Error) {
        let mut object = match self {
            Self::Result => json!({}),
            Self::Message => json!({"reason": "error"}),
            Self::Event if EXITED.load(Ordering::Relaxed) => return,
            Self::Event => json!({"event": "exit", "code": exit::of(error).code()}),
        };
        object["error"] = error::what(error).into();
        object["kind"] = exit::of(error).name().into();
        object["hint"] = exit::hint(error).into();
        let _ = writeln!(io::stdout(), "{object}");
    }
}

/// Prints an event of a server.
pub fn event(event: &Value) {
    if event["event"] == "exit" {
        EXITED.store(true, Ordering::Relaxed);
    }
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{event}").and_then(|()| stdout.flush());
}
