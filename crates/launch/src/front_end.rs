//! The front end: this process answers HTTP, and MAX is the engine behind a socket.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use mxfp4_engine::{Engine, EngineError, EngineListener, Request, VARIABLE};
use mxfp4_env::{Ambient, Context};
use mxfp4_harmony::Vocabulary;
use mxfp4_process::Command;
use mxfp4_server::{Config, Limits, Server};
use tokio::runtime::{Builder, Runtime};

use crate::Error;
use crate::access::Access;
use crate::model::Model;
use crate::plan::Launch;
use crate::port::{METRICS_VARIABLE, metrics_port};

/// How far a front end is.
#[derive(Clone, Debug)]
pub enum State {
    /// The engine is not ready.
    Waiting,
    /// It answers requests.
    Ready,
    /// It cannot work with this engine or this model; a sentence says why.
    Refused(String),
}

/// A front end whose ports are open.
pub struct FrontEnd {
    /// Taken at the end alone.
    runtime: Option<Runtime>,
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
    socket: PathBuf,
    max_metrics_port: u16,
    drain: Duration,
}

/// The requests of a batch, where nobody says otherwise.
const MAX_BATCH: usize = 512;

/// Threads that serve. A token costs them microseconds, so 100,000 of them a second fill one; with more threads each wakes
/// more often for less. What takes longer, such as reading a long prompt, has threads of its own.
const THREADS: usize = 2;

/// How long answers that the engine's end cut short may take to reach their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl FrontEnd {
    /// Opens the ports and waits for the engine, which finds the socket by [`Self::before`].
    pub fn open(context: &Context, launch: &Launch, access: Access) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("front-end")
            .enable_all()
            .build()
            .map_err(Error::front_end)?;
        let max_metrics_port = free_port().map_err(Error::front_end)?;
        let config = config(context, launch, max_metrics_port, access);
        let server = runtime
            .block_on(Server::bind(config))
            .map_err(Error::front_end)?;
        let server = Arc::new(server);
        reload_at_hangup(&server);
        let listener = {
            let _inside = runtime.enter();
            EngineListener::bind(&std::env::temp_dir()).map_err(Error::front_end)?
        };
        let socket = listener.path().to_owned();
        let state = Arc::new(Mutex::new(State::Waiting));
        let tokenizer = Tokenizer {
            name: launch.name.clone(),
            cwd: context.cwd.clone(),
            ambient: context.ambient.clone(),
        };
        runtime.spawn(await_engine(
            listener,
            server.clone(),
            tokenizer,
            state.clone(),
        ));
        Ok(Self {
            runtime: Some(runtime),
            server,
            state,
            socket,
            max_metrics_port,
            drain: launch.drain(),
        })
    }

    /// MAX's command, told where the front end listens; it is asked to end once running requests have finished.
    pub fn before(&self, command: Command) -> Command {
        let (server, drain) = (self.server.clone(), self.drain);
        let runtime = self
            .runtime
            .as_ref()
            .map(|runtime| runtime.handle().clone());
        command
            .env(VARIABLE, &self.socket)
            .env(METRICS_VARIABLE, self.max_metrics_port.to_string())
            .before_end(move || {
                if let Some(runtime) = &runtime {
                    runtime.block_on(server.drain(drain));
                }
            })
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.server.drain(LAST_WORDS));
            runtime.shutdown_timeout(LAST_WORDS);
        }
    }
}

/// Has keys and a certificate read again at SIGHUP, where there are files to read.
fn reload_at_hangup(server: &Arc<Server>) {
    if !server.can_reload() {
        return;
    }
    let server = Arc::downgrade(server);
    mxfp4_process::on_hangup(move || {
        if let Some(server) = server.upgrade() {
            server.reload();
        }
    });
}

fn config(context: &Context, launch: &Launch, max_metrics_port: u16, access: Access) -> Config {
    let honoured = &launch.honoured;
    let mut limits = Limits::default();
    if let Some(bytes) = honoured.max_request_bytes {
        limits.body = bytes;
    }
    if let Some(time) = honoured.keep_alive {
        limits.idle_time = time;
    }
    // Where that port is busy, which the checks warn of, `/metrics` is on the other one all the same.
    limits.choices = launch.batch().unwrap_or(MAX_BATCH) + launch.waiting(context);
    let is_free = metrics_port(&launch.host, launch.metrics_port).is_none();
    Config {
        host: launch.host.clone(),
        port: launch.port,
        metrics_port: is_free.then_some(launch.metrics_port),
        engine_metrics: Some((Ipv4Addr::LOCALHOST, max_metrics_port).into()),
        models: vec![launch.served_name()],
        limits,
        page: launch.page,
        keys: access.keys,
        metrics_without_key: access.metrics_without_key,
        tls: access.tls,
        origins: access.origins,
        store: access.kept.store,
        seal_keys: access.kept.seal_keys,
        ..Config::default()
    }
}

/// Where the vocabulary is found.
struct Tokenizer {
    name: String,
    cwd: PathBuf,
    ambient: Ambient,
}

impl Tokenizer {
    /// The model's `tokenizer.json`, once it is on this machine.
    fn file(&self) -> Option<PathBuf> {
        let model = Model::resolve(&self.name, &self.cwd, &self.ambient);
        Some(model.folder()?.join("tokenizer.json"))
    }
}

/// Serves once the engine is ready and has answered one request.
async fn await_engine(
    listener: EngineListener,
    server: Arc<Server>,
    tokenizer: Tokenizer,
    state: Arc<Mutex<State>>,
) {
    let reached = match connect(listener, &tokenizer).await {
        Ok(Some((engine, vocabulary))) => {
            server.ready(engine, vocabulary);
            State::Ready
        }
        // Its process ends, too, and tells why.
        Ok(None) => return,
        Err(error) => State::Refused(format!("{error:#}")),
    };
    *state.lock().unwrap_or_else(PoisonError::into_inner) = reached;
}

/// The engine and the vocabulary; none where the engine ended before it was ready.
async fn connect(
    listener: EngineListener,
    tokenizer: &Tokenizer,
) -> anyhow::Result<Option<(Engine, Arc<Vocabulary>)>> {
    // Loaded while MAX loads, where it is here already.
    let early = tokenizer.file().filter(|file| file.is_file()).map(load);
    let engine = match listener.engine().await {
        Ok(engine) => engine,
        Err(mxfp4_engine::StartError::Ended) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let loading =
        match early {
            Some(loading) => loading,
            None => load(tokenizer.file().with_context(|| {
                format!("the tokenizer.json of {} is not here", tokenizer.name)
            })?),
        };
    let vocabulary = Arc::new(loading.await??);
    try_out(&engine, &vocabulary).await?;
    Ok(Some((engine, vocabulary)))
}

fn load(file: PathBuf) -> tokio::task::JoinHandle<anyhow::Result<Vocabulary>> {
    tokio::task::spawn_blocking(move || Ok(Vocabulary::from_file(&file)?))
}

/// Sends one request of one token through the engine: what fails for every request fails before anyone is let in.
async fn try_out(engine: &Engine, vocabulary: &Vocabulary) -> anyhow::Result<()> {
    let mut generation = engine.generate(Request {
        prompt: vocabulary.encode("Hello"),
        max_tokens: Some(1),
        temperature: Some(0.0),
        ..Request::default()
    });
    while let Some(step) = generation.next().await {
        match step {
            Ok(_) => {}
            Err(EngineError::Gone(_)) => return Ok(()),
            Err(error) => {
                return Err(error).context("the engine does not answer the first request");
            }
        }
    }
    Ok(())
}

/// A port that nothing listens on.
fn free_port() -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
