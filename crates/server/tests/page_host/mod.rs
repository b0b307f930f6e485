//! The server that the browser meets, before an engine that answers by a script.

mod answers;
mod engine_metrics;

use std::io::{Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use mxfp4_engine::scripted::Options;
use mxfp4_engine::{EngineListener, ScriptedEngine};
use mxfp4_harmony::Vocabulary;
use mxfp4_server::{Config, Date, KeySource, Keys, Server};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::runtime::Runtime;

pub const MODEL: &str = "openai/gpt-oss-20b";

/// A server that can be stopped and started at the same port.
pub struct Host {
    runtime: Runtime,
    vocabulary: Arc<Vocabulary>,
    config: Config,
    /// The key that the server wants, once it wants one.
    key_file: NamedTempFile,
    /// The time of a token.
    step: Duration,
    server: Option<Server>,
    engine: Option<ScriptedEngine>,
}

impl Host {
    pub fn start(vocabulary: Arc<Vocabulary>, step: Duration) -> Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let engine_metrics = runtime.block_on(engine_metrics::serve());
        let key_file = NamedTempFile::new().map_err(|error| error.to_string())?;
        let mut host = Self {
            runtime,
            key_file,
            vocabulary,
            config: Config {
                port: 0,
                models: vec![MODEL.to_owned()],
                date: Date::Day("2026-12-01".to_owned()),
                engine_metrics: Some(engine_metrics),
                ..Config::default()
            },
            step,
            server: None,
            engine: None,
        };
        host.bind()?;
        host.ready()?;
        Ok(host)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.config.port)
    }

    /// Does what a line asks for, and answers with one.
    pub fn answer(&mut self, asked: &str) -> Result<Value, String> {
        if let Some(key) = asked.strip_prefix("want key ") {
            self.want(key)?;
            return Ok(json!(null));
        }
        match asked {
            "stop" => self.stop(),
            "bind" => self.bind()?,
            "ready" => self.ready()?,
            "kill engine" => self.engine = None,
            "cancelled" => return Ok(self.engine().cancelled().into()),
            "prompts" => {
                let requests = self.engine().requests();
                let text = |prompt: &[u32]| self.vocabulary.decode(prompt);
                return Ok(requests.iter().map(|each| text(&each.prompt)).collect());
            }
            _ => return Err(format!("{asked:?} is nothing to ask for")),
        }
        Ok(json!(null))
    }

    fn engine(&self) -> &ScriptedEngine {
        self.engine.as_ref().expect("the engine runs")
    }

    /// From now on this key is right and no other. A server that wanted none starts anew; one that did reads its file
    /// again.
    fn want(&mut self, key: &str) -> Result<(), String> {
        let file = self.key_file.as_file_mut();
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "page {key}"));
        written.map_err(|error| error.to_string())?;
        if self.config.keys.is_required() {
            self.server.as_ref().ok_or("no server listens")?.reload();
            return Ok(());
        }
        let source = KeySource {
            file: Some(self.key_file.path().to_owned()),
            ..KeySource::default()
        };
        self.config.keys = Keys::new(source).map_err(|error| error.to_string())?;
        self.stop();
        self.bind()?;
        self.ready()
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.drain(Duration::ZERO));
        }
        self.engine = None;
    }

    /// Listens, with no model yet.
    fn bind(&mut self) -> Result<(), String> {
        let bound = self.runtime.block_on(Server::bind(self.config.clone()));
        let server = bound.map_err(|error| error.to_string())?;
        self.config.port = server.addresses()[0].port();
        self.server = Some(server);
        Ok(())
    }

    fn ready(&mut self) -> Result<(), String> {
        let _inside = self.runtime.enter();
        let listener =
            EngineListener::bind(&std::env::temp_dir()).map_err(|error| error.to_string())?;
        let mut options = Options {
            step: self.step,
            ..Options::default()
        };
        options.hello.model = MODEL.to_owned();
        let script = answers::script(self.vocabulary.clone());
        self.engine = Some(ScriptedEngine::start(listener.path(), options, script));
        let engine = self.runtime.block_on(listener.engine());
        let engine = engine.map_err(|error| error.to_string())?;
        let server = self.server.as_ref().ok_or("no server listens")?;
        server.ready(engine, self.vocabulary.clone());
        Ok(())
    }
}
