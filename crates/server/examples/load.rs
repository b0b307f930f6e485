//! A client that asks for many streams at once and looks at every token.
//!
//! ```text
//! load prepare --tokenizer DIR --tokens N --script FILE --text FILE
//! load run --url URL --text FILE [--streams N] [--requests N] [--idle N] [--pid PID]
//! ```
//!
//! `prepare` writes an answer of N tokens, half of it reasoning, as a script for
//! `scripted_engine`, and the text that a client has to get. `run` keeps N streams open
//! until so many requests are answered, compares what came with the text, and prints one
//! object of JSON: tokens and events a second, events a token, and what the process PID
//! took of the processors, in microseconds a token. `--idle` holds so many connections
//! open beside the streams, on which nothing is sent.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mxfp4_harmony::Vocabulary;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("prepare") => prepare(&Arguments::parse(words)?),
        Some("run") => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(run(&Arguments::parse(words)?)),
        _ => Err("prepare or run".into()),
    }
}

#[derive(Default)]
struct Arguments {
    tokenizer: PathBuf,
    tokens: usize,
    script: PathBuf,
    text: PathBuf,
    url: String,
    streams: usize,
    requests: usize,
    idle: usize,
    pid: Option<u32>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self {
            streams: 512,
            ..Self::default()
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            match word.as_str() {
                "--tokenizer" => arguments.tokenizer = value.into(),
                "--tokens" => arguments.tokens = value.parse()?,
                "--script" => arguments.script = value.into(),
                "--text" => arguments.text = value.into(),
                "--url" => arguments.url = value,
                "--streams" => arguments.streams = value.parse()?,
                "--requests" => arguments.requests = value.parse()?,
                "--idle" => arguments.idle = value.parse()?,
                "--pid" => arguments.pid = Some(value.parse()?),
                _ => return Err(format!("{word} is not known").into()),
            }
        }
        arguments.requests = arguments.requests.max(arguments.streams);
        Ok(arguments)
    }
}

/// English, some code, and characters of several tokens.
const SAMPLE: &str = " The quick brown fox said: \"let x = a[3] * 2;\\n\" and went home.\n\
    Naïve café 😀 übermut 東京 — it costs 12.50 €, and that is all there is to say.";

fn prepare(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let vocabulary = Vocabulary::from_file(&arguments.tokenizer.join("tokenizer.json"))?;
    let special = vocabulary.special()?;
    let words = vocabulary.encode(&SAMPLE.repeat(arguments.tokens / 16 + 1));
    // The format's own tokens are tokens, too.
    let (thought, said) = words[..arguments.tokens - 8].split_at(arguments.tokens / 2);
    let mut tokens = vec![special.channel];
    tokens.extend(vocabulary.encode("analysis"));
    tokens.push(special.message);
    tokens.extend_from_slice(thought);
    tokens.extend([special.end, special.start]);
    tokens.extend(vocabulary.encode("assistant"));
    tokens.push(special.channel);
    tokens.extend(vocabulary.encode("final"));
    tokens.push(special.message);
    tokens.extend_from_slice(said);
    tokens.push(special.ret);
    std::fs::write(&arguments.script, serde_json::to_string(&tokens)?)?;
    let text = json!({
        "reasoning": vocabulary.decode(thought),
        "content": vocabulary.decode(said),
        "tokens": tokens.len(),
    });
    std::fs::write(&arguments.text, text.to_string())?;
    Ok(())
}

struct Run {
    host: String,
    request: String,
    text: Value,
    left: AtomicUsize,
    /// Whether answers are looked at as they come, and not when all are there: it costs
    /// the processors that are measured, but keeps nothing.
    at_once: bool,
}

/// Answers that are too many bytes to be kept.
const MANY: usize = 20_000;

/// What one connection got.
#[derive(Default)]
struct Got {
    answers: Vec<Vec<u8>>,
    /// Answers that were looked at, and their events.
    checked: usize,
    events: usize,
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let text: Value = serde_json::from_slice(&std::fs::read(&arguments.text)?)?;
    let host = arguments.url.trim_start_matches("http://").to_owned();
    let body = json!({
        "messages": [{"role": "user", "content": "Say it."}],
        "stream": true,
        "stream_options": {"include_usage": true},
    })
    .to_string();
    let run = Arc::new(Run {
        request: format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        host,
        text,
        left: AtomicUsize::new(arguments.requests),
        at_once: arguments.requests > MANY,
    });
    let mut idle = Vec::new();
    for _ in 0..arguments.idle {
        idle.push(TcpStream::connect(&run.host).await?);
    }
    let processor = arguments.pid.map(processor_time).transpose()?;
    let started = Instant::now();
    let streams: Vec<_> = (0..arguments.streams)
        .map(|_| tokio::spawn(stream(run.clone())))
        .collect();
    let mut got = Vec::new();
    for each in streams {
        got.push(each.await??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let used = match (arguments.pid, processor) {
        (Some(pid), Some(before)) => Some(processor_time(pid)? - before),
        _ => None,
    };
    let (mut requests, mut events) = (0, 0);
    for each in &got {
        requests += each.checked + each.answers.len();
        events += each.events;
        for answer in &each.answers {
            events += check(answer, &run.text).map_err(|error| error.to_string())?;
        }
    }
    let tokens = requests as f64 * run.text["tokens"].as_f64().unwrap_or_default();
    let report = json!({
        "requests": requests,
        "idle": idle.len(),
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "events_per_second": events as f64 / seconds,
        "events_per_token": events as f64 / tokens,
        "server_us_per_token": used.map(|used| used * 1e6 / tokens),
        "server_us_per_request": used.map(|used| used * 1e6 / requests as f64),
        "server_resident_mib": arguments.pid.map(resident_mib).transpose()?,
    });
    println!("{report}");
    Ok(())
}

/// Asks again and again on one connection. Returns the answers as they came.
async fn stream(run: Arc<Run>) -> std::io::Result<Got> {
    let mut connection = TcpStream::connect(&run.host).await?;
    connection.set_nodelay(true)?;
    let mut got = Got::default();
    let take = |left: usize| left.checked_sub(1);
    while run
        .left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        connection.write_all(run.request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(64 << 10);
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            if connection.read_buf(&mut answer).await? == 0 {
                return Err(std::io::Error::other("the server closed"));
            }
        }
        if run.at_once {
            got.events += check(&answer, &run.text).map_err(std::io::Error::other)?;
            got.checked += 1;
        } else {
            got.answers.push(answer);
        }
    }
    Ok(got)
}

/// Every token of the text has to be there. Returns the number of events with text.
fn check(answer: &[u8], text: &Value) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let answer = std::str::from_utf8(answer)?;
    let (mut content, mut reasoning, mut usage) = (String::new(), String::new(), Value::Null);
    let mut events = 0;
    let mut done = false;
    for line in answer.lines() {
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data)?;
        let delta = &chunk["choices"][0]["delta"];
        let parts = [(&mut content, "content"), (&mut reasoning, "reasoning")];
        for (whole, key) in parts {
            if let Some(part) = delta[key].as_str().filter(|part| !part.is_empty()) {
                whole.push_str(part);
                events += 1;
            }
        }
        if chunk["usage"].is_object() {
            usage = chunk["usage"]["completion_tokens"].clone();
        }
    }
    let right = done
        && text["content"] == content
        && text["reasoning"] == reasoning
        && text["tokens"] == usage;
    if right {
        Ok(events)
    } else {
        Err(format!("an answer is wrong: {answer}").into())
    }
}

/// Seconds of the processors, in user and system mode.
fn processor_time(pid: u32) -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat
        .rsplit_once(") ")
        .ok_or("/proc/PID/stat is not as known")?;
    let ticks = |place: usize| -> Result<f64, Box<dyn Error>> {
        Ok(rest
            .split(' ')
            .nth(place)
            .ok_or("too few fields")?
            .parse()?)
    };
    // Fields 14 and 15, of which the second and third stand before the name's end. Linux
    // counts a hundred a second.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn resident_mib(pid: u32) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? / 1024.0)
}
