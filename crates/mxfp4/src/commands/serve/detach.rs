//! `mxfp4 serve --detach` and `--wait`: a server for scripts.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mxfp4_launch::{Address, LogTail};
use mxfp4_process::Command;
use serde_json::json;

use crate::exit::{Exit, Failure};

/// How long between two questions whether the server is ready.
const PAUSE: Duration = Duration::from_millis(200);

/// What a server of its own session is started with.
pub struct Detached {
    /// Where it will listen.
    pub address: Address,
    /// Takes all that the server and MAX print.
    pub log: PathBuf,
    /// Whether to wait until it is ready, and how long.
    pub wait: Option<Option<Duration>>,
    /// Whether to print JSON.
    pub json: bool,
}

impl Detached {
    /// Starts this program once more, with `arguments`, and returns while that serves. Prints where it is.
    pub fn start(&self, arguments: Vec<OsString>) -> anyhow::Result<i32> {
        let cannot = || format!("cannot write {}", self.log.display());
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        let log = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&self.log)
            .with_context(cannot)?;
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let mut child = Command::new(program).args(arguments).detach(&log)?;
        let (pid, url) = (child.id(), self.address.url());
        if let Some(limit) = self.wait {
            let ended = || child.try_wait().ok().flatten().is_some();
            match until_ready(&self.address, limit, ended) {
                Waited::Ready => {}
                Waited::TimeIsUp => {
                    return Err(self.not_ready(&format!("still starts as process {pid}")));
                }
                Waited::Ended => return Err(self.died()),
            }
        }
        let log = self.log.display();
        let line = match self.json {
            true => {
                json!({"event": "detached", "pid": pid, "url": url, "log": self.log}).to_string()
            }
            false => format!("{url} pid {pid} log {log}"),
        };
        writeln!(io::stdout(), "{line}")?;
        Ok(0)
    }

    fn not_ready(&self, what: &str) -> anyhow::Error {
        let (url, log) = (self.address.url(), self.log.display());
        let message =
            format!("{url} is not ready in time; the server {what}, and {log} says at what it is");
        Failure::new(Exit::Failed, message).into()
    }

    fn died(&self) -> anyhow::Error {
        let log = self.log.display();
        let reason = reason(&self.log);
        Failure::new(
            Exit::Failed,
            format!("the server ended before it was ready: {reason} (all of it is in {log})"),
        )
        .into()
    }
}

/// The last error in a log.
fn reason(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // What this program says last counts more than what MAX does: it has read that.
    if let Some(error) = text.lines().rev().find_map(|l| l.strip_prefix("error: ")) {
        return error.to_owned();
    }
    let mut tail = LogTail::default();
    text.lines().for_each(|line| tail.push(line));
    tail.reason().unwrap_or("it said nothing").to_owned()
}

/// `mxfp4 serve --wait`: whether the server at `address` is ready in time.
pub fn wait(address: &Address, limit: Option<Duration>) -> anyhow::Result<i32> {
    match until_ready(address, limit, || false) {
        Waited::Ready => {
            writeln!(io::stdout(), "{}", address.url())?;
            Ok(0)
        }
        Waited::TimeIsUp | Waited::Ended => {
            let message = format!(
                "no server is ready on {} after {:.0} s",
                address.url(),
                limit.unwrap_or_default().as_secs_f64()
            );
            Err(Failure::new(Exit::Failed, message).into())
        }
    }
}

enum Waited {
    Ready,
    TimeIsUp,
    Ended,
}

fn until_ready(
    address: &Address,
    limit: Option<Duration>,
    mut ended: impl FnMut() -> bool,
) -> Waited {
    let began = Instant::now();
    loop {
        if ended() {
            return Waited::Ended;
        }
        if address.answers() {
            return Waited::Ready;
        }
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            return Waited::TimeIsUp;
        }
        thread::sleep(PAUSE);
    }
}
