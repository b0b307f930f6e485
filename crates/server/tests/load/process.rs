//! What is put under load: the front end and its engine, each in a process of its own, which is this program again.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mxfp4_harmony::testing::published_vocabulary;
use serde::{Deserialize, Serialize};

/// The variable with which this program is one of the two, and what it holds: a [`Role`].
pub const VARIABLE: &str = "MXFP4_LOAD_ROLE";

/// What this program is when it is started again.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Role {
    FrontEnd(Settings),
    /// With the path of the front end's socket.
    Engine(Settings, String, Words),
}

/// What the engine needs to know of the vocabulary.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Words {
    /// `<|message|>`, `<|end|>` and `<|return|>`.
    pub message: u32,
    pub end: u32,
    pub last: u32,
    /// A thought, and what an answer begins with.
    pub begin: Vec<u32>,
    /// What long answers are made of: " a".
    pub filler: u32,
}

impl Words {
    fn find() -> Self {
        let vocabulary = published_vocabulary().expect("the test looked for it");
        let special = |name| vocabulary.special_id(name).expect("it is a published one");
        let begin =
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>";
        Self {
            message: special("<|message|>"),
            end: special("<|end|>"),
            last: special("<|return|>"),
            begin: vocabulary.encode_with_special(begin),
            filler: vocabulary.encode(" a")[0],
        }
    }
}

/// Seeds that are orders to the engine.
pub mod orders {
    /// Fillers, as many as `max_tokens` says.
    pub const LONG: u64 = 1;
    /// No answer.
    pub const STALL: u64 = 2;
}

/// How they behave.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    /// Milliseconds of a step.
    pub step: u64,
    /// Requests at once.
    pub batch: u32,
    /// Requests that wait beside them.
    pub queue: usize,
    /// Seconds that a connection may be idle.
    pub keep_alive: u64,
    /// Seconds that a client may take for a request, and may leave an answer unread.
    pub patience: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            step: 1,
            batch: 1024,
            queue: 65_536,
            keep_alive: 60,
            patience: 30,
        }
    }
}

/// A front end and its engine.
pub struct Server {
    front_end: Process,
    engine: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts both and waits until requests are answered.
    pub fn start(settings: &Settings) -> Self {
        let mut front_end = Process::start(&Role::FrontEnd(settings.clone()));
        let line = front_end.line();
        let (address, socket) = line.split_once(' ').expect("it says where it listens");
        let engine = Role::Engine(settings.clone(), socket.to_owned(), Words::find());
        let engine = Process::start(&engine);
        assert_eq!(front_end.line(), "ready");
        Self {
            address: address.parse().expect("an address"),
            front_end,
            engine,
        }
    }

    /// Ends it as SIGTERM would, with so many seconds for requests that run.
    pub fn drain(&mut self, seconds: u64) -> String {
        self.front_end.tell(&format!("drain {seconds}"))
    }

    /// The exit code of the front end, which is to end now.
    pub fn code(&mut self) -> Option<i32> {
        self.front_end.end()
    }

    /// Ends the engine as SIGKILL does.
    pub fn kill_engine(&mut self) {
        self.engine.kill();
    }

    /// How many requests the engine was told to leave.
    pub fn cancelled(&mut self) -> usize {
        self.engine.tell("cancelled").parse().expect("a number")
    }

    /// How many requests run or wait in the engine.
    pub fn live(&mut self) -> usize {
        self.front_end.tell("live").parse().expect("a number")
    }

    /// Files that the front end has open and memory that it holds once nothing goes on.
    pub fn settled(&mut self) -> (usize, u64) {
        let mut files = self.files();
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.files();
            if now >= files && self.live() == 0 {
                return (now, self.memory());
            }
            files = now;
        }
    }

    /// Files that the front end has open.
    pub fn files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.front_end.child.id());
        Path::new(&folder).read_dir().map_or(0, Iterator::count)
    }

    /// The front end's resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let file = format!("/proc/{}/status", self.front_end.child.id());
        let status = std::fs::read_to_string(file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes.unwrap_or(0_u64) * 1024
    }

    /// Waits until it holds, at most so long; whether it does.
    pub fn until(&mut self, most: Duration, mut hold: impl FnMut(&mut Self) -> bool) -> bool {
        let end = Instant::now() + most;
        while !hold(self) {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// This program, started again. It is killed when this is dropped.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &Role) -> Self {
        let role = serde_json::to_string(role).expect("it is plain");
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .env(VARIABLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout),
            child,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it says lines");
        line.trim().to_owned()
    }

    fn tell(&mut self, order: &str) -> String {
        let stdin = self.stdin.as_mut().expect("it is open until the end");
        writeln!(stdin, "{order}").expect("it reads");
        self.line()
    }

    fn end(&mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().ok()?.code()
    }

    fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
