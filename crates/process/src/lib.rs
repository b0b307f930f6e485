//! Runs child processes: the one place where `mxfp4` starts anything.
//!
//! [`Command`] says what to run and [`Command::run`] runs it to its end. What a
//! caller can rely on:
//!
//! - The child leads a process group of its own. SIGINT, SIGTERM, SIGHUP and
//!   SIGQUIT sent to `mxfp4` are passed on to that group; what has not ended
//!   after the grace period is killed, and a second signal kills at once.
//! - When `run` returns, the group is empty: processes that the child left
//!   behind are ended and reaped, whatever they ignore.
//! - What the child has started in sessions of its own lives on, unless
//!   [`Command::whole_tree`] has it ended too.
//! - Should `mxfp4` itself be killed, the kernel sends the child a SIGTERM, and
//!   a guard ends the whole group: SIGTERM, and SIGKILL after the grace period.
//! - Ctrl-Z stops the child along with `mxfp4`, `fg` continues both. Standard
//!   input is `/dev/null`: a process group in the background that reads from
//!   the terminal would be stopped by it.
//! - API keys of this process's environment do not reach it.
//!
//! [`Command::exec`] is the other way: `mxfp4` becomes the program, which then has
//! the terminal. Nothing is left to supervise it, and nothing needs to.

mod background;
mod before;
mod command;
mod event;
mod forward;
mod group;
mod guard;
mod line;
mod outcome;
mod queue;
mod signals;
mod stopper;
mod supervise;
mod tree;

pub use background::Background;
pub use command::{Command, Error, Output, set_grace};
pub use line::{Line, Stream};
pub use outcome::Outcome;
pub use queue::Queue;
pub use signals::{CaughtSignals, Interrupts, interrupted, on_hangup};
pub use stopper::Stopper;
