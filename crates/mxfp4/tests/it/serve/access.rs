//! Keys and TLS: what of a key can be seen, and how the program's own clients come in.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use mxfp4_engine::scripted::{Options, in_turn};
use mxfp4_engine::{EngineListener, ScriptedEngine};
use mxfp4_harmony::Vocabulary;
use mxfp4_server::{Config, KeySource, Keys, Secret, Server, Tls};

use crate::serve::load_generator::{ONE, bench, workspace};
use crate::support::stub::{MODULAR, Stub};
use crate::support::{MODEL, free_port, mxfp4, run, trial};

/// Nothing takes longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Python that finds the kernel package in order, tells what the engine is started with, and is no engine.
const PYTHON: &str = "#!/bin/sh\n\
    case \"$*\" in *mxfp4.check*) exit 0 ;; esac\n\
    { echo \"$@\"; env; tr '\\0' '\\n' < /proc/$PPID/cmdline; } > \"$TOLD.partial\"\n\
    mv \"$TOLD.partial\" \"$TOLD\"\n\
    exec sleep 600\n";

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        trial::test(module_path!(), name, move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("keys_are_seen_nowhere_and_revoked_at_a_signal", keys),
        trial(
            "what_is_wrong_with_keys_and_tls_is_said_without_them",
            wrong,
        ),
        trial("bench_serve_comes_in_by_tls_and_with_a_key", bench_by_tls),
    ]
}

const GIVEN: &str = "sk-given-0123456789abcdef";
const ALICE: &str = "sk-alice-0123456789abcdef";
const BOB: &str = "sk-bob-0123456789abcdef";
const RENEWED: &str = "sk-renewed-0123456789abcdef";
const WRONG: &str = "sk-wrong-0123456789abcdef";

/// A workspace that serves as far as that goes without an engine.
fn home() -> Stub {
    let model = MODEL.map(|(name, text)| (format!("model/{name}"), text));
    let pipelines = MODULAR.replace("modular", "max/_entrypoints/pipelines.py");
    let mut files = vec![
        ("python/mxfp4/start.py", ""),
        (pipelines.as_str(), "\"--host\""),
    ];
    files.extend(model.iter().map(|(name, text)| (name.as_str(), *text)));
    let stub = Stub::new("", &files);
    let python = stub.path("sdk/bin/python");
    fs::write(&python, PYTHON).expect("it can be written");
    fs::set_permissions(&python, Permissions::from_mode(0o755)).expect("it is there");
    stub
}

fn write_keys(home: &Stub, text: &str) {
    let file = home.path("keys");
    fs::write(&file, text).expect("it can be written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is there");
}

/// The requests that are sent: ten thousand where that is asked for, as by the tests under load.
fn requests() -> usize {
    match std::env::var("MXFP4_LOAD").as_deref() {
        Ok("full") => 10_000,
        _ => 1000,
    }
}

fn keys() {
    let home = home();
    write_keys(
        &home,
        &format!("alice {ALICE}\nbob {BOB} requests-per-minute=1000000\n"),
    );
    let (variable, port) = free_port();
    let ran = run(mxfp4(home.root())
        .args(["serve", "-vv", "--detach", "--no-check", "--model", "model"])
        .args([
            "--api-key",
            GIVEN,
            "--api-key-file",
            "keys",
            "--log-file",
            "log",
        ])
        .env(variable, &port)
        .env("MAX_SERVE_METRICS_ENDPOINT_PORT", free_port().1)
        .env("TOLD", home.path("told")));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let pid = ran
        .stdout
        .split(' ')
        .nth(2)
        .expect("URL pid PID")
        .to_owned();
    let _end = End(pid.clone());
    until("the engine's start", || home.path("told").exists());
    until("the port", || Client::connect(&port).is_some());

    let mut client = Client::connect(&port).expect("it listens");
    let half = requests() / 2;
    let before = [
        (GIVEN, 503),
        (ALICE, 503),
        (BOB, 503),
        (WRONG, 401),
        ("", 401),
    ];
    send(&mut client, half, &before);
    write_keys(&home, &format!("# bob is gone\nalice {RENEWED}\n"));
    run(Command::new("kill").args(["-HUP", &pid]));
    until("the revocation", || client.models(ALICE) == 401);
    let after = [
        (GIVEN, 503),
        (ALICE, 401),
        (BOB, 401),
        (RENEWED, 503),
        (WRONG, 401),
        ("", 401),
    ];
    send(&mut client, requests() - half, &after);
    // A broken file changes nothing, and what it says is not repeated.
    write_keys(&home, "alice\nwith-a-secret-of-its-own\n");
    run(Command::new("kill").args(["-HUP", &pid]));
    let log = || fs::read_to_string(home.path("log")).unwrap_or_default();
    until("the complaint", || {
        log().contains("the API keys stay as they were")
    });
    assert_eq!((client.models(RENEWED), client.models(BOB)), (503, 401));
    let metrics = client.get("/metrics", RENEWED).1;
    assert!(
        metrics.contains("mxfp4_key_requests_total{key=\"alice\""),
        "{metrics}"
    );

    let command_lines = run(Command::new("ps").args(["-eo", "args"])).stdout;
    let told = fs::read_to_string(home.path("told")).expect("it is there");
    assert!(!told.contains("MXFP4_API_KEY"), "{told}");
    assert!(told.contains("serve\n-vv"), "{told}");
    assert!(log().contains("key=\"alice\""), "{}", log());
    let seen = [
        ran.stdout,
        ran.stderr,
        log(),
        client.seen,
        command_lines,
        told,
    ];
    for key in [
        GIVEN,
        ALICE,
        BOB,
        RENEWED,
        WRONG,
        "with-a-secret-of-its-own",
    ] {
        for text in &seen {
            let line = text.lines().find(|line| line.contains(key));
            assert_eq!(line, None, "{key} is seen");
        }
    }
}

/// Sends so many requests with these keys in turn, each of which gets this status.
fn send(client: &mut Client, count: usize, keys: &[(&str, u16)]) {
    for (key, status) in keys.iter().cycle().take(count) {
        assert_eq!(client.models(key), *status, "{key}");
    }
}

/// A server that is ended with the test.
struct End(String);

impl Drop for End {
    fn drop(&mut self) {
        run(Command::new("kill").arg(&self.0));
        until("the end", || !Path::new("/proc").join(&self.0).exists());
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(20));
    }
}

/// A connection that is kept, and all that came over it.
struct Client {
    stream: BufReader<TcpStream>,
    seen: String,
}

impl Client {
    fn connect(port: &str) -> Option<Self> {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream: BufReader::new(stream),
            seen: String::new(),
        })
    }

    fn models(&mut self, key: &str) -> u16 {
        self.get("/v1/models", key).0
    }

    fn get(&mut self, path: &str, key: &str) -> (u16, String) {
        let authorization = match key {
            "" => String::new(),
            key => format!("authorization: Bearer {key}\r\n"),
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{authorization}\r\n");
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .expect("it is open");
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).expect("it is open"), 0);
        }
        for line in head.lines() {
            if let Some(number) = line.strip_prefix("content-length: ") {
                length = number.parse().expect("it is a number");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("it is open");
        let body = String::from_utf8(body).expect("it is text");
        self.seen.push_str(&head);
        self.seen.push_str(&body);
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status.expect("it is a number"), body)
    }
}

fn wrong() {
    let home = home();
    write_keys(&home, &format!("{ALICE}\n"));
    fs::write(home.path("empty.pem"), "nothing").expect("it can be written");
    let serve = |arguments: &[&str], key: Option<&str>| {
        let mut command = mxfp4(home.root());
        command
            .args(["serve", "--dry-run", "--model", "model"])
            .args(arguments);
        run(command
            .envs(key.map(|key| ("MXFP4_API_KEY", key)))
            .envs([free_port()]))
    };
    let max = ["--frontend", "max"];
    for (arguments, key, code, says) in [
        (
            &["--api-key-file", "keys"][..],
            None,
            5,
            "keys, line 1: a line has a name and a key",
        ),
        (
            &["--api-key-file", "nowhere"],
            None,
            5,
            "nowhere: the API keys cannot be read",
        ),
        (&[], Some(""), 2, "an API key is empty"),
        (&[], Some("two words"), 2, "an API key has a space"),
        (
            &["--tls-cert", "empty.pem", "--tls-key", "keys"],
            None,
            5,
            "empty.pem has no certificate",
        ),
        (&["--tls-cert", "empty.pem"], None, 2, "--tls-key"),
        (
            &["--cors-origin", "example.com"],
            None,
            2,
            "https://example.com",
        ),
        (
            &["--requests-per-minute", "0"],
            None,
            2,
            "--requests-per-minute",
        ),
        (&max, Some(GIVEN), 2, "knows no API keys"),
        (
            &["--seal-key-file", "keys"],
            None,
            5,
            "keys: a sealing key is 64 hexadecimal digits",
        ),
        (
            &["--seal-key-file", "nowhere"],
            None,
            5,
            "nowhere: No such file",
        ),
        (&["--store-days", "3"], None, 2, "--store <FILE>"),
        (
            &[&max[..], &["--store", "memory"]].concat(),
            None,
            2,
            "keeps nothing for its clients",
        ),
        (
            &[&max[..], &["--api-key-file", "keys"]].concat(),
            None,
            2,
            "knows no API keys",
        ),
    ] {
        let ran = serve(arguments, key);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:#?}");
        for secret in [ALICE, GIVEN, "two words"] {
            assert!(!ran.stderr.contains(secret), "{ran:#?}");
        }
    }
    let ran = serve(&["--api-key", GIVEN], None);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(!format!("{ran:?}").contains(GIVEN), "{ran:#?}");
}

fn bench_by_tls() {
    let place = workspace();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
    let made = made.expect("a certificate can be made");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| place.path().join(name));
    fs::write(&certificate, made.cert.pem()).expect("it can be written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("it can be written");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let source = KeySource {
        keys: vec![Secret::new(GIVEN)],
        ..KeySource::default()
    };
    let config = Config {
        port: 0,
        keys: Keys::new(source).expect("they are keys"),
        tls: Some(Tls::load(certificate, key).expect("they belong together")),
        ..Config::default()
    };
    let tokenizer = place.path().join("tokenizer/tokenizer.json");
    let vocabulary = Vocabulary::from_file(&tokenizer).expect("it is one");
    let (server, _scripted) = runtime.block_on(async {
        let server = Server::bind(config).await.expect("a port is free");
        let listener = EngineListener::bind(place.path()).expect("a socket can be made");
        let script = in_turn(vec![vec![u32::from(b'x'); 5].into()]);
        let scripted = ScriptedEngine::start(listener.path(), Options::default(), script);
        let engine = listener.engine().await.expect("it connects");
        server.ready(engine, Arc::new(vocabulary));
        (server, scripted)
    });
    let url = format!("https://{}", server.addresses()[0]);
    let words = format!("{ONE} 3 --tls-ca cert.pem");
    let ran = run(bench(&place, &url, &words).env("MXFP4_API_KEY", GIVEN));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let ran = run(&mut bench(&place, &url, &words));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.stderr.contains("wants an API key"), "{ran:#?}");
    let untrusted = format!("{ONE} 3");
    let ran = run(bench(&place, &url, &untrusted).env("MXFP4_API_KEY", GIVEN));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(!ran.stderr.contains(GIVEN), "{ran:#?}");
}
