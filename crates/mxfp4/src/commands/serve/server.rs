//! A server that is watched: from its start, through its phases, to its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mxfp4_process::{Background, Command, Output};

use super::compile_cache::CompileCache;
use super::finish;
use super::front_end::{FrontEnd, State};
use super::log_tail::LogTail;
use super::startup::{Past, Startup};
use super::view::View;
use crate::exit::{Exit, Failure};
use crate::http::Url;
use crate::http::agent_for_anyone;

/// How long between two questions whether the server is ready, or has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// A server that was started.
pub struct Server {
    process: Background,
    /// What answers HTTP, where that is not MAX itself.
    front_end: Option<FrontEnd>,
    watch: Arc<Mutex<Watch>>,
    address: Address,
    past: Past,
    began: Instant,
}

/// What the log tells, and what is shown of it.
struct Watch {
    startup: Startup,
    tail: LogTail,
    view: View,
    cache: CompileCache,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Address {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The address it was told.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How a wait ended.
pub enum Wait {
    /// The server answers.
    Ready,
    /// It has ended, and this program ends with this code.
    Ended(i32),
}

impl Server {
    /// Starts `command`, a server that will listen at `address`; a download fills the folder `arrivals`.
    pub fn start(
        mut command: Command,
        address: Address,
        front_end: Option<FrontEnd>,
        view: View,
        cache: CompileCache,
        (past, arrivals): (Past, Option<PathBuf>),
    ) -> Self {
        let mut watch = Watch {
            startup: Startup::begin(past.laps(), arrivals),
            tail: LogTail::default(),
            view,
            cache,
        };
        watch.view.phase(&watch.startup);
        if let Some(front_end) = &front_end {
            command = front_end.before(command);
        }
        let watch = Arc::new(Mutex::new(watch));
        let lines = Arc::clone(&watch);
        let process = Background::start(command.output(Output::Lines), move |line| {
            let mut watch = locked(&lines);
            let watch = &mut *watch;
            watch.tail.push(&line.text);
            watch.view.line(&line);
            if watch.startup.line(&line.text).is_some() {
                watch.view.phase(&watch.startup);
            }
            if let Some(news) = watch.cache.news(&line.text) {
                watch.view.say(&news);
            }
        });
        Self {
            process,
            front_end,
            watch,
            address,
            past,
            began: Instant::now(),
        }
    }

    /// Waits until the server answers, or has ended.
    pub fn await_ready(&mut self) -> anyhow::Result<Wait> {
        while !self.process.ended() {
            let ready = self.is_ready().inspect_err(|error| {
                locked(&self.watch)
                    .view
                    .ended(crate::exit::code_of(error).into(), Some(&error.to_string()));
            })?;
            if ready {
                let mut watch = locked(&self.watch);
                let watch = &mut *watch;
                watch.startup.ready();
                let compiled = watch.cache.has_grown();
                watch
                    .view
                    .ready(&watch.startup, &self.address.url(), compiled);
                self.past.keep(watch.startup.laps());
                return Ok(Wait::Ready);
            }
            {
                let watch = locked(&self.watch);
                watch.view.tick(&watch.startup);
            }
            thread::sleep(PAUSE);
        }
        Ok(Wait::Ended(self.end()?))
    }

    /// Whether it answers. An engine that the front end cannot work with is an error.
    fn is_ready(&self) -> anyhow::Result<bool> {
        match &self.front_end {
            None => Ok(self.address.answers()),
            Some(front_end) => match front_end.state() {
                State::Waiting => Ok(false),
                State::Ready => Ok(true),
                State::Refused(why) => Err(Failure::new(Exit::Failed, why).into()),
            },
        }
    }

    /// Waits for the server's own end; the exit code it means.
    pub fn end(&mut self) -> anyhow::Result<i32> {
        let outcome = self.process.join();
        // What was asked last gets its error before this process ends.
        self.front_end.take();
        let watch = locked(&self.watch);
        let result = match outcome {
            Ok(outcome) => finish(&outcome, &watch.tail, self.began),
            Err(error) => Err(error.into()),
        };
        match &result {
            Ok(code) => watch.view.ended(*code, None),
            Err(error) => watch
                .view
                .ended(crate::exit::code_of(error).into(), Some(&error.to_string())),
        }
        result
    }

    /// Whether the server has ended.
    pub fn ended(&self) -> bool {
        self.process.ended()
    }

    /// Reads off the start, and whether it compiled the model.
    pub fn startup<T>(&self, read: impl FnOnce(&Startup, bool) -> T) -> T {
        let watch = locked(&self.watch);
        read(&watch.startup, watch.cache.has_grown())
    }

    /// Stops the server and everything it started.
    pub fn stop(self) -> anyhow::Result<()> {
        self.process.stop()?;
        Ok(())
    }
}

fn locked(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Address {
    /// Where a client of this machine reaches it: a server that listens everywhere is asked here.
    pub fn url(&self) -> String {
        let host = match self.host.parse() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(address)) if address.is_unspecified() => {
                format!("[{}]", Ipv6Addr::LOCALHOST)
            }
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        format!("{}://{host}:{}", self.scheme(), self.port)
    }

    /// What the address begins with.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The same for a client.
    pub fn target(&self) -> Result<Url, Failure> {
        let url = self.url();
        let wrong = |why| Failure::new(Exit::Usage, format!("{url}: {why}"));
        url.parse().map_err(wrong)
    }

    /// Whether a server there says that it is ready.
    pub fn answers(&self) -> bool {
        is_healthy(&self.url())
    }
}

/// Whether the server at `url` says that it is ready. It is told nothing, and so may have any certificate: here it is asked
/// by an address, which few have.
pub fn is_healthy(url: &str) -> bool {
    let agent = agent_for_anyone(Duration::from_secs(2));
    agent.get(format!("{url}/health")).call().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        for (host, expect) in [
            ("127.0.0.1", "http://127.0.0.1:80"),
            ("0.0.0.0", "http://127.0.0.1:80"),
            ("::", "http://[::1]:80"),
            ("fe80::1", "http://[fe80::1]:80"),
            ("localhost", "http://localhost:80"),
        ] {
            let address = Address {
                tls: false,
                host: host.into(),
                port: 80,
            };
            assert_eq!(address.url(), expect);
        }
    }
}
