//! A server that runs while the demo talks to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mxfp4_process::{Background, Command, Output};

use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::serve::{self, LogTail};

/// How long the first start, which compiles the model, may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// How long between two questions whether the server is ready.
const PAUSE: Duration = Duration::from_millis(250);

/// A server that answers.
pub struct Server(Background);

/// How a start ended.
pub enum Start {
    /// The server answers.
    Ready(Server),
    /// The demo was interrupted; the exit code that says so.
    Interrupted(i32),
}

impl Server {
    /// Starts the server and waits until `http://127.0.0.1:PORT/health` answers.
    pub fn start(command: Command, port: u16, progress: Progress) -> anyhow::Result<Start> {
        let started = Instant::now();
        let tail = Arc::new(Mutex::new(LogTail::default()));
        let lines = Arc::clone(&tail);
        let process = Background::start(command.output(Output::Lines), move |line| {
            progress.line(&line.text);
            lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(&line.text);
        });
        while !answers(port) {
            if process.ended() {
                let outcome = process.wait()?;
                let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                return match serve::finish(&outcome, &tail, started)? {
                    0 => Err(Failure::new(
                        Exit::Failed,
                        "MAX stopped before it was ready to serve",
                    )
                    .into()),
                    code => Ok(Start::Interrupted(code)),
                };
            }
            if started.elapsed() > PATIENCE {
                process.stop()?;
                let message = format!(
                    "the server was not ready after {} minutes",
                    PATIENCE.as_secs() / 60
                );
                return Err(Failure::new(Exit::Failed, message).into());
            }
            thread::sleep(PAUSE);
        }
        Ok(Start::Ready(Self(process)))
    }

    /// Stops the server and everything it started.
    pub fn stop(self) -> anyhow::Result<()> {
        self.0.stop()?;
        Ok(())
    }
}

fn answers(port: u16) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .into();
    agent
        .get(format!("http://127.0.0.1:{port}/health"))
        .call()
        .is_ok()
}
