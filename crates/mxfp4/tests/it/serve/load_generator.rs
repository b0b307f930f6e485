//! The load generator of `mxfp4 bench serve`, before a small HTTP server that answers as it is told, byte for byte.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{folder, mxfp4, run, trial};

/// An SDK, as far as it is looked at, whose Python makes a "table" of the first record, and fails for others.
const SDK: [(&str, &str); 3] = [
    (
        "sdk/bin/python",
        "#!/bin/sh\necho \"$@\"\ngrep -q first \"$3\" || { echo 'error: no step' >&2; exit 1; }\n",
    ),
    ("sdk/lib/python3.11/site-packages/modular/bin/mojo", ""),
    (
        "sdk/lib/python3.11/site-packages/max/_entrypoints/pipelines.py",
        "",
    ),
];

/// Tokens that are asked for.
const TOKENS: u64 = 5;

/// How long a program may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        trial::test(module_path!(), name, move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("bench_serve_reads_streams_however_they_are_cut", whole),
        trial("bench_serve_counts_what_is_lost", lost),
        trial("bench_serve_compares_with_a_peer", a_peer),
        trial("bench_serve_connects_again_where_it_must", connections),
        trial("bench_serve_ends_by_a_signal", a_signal),
        trial("bench_serve_says_what_is_not_there", not_there),
        trial("bench_serve_has_steps_recorded", profile),
    ]
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// An event, a chunk and a write each.
    EventByEvent,
    /// Chunks of 3 bytes, written 7 bytes at a time.
    CutAnywhere,
    /// All events in one chunk and one write.
    AtOnce,
    /// All events, lines ended by CR and LF, and a length in the headers.
    WithLength,
    /// All events, then the connection is closed.
    UntilClosed,
    /// A status and a body.
    Status(&'static str, &'static str),
    /// Closed within a chunk.
    Cut,
    /// No `[DONE]`.
    NotDone,
    /// Too few tokens.
    Short,
    /// The server does not count.
    NoUsage,
    /// An error after the first token.
    Error,
    /// Closed without a word.
    Nothing,
    /// Nothing comes.
    Stuck,
}

/// What a server got.
#[derive(Default)]
struct Got {
    bodies: Mutex<Vec<Value>>,
    connections: AtomicUsize,
}

/// A server that answers its completions in these ways in turn; its address.
fn server(kinds: &'static [Kind]) -> (String, Arc<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let got = Arc::new(Got::default());
    let shared = got.clone();
    let next = Arc::new(AtomicUsize::new(0));
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let (got, next) = (shared.clone(), next.clone());
            // A client that leaves ends it.
            spawn(move || connection(&stream, kinds, &got, &next));
        }
    });
    (format!("http://{address}"), got)
}

fn connection(
    stream: &TcpStream,
    kinds: &[Kind],
    got: &Got,
    next: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut is_first = true;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        for line in head.lines() {
            let line = line.to_ascii_lowercase();
            if let Some(number) = line.strip_prefix("content-length:") {
                length = number.trim().parse().expect("it is a number");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if head.starts_with("GET /health ") {
            plain(stream, "200 OK", "")?;
            continue;
        }
        if head.starts_with("GET /v1/models ") {
            plain(stream, "200 OK", r#"{"data":[{"id":"the model"}]}"#)?;
            continue;
        }
        assert!(
            head.starts_with("POST /v1/completions HTTP/1.1\r\n"),
            "{head}"
        );
        if std::mem::take(&mut is_first) {
            got.connections.fetch_add(1, Ordering::SeqCst);
        }
        let body = serde_json::from_slice(&body).expect("it is JSON");
        got.bodies
            .lock()
            .expect("no test panics with it")
            .push(body);
        let number = next.fetch_add(1, Ordering::SeqCst);
        if !answer(stream, kinds[number % kinds.len()])? {
            return Ok(());
        }
    }
}

fn plain(mut stream: &TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    stream.write_all(
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
    )
}

/// Answers; whether the connection stays.
fn answer(mut stream: &TcpStream, kind: Kind) -> std::io::Result<bool> {
    const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let chunked = format!("{STREAM}transfer-encoding: chunked\r\n\r\n");
    let whole = events(kind).concat();
    let pieces: Vec<Vec<u8>> = match kind {
        Kind::Status(status, body) => {
            plain(stream, status, body)?;
            return Ok(true);
        }
        Kind::Nothing => return Ok(false),
        Kind::Stuck => {
            sleep(PATIENCE);
            return Ok(false);
        }
        Kind::WithLength => {
            let whole = whole.replace('\n', "\r\n");
            let head = format!("{STREAM}content-length: {}\r\n\r\n", whole.len());
            vec![head.into_bytes(), whole.into_bytes()]
        }
        Kind::UntilClosed => {
            let head = format!("{STREAM}connection: close\r\n\r\n");
            vec![head.into_bytes(), whole.into_bytes()]
        }
        Kind::CutAnywhere => {
            let mut bytes = chunked.into_bytes();
            bytes.extend(whole.as_bytes().chunks(3).flat_map(chunk));
            bytes.extend(chunk(b""));
            bytes.chunks(7).map(<[u8]>::to_vec).collect()
        }
        Kind::AtOnce => {
            let parts = [chunked.into_bytes(), chunk(whole.as_bytes()), chunk(b"")];
            vec![parts.concat()]
        }
        Kind::Cut => {
            let chunk = chunk(whole.as_bytes());
            vec![chunked.into_bytes(), chunk[..chunk.len() - 9].to_vec()]
        }
        _ => {
            let mut pieces = vec![chunked.into_bytes()];
            pieces.extend(events(kind).iter().map(|event| chunk(event.as_bytes())));
            pieces.push(chunk(b""));
            pieces
        }
    };
    for piece in pieces {
        stream.write_all(&piece)?;
    }
    Ok(!matches!(kind, Kind::Cut | Kind::UntilClosed))
}

/// The events of a stream.
fn events(kind: Kind) -> Vec<String> {
    let tokens = if kind == Kind::Short { 2 } else { TOKENS };
    let event = |value: Value| format!("data: {value}\n\n");
    let text = |text: &str| {
        event(json!({"id": "c", "choices": [{"index": 0, "text": text}], "usage": null}))
    };
    let mut events = vec![": hello\n\n".to_owned()];
    events.extend((0..tokens).map(|_| text("é\"\n")));
    if kind == Kind::Error {
        events.insert(
            2,
            event(json!({"error": {"message": "the engine is gone"}})),
        );
    }
    if kind != Kind::NoUsage {
        let usage = json!({"prompt_tokens": 8, "completion_tokens": tokens});
        events.push(event(json!({"choices": [], "usage": usage})));
    }
    if kind != Kind::NotDone {
        events.push("data: [DONE]\n\n".into());
    }
    events
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(bytes);
    chunk.extend(b"\r\n");
    chunk
}

/// A workspace with a tokenizer whose tokens are bytes.
pub fn workspace() -> tempfile::TempDir {
    // Bytes that are no letters of Latin-1 are written as the characters from U+0100 on, in turn.
    let mut others = '\u{100}'..;
    let characters = (0..=u8::MAX).map(|byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte).to_string(),
        _ => others.next().map(String::from).unwrap_or_default(),
    });
    let vocabulary: serde_json::Map<_, _> = characters
        .enumerate()
        .map(|(id, character)| (character, json!(id)))
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": bytes,
        "decoder": bytes,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    folder([
        ("mxfp4.toml", String::new()),
        ("tokenizer/tokenizer.json", tokenizer.to_string()),
    ])
}

/// `mxfp4 bench serve` of the server at `url`, with these words. There is no SDK.
pub fn bench(place: &tempfile::TempDir, url: &str, words: &str) -> Command {
    let mut command = mxfp4(place.path());
    command
        .args(["bench", "serve", "--url", url, "--shape", "8/5"])
        .args(["--json", "run.json"])
        .args(words.split(' '))
        .env("MXFP4_SDK", "/nowhere");
    command
}

/// One request at once, and no round before it.
pub const ONE: &str = "--tokenizer tokenizer --warmup 0 --concurrency 1 --requests";

fn recorded(place: &tempfile::TempDir) -> Value {
    let text = fs::read(place.path().join("run.json")).expect("it is written");
    serde_json::from_slice(&text).expect("it is JSON")
}

fn whole() {
    const KINDS: &[Kind] = &[
        Kind::EventByEvent,
        Kind::CutAnywhere,
        Kind::AtOnce,
        Kind::WithLength,
        Kind::UntilClosed,
    ];
    let place = workspace();
    let (url, got) = server(KINDS);
    let ran = run(&mut bench(
        &place,
        &url,
        "--tokenizer tokenizer --concurrency 1 --requests 5",
    ));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("8/5"), "{ran:#?}");
    let level = &recorded(&place)["levels"][0];
    let counts = [
        "requests",
        "failed",
        "short",
        "input_tokens",
        "output_tokens",
    ];
    let counts = counts.map(|name| level[name].as_u64());
    assert_eq!(counts, [5, 0, 0, 40, 25].map(Some), "{level:#}");
    for name in ["ttft_ms", "tpot_ms", "itl_ms"] {
        let at = |percentile: &str| level[name][percentile].as_f64().expect("it is measured");
        assert!(at("p99") > 0.0 && at("p50") <= at("p99"), "{level:#}");
    }

    let bodies = got.bodies.lock().expect("no test panics with it");
    assert_eq!(bodies.len(), 1 + KINDS.len(), "one is the warm-up");
    let mut prompts: Vec<&str> = Vec::new();
    for body in bodies.iter() {
        let prompt = body["prompt"].as_str().expect("it is text");
        assert_eq!(prompt.len(), 8, "a letter is a token: {body}");
        prompts.push(prompt);
        let expected = json!({
            "model": "the model", "prompt": prompt, "max_tokens": TOKENS, "ignore_eos": true, "temperature": 0,
            "stream": true, "stream_options": {"include_usage": true},
        });
        assert_eq!(*body, expected);
    }
    prompts.sort_unstable();
    prompts.dedup();
    assert_eq!(prompts.len(), bodies.len(), "no two are alike");
}

fn lost() {
    const KINDS: &[Kind] = &[
        Kind::AtOnce,
        Kind::Status(
            "503 Service Unavailable",
            r#"{"error":{"message":"it is full"}}"#,
        ),
        Kind::Status("500 Internal Server Error", "<html>"),
        Kind::Cut,
        Kind::NotDone,
        Kind::Short,
        Kind::NoUsage,
        Kind::Error,
        Kind::Nothing,
        Kind::EventByEvent,
    ];
    let place = workspace();
    // Five errors are told, so each kind has a run of its own.
    for (kind, why) in [
        (1, "503 Service Unavailable: it is full"),
        (2, "500 Internal Server Error"),
        (3, "error reading a body from connection"),
        (4, "without [DONE]"),
        (6, "no usage"),
        (7, "the engine is gone"),
        (8, "connection closed before message completed"),
    ] {
        let (url, _) = server(&KINDS[kind..=kind]);
        let ran = run(&mut bench(&place, &url, &format!("{ONE} 2")));
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let expected = "lost: 8/5 at 1: 2 of 2 requests failed, 0 had another number of tokens: ";
        let line = ran
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(expected));
        assert!(
            line.is_some_and(|line| line.contains(why)),
            "{why}: {ran:#?}"
        );
    }
    let (url, _) = server(KINDS);
    let ran = run(&mut bench(&place, &url, &format!("{ONE} 20")));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let sentence = "16 requests were not answered with as many tokens as were asked for";
    assert!(ran.stderr.contains(sentence), "{ran:#?}");
    let level = &recorded(&place)["levels"][0];
    let counts = ["requests", "failed", "short", "output_tokens"].map(|name| level[name].as_u64());
    assert_eq!(counts, [20, 14, 2, 4 * 5 + 2 * 2].map(Some), "{level:#}");
    let errors = level["errors"].as_array().expect("there are some");
    assert_eq!(errors.len(), 5, "{level:#}");
    assert_eq!(errors[0], "2 tokens instead of 5", "{level:#}");
}

fn a_peer() {
    let place = workspace();
    let (url, got) = server(&[Kind::AtOnce]);
    let (peer, peers) = server(&[Kind::EventByEvent, Kind::Short]);
    let ran = run(&mut bench(
        &place,
        &url,
        &format!(
            "--tokenizer tokenizer --warmup 0 --concurrency 2,1 --requests 4 --peer-url {peer}"
        ),
    ));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.stdout.contains("compared with the peer"), "{ran:#?}");
    let sentence = "lost: the peer, 8/5 at 2: 0 of 4 requests failed, 2 had another number";
    assert!(ran.stdout.contains(sentence), "{ran:#?}");
    let record = recorded(&place);
    for (number, at_once) in [(0, 2), (1, 1)] {
        for (whose, tokens) in [("levels", 20), ("peer", 14)] {
            let level = &record[whose][number];
            assert_eq!(level["concurrency"], at_once, "{record:#}");
            assert_eq!(level["output_tokens"], tokens, "{record:#}");
        }
    }
    let prompts = |got: &Got| -> Vec<String> {
        let bodies = got.bodies.lock().expect("no test panics with it");
        let mut prompts: Vec<String> = bodies.iter().map(|b| b["prompt"].to_string()).collect();
        prompts.sort_unstable();
        prompts
    };
    assert_eq!(prompts(&got), prompts(&peers), "both get the same");
}

fn connections() {
    let place = workspace();
    let (url, got) = server(&[Kind::AtOnce]);
    let ran = run(&mut bench(
        &place,
        &url,
        "--tokenizer tokenizer --warmup 0 --concurrency 3 --requests 90",
    ));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(got.connections.load(Ordering::SeqCst), 3);
    let (url, got) = server(&[Kind::UntilClosed, Kind::AtOnce, Kind::AtOnce]);
    let ran = run(&mut bench(&place, &url, &format!("{ONE} 9")));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(got.connections.load(Ordering::SeqCst), 4);
}

fn a_signal() {
    let place = workspace();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (url, got) = server(&[Kind::AtOnce, Kind::Stuck]);
        let began = Instant::now();
        let child = bench(&place, &url, &format!("{ONE} 2"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let sent = || got.bodies.lock().expect("no test panics with it").len();
        while sent() < 2 && began.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20));
        }
        run(Command::new("kill").args(["-s", signal, &child.id().to_string()]));
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(began.elapsed() < PATIENCE, "it waited for the answer");
        assert!(!place.path().join("run.json").exists());
    }
}

fn not_there() {
    let place = workspace();
    let ran = run(&mut bench(
        &place,
        "http://127.0.0.1:1",
        &format!("{ONE} 1"),
    ));
    assert_eq!(ran.code, Some(5), "{ran:#?}");
    assert!(
        ran.stderr
            .contains("no server is ready on http://127.0.0.1:1"),
        "{ran:#?}"
    );
    let (url, _) = server(&[Kind::AtOnce]);
    let ran = run(&mut bench(
        &place,
        &url,
        &format!("{ONE} 1 --peer-url http://127.0.0.1:1"),
    ));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let sentence = "the server at http://127.0.0.1:1 does not say what it serves";
    assert!(ran.stderr.contains(sentence), "{ran:#?}");
    let ran = run(&mut bench(&place, &url, "--tokenizer nowhere"));
    assert_eq!(ran.code, Some(5), "{ran:#?}");
    assert!(ran.stderr.contains("nowhere/tokenizer.json"), "{ran:#?}");
}

fn profile() {
    let place = workspace();
    for (name, content) in SDK {
        let file = place.path().join(name);
        fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it can be made");
        fs::write(&file, content).expect("it can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("it is ours");
    }
    let recorded = place.path().join("p");
    fs::create_dir(&recorded).expect("it can be made");
    fs::write(recorded.join("record.json"), "of another load").expect("it can be written");
    let (url, got) = server(&[Kind::AtOnce]);
    let server = spawn(recorder(recorded.clone()));
    let ran = run(bench(
        &place,
        &url,
        "--tokenizer tokenizer --warmup 0 --requests 3 --concurrency 1,2 --profile p",
    )
    .env("MXFP4_SDK", place.path().join("sdk")));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    server.join().expect("it was asked twice");
    let told = |name: &str| fs::read_to_string(recorded.join(name)).expect("it is written");
    let record = recorded.join("record.json");
    let table = format!("-m mxfp4.profile {}\n", record.display());
    assert_eq!(told("8-5-1.md"), table);
    assert_eq!(
        told("8-5-2.md"),
        "There is no table (exit code 1): error: no step\n"
    );
    let bodies = got.bodies.lock().expect("no test panics with it");
    assert_eq!(bodies.len(), 3 + 1 + 3 + 2, "each load is sent once more");
}

/// What records twice where it is asked to, as a server does.
fn recorder(folder: PathBuf) -> impl FnOnce() {
    move || {
        for content in ["first", "second"] {
            let (request, began) = (folder.join("request"), Instant::now());
            let asked = loop {
                match fs::read_to_string(&request) {
                    Ok(asked) if !asked.is_empty() => break asked,
                    _ => assert!(began.elapsed() < PATIENCE, "nothing is asked"),
                }
                sleep(Duration::from_millis(5));
            };
            assert_eq!(asked, "96");
            fs::remove_file(&request).expect("it is there");
            fs::write(folder.join("record.json"), content).expect("it can be written");
        }
    }
}
