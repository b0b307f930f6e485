//! The front end under load and faults: every request has an outcome that is counted, and nothing stays behind.
//!
//! The front end and its engine, which answers a question with that question, are processes of their own. The short form is
//! for every change; `MXFP4_LOAD=full` has the full counts.

#[path = "load/crowd.rs"]
mod crowd;
#[path = "load/http.rs"]
mod http;
#[path = "load/process.rs"]
mod process;
#[path = "load/roles.rs"]
mod roles;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::task::JoinSet;

use crowd::{Outcomes, ask, chat, crowd, long, parts, stall};
use http::{Connection, PATIENCE, get, post};
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
    oversized: usize,
}

impl Counts {
    fn chosen() -> Self {
        if std::env::var_os("MXFP4_LOAD").is_some_and(|value| value == "full") {
            return Self {
                clients: 512,
                requests: 10_000,
                vanishing: 512,
                flood: 2000,
                slow: 64,
                idle: 10_000,
                oversized: 64,
            };
        }
        Self {
            clients: 512,
            requests: 1000,
            vanishing: 64,
            flood: 1000,
            slow: 8,
            idle: 1000,
            oversized: 4,
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

fn hold(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

/// The server of the tests that leave it as it is.
fn shared() -> MutexGuard<'static, Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Mutex::new(Server::start(&Settings::default())));
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the clients of a test.
fn clients<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("there are files for it").block_on(work)
}

fn clients_at_once(counts: &Counts) -> Result<(), Failed> {
    let mut server = shared();
    let outcomes = Outcomes::default();
    clients(crowd(server.address, counts.clients, 1, &outcomes));
    outcomes.are("clients at once", [("whole", counts.clients)])?;
    hold(server.live() == 0, "requests live on")
}

/// What a server may grow by, however many requests it has answered since.
const GROWTH: u64 = 16 << 20;

fn many_requests(counts: &Counts) -> Result<(), Failed> {
    let mut server = shared();
    let outcomes = Outcomes::default();
    let at_once = 64;
    let each = counts.requests.div_ceil(at_once);
    clients(crowd(server.address, at_once, 4, &Outcomes::default()));
    let (files, memory) = server.settled();
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
    let mut server = shared();
    let outcomes = Outcomes::default();
    let (address, count) = (server.address, counts.vanishing);
    // As many as there will be at once.
    clients(crowd(address, 2 * count, 1, &Outcomes::default()));
    let before = server.cancelled();
    let (files, memory) = server.settled();
    clients(async {
        let mut gone = Vec::new();
        for client in 0..count {
            // Half of them wait for a whole answer.
            let stream = client % 2 == 0;
            let mut connection = Connection::open(address).await?;
            connection
                .send(&post("/v1/chat/completions", &long(100_000, stream)))
                .await?;
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
    let told = server.until(Duration::from_secs(2), |server| {
        server.cancelled() == before + count
    });
    let cancelled = server.cancelled() - before;
    println!("cancelled: {cancelled}");
    hold(told, format!("{cancelled} of {count} were cancelled"))?;
    hold(server.live() == 0, "requests live on")?;
    nothing_stays(&mut server, files, memory)
}

/// What became of a stream that was refused after its head.
const REFUSED_LATE: &str = "error event: rate_limit_exceeded";

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
    // A stream has its head after a second. Where this machine is too busy to ask the engine
    // by then, an event says the same.
    let late = outcomes.count(REFUSED_LATE);
    outcomes.are(
        "a flood",
        [
            ("whole", counts.flood - refused - late),
            ("429", refused),
            (REFUSED_LATE, late),
        ],
    )?;
    hold(refused > 0, "nothing was refused")?;
    hold(server.live() == 0, "requests live on")?;
    clients(async {
        let mut stalled = Vec::new();
        for _ in 0..settings.batch as usize + settings.queue {
            let mut connection = Connection::open(server.address).await?;
            connection
                .send(&post("/v1/chat/completions", &stall(false)))
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
            let stream = client % 2 == 0;
            let request = if client == 0 {
                stall(stream)
            } else {
                long(1500, stream)
            };
            connection
                .send(&post("/v1/chat/completions", &request))
                .await?;
            running.push((connection, stream));
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
        // A long one must get its answer, too, and not a reset.
        for question in ["Hello?".to_owned(), "Hello? ".repeat(1 << 20)] {
            let refused = ask(&mut Connection::open(address).await?, &question, false).await;
            outcomes.add(format!("new: {refused}"));
        }
        let live = Connection::open(address).await?.ask(&get("/live")).await?;
        outcomes.add(format!("live: {}", live.status));
        for (connection, stream) in &mut running {
            match parts(connection.response().await, *stream) {
                Ok(parts) if parts.content.len() > 2900 && parts.reason == "length" => {
                    outcomes.add("whole");
                }
                Ok(parts) => outcomes.add(format!("cut: {parts:?}")),
                Err(why) => outcomes.add(why),
            }
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
            ("new: 503", 2),
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
            connection
                .send(&post("/v1/chat/completions", &long(100_000, stream)))
                .await?;
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
            match parts(connection.response().await, *stream) {
                Ok(_) => outcomes.add("whole"),
                Err(why) => outcomes.add(why),
            }
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
    let (_, memory) = server.settled();
    // What the allocator keeps for the next ones is there after the first.
    let peak = read_nothing(&mut server, counts.slow)?;
    let grown = peak.saturating_sub(memory) / counts.slow as u64;
    println!("memory for each: {} KiB at most", grown >> 10);
    hold(grown < 4 << 20, format!("each took {grown} bytes"))?;
    let (files, memory) = server.settled();
    read_nothing(&mut server, counts.slow)?;
    nothing_stays(&mut server, files, memory)
}

/// So many clients read nothing of long answers, beside others; the most memory that the server took.
fn read_nothing(server: &mut Server, count: usize) -> Result<u64, Failed> {
    let outcomes = Outcomes::default();
    let address = server.address;
    let (files, mut peak) = server.settled();
    clients(async {
        let mut readers = Vec::new();
        for _ in 0..count {
            let mut connection = Connection::open(address).await?;
            let mut request = long(5000, true);
            // Some 10 MB, which is more than sockets hold.
            request["logprobs"] = true.into();
            request["top_logprobs"] = 20.into();
            connection
                .send(&post("/v1/chat/completions", &request))
                .await?;
            readers.push(connection);
        }
        crowd(address, count, 1, &outcomes).await;
        let end = tokio::time::Instant::now() + PATIENCE;
        while server.files() > files && tokio::time::Instant::now() < end {
            peak = peak.max(server.memory());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What sockets held can be read; then there is no more.
        for reader in &mut readers {
            match reader.until_closed().await {
                Ok(read) if read.ends_with(b"0\r\n\r\n") => outcomes.add("read whole"),
                Ok(_) => outcomes.add("closed"),
                Err(error) => outcomes.add(format!("{:?}", error.kind())),
            }
        }
        io::Result::Ok(())
    })
    .map_err(|error| format!("while they read nothing: {error}"))?;
    outcomes.are(
        "slow readers beside others",
        [("whole", count), ("closed", count)],
    )?;
    hold(server.live() == 0, "requests live on")?;
    Ok(peak)
}

fn slow_senders(counts: &Counts) -> Result<(), Failed> {
    let settings = Settings {
        patience: 2,
        ..Settings::default()
    };
    let mut server = Server::start(&settings);
    let outcomes = Outcomes::default();
    let (address, count) = (server.address, counts.slow);
    let (files, memory) = server.settled();
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
        keep_alive: 3,
        ..Settings::default()
    };
    let mut server = Server::start(&settings);
    // What the allocator keeps for the next ones is there after the first.
    be_idle(&mut server, counts.idle)?;
    let (files, memory) = server.settled();
    be_idle(&mut server, counts.idle)?;
    // It comes to rest after some rounds. One of these connections takes twice as much.
    let settling = counts.idle as u64 * (8 << 10);
    nothing_stays(&mut server, files, memory + settling)
}

/// So many connections are idle, beside others, until the server closes them.
fn be_idle(server: &mut Server, count: usize) -> Result<(), Failed> {
    let outcomes = Outcomes::default();
    let address = server.address;
    let (_, memory) = server.settled();
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
    )
}

fn oversized(counts: &Counts) -> Result<(), Failed> {
    let mut server = shared();
    let address = server.address;
    let count = counts.oversized;
    let (files, memory) = server.settled();
    let outcomes = Outcomes::default();
    clients(async {
        send_too_much(address, count, &outcomes).await;
        crowd(address, 8, 1, &outcomes).await;
    });
    outcomes.are(
        "oversized requests",
        [
            ("a length: 413", count),
            ("chunks: 413", count),
            ("one that waits: 413", count),
            ("a long head: 431", count),
            ("many headers: 431", count),
            ("whole", 8),
        ],
    )?;
    // Each of two threads' allocators keeps what one body takes, 16 MiB, for the next.
    nothing_stays(&mut server, files, memory + (32 << 20))
}

/// Sends bodies and heads that are too large, in turn.
async fn send_too_much(address: SocketAddr, count: usize, outcomes: &Outcomes) {
    const LARGE: usize = 17 << 20;
    const CHUNK: usize = 64 << 10;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n";
    let chunk = format!("{CHUNK:x}\r\n{}\r\n", " ".repeat(CHUNK));
    let requests = [
        (
            "a length",
            format!("{head}Content-Length: {LARGE}\r\n\r\n{}", " ".repeat(LARGE)),
        ),
        (
            "chunks",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
                chunk.repeat(LARGE / CHUNK)
            ),
        ),
        (
            "one that waits",
            format!("{head}Content-Length: {LARGE}\r\nExpect: 100-continue\r\n\r\n"),
        ),
        (
            "a long head",
            format!(
                "GET /live HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
                "x".repeat(1 << 20)
            ),
        ),
        (
            "many headers",
            format!(
                "GET /live HTTP/1.1\r\nHost: h\r\n{}\r\n",
                "X: y\r\n".repeat(1000)
            ),
        ),
    ];
    for _ in 0..count {
        for (what, request) in &requests {
            let outcome = match Connection::open(address).await {
                Ok(mut connection) => {
                    // The server may close before it has all; its answer is there.
                    let _ = connection.send(request.as_bytes()).await;
                    match connection.response().await {
                        Ok(response) => response.status.to_string(),
                        Err(error) => format!("{:?}", error.kind()),
                    }
                }
                Err(error) => format!("connect: {:?}", error.kind()),
            };
            outcomes.add(format!("{what}: {outcome}"));
        }
    }
}

/// Requests that two servers in a row may read differently. None may be answered as two, nor as anything but an error.
fn smuggled(_: &Counts) -> Result<(), Failed> {
    let server = shared();
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
            "GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
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
            let answer = connection.until_quiet(Duration::from_millis(200)).await?;
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
