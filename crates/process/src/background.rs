use std::thread::JoinHandle;

use crate::{Command, Error, Line, Outcome, Stopper};

/// A child that runs while the caller does something else. Dropping it ends the
/// child and waits for that.
#[derive(Debug)]
pub struct Background {
    stopper: Stopper,
    thread: Option<JoinHandle<Result<Outcome, Error>>>,
}

impl Background {
    /// Starts `command` on a thread of its own, which calls `on_line` for every
    /// line when the command's output is [`crate::Output::Lines`].
    pub fn start(mut command: Command, mut on_line: impl FnMut(Line) + Send + 'static) -> Self {
        let stopper = Stopper::new();
        command = command.stopper(stopper.clone());
        // The thread lives as long as the child: the kernel's parent-death
        // signal goes by thread, not by process.
        let thread = std::thread::spawn(move || command.run(&mut on_line));
        Self {
            stopper,
            thread: Some(thread),
        }
    }

    /// Whether the child has ended (or could not be started).
    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the child's own end, once.
    pub fn join(&mut self) -> Result<Outcome, Error> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => unreachable!("the thread is taken once"),
        }
    }

    /// Ends the child, if it still runs, and says how it ended.
    pub fn stop(self) -> Result<Outcome, Error> {
        self.stopper.stop();
        self.wait()
    }

    /// Waits for the child's own end.
    pub fn wait(mut self) -> Result<Outcome, Error> {
        self.join()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stopper.stop();
            let _ = thread.join();
        }
    }
}
