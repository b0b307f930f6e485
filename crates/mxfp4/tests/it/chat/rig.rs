//! This repository's server before an engine that answers by a script.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mxfp4_engine::scripted::{Options, in_turn};
use mxfp4_engine::{EngineListener, ScriptedEngine};
use mxfp4_server::{Config, Server};
use tokio::runtime::Runtime;

use crate::chat::vocabulary::{tokens, vocabulary};
use crate::support::mxfp4;

/// How long something may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and what its engine got.
pub struct Rig {
    pub scripted: ScriptedEngine,
    pub address: SocketAddr,
    _server: Server,
    _runtime: Runtime,
}

impl Rig {
    /// Answers in turn, each a text in the model's format, a token as often as `step` says.
    pub fn new(answers: &[String], step: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads can be started");
        let script = in_turn(answers.iter().map(|text| tokens(text).into()).collect());
        let options = Options {
            step,
            ..Options::default()
        };
        let (server, scripted) = runtime.block_on(async {
            let config = Config {
                port: 0,
                models: vec!["openai/gpt-oss-20b".to_owned()],
                ..Config::default()
            };
            let server = Server::bind(config).await.expect("a port is free");
            let folder = tempfile::tempdir().expect("a folder can be made");
            let listener = EngineListener::bind(folder.path()).expect("a socket can be made");
            let scripted = ScriptedEngine::start(listener.path(), options, script);
            let engine = listener.engine().await.expect("the engine connects");
            server.ready(engine, vocabulary());
            (server, scripted)
        });
        Self {
            scripted,
            address: server.addresses()[0],
            _server: server,
            _runtime: runtime,
        }
    }

    /// One that answers at once.
    pub fn quick(answers: &[String]) -> Self {
        Self::new(answers, Duration::ZERO)
    }

    /// The server's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The prompts that reached the engine.
    pub fn prompts(&self) -> Vec<String> {
        let requests = self.scripted.requests();
        requests
            .iter()
            .map(|request| vocabulary().decode(&request.prompt))
            .collect()
    }
}

/// Reasoning and an answer, in the model's format.
pub fn says(reasoning: &str, answer: &str) -> String {
    format!(
        "<|channel|>analysis<|message|>{reasoning}<|end|><|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
    )
}

/// `mxfp4 chat` with the server at `url`.
pub fn chat(folder: &Path, url: &str) -> Command {
    let mut command = mxfp4(folder);
    command.args(["chat", "--url", url]);
    command
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
