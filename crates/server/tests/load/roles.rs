//! The front end, and an engine that answers a question with that question: what this program is when it is started again.
//! Each ends with its standard input.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mxfp4_engine::scripted::{Answer, Fault, Options, Script};
use mxfp4_engine::{EngineListener, Hello, ScriptedEngine};
use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_server::{Config, Limits, Server};
use tokio::runtime::Runtime;

use super::process::{Role, Settings, Words, orders};

pub fn run(role: &Role) -> ExitCode {
    super::allow_files();
    let runtime = Runtime::new().expect("threads can be started");
    match role {
        Role::FrontEnd(settings) => front_end(&runtime, settings),
        Role::Engine(settings, socket, words) => {
            engine(&runtime, settings, Path::new(socket), words.clone());
        }
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    let mut out = io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the test reads");
}

fn lines() -> impl Iterator<Item = String> {
    io::stdin().lock().lines().map_while(Result::ok)
}

/// Obeys `live`, which asks for the number of requests in the engine, and `drain SECONDS`.
fn front_end(runtime: &Runtime, settings: &Settings) {
    let vocabulary = published_vocabulary().expect("the test looked for it");
    let folder = std::env::temp_dir();
    let (server, engine) = runtime.block_on(async {
        let listener = EngineListener::bind(&folder).expect("a folder can be made");
        let server = Server::bind(config(settings))
            .await
            .expect("a port is free");
        let (address, socket) = (server.addresses()[0], listener.path());
        say(&format!("{address} {}", socket.display()));
        let engine = listener.engine().await.expect("the engine connects");
        server.ready(engine.clone(), vocabulary);
        (server, engine)
    });
    say("ready");
    for line in lines() {
        match line.strip_prefix("drain ") {
            None => say(&engine.live().to_string()),
            Some(seconds) => {
                let seconds = seconds.parse().expect("seconds");
                let drained = runtime.block_on(server.drain(Duration::from_secs(seconds)));
                say(&format!("cut: {}", drained.cut));
            }
        }
    }
}

fn config(settings: &Settings) -> Config {
    let patience = Duration::from_secs(settings.patience);
    Config {
        port: 0,
        limits: Limits {
            idle_time: Duration::from_secs(settings.keep_alive),
            head_time: patience,
            body_time: patience,
            write_time: patience,
            ..Limits::default()
        },
        ..Config::default()
    }
}

/// Obeys `cancelled`, which asks for the number of requests that it was told to leave.
fn engine(runtime: &Runtime, settings: &Settings, socket: &Path, words: Words) {
    let options = Options {
        hello: Hello {
            max_batch: Some(settings.batch),
            ..Options::default().hello
        },
        step: Duration::from_millis(settings.step),
        queue: settings.queue,
        ..Options::default()
    };
    let _entered = runtime.enter();
    let engine = ScriptedEngine::start(socket, options, echo(words));
    for _ in lines() {
        say(&engine.cancelled().to_string());
    }
}

/// Answers the last message with itself, after a thought, unless the seed is an order.
fn echo(words: Words) -> Script {
    Box::new(move |request| {
        let mut tokens = words.begin.clone();
        match request.seed {
            Some(orders::STALL) => return Answer::from(Fault::Stall),
            Some(orders::LONG) => {
                let length = request.max_tokens.unwrap_or(0) as usize;
                tokens.resize(length, words.filler);
            }
            _ => {
                let prompt = &request.prompt;
                let start = prompt.iter().rposition(|id| *id == words.message);
                let question = &prompt[start.map_or(0, |at| at + 1)..];
                let end = question.iter().position(|id| *id == words.end);
                tokens.extend(&question[..end.unwrap_or(question.len())]);
                tokens.push(words.last);
            }
        }
        Answer::from(tokens)
    })
}
