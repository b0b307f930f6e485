use nix::sys::signal::Signal;

use crate::Line;

/// What happens while a child runs.
#[derive(Debug)]
pub(crate) enum Event {
    Line(Line),
    /// One of the child's two streams was closed.
    EndOfStream,
    LeaderEnded,
    /// A signal that reached this process.
    Signal(i32),
    /// A [`crate::Stopper`] asks for the end.
    Stop,
    /// What had to be done before the child is asked to end is done.
    Prepared(Signal),
}
