//! The front end by itself: before an engine that answers by a script, or before any
//! program that speaks the engine's protocol.
//!
//! ```text
//! front_end --tokenizer DIR|FILE [--listen ADDRESS] [--model NAME]
//!           [--api-key-file FILE] [--tls-cert FILE --tls-key FILE]
//!           [--store PATH|memory] [--seal-key-file FILE]
//!           [--script FILE [--step-ms N] | -- ENGINE ARGUMENTS...]
//! ```
//!
//! Keys come in MXFP4_API_KEY, too, with commas between them. SIGHUP has files read again.
//!
//! It prints `listening URL`, then `ready URL`, each as a line. Without a script and an
//! engine it prints `MXFP4_ENGINE_SOCKET=PATH` in between and waits for an engine there.
//! SIGTERM drains it for 5 seconds. The log goes to standard error.
//!
//! A script has an answer in each line, as JSON: a text in the model's own format, as
//! `"<|channel|>final<|message|>Hi.<|return|>"`, or an array of token ids. They are given
//! in turn. `{"has": "Paris", "answer": ...}` instead answers each prompt that has the text.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use mxfp4_engine::scripted::{Answer, Options, Script};
use mxfp4_engine::{EngineListener, ScriptedEngine, VARIABLE};
use mxfp4_harmony::Vocabulary;
use mxfp4_server::{
    Config, KeySource, Keys, SealKey, Secret, Server, Store, StoreError, StoreLimits, Tls,
};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DRAIN: Duration = Duration::from_secs(5);

struct Arguments {
    tokenizer: PathBuf,
    config: Config,
    tls: bool,
    script: Option<PathBuf>,
    step: Duration,
    engine: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let arguments = parse(std::env::args().skip(1))?;
    let server = Server::bind(arguments.config.clone()).await?;
    let scheme = if arguments.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", server.addresses()[0]);
    println!("listening {url}");
    let vocabulary = Arc::new(Vocabulary::from_file(&tokenizer(&arguments.tokenizer))?);
    let listener = EngineListener::bind(&std::env::temp_dir())?;
    let mut child = None;
    let mut scripted = None;
    if let Some(file) = &arguments.script {
        let options = Options {
            step: arguments.step,
            ..Options::default()
        };
        let script = read(file, &vocabulary)?;
        scripted = Some(ScriptedEngine::start(listener.path(), options, script));
    } else if let Some((program, rest)) = arguments.engine.split_first() {
        child = Some(start(program, rest, listener.path())?);
    } else {
        println!("{VARIABLE}={}", listener.path().display());
    }
    let engine = listener.engine().await?;
    server.ready(engine.clone(), vocabulary);
    println!("ready {url}");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = hangup.recv() => server.reload(),
            gone = engine.gone() => {
                eprintln!("the engine is gone: {gone}");
                break;
            }
        }
    }
    let drained = server.drain(DRAIN).await;
    eprintln!("drained; {} requests were cut", drained.cut);
    drop(scripted);
    if let Some(mut child) = child {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments {
        tokenizer: PathBuf::new(),
        config: Config {
            port: 0,
            ..Config::default()
        },
        tls: false,
        script: None,
        step: Duration::from_millis(5),
        engine: Vec::new(),
    };
    let given = std::env::var("MXFP4_API_KEY");
    let mut source = KeySource {
        keys: given
            .iter()
            .flat_map(|keys| keys.split(','))
            .map(Secret::new)
            .collect(),
        ..KeySource::default()
    };
    let (mut certificate, mut key) = (None, None);
    while let Some(word) = words.next() {
        if word == "--" {
            arguments.engine = words.collect();
            break;
        }
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        match word.as_str() {
            "--tokenizer" => arguments.tokenizer = value.into(),
            "--listen" => {
                let (host, port) = value.rsplit_once(':').ok_or("--listen takes HOST:PORT")?;
                arguments.config.host = host.to_owned();
                arguments.config.port = port.parse()?;
            }
            "--model" => arguments.config.models.push(value),
            "--api-key-file" => source.file = Some(value.into()),
            "--tls-cert" => certificate = Some(value.into()),
            "--tls-key" => key = Some(value.into()),
            "--store" => arguments.config.store = Some(store(&value)?),
            "--seal-key-file" => {
                arguments.config.seal_keys = SealKey::of_file(&std::fs::read_to_string(value)?)?;
            }
            "--script" => arguments.script = Some(value.into()),
            "--step-ms" => arguments.step = Duration::from_secs_f64(value.parse::<f64>()? / 1e3),
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    if arguments.tokenizer.as_os_str().is_empty() {
        return Err("--tokenizer DIR is needed".into());
    }
    arguments.config.keys = Keys::new(source)?;
    if let (Some(certificate), Some(key)) = (certificate, key) {
        arguments.config.tls = Some(Tls::load(certificate, key)?);
        arguments.tls = true;
    }
    Ok(arguments)
}

fn store(place: &str) -> Result<Store, StoreError> {
    let limits = StoreLimits::default();
    match place {
        "memory" => Ok(Store::memory(limits)),
        path => Store::file(Path::new(path), limits),
    }
}

fn tokenizer(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("tokenizer.json")
    } else {
        path.to_owned()
    }
}

fn start(program: &str, arguments: &[String], socket: &Path) -> std::io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .env(VARIABLE, socket)
        .spawn()
}

/// An answer to prompts that have a text.
struct Rule {
    has: String,
    tokens: Vec<u32>,
}

fn read(file: &Path, vocabulary: &Arc<Vocabulary>) -> Result<Script, Box<dyn Error>> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut rules = Vec::new();
    let mut in_turn = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line)?;
        match value.get("has").and_then(Value::as_str) {
            Some(has) => rules.push(Rule {
                has: has.to_owned(),
                tokens: tokens(&value["answer"], vocabulary)?,
            }),
            None => in_turn.push(tokens(&value, vocabulary)?),
        }
    }
    if in_turn.is_empty() {
        return Err(format!("{} has no answer without `has`", file.display()).into());
    }
    let mut next = 0;
    let vocabulary = vocabulary.clone();
    Ok(Box::new(move |request| {
        let prompt = vocabulary.decode(&request.prompt);
        if let Some(rule) = rules.iter().find(|rule| prompt.contains(&rule.has)) {
            return Answer::from(rule.tokens.clone());
        }
        next += 1;
        in_turn[(next - 1) % in_turn.len()].clone().into()
    }))
}

fn tokens(value: &Value, vocabulary: &Vocabulary) -> Result<Vec<u32>, Box<dyn Error>> {
    match value {
        Value::String(text) => Ok(vocabulary.encode_with_special(text)),
        ids => Ok(serde_json::from_value(ids.clone())?),
    }
}
