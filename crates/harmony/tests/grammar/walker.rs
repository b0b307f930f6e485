//! `walker.py`, which runs xgrammar as MAX has it.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use mxfp4_harmony::testing::published;
use serde_json::{Value, json};

/// Those that no test has now: each takes seconds to start.
#[derive(Default)]
pub struct Walkers(Mutex<Vec<Walker>>);

impl Walkers {
    /// Runs a test with one. What failed may have left its walker anywhere, so that no other test gets it.
    pub fn lend(&self, test: impl Fn(&Walker) -> Result<(), String>) -> Result<(), String> {
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = idle().pop();
        let walker = match known {
            Some(walker) => walker,
            None => Walker::start()?,
        };
        test(&walker)?;
        idle().push(walker);
        Ok(())
    }
}

/// xgrammar in another process.
pub struct Walker {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Walker {
    /// Fails with a reason to skip the test where this machine lacks something.
    fn start() -> Result<Self, String> {
        let published = published().ok_or("skipped: MXFP4_PUBLISHED is not set")?;
        let python = sdk().join("bin/python");
        if !python.exists() {
            return Err(format!("skipped: there is no SDK at {}", sdk().display()));
        }
        let has = Command::new(&python)
            .args(["-c", "import jsonschema, max._xgrammar, transformers"])
            .output()
            .map_err(|error| error.to_string())?;
        if !has.status.success() {
            let error = String::from_utf8_lossy(&has.stderr).into_owned();
            let last = error.lines().last().unwrap_or_default();
            return Err(format!("skipped: the SDK lacks something: {last}"));
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grammar/walker.py");
        let mut child = Command::new(python)
            .arg(program)
            .arg(published)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let stdin = child.stdin.take().ok_or("no pipe")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let walker = Self {
            child,
            pipes: RefCell::new((stdin, stdout)),
        };
        walker.line()?;
        Ok(walker)
    }

    /// A whole answer that the tag allows, with its end token.
    pub fn walk(&self, tag: &str, seed: u64, free: usize, json: bool) -> Result<Vec<u32>, String> {
        let ask = json!({"do": "walk", "tag": tag, "seed": seed, "free": free, "json": json});
        let answer = self.ask(&ask)?;
        serde_json::from_value(answer["tokens"].clone()).map_err(|error| error.to_string())
    }

    /// Whether tokens are a whole answer.
    pub fn accepts(&self, tag: &str, tokens: &[u32]) -> Result<bool, String> {
        let answer = self.ask(&json!({"do": "accepts", "tag": tag, "tokens": tokens}))?;
        answer["accepts"].as_bool().ok_or(answer.to_string())
    }

    /// Which texts a plain schema allows, or why xgrammar refuses it.
    pub fn compile(&self, schema: &Value, texts: &[&str]) -> Result<Vec<bool>, String> {
        let answer = self.ask(&json!({"do": "compile", "schema": schema, "texts": texts}))?;
        serde_json::from_value(answer["accepts"].clone()).map_err(|error| error.to_string())
    }

    /// Whether a JSON text is of a schema.
    pub fn validate(&self, schema: &Value, value: &str) -> Result<(), String> {
        self.ask(&json!({"do": "validate", "schema": schema, "value": value}))
            .map(|_| ())
    }

    fn ask(&self, ask: &Value) -> Result<Value, String> {
        writeln!(self.pipes.borrow_mut().0, "{ask}").map_err(|error| error.to_string())?;
        let answer = self.line()?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    fn line(&self) -> Result<Value, String> {
        let mut line = String::new();
        let read = self.pipes.borrow_mut().1.read_line(&mut line);
        read.map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|error| format!("the walker ended: {error}"))
    }
}

impl Drop for Walker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sdk() -> PathBuf {
    std::env::var_os("MXFP4_SDK").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv"),
        PathBuf::from,
    )
}
