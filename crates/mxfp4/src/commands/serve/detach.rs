//! `mxfp4 serve --detach`: a server for scripts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mxfp4_launch::{Address, LogTail};
use mxfp4_process::Command;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::exit::{self, Exit, Failure};
use crate::ui::error;

/// Says that this process is a server of a session of its own, and where it tells why it ends.
const VARIABLE: &str = "MXFP4_DETACHED";

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
    /// Starts this program once more, with the same arguments, and returns while that serves. Prints where it is.
    pub fn start(&self) -> anyhow::Result<i32> {
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
        // The child's last words go here, where somebody waits for them.
        let last_words = match self.wait {
            Some(_) => {
                Some(NamedTempFile::with_prefix("mxfp4-serve-").context("cannot make a file")?)
            }
            None => None,
        };
        let told = last_words
            .as_ref()
            .map_or(Path::new("/dev/null"), NamedTempFile::path);
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, told)
            .detach(&log)?;
        let (pid, url) = (child.id(), self.address.url());
        if let Some(limit) = self.wait {
            let ended = || child.try_wait().ok().flatten().is_some();
            match until_ready(&self.address, limit, ended) {
                Waited::Ready => {}
                Waited::TimeIsUp => {
                    return Err(self.not_ready(&format!("still starts as process {pid}")));
                }
                Waited::Ended => return Err(self.died(told)),
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

    fn died(&self, told: &Path) -> anyhow::Error {
        let LastWords { error, hint } = LastWords::read(told).unwrap_or_else(|| LastWords {
            error: of_log(&self.log),
            hint: None,
        });
        let log = self.log.display();
        let message =
            format!("the server ended before it was ready: {error} (all of it is in {log})");
        let failure = Failure::new(Exit::Failed, message);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
        .into()
    }
}

/// Why a server of a session of its own ended, as it tells the one who waits for it.
#[derive(Serialize, Deserialize)]
struct LastWords {
    error: String,
    hint: Option<String>,
}

impl LastWords {
    fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }
}

/// Where this process tells why it ends, if another one has detached it.
pub fn last_words() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Tells `error` to the one who waits. Where nobody does any more, the file is gone.
pub fn tell(file: &Path, error: &anyhow::Error) {
    let words = LastWords {
        error: error::what(error),
        hint: exit::hint(error),
    };
    let text = serde_json::to_vec(&words).unwrap_or_default();
    let _ = OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| file.write_all(&text));
}

/// The last error in a log, of MAX or of what else wrote there.
fn of_log(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let mut tail = LogTail::default();
    for line in String::from_utf8_lossy(&text).lines() {
        tail.push(line);
    }
    tail.reason().unwrap_or("it said nothing").to_owned()
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
