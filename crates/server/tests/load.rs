//! The front end under load and faults: every request has an outcome that is counted, and nothing stays behind.
//!
//! The front end and its engine, which answers a question with that question, are processes of their own. The short form is
//! for every change; `MXFP4_LOAD=full` has the full counts.

#[path = "load/http.rs"]
mod http;
#[path = "load/process.rs"]
mod process;
#[path = "load/roles.rs"]
mod roles;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use http::{Connection, Response, get, post};
use process::{Server, Settings};

type Test = fn(&Counts) -> Result<(), Failed>;

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(process::VARIABLE) {
        return roles::run(&serde_json::from_str(&role).expect("the test wrote it"));
    }
    allow_files();
    let tests: [(&str, Test); 11] = [
        ("clients_at_once", clients_at_once),
        ("many_requests", many_requests),
        ("vanishing_clients", vanishing_clients),
        ("a_flood", flood),
        ("the_drain", drain),
        ("the_engine_dies", engine_dies),
        ("slow_readers", slow_readers),
        ("slow_senders", slow_senders),
        ("idle_connections", idle_connections),
        ("oversized_requests", oversized),
        ("smuggled_requests", smuggled),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::ignorable_test(
            name,
            move || match mxfp4_harmony::testing::published_vocabulary() {
                Err(why) => Ok(Completion::ignored_with(why)),
                Ok(_) => test(&Counts::chosen()).map(|()| Completion::Completed),
            },
        )
    });
    let mut arguments = Arguments::from_args();
    // One has the machine to itself.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// How much of everything.
struct Counts {
    clients: usize,
    requests: usize,
    vanishing: usize,
    flood: usize,
    slow: usize,
    idle: usize,
}

impl Counts {
    fn chosen() -> Self {
        if std::env::var_os("MXFP4_LOAD").is_some_and(|value| value == "full") {
            return Self {
                clients: 512,
                requests: 10_000,
                vanishing: 512,
                flood: 2000,
                slow: 256,
                idle: 10_000,
            };
        }
        Self {
            clients: 512,
            requests: 1000,
            vanishing: 64,
            flood: 1000,
            slow: 16,
            idle: 1000,
        }
    }
}

/// As many open files as this user may have: a connection is one at each end.
fn allow_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let resource = Resource::RLIMIT_NOFILE;
    if let Ok((_, most)) = getrlimit(resource) {
        // Where it is refused the counts tell.
        let _ = setrlimit(resource, most, most);
    }
}

/// What became of requests.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<BTreeMap<String, usize>>>);

impl Outcomes {
    fn add(&self, outcome: impl Into<String>) {
        *self.0.lock().unwrap().entry(outcome.into()).or_default() += 1;
    }

    fn count(&self, outcome: &str) -> usize {
        self.0.lock().unwrap().get(outcome).copied().unwrap_or(0)
    }

    /// Compares all of them, and says what there was.
    fn are<const N: usize>(&self, what: &str, expect: [(&str, usize); N]) -> Result<(), Failed> {
        let found = self.0.lock().unwrap();
        println!("{what}: {found:?}");
        let expect = expect.map(|(outcome, count)| (outcome.to_owned(), count));
        let expect: BTreeMap<_, _> = expect.into_iter().filter(|(_, count)| *count > 0).collect();
        if *found == expect {
            return Ok(());
        }
        Err(format!("{what}: {found:?} instead of {expect:?}").into())
    }
}

fn hold(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

/// Runs the clients of a test.
fn clients<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("there are files for it").block_on(work)
}

fn chat(question: &str, stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": question}], "stream": stream})
}

/// Asks, and says what became of it: `whole`, or what else.
async fn ask(connection: &mut Connection, question: &str, stream: bool) -> String {
    let request = post("/v1/chat/completions", &chat(question, stream));
    match connection.ask(&request).await {
        Err(error) => format!("connection: {:?}", error.kind()),
        Ok(response) if response.status != 200 => response.status.to_string(),
        Ok(response) => judge(&response, question, stream),
    }
}

fn judge(response: &Response, question: &str, stream: bool) -> String {
    let (reasoning, content, reason) = if stream {
        match of_stream(response) {
            Ok(parts) => parts,
            Err(why) => return why,
        }
    } else {
        let choice = &response.json()["choices"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let message = &choice["message"];
        (
            text(&message["reasoning"]),
            text(&message["content"]),
            text(&choice["finish_reason"]),
        )
    };
    if (&*reasoning, &*content, &*reason) == ("Hm.", question, "stop") {
        "whole".into()
    } else {
        let (length, most) = (content.len(), 60);
        let content: String = content.chars().take(most).collect();
        format!("wrong: {reasoning:?} {content:?} ({length} bytes) {reason:?}")
    }
}

fn of_stream(response: &Response) -> Result<(String, String, String), String> {
    let events = response.events();
    let Some((last, events)) = events.split_last() else {
        return Err("an empty stream".into());
    };
    let [mut reasoning, mut content, mut reason] = [const { String::new() }; 3];
    for event in events.iter().chain((last != "[DONE]").then_some(last)) {
        let event: Value = serde_json::from_str(event).map_err(|_| format!("no JSON: {event}"))?;
        if let Some(code) = event["error"]["code"].as_str() {
            return Err(format!("error event: {code}"));
        }
        let choice = &event["choices"][0];
        for (into, value) in [
            (&mut reasoning, &choice["delta"]["reasoning"]),
            (&mut content, &choice["delta"]["content"]),
            (&mut reason, &choice["finish_reason"]),
        ] {
            into.push_str(value.as_str().unwrap_or_default());
        }
    }
    if last != "[DONE]" {
        return Err("a stream without its end".into());
    }
    Ok((reasoning, content, reason))
}

/// So many clients at once, each of which asks `each` questions on one connection.
async fn crowd(address: SocketAddr, count: usize, each: usize, outcomes: &Outcomes) {
    let mut tasks = JoinSet::new();
    for client in 0..count {
        let outcomes = outcomes.clone();
        tasks.spawn(async move {
            let mut connection = match Connection::open(address).await {
                Ok(connection) => connection,
                Err(error) => return outcomes.add(format!("connect: {:?}", error.kind())),
            };
            for turn in 0..each {
                let question = format!("question {client}, {turn}: 你好 😀?");
                let outcome = ask(&mut connection, &question, (client + turn) % 2 == 0).await;
                outcomes.add(outcome);
            }
        });
    }
    tasks.join_all().await;
}

fn clients_at_once(counts: &Counts) -> Result<(), Failed> {
    let mut server = Server::start(&Settings::default());
    let outcomes = Outcomes::default();
    clients(crowd(server.address, counts.clients, 1, &outcomes));
    outcomes.are("clients at once", [("whole", counts.clients)])?;
    hold(server.live() == 0, "requests live on")
}

/// What a server may grow by, however many requests it has answered since.
const GROWTH: u64 = 16 << 20;

fn many_requests(counts: &Counts) -> Result<(), Failed> {
    let mut server = Server::start(&Settings::default());
    let outcomes = Outcomes::default();
    let at_once = 64;
    let each = counts.requests.div_ceil(at_once);
    clients(crowd(server.address, at_once, 4, &Outcomes::default()));
    let (files, memory) = (server.files(), server.memory());
    clients(crowd(server.address, at_once, each, &outcomes));
    outcomes.are("many requests", [("whole", at_once * each)])?;
    hold(server.live() == 0, "requests live on")?;
    nothing_stays(&mut server, files, memory)
}

/// Nothing stays behind of clients that are gone.
fn nothing_stays(server: &mut Server, files: usize, memory: u64) -> Result<(), Failed> {
    let closed = server.until(Duration::from_secs(10), |server| server.files() <= files);
    let left = server.files();
    hold(closed, format!("{left} files are open instead of {files}"))?;
    let grown = server.memory().saturating_sub(memory);
    println!("memory: {:.1} MiB more", grown as f64 / f64::from(1 << 20));
    hold(
        grown <= GROWTH,
        format!("the server holds {grown} bytes more"),
    )
}

fn vanishing_clients(counts: &Counts) -> Result<(), Failed> {
    let mut server = Server::start(&Settings::default());
    let outcomes = Outcomes::default();
    let (address, count) = (server.address, counts.vanishing);
    clients(crowd(address, count, 1, &Outcomes::default()));
    let (files, memory) = (server.files(), server.memory());
    clients(async {
        let mut gone = Vec::new();
        for client in 0..count {
            // Half of them wait for a whole answer.
            let stream = client % 2 == 0;
            let request = post("/v1/chat/completions", &chat("long 100000", stream));
            let mut connection = Connection::open(address).await?;
            connection.send(&request).await?;
            if stream {
                // They leave in the middle.
                connection.some(1000).await?;
            }
            gone.push(connection);
        }
        crowd(address, count, 1, &outcomes).await;
        io::Result::Ok(())
    })
    .map_err(|error| format!("before they vanished: {error}"))?;
    outcomes.are("beside vanishing clients", [("whole", count)])?;
    // A step takes a millisecond here.
    let told = server.until(Duration::from_secs(2), |server| server.cancelled() == count);
    let cancelled = server.cancelled();
    println!("cancelled: {cancelled}");
    hold(told, format!("{cancelled} of {count} were cancelled"))?;
    hold(server.live() == 0, "requests live on")?;
    nothing_stays(&mut server, files, memory)
}

fn flood(counts: &Counts) -> Result<(), Failed> {
    let settings = Settings {
        batch: 64,
        queue: 128,
        step: 20,
        ..Settings::default()
    };
    let mut server = Server::start(&settings);
    let outcomes = Outcomes::default();
    clients(crowd(server.address, counts.flood, 1, &outcomes));
    let refused = outcomes.count("429");
    outcomes.are(
        "a flood",
        [("whole", counts.flood - refused), ("429", refused)],
    )?;
    hold(refused > 0, "nothing was refused")?;
    hold(server.live() == 0, "requests live on")?;
    clients(async {
        let mut stalled = Vec::new();
        for _ in 0..settings.batch as usize + settings.queue {
            let mut connection = Connection::open(server.address).await?;
            connection
                .send(&post("/v1/chat/completions", &chat("stall", false)))
                .await?;
            stalled.push(connection);
        }
        while server.live() < stalled.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut connection = Connection::open(server.address).await?;
        let request = post("/v1/chat/completions", &chat("One more?", false));
        let response = connection.ask(&request).await?;
        let error = &response.json()["error"];
        let expect = (429, Some("1"), "rate_limit_error", "rate_limit_exceeded");
        let found = (
            response.status,
            response.header("retry-after"),
            error["type"].as_str().unwrap_or_default(),
            error["code"].as_str().unwrap_or_default(),
        );
        drop(stalled);
        io::Result::Ok(hold(found == expect, format!("{found:?}")))
    })
    .map_err(|error| format!("while requests stall: {error}"))??;
    // There is room again.
    let empty = server.until(Duration::from_secs(5), |server| server.live() == 0);
    hold(empty, "requests live on")?;
    let outcomes = Outcomes::default();
    clients(crowd(server.address, 1, 1, &outcomes));
    outcomes.are("afterwards", [("whole", 1)])
}

fn drain(_: &Counts) -> Result<(), Failed> {
    let mut server = Server::start(&Settings::default());
    let address = server.address;
    let outcomes = Outcomes::default();
    clients(async {
        let mut running = Vec::new();
        for client in 0..32 {
            let mut connection = Connection::open(address).await?;
            let question = if client == 0 { "stall" } else { "long 1500" };
            let request = post("/v1/chat/completions", &chat(question, client % 2 == 0));
            connection.send(&request).await?;
            running.push(connection);
        }
        while server.live() < running.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut other = Connection::open(address).await?;
        let draining = tokio::task::spawn_blocking(move || {
            let told = server.drain(4);
            (server, told)
        });
        // Until it has begun.
        loop {
            let health = other.ask(&get("/health")).await?;
            if health.status == 503 {
                break;
            }
        }
        let refused = ask(&mut Connection::open(address).await?, "Hello?", false).await;
        outcomes.add(format!("new: {refused}"));
        let live = Connection::open(address).await?.ask(&get("/live")).await?;
        outcomes.add(format!("live: {}", live.status));
        for (client, connection) in running.iter_mut().enumerate() {
            let outcome = match connection.response().await {
                Err(error) => format!("connection: {:?}", error.kind()),
                Ok(response) if response.status != 200 => response.status.to_string(),
                Ok(response) => judge(&response, &" a".repeat(1500), client % 2 == 0),
            };
            outcomes.add(outcome);
        }
        let (mut server, told) = draining.await.expect("it does not panic");
        outcomes.add(told);
        outcomes.add(format!("code: {}", server.code().unwrap_or(-1)));
        // Nobody listens any more.
        outcomes.add(match Connection::open(address).await {
            Ok(_) => "connected",
            Err(_) => "not connected",
        });
        io::Result::Ok(())
    })
    .map_err(|error| format!("while it ends: {error}"))?;
    outcomes.are(
        "the drain",
        [
            ("whole", 31),
            ("error event: service_unavailable", 1),
            ("new: 503", 1),
            ("live: 200", 1),
            ("cut: 1", 1),
            ("code: 0", 1),
            ("not connected", 1),
        ],
    )
}

fn engine_dies(counts: &Counts) -> Result<(), Failed> {
    let mut server = Server::start(&Settings::default());
    let address = server.address;
    let outcomes = Outcomes::default();
    clients(async {
        let mut running = Vec::new();
        for client in 0..counts.clients {
            let mut connection = Connection::open(address).await?;
            let stream = client % 2 == 0;
            let request = post("/v1/chat/completions", &chat("long 100000", stream));
            connection.send(&request).await?;
            running.push((connection, stream));
        }
        while server.live() < running.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for (connection, stream) in &mut running {
            if *stream {
                connection.some(1000).await?;
            }
        }
        server.kill_engine();
        for (connection, stream) in &mut running {
            let outcome = match connection.response().await {
                Err(error) => format!("connection: {:?}", error.kind()),
                Ok(response) if response.status != 200 => response.status.to_string(),
                Ok(response) => judge(&response, "", *stream),
            };
            outcomes.add(outcome);
        }
        let health = Connection::open(address)
            .await?
            .ask(&get("/health"))
            .await?;
        outcomes.add(format!("health: {}", health.status));
        let live = Connection::open(address).await?.ask(&get("/live")).await?;
        outcomes.add(format!("live: {}", live.status));
        io::Result::Ok(())
    })
    .map_err(|error| format!("around its death: {error}"))?;
    let streams = counts.clients.div_ceil(2);
    outcomes.are(
        "the engine dies",
        [
            ("503", counts.clients - streams),
            ("error event: service_unavailable", streams),
            ("health: 503", 1),
            ("live: 200", 1),
        ],
    )
}

fn slow_readers(counts: &Counts) -> Result<(), Failed> {
    let settings = Settings {
        patience: 2,
        step: 0,
        ..Settings::default()
    };
    let mut server = Server::start(&settings);
    let outcomes = Outcomes::default();
    let (address, count) = (server.address, counts.slow);
    clients(crowd(address, count, 1, &Outcomes::default()));
    let (files, memory) = (server.files(), server.memory());
    let mut peak = 0;
    clients(async {
        let mut readers = Vec::new();
        for _ in 0..count {
            let mut connection = Connection::open(address).await?;
            let mut request = chat("long 5000", true);
            // Some 10 MB, which is more than sockets hold.
            request["logprobs"] = true.into();
            request["top_logprobs"] = 20.into();
            connection
                .send(&post("/v1/chat/completions", &request))
                .await?;
            readers.push(connection);
        }
        crowd(address, count, 1, &outcomes).await;
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while server.live() > 0 && tokio::time::Instant::now() < end {
            peak = peak.max(server.memory());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What sockets held can be read; then there is no more.
        for reader in &mut readers {
            let read = reader.until_closed().await?;
            let text = String::from_utf8_lossy(&read);
            outcomes.add(if text.contains("[DONE]") {
                "read whole"
            } else {
                "closed"
            });
        }
        io::Result::Ok(())
    })
    .map_err(|error| format!("while they read nothing: {error}"))?;
    outcomes.are(
        "slow readers beside others",
        [("whole", count), ("closed", count)],
    )?;
    let grown = peak.saturating_sub(memory) / count as u64;
    println!("memory for each: {} KiB at most", grown >> 10);
    hold(grown < 4 << 20, format!("each took {grown} bytes"))?;
    hold(server.live() == 0, "requests live on")?;
    nothing_stays(&mut server, files, memory)
}

fn slow_senders(counts: &Counts) -> Result<(), Failed> {
    let settings = Settings {
        patience: 2,
        ..Settings::default()
    };
    let mut server = Server::start(&settings);
    let outcomes = Outcomes::default();
    let (address, count) = (server.address, counts.slow);
    let (files, memory) = (server.files(), server.memory());
    let whole = post("/v1/chat/completions", &chat("Hello?", false));
    let head = whole
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap_or(0);
    clients(async {
        let mut tasks = JoinSet::new();
        for client in 0..count {
            // Half of them end within the head, half within the body; all send a byte now and then.
            let most = if client % 2 == 0 {
                head / 2
            } else {
                whole.len() - 8
            };
            let (whole, outcomes) = (whole.clone(), outcomes.clone());
            tasks.spawn(async move {
                let mut connection = Connection::open(address).await?;
                connection.send(&whole[..most - 20]).await?;
                for byte in &whole[most - 20..most] {
                    if connection.send(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                let answer = match connection.until_closed().await {
                    Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
                    Err(error) => format!("{:?}", error.kind()),
                };
                outcomes.add(answer.lines().next().unwrap_or("closed"));
                io::Result::Ok(())
            });
        }
        crowd(address, count, 1, &outcomes).await;
        tasks
            .join_all()
            .await
            .into_iter()
            .collect::<io::Result<()>>()
    })
    .map_err(|error| format!("while they send slowly: {error}"))?;
    let heads = outcomes.count("closed") + outcomes.count("HTTP/1.1 408 Request Timeout");
    outcomes.are(
        "slow senders beside others",
        [
            ("whole", count),
            ("closed", outcomes.count("closed")),
            (
                "HTTP/1.1 408 Request Timeout",
                heads - outcomes.count("closed"),
            ),
        ],
    )?;
    hold(heads == count, format!("{heads} of {count} were ended"))?;
    hold(server.live() == 0, "requests live on")?;
    nothing_stays(&mut server, files, memory)
}

fn idle_connections(counts: &Counts) -> Result<(), Failed> {
    let settings = Settings {
        keep_alive: 5,
        ..Settings::default()
    };
    let mut server = Server::start(&settings);
    let outcomes = Outcomes::default();
    let (address, count) = (server.address, counts.idle);
    clients(crowd(address, 64, 1, &Outcomes::default()));
    let (files, memory) = (server.files(), server.memory());
    clients(async {
        let mut idle = Vec::new();
        for client in 0..count {
            let mut connection = Connection::open(address).await?;
            // Half of them were of use before.
            if client % 2 == 0 {
                connection.ask(&get("/live")).await?;
            }
            idle.push(connection);
        }
        let each = server.memory().saturating_sub(memory) / count as u64;
        println!("memory for each: {each} bytes");
        crowd(address, 64, 4, &outcomes).await;
        for connection in &mut idle {
            let rest = connection.until_closed().await?;
            outcomes.add(if rest.is_empty() {
                "closed"
            } else {
                "more came"
            });
        }
        io::Result::Ok(())
    })
    .map_err(|error| format!("while they are idle: {error}"))?;
    outcomes.are(
        "beside idle connections",
        [("whole", 256), ("closed", count)],
    )?;
    nothing_stays(&mut server, files, memory + (8 << 20))
}

fn oversized(_: &Counts) -> Result<(), Failed> {
    let mut server = Server::start(&Settings::default());
    let address = server.address;
    let (files, memory) = (server.files(), server.memory());
    let outcomes = Outcomes::default();
    let large = 17 << 20;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    clients(async {
        for _ in 0..8 {
            // It says so before; it comes in chunks; it only says so and waits.
            let said = [
                format!("{head}Content-Length: {large}\r\n\r\n").into_bytes(),
                vec![b' '; large],
            ];
            let chunk = 64 << 10;
            let mut chunked =
                vec![format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes()];
            for _ in 0..large / chunk {
                let mut bytes = format!("{chunk:x}\r\n").into_bytes();
                bytes.extend(std::iter::repeat_n(b' ', chunk));
                bytes.extend(b"\r\n");
                chunked.push(bytes);
            }
            let waiting =
                [
                    format!("{head}Content-Length: {large}\r\nExpect: 100-continue\r\n\r\n")
                        .into_bytes(),
                ];
            for (what, parts) in [
                ("said", &said[..]),
                ("chunked", &chunked),
                ("waiting", &waiting),
            ] {
                let mut connection = Connection::open(address).await?;
                for part in parts {
                    // The server may have closed by now, and its answer is there to be read.
                    if connection.send(part).await.is_err() {
                        break;
                    }
                }
                let outcome = match connection.response().await {
                    Ok(response) => response.status.to_string(),
                    Err(error) => format!("{:?}", error.kind()),
                };
                outcomes.add(format!("{what}: {outcome}"));
            }
            let heads = format!(
                "GET /live HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
                "x".repeat(1 << 20)
            );
            let many = format!(
                "GET /live HTTP/1.1\r\nHost: h\r\n{}\r\n",
                "X: y\r\n".repeat(1000)
            );
            for (what, request) in [("a long head", heads), ("many headers", many)] {
                let mut connection = Connection::open(address).await?;
                let _ = connection.send(request.as_bytes()).await;
                let outcome = match connection.response().await {
                    Ok(response) => response.status.to_string(),
                    Err(error) => format!("{:?}", error.kind()),
                };
                outcomes.add(format!("{what}: {outcome}"));
            }
        }
        crowd(address, 8, 1, &outcomes).await;
        io::Result::Ok(())
    })
    .map_err(|error| format!("while they send too much: {error}"))?;
    outcomes.are(
        "oversized requests",
        [
            ("said: 413", 8),
            ("chunked: 413", 8),
            ("waiting: 413", 8),
            ("a long head: 431", 8),
            ("many headers: 431", 8),
            ("whole", 8),
        ],
    )?;
    nothing_stays(&mut server, files, memory + (16 << 20))
}

/// Requests that two servers in a row may read differently. None may be answered as two, nor as anything but an error.
fn smuggled(_: &Counts) -> Result<(), Failed> {
    let server = Server::start(&Settings::default());
    let hidden = "GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n";
    let body = format!("0\r\n\r\n{hidden}");
    let length = body.len();
    let post = "POST /tokenize HTTP/1.1\r\nHost: h\r\n";
    let requests = [
        (
            "both lengths",
            format!("{post}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        ),
        (
            "both, the other way",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{body}"),
        ),
        (
            "two lengths",
            format!(
                "{post}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            ),
        ),
        (
            "a list of lengths",
            format!("{post}Content-Length: 0, {}\r\n\r\n{hidden}", hidden.len()),
        ),
        (
            "a signed length",
            format!("{post}Content-Length: +5\r\n\r\nhello{hidden}"),
        ),
        (
            "a length of letters",
            format!("{post}Content-Length: 0x5\r\n\r\nhello{hidden}"),
        ),
        (
            "a huge length",
            format!("{post}Content-Length: 99999999999999999999\r\n\r\n{hidden}"),
        ),
        (
            "another coding",
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n{body}"),
        ),
        (
            "two codings",
            format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n{body}"),
        ),
        (
            "a coding twice",
            format!("{post}Transfer-Encoding: identity\r\nTransfer-Encoding: x\r\n\r\n{body}"),
        ),
        (
            "a space before the colon",
            format!("{post}Transfer-Encoding : chunked\r\n\r\n{body}"),
        ),
        (
            "a folded header",
            format!("{post}X: y\r\n Transfer-Encoding: chunked\r\n\r\n{body}"),
        ),
        (
            "a bare line feed in a header",
            format!("{post}X: y\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n{hidden}"),
        ),
        (
            "a chunk of no size",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n\r\n{hidden}"),
        ),
        (
            "a signed chunk",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n-1\r\n{hidden}"),
        ),
        (
            "a huge chunk",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{hidden}"),
        ),
        (
            "a chunk too short",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "an old version",
            format!("POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        ),
        (
            "a version of its own",
            format!("GET /live HTTP/1.7\r\nHost: h\r\n\r\n{hidden}"),
        ),
        (
            "a null byte",
            format!("GET /live\0 HTTP/1.1\r\nHost: h\r\n\r\n{hidden}"),
        ),
        (
            "no host twice",
            format!("GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (
            "TLS",
            "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03".to_owned(),
        ),
    ];
    let mut wrong = Vec::new();
    clients(async {
        for (what, request) in &requests {
            let mut connection = Connection::open(server.address).await?;
            connection.send(request.as_bytes()).await?;
            connection.end_sending().await?;
            let answer = connection.until_closed().await?;
            let answer = String::from_utf8_lossy(&answer);
            let statuses: Vec<_> = answer
                .match_indices("HTTP/1.")
                .map(|(at, _)| {
                    answer[at..]
                        .split(' ')
                        .nth(1)
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect();
            println!("{what}: {statuses:?}");
            let refused =
                matches!(&statuses[..], [one] if one.starts_with('4')) || statuses.is_empty();
            if !refused {
                wrong.push(format!("{what}: {answer}"));
            }
        }
        let outcomes = Outcomes::default();
        crowd(server.address, 8, 1, &outcomes).await;
        io::Result::Ok(outcomes.are("afterwards", [("whole", 8)]))
    })
    .map_err(|error| format!("while they smuggle: {error}"))??;
    hold(wrong.is_empty(), wrong.join("\n"))
}
