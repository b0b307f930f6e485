//! The front end, and an engine that answers a question with that question: what this program is when it is started again.
//! Each ends with its standard input.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mxfp4_engine::scripted::{Answer, Fault, Options, Script};
use mxfp4_engine::{EngineListener, Hello, ScriptedEngine};
use mxfp4_harmony::Vocabulary;
use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_server::{Config, Limits, Server};
use tokio::runtime::Runtime;

use super::process::{Role, Settings};

pub fn run(role: &Role) -> ExitCode {
    super::allow_files();
    let runtime = Runtime::new().expect("threads can be started");
    match role {
        Role::FrontEnd(settings) => front_end(&runtime, settings),
        Role::Engine(settings, socket) => engine(&runtime, settings, Path::new(socket)),
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    let mut out = io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the test reads");
}

fn orders() -> impl Iterator<Item = String> {
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
    for line in orders() {
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
fn engine(runtime: &Runtime, settings: &Settings, socket: &Path) {
    let vocabulary = published_vocabulary().expect("the test looked for it");
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
    let engine = ScriptedEngine::start(socket, options, echo(vocabulary));
    for _ in orders() {
        say(&engine.cancelled().to_string());
    }
}

/// Answers the last message with itself, after a thought. `long N` instead has N tokens, and `stall` never ends.
fn echo(vocabulary: Arc<Vocabulary>) -> Script {
    let begin = vocabulary.encode_with_special(
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>",
    );
    let [message, end, last] = ["<|message|>", "<|end|>", "<|return|>"].map(|name| {
        vocabulary
            .special_id(name)
            .expect("the published vocabulary has it")
    });
    let filler = vocabulary.encode(" a")[0];
    Box::new(move |request| {
        let prompt = &request.prompt;
        let start = prompt.iter().rposition(|id| *id == message);
        let question = &prompt[start.map_or(0, |at| at + 1)..];
        let length = question.iter().position(|id| *id == end);
        let question = &question[..length.unwrap_or(question.len())];
        let text = vocabulary.decode(question);
        let mut tokens = begin.clone();
        match text.strip_prefix("long ").map(str::parse) {
            Some(Ok(length)) => tokens.extend(std::iter::repeat_n(filler, length)),
            _ => tokens.extend(question),
        }
        tokens.push(last);
        let mut answer = Answer::from(tokens);
        if text == "stall" {
            answer.tokens.pop();
            answer.fault = Some(Fault::Stall);
        }
        answer
    })
}
