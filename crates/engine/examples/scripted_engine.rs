//! An engine without a model, as a process of its own.
//!
//! ```text
//! MXFP4_ENGINE_SOCKET=PATH scripted_engine [--step-ms N] [--script FILE] [--by-prompt] [--tokens N]
//! ```
//!
//! `--script FILE` has a list of tokens in each line, as JSON, which are given in turn,
//! or with `--by-prompt` by a hash of the prompt. Without it each request gets
//! `--tokens N` times the same token, or its `max_tokens`. `--step-ms` may have
//! fractions.

use mxfp4_engine::scripted::{Options, Script, filler, in_turn};
use mxfp4_engine::{ScriptedEngine, VARIABLE};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

/// A token of GPT-OSS' vocabulary that is a word: " the".
const WORD: u32 = 290;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut script = None;
    let mut by_prompt = false;
    let mut tokens = 128;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--step-ms" => options.step = Duration::from_secs_f64(value()?.parse::<f64>()? / 1e3),
            "--script" => script = Some(value()?),
            "--by-prompt" => by_prompt = true,
            "--tokens" => tokens = value()?.parse()?,
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    let path = std::env::var_os(VARIABLE).ok_or(format!("{VARIABLE} is not set"))?;
    let script = match script {
        Some(file) => read(&file, by_prompt)?,
        None => filler(WORD, tokens),
    };
    Ok(ScriptedEngine::serve(Path::new(&path), options, script).await?)
}

fn read(file: &str, by_prompt: bool) -> Result<Script, Box<dyn Error>> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let mut answers = Vec::new();
    for line in text.lines() {
        answers.push(serde_json::from_str::<Vec<u32>>(line)?);
    }
    if answers.is_empty() {
        return Err(format!("{file} has no lines").into());
    }
    if !by_prompt {
        return Ok(in_turn(answers.into_iter().map(Into::into).collect()));
    }
    Ok(Box::new(move |request| {
        let mut hasher = DefaultHasher::new();
        request.prompt.hash(&mut hasher);
        let chosen = hasher.finish() % answers.len() as u64;
        answers[usize::try_from(chosen).expect("fewer than there are")]
            .clone()
            .into()
    }))
}
