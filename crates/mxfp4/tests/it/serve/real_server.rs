//! MAX's own server, started by `mxfp4 serve`, on a machine with a GPU or without.
//!
//! A fixture puts a virtual Hopper in the place of the GPU and MAX's echo model in that of GPT-OSS; the command, the
//! architecture's registration, the tokenizer, the three processes, HTTP, metrics and the end of it all are the real
//! ones. What runs on a GPU is not tested here.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};

use crate::support::{Skip, folder, repository, run, sdk, tool, trial};

pub const VIRTUAL_GPU: &str = include_str!("../../../../../python/tests/virtual_gpu.py");

/// How long a start may take, on a busy machine and under strace.
const PATIENCE: Duration = Duration::from_secs(300);

/// The system calls that reach another machine.
const TRACED: &str = "trace=connect,sendto,sendmsg,sendmmsg";

pub fn trials() -> Vec<Trial> {
    vec![
        trial::ignorable(
            module_path!(),
            "a_server_on_a_virtual_gpu_answers_connects_to_nobody_and_ends_on_sigterm",
            || skipping(silent_server()),
        ),
        trial::ignorable(
            module_path!(),
            "with_telemetry_the_same_count_is_not_zero_and_sigint_ends_the_server",
            || skipping(talking_server()),
        ),
        trial::ignorable(
            module_path!(),
            "when_max_dies_the_exception_is_quoted",
            || skipping(no_device()),
        ),
        trial::ignorable(
            module_path!(),
            "a_flag_that_max_does_not_know_is_quoted",
            || skipping(unknown_flag()),
        ),
    ]
}

/// Why a test ends early.
pub enum Stop {
    Skip(Skip),
    Fail(Failed),
}

impl From<Skip> for Stop {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Fail(error.into())
    }
}

pub fn fail<T>(message: impl std::fmt::Display) -> Result<T, Stop> {
    Err(Stop::Fail(message.to_string().into()))
}

pub fn skipping(result: Result<(), Stop>) -> Result<Completion, Failed> {
    match result {
        Ok(()) => Ok(Completion::Completed),
        Err(Stop::Skip(reason)) => Ok(Completion::ignored_with(reason)),
        Err(Stop::Fail(failed)) => Err(failed),
    }
}

fn silent_server() -> Result<(), Stop> {
    let mut server = Server::start("silent", &[])?;
    server.await_ready()?;

    let metrics = get(server.metrics_port, "/metrics").unwrap_or_default();
    if !metrics.contains("maxserve") {
        return fail(format!("no metrics of MAX at /metrics: {metrics}"));
    }
    for port in [server.port, server.metrics_port] {
        let addresses = listening(port)?;
        if addresses != BTreeSet::from(["0100007F".to_owned()]) {
            return fail(format!(
                "port {port} is open on {addresses:?} and not on 127.0.0.1 alone"
            ));
        }
    }
    server.answers()?;
    let metrics = get(server.port, "/metrics").unwrap_or_default();
    let both = ["mxfp4_completion_tokens_total", "maxserve"];
    if !both.iter().all(|name| metrics.contains(name)) {
        return fail(format!("not both metrics at the port itself: {metrics}"));
    }

    if !get(server.port, "/").is_some_and(|page| page.contains("<title>mxfp4</title>")) {
        return fail("there is no page at /");
    }

    server.end_by("TERM", 143)?;
    match server.connections()?.as_slice() {
        [] => Ok(()),
        some => fail(format!(
            "{} connections to elsewhere:\n{}",
            some.len(),
            some.join("\n")
        )),
    }
}

/// Shows that connections would have been seen.
fn talking_server() -> Result<(), Stop> {
    let mut server = Server::start("talking", &["--telemetry", "--no-page"])?;
    server.await_ready()?;
    if get(server.port, "/").is_some() {
        return fail("there is a page at / with --no-page");
    }
    server.end_by("INT", 130)?;
    match server.connections()?.as_slice() {
        [] => fail("telemetry was allowed and no connection was counted"),
        _ => Ok(()),
    }
}

fn no_device() -> Result<(), Stop> {
    dies(
        &[],
        &["MAX stopped after", "exit code 1", "no GPUs are available"],
    )
}

fn unknown_flag() -> Result<(), Stop> {
    dies(
        &["--", "--frobnicate"],
        &["MAX stopped after", "--frobnicate", "mxfp4 serve -- --help"],
    )
}

/// Without the fixture there is no device: CUDA_VISIBLE_DEVICES hides those of a machine that has one.
fn dies(arguments: &[&str], says: &[&str]) -> Result<(), Stop> {
    let sdk = sdk()?;
    let home = tempfile::tempdir()?;
    let model = checkpoint(home.path(), &sdk)?;
    let [port, metrics_port] = free_ports()?;
    let mut command = serve(home.path(), &sdk, &model, port, metrics_port, None);
    let ran = run(command.args(arguments).env("CUDA_VISIBLE_DEVICES", ""));
    let message: String = ran
        .stderr
        .lines()
        .skip_while(|line| !line.starts_with("error: "))
        .collect();
    if ran.code == Some(1)
        && says.iter().all(|part| message.contains(part))
        && !message.contains("Traceback")
    {
        return Ok(());
    }
    fail(format!("{ran:#?}"))
}

/// A running server and the trace of its system calls.
struct Server {
    process: Child,
    home: tempfile::TempDir,
    port: u16,
    metrics_port: u16,
    /// Marks the environment of every process of the tree.
    mark: String,
}

impl Server {
    fn start(name: &str, arguments: &[&str]) -> Result<Self, Stop> {
        let (sdk, strace) = (sdk()?, tool("strace")?);
        let home = folder([("python/sitecustomize.py", VIRTUAL_GPU)]);
        let model = checkpoint(home.path(), &sdk)?;
        let [port, metrics_port] = free_ports()?;
        let mark = format!("MXFP4_TEST_TREE={name}-{}", std::process::id());
        let mut command = serve(home.path(), &sdk, &model, port, metrics_port, Some(&strace));
        let log = File::create(home.path().join("log"))?;
        command
            .args(arguments)
            .env("PYTHONPATH", home.path().join("python"))
            .env("MAX_SERVE_DUMMY_MODEL", "1")
            .env("MXFP4_TEST_TREE", &mark["MXFP4_TEST_TREE=".len()..])
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Self {
            process: command.spawn()?,
            home,
            port,
            metrics_port,
            mark,
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    fn await_ready(&mut self) -> Result<(), Stop> {
        let start = Instant::now();
        while get(self.port, "/health").is_none() {
            if let Some(status) = self.process.try_wait()? {
                return fail(format!("the server ended, {status}:\n{}", self.log()));
            }
            if start.elapsed() > PATIENCE {
                return fail(format!(
                    "the server is not ready after {PATIENCE:?}:\n{}",
                    self.log()
                ));
            }
            sleep(Duration::from_millis(250));
        }
        Ok(())
    }

    /// The model repeats its prompt, which is a chat's when it is asked as one, and a text when it is not.
    fn answers(&self) -> Result<(), Stop> {
        let ask = |path: &str, body: Value| -> Result<Value, Stop> {
            let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
            let reply = agent
                .post(format!("http://127.0.0.1:{}{path}", self.port))
                .send(body.to_string())
                .and_then(|mut reply| reply.body_mut().read_to_string());
            let reply = reply.map_err(|error| Stop::Fail(error.into()))?;
            serde_json::from_str(&reply).map_err(|error| Stop::Fail(error.into()))
        };
        let text = ask(
            "/v1/completions",
            json!({"prompt": "Hello", "max_tokens": 4}),
        )?;
        let echo = &text["choices"][0];
        if echo["text"] != "Hell" || echo["finish_reason"] != "length" {
            return fail(text);
        }
        let messages = json!([{"role": "user", "content": "Hello"}]);
        let chat = ask(
            "/v1/chat/completions",
            json!({"messages": messages, "max_tokens": 8}),
        )?;
        if chat["usage"]["completion_tokens"] != 8 || chat["choices"][0]["message"]["content"] != ""
        {
            return fail(chat);
        }
        Ok(())
    }

    /// Sends the signal to `mxfp4` alone: passing it on is its business. Then nothing of the tree may be left.
    fn end_by(&mut self, signal: &str, code: i32) -> Result<(), Stop> {
        let running = tree(&self.mark);
        if running.len() < 4 {
            return fail(format!(
                "mxfp4, MAX and two workers should run, and these do: {running:?}"
            ));
        }
        let pid = self.process.id().to_string();
        run(Command::new("kill").args(["-s", signal, &pid]));
        let status = self.process.wait()?;
        if status.code() != Some(code) {
            return fail(format!(
                "{status} instead of exit code {code}:\n{}",
                self.log()
            ));
        }
        // strace itself may still be writing.
        let start = Instant::now();
        while !tree(&self.mark).is_empty() {
            if start.elapsed() > Duration::from_secs(10) {
                return fail(format!("left behind: {:?}", tree(&self.mark)));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The system calls with an address that is not this machine's, and those to a name server wherever it is.
    fn connections(&self) -> Result<Vec<String>, Stop> {
        let trace = fs::read_to_string(self.home.path().join("trace"))?;
        if !trace.contains("AF_") {
            return fail("nothing was traced at all");
        }
        Ok(trace
            .lines()
            .filter(|line| leaves_the_machine(line))
            .map(str::to_owned)
            .collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind either.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn leaves_the_machine(call: &str) -> bool {
    if !call.contains("sa_family=AF_INET") {
        return false;
    }
    let local = ["inet_addr(\"127.", "\"::1\"", "\"::ffff:127."]
        .iter()
        .any(|address| call.contains(address));
    !local || call.contains("htons(53)")
}

/// `mxfp4 serve`, the model and the ports given, under `strace` where that is given.
fn serve(
    home: &Path,
    sdk: &Path,
    model: &Path,
    port: u16,
    metrics_port: u16,
    strace: Option<&Path>,
) -> Command {
    let mut command = Command::new("/usr/bin/env");
    // Whoever runs the tests may ignore signals, and that would be inherited.
    command.arg("--default-signal=HUP,INT,QUIT,TERM");
    if let Some(strace) = strace {
        // -D: the process that is started is mxfp4, and strace its grandchild.
        command
            .arg(strace)
            .args(["-D", "-f", "-qq", "-e", TRACED, "-e", "signal=none", "-o"])
            .arg(home.join("trace"));
    }
    command
        .arg(env!("CARGO_BIN_EXE_mxfp4"))
        .arg("--root")
        .arg(repository())
        .args([
            "serve",
            "--no-check",
            "--port",
            &port.to_string(),
            "--model",
        ])
        .arg(model)
        .env_remove("PYTHONPATH")
        .env_remove("OTEL_SDK_DISABLED")
        .env_remove("MODULAR_TELEMETRY_ENABLED")
        .env("MXFP4_SDK", sdk)
        .env("HOME", home)
        .env("MODULAR_CACHE_DIR", home.join("cache"))
        .env("MAX_SERVE_METRICS_ENDPOINT_PORT", metrics_port.to_string())
        .stdin(Stdio::null());
    command
}

/// A tiny model with random weights.
pub fn checkpoint(folder: &Path, sdk: &Path) -> Result<PathBuf, Stop> {
    let model = folder.join("model");
    python(
        sdk,
        &[
            "-m",
            "mxfp4.checkpoint",
            "--size",
            "tiny",
            &model.to_string_lossy(),
        ],
    )?;
    Ok(model)
}

/// Runs the SDK's Python in the workspace's environment, as a user's shell does.
pub fn python(sdk: &Path, arguments: &[&str]) -> Result<String, Stop> {
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            r#"eval "$("$0" --root "$1" env)"; shift; exec python "$@""#,
        ])
        .arg(env!("CARGO_BIN_EXE_mxfp4"))
        .arg(repository())
        .args(arguments)
        .env("MXFP4_SDK", sdk);
    let ran = run(&mut shell);
    match ran.code {
        Some(0) => Ok(ran.stdout),
        _ => fail(format!("{ran:#?}")),
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let mut response = agent
        .get(format!("http://127.0.0.1:{port}{path}"))
        .call()
        .ok()?;
    response.body_mut().read_to_string().ok()
}

pub fn free_ports() -> Result<[u16; 2], Stop> {
    let listeners = [
        TcpListener::bind("0.0.0.0:0")?,
        TcpListener::bind("0.0.0.0:0")?,
    ];
    let [first, second] = &listeners;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}

/// The addresses, in the kernel's spelling, on which `port` is listened on.
fn listening(port: u16) -> Result<BTreeSet<String>, Stop> {
    const LISTEN: &str = "0A";
    let mut addresses = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let Some((address, hex)) = fields[1].split_once(':')
                && fields[3] == LISTEN
                && u16::from_str_radix(hex, 16) == Ok(port)
            {
                addresses.insert(address.to_owned());
            }
        }
    }
    Ok(addresses)
}

/// The processes with `mark` in their environment.
pub fn tree(mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let environment = fs::read(process.path().join("environ")).ok()?;
            let marked = environment
                .split(|&byte| byte == 0)
                .any(|variable| variable == mark.as_bytes());
            let command = fs::read(process.path().join("cmdline")).ok()?;
            marked.then(|| String::from_utf8_lossy(&command).replace('\0', " "))
        })
        .collect()
}
