//! A server that scripts drive: `mxfp4 serve --detach`, and `mxfp4 bench serve`. The server is MAX's own on a virtual
//! GPU, as in `real_server`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::serve::real_server::{Stop, VIRTUAL_GPU, checkpoint, fail, free_ports, skipping, tree};
use crate::support::{HOPPER, driver, folder, repository, run, sdk, trial};

/// How long a server may take to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), Stop>| {
        trial::ignorable(module_path!(), name, move || skipping(test()))
    };
    vec![
        trial(
            "a_detached_server_tells_its_phases_and_finishes_what_streams_when_it_is_ended",
            detached,
        ),
        trial(
            "a_killed_engine_is_told_to_its_requests_and_a_killed_front_end_is_not_outlived",
            killed,
        ),
        trial(
            "bench_serve_accounts_for_every_token_and_leaves_no_process",
            bench_serve,
        ),
        trial(
            "chat_asks_a_server_that_it_starts_and_leaves_no_process",
            chat,
        ),
    ]
}

/// A model, two ports and the environment of a server on a virtual GPU.
struct Home {
    folder: tempfile::TempDir,
    sdk: PathBuf,
    model: PathBuf,
    port: u16,
    metrics_port: u16,
    mark: String,
}

impl Home {
    fn new(name: &str) -> Result<Self, Stop> {
        let sdk = sdk()?;
        let folder = folder([("python/sitecustomize.py", VIRTUAL_GPU)]);
        let model = checkpoint(folder.path(), &sdk)?;
        driver(folder.path())?;
        let [port, metrics_port] = free_ports()?;
        Ok(Self {
            mark: format!("MXFP4_TEST_TREE={name}-{}", std::process::id()),
            folder,
            sdk,
            model,
            port,
            metrics_port,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mxfp4` with these arguments, the model and the port.
    fn mxfp4(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/env");
        command
            .arg("--default-signal=HUP,INT,QUIT,TERM")
            .arg(env!("CARGO_BIN_EXE_mxfp4"))
            .arg("--root")
            .arg(repository())
            .args(arguments)
            .args(["--port", &self.port.to_string(), "--model"])
            .arg(&self.model)
            .env_remove("CUDA_VISIBLE_DEVICES")
            .env("MXFP4_SDK", &self.sdk)
            .env("LD_LIBRARY_PATH", self.folder.path())
            .env("FAKE_GPU", HOPPER)
            .env("HOME", self.folder.path())
            .env("MODULAR_CACHE_DIR", self.path("cache"))
            .env("PYTHONPATH", self.path("python"))
            .env("MAX_SERVE_DUMMY_MODEL", "1")
            .env(
                "MAX_SERVE_METRICS_ENDPOINT_PORT",
                self.metrics_port.to_string(),
            )
            .env("MXFP4_TEST_TREE", &self.mark["MXFP4_TEST_TREE=".len()..]);
        command
    }

    fn nothing_is_left(&self) -> Result<(), Stop> {
        let start = Instant::now();
        while !tree(&self.mark).is_empty() {
            if start.elapsed() > PATIENCE {
                return fail(format!("left behind: {:?}", tree(&self.mark)));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind either.
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if environment
                .split(|&byte| byte == 0)
                .any(|variable| variable == self.mark.as_bytes())
            {
                run(Command::new("kill").arg("-9").arg(process.file_name()));
            }
        }
    }
}

fn detached() -> Result<(), Stop> {
    let home = Home::new("detached")?;
    let log = home.path("log");
    let log_flag = log.to_string_lossy();
    let flags = [
        "serve",
        "--json",
        "--detach",
        "--wait",
        "--drain",
        "60",
        "--log-file",
        &log_flag,
    ];
    let ran = run(&mut home.mxfp4(&flags));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let url = format!("http://127.0.0.1:{}", home.port);
    let (Some(0), Some(pid), true) = (ran.code, told["pid"].as_u64(), told["url"] == url) else {
        return fail(format!("{ran:#?}"));
    };

    let streamed = stream_and_end(&home, pid)?;
    let usage = streamed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .find_map(|event| event["usage"]["completion_tokens"].as_u64());
    if usage != Some(TOKENS) || !streamed.contains("[DONE]") {
        let end = streamed.lines().rev().take(4).collect::<Vec<_>>();
        return fail(format!("{usage:?} tokens came, the last lines {end:?}"));
    }
    home.nothing_is_left()?;
    events(&log, &url)
}

/// How many tokens are asked for while the server is ended.
const TOKENS: u64 = 3000;

/// How many are asked for while it is killed: none of them may be the last before that.
const LONG: u64 = 100_000;

/// Asks for a long answer, ends the server once it has begun, and returns all that came.
fn stream_and_end(home: &Home, pid: u64) -> Result<String, Stop> {
    stream_and(home, TOKENS, &["TERM", &pid.to_string()])
}

/// Asks for a long answer, sends a signal once it has begun, and returns all that came.
fn stream_and(home: &Home, tokens: u64, kill: &[&str]) -> Result<String, Stop> {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let body = json!({
        "model": home.model, "prompt": "x".repeat(tokens as usize), "max_tokens": tokens, "stream": true,
        "stream_options": {"include_usage": true},
    });
    let response = agent
        .post(format!("http://127.0.0.1:{}/v1/completions", home.port))
        .header("content-type", "application/json")
        .send(body.to_string());
    let response = response.map_err(|error| Stop::Fail(error.into()))?;
    let mut reader = response.into_body().into_reader();
    let mut streamed = vec![0; 100];
    reader.read_exact(&mut streamed)?;
    run(Command::new("kill").arg("-s").args(kill));
    reader.read_to_end(&mut streamed)?;
    Ok(String::from_utf8_lossy(&streamed).into_owned())
}

/// How long one side may outlive the other, and what this machine adds when it is busy.
const OUTLIVES: Duration = Duration::from_secs(2 + 3);

fn killed() -> Result<(), Stop> {
    let home = Home::new("killed")?;
    let log = home.path("log");
    let log_flag = log.to_string_lossy();
    let start = || -> Result<u64, Stop> {
        let flags = [
            "serve",
            "--json",
            "--detach",
            "--wait",
            "--log-file",
            &log_flag,
        ];
        let ran = run(&mut home.mxfp4(&flags));
        let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        match told["pid"].as_u64() {
            Some(pid) => Ok(pid),
            None => fail(format!("{ran:#?}")),
        }
    };

    let server = start()?;
    let max = process(&home.mark, "mxfp4.start")?;
    let streamed = stream_and(&home, LONG, &["KILL", &max])?;
    let end = streamed.lines().rev().take(4).collect::<Vec<_>>();
    if !streamed.contains("\"error\"") || streamed.contains("\"finish_reason\":\"stop\"") {
        return fail(format!("no error came: {end:?}"));
    }
    home.nothing_is_left()?;
    let text = fs::read_to_string(&log)?;
    if !text.contains("{\"event\":\"exit\",\"code\":1,") {
        return fail(format!("server {server}: {text}"));
    }

    let server = start()?;
    run(Command::new("kill").args(["-s", "KILL", &server.to_string()]));
    let start = Instant::now();
    while !tree(&home.mark).is_empty() {
        if start.elapsed() > OUTLIVES {
            return fail(format!("outlived: {:?}", tree(&home.mark)));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The number of the process of the tree that was started with this word.
fn process(mark: &str, word: &str) -> Result<String, Stop> {
    let holds = |file: PathBuf, text: &str| {
        let words = fs::read(file).unwrap_or_default();
        words
            .split(|&byte| byte == 0)
            .any(|word| word == text.as_bytes())
    };
    let found = fs::read_dir("/proc")?.flatten().find(|process| {
        holds(process.path().join("environ"), mark) && holds(process.path().join("cmdline"), word)
    });
    match found {
        Some(process) => Ok(process.file_name().to_string_lossy().into_owned()),
        None => fail(format!("no process of the server was started with {word}")),
    }
}

/// The log of a detached server holds its events: phases in order, each begun and ended, ready, the end.
fn events(log: &Path, url: &str) -> Result<(), Stop> {
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let phases = |state: &str| -> Vec<String> {
        let phases = events
            .iter()
            .filter(|event| event["event"] == "phase" && event["state"] == state);
        phases
            .filter_map(|event| Some(event["phase"].as_str()?.to_owned()))
            .collect()
    };
    let expected = ["start", "worker", "load", "open"];
    let ready = events.iter().find(|event| event["event"] == "ready");
    let exit = events.last();
    let warned = events.iter().any(|event| {
        let text = event["text"].as_str().unwrap_or_default();
        event["level"] == "warning" && text.contains("dummy model")
    });
    if phases("start") == expected
        && phases("end") == expected
        && ready.is_some_and(|event| event["url"] == url && event["phases"]["worker"].is_number())
        && exit.is_some_and(|event| event["event"] == "exit" && event["code"] == 143)
        && warned
    {
        return Ok(());
    }
    fail(text)
}

fn chat() -> Result<(), Stop> {
    let home = Home::new("chat")?;
    // The model of this server repeats its prompt, which is a chat's and ends before the answer has a text.
    let ran = run(home
        .mxfp4(&["chat", "--json", "Hello"])
        .stdin(Stdio::null()));
    home.nothing_is_left()?;
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let tokens = |name: &str| told["usage"][name].as_u64();
    if ran.code != Some(0)
        || tokens("prompt_tokens") < Some(10)
        || tokens("completion_tokens") < Some(10)
        || told["answer"].as_str().is_none()
        || told["model"] != home.model.to_string_lossy().as_ref()
        || !repository().join(".mxfp4/chat.log").is_file()
    {
        return fail(format!("{ran:#?}"));
    }
    Ok(())
}

fn bench_serve() -> Result<(), Stop> {
    let home = Home::new("bench")?;
    let (record, report) = (home.path("run.json"), home.path("report"));
    // The model of this server repeats its prompt, so it cannot answer with more tokens than that.
    let ran = run(home.mxfp4(&["bench", "serve"]).args([
        "--shape",
        "32/16",
        "--shape",
        "16/24",
        "--concurrency",
        "1,4",
        "--requests",
        "9",
        "--json",
        &record.to_string_lossy(),
        "--report",
        &report.to_string_lossy(),
    ]));
    home.nothing_is_left()?;
    let lost = "lost: 16/24 at 4: 0 of 9 requests failed, 9 had another number of tokens: 16 tokens instead of 24";
    if ran.code != Some(1)
        || !ran.stdout.contains(lost)
        || !ran.stdout.contains("GPU memory in use at most: 1.0 GiB")
        || !ran.stdout.contains("ready after ")
        || !ran
            .stderr
            .contains("18 requests were not answered with as many tokens")
    {
        return fail(format!("{ran:#?}"));
    }
    let run_record: Value = serde_json::from_reader(File::open(&record)?).unwrap_or_default();
    let level = |number: usize| {
        let level = &run_record["levels"][number];
        let counted = [
            "input_tokens",
            "output_tokens",
            "failed",
            "short",
            "requests",
        ]
        .map(|name| level[name].as_u64());
        (counted, level["ttft_ms"]["p50"].as_f64() > Some(0.0))
    };
    for (number, (output, short)) in [(144, 0), (144, 0), (144, 9), (144, 9)]
        .into_iter()
        .enumerate()
    {
        let input = if short == 0 { 288 } else { 144 };
        let expected = [input, output, 0, short, 9].map(Some);
        if level(number) != (expected, true) {
            return fail(format!("level {number}: {run_record:#}"));
        }
    }
    for name in ["index.html", "throughput.svg", "tpot.svg"] {
        let text = fs::read_to_string(report.join(name))?;
        if !text.contains("<svg") || !text.contains("requests at once") {
            return fail(format!("{name}: {text}"));
        }
    }

    // A kept run needs neither server nor SDK.
    let shown = run(Command::new(env!("CARGO_BIN_EXE_mxfp4"))
        .args(["bench", "serve", "--from"])
        .arg(&record)
        .current_dir(repository())
        .env("MXFP4_SDK", "/nowhere"));
    match shown.code == Some(0) && shown.stdout.contains(lost) && shown.stdout.contains("32/16") {
        true => Ok(()),
        false => fail(format!("{shown:#?}")),
    }
}
