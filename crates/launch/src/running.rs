//! A server that is watched: from its start, through its phases, to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mxfp4_env::{Context, Environment, Layout, Sdk};
use mxfp4_process::{Background, Command, Line, Output};

use crate::Error;
use crate::access::Access;
use crate::address::Address;
use crate::compile_cache::CompileCache;
use crate::front_end::{FrontEnd, State};
use crate::frontend::Frontend;
use crate::history::StartupHistory;
use crate::log_tail::LogTail;
use crate::model::Model;
use crate::plan::{Launch, Task};
use crate::process::finish;
use crate::startup::Startup;

/// How long between two questions whether the server is ready, or has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// Is told how a start goes and what MAX logs, and shows it.
pub trait Watcher: Send {
    /// A phase begins; the one before it, if there is one, is over.
    fn phase(&mut self, start: &Startup);
    /// Time goes by.
    fn tick(&self, start: &Startup);
    /// MAX logs a line.
    fn line(&mut self, line: &Line);
    /// There is news for a person.
    fn say(&self, news: &str);
    /// The server answers at `url`; whether its start compiled the model.
    fn ready(&mut self, start: &Startup, url: &str, compiled: bool);
    /// MAX has ended, and this program will with `code`.
    fn ended(&self, code: i32, error: Option<&Error>);
}

/// A server that was started.
pub struct Server {
    process: Background,
    /// What answers HTTP, where that is not MAX itself.
    front_end: Option<FrontEnd>,
    watch: Arc<Mutex<Watch>>,
    address: Address,
    history: StartupHistory,
    began: Instant,
}

/// What the log tells, and what is shown of it.
struct Watch {
    startup: Startup,
    tail: LogTail,
    watcher: Box<dyn Watcher>,
    cache: CompileCache,
}

/// How a wait ended.
pub enum Wait {
    /// The server answers.
    Ready,
    /// It has ended, and this program ends with this code.
    Ended(i32),
}

impl Server {
    /// Starts `command`, a server that will listen at `address`.
    fn start(
        mut command: Command,
        address: Address,
        front_end: Option<FrontEnd>,
        mut watch: Watch,
        history: StartupHistory,
    ) -> Self {
        watch.watcher.phase(&watch.startup);
        if let Some(front_end) = &front_end {
            command = front_end.before(command);
        }
        let watch = Arc::new(Mutex::new(watch));
        let lines = Arc::clone(&watch);
        let process = Background::start(command.output(Output::Lines), move |line| {
            locked(&lines).line(&line);
        });
        Self {
            process,
            front_end,
            watch,
            address,
            history,
            began: Instant::now(),
        }
    }

    /// Waits until the server answers, or has ended.
    pub fn await_ready(&mut self) -> Result<Wait, Error> {
        while !self.process.ended() {
            let ready = self.is_ready().inspect_err(|error| {
                let watch = locked(&self.watch);
                watch.watcher.ended(error.exit().code().into(), Some(error));
            })?;
            if ready {
                let mut watch = locked(&self.watch);
                let watch = &mut *watch;
                watch.startup.ready();
                let compiled = watch.cache.has_grown();
                watch
                    .watcher
                    .ready(&watch.startup, &self.address.url(), compiled);
                self.history.keep(watch.startup.times());
                return Ok(Wait::Ready);
            }
            {
                let watch = locked(&self.watch);
                watch.watcher.tick(&watch.startup);
            }
            thread::sleep(PAUSE);
        }
        Ok(Wait::Ended(self.end()?))
    }

    /// Whether it answers. An engine that the front end cannot work with is an error.
    fn is_ready(&self) -> Result<bool, Error> {
        match &self.front_end {
            None => Ok(self.address.answers()),
            Some(front_end) => match front_end.state() {
                State::Waiting => Ok(false),
                State::Ready => Ok(true),
                State::Refused(why) => Err(Error::Engine(why)),
            },
        }
    }

    /// Waits for the server's own end; the exit code it means.
    pub fn end(&mut self) -> Result<i32, Error> {
        let outcome = self.process.join();
        // What was asked last gets its error before this process ends.
        self.front_end.take();
        let watch = locked(&self.watch);
        let result = match outcome {
            Ok(outcome) => finish(&outcome, &watch.tail, self.began),
            Err(error) => Err(error.into()),
        };
        match &result {
            Ok(code) => watch.watcher.ended(*code, None),
            Err(error) => watch.watcher.ended(error.exit().code().into(), Some(error)),
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
    pub fn stop(self) -> Result<(), Error> {
        self.process.stop()?;
        Ok(())
    }
}

fn locked(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Takes note of a line of MAX's log.
    fn line(&mut self, line: &Line) {
        self.tail.push(&line.text);
        self.watcher.line(line);
        if self.startup.line(&line.text).is_some() {
            self.watcher.phase(&self.startup);
        }
        if let Some(news) = self.cache.news(&line.text) {
            self.watcher.say(&news);
        }
    }
}

/// Starts the server. What it needs is checked and made.
pub fn start(
    context: &Context,
    launch: &Launch,
    (sdk, environment): (&Sdk, &Environment),
    watcher: Box<dyn Watcher>,
    access: Access,
) -> Result<Server, Error> {
    let command = launch
        .command(context, Some(sdk), environment, Task::Serve)?
        .leader_first()
        .grace(launch.grace());
    let front_end = match launch.frontend {
        Frontend::Mxfp4 => Some(FrontEnd::open(context, launch, access)?),
        Frontend::Max => None,
    };
    announce(context, launch, &*watcher);
    let history = StartupHistory::of(&launch.name, &context.workspace.state_dir());
    let watch = Watch {
        startup: Startup::begin(history.times(), launch.model.arrivals(&context.ambient)),
        tail: LogTail::default(),
        watcher,
        cache: CompileCache::of(context),
    };
    Ok(Server::start(
        command,
        launch.address(),
        front_end,
        watch,
        history,
    ))
}

/// Says what is served, and where.
fn announce(context: &Context, launch: &Launch, watcher: &dyn Watcher) {
    let is_modular = context.workspace.layout == Layout::Modular;
    let scope = match launch.host.as_str() {
        "127.0.0.1" if is_modular => {
            ", this machine alone; the checkout's own default is all addresses: --host 0.0.0.0"
        }
        _ => "",
    };
    watcher.say(&format!(
        "serving {} on {}://{}:{}{scope}",
        launch.name,
        launch.scheme(),
        launch.host,
        launch.port
    ));
    if let Model::Repository { name, cached: None } = &launch.model {
        watcher.say(&format!(
            "{name} is not in the local cache: MAX fetches it first"
        ));
    }
}
