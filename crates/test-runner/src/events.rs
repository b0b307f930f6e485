//! What pytest's plugin tells, and the file that it tells it in.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::batch::{Collected, path_of_bytes};
use crate::report::Verdict;

/// What the plugin tells.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// pytest has read its options: those that were left out, those that choose tests, and where they come from.
    Options {
        left_out: Vec<String>,
        choosing: Vec<String>,
        sources: Vec<String>,
    },
    /// pytest has collected; the names of the tests begin at this folder, and this file holds pytest's settings.
    Root {
        #[serde(deserialize_with = "path_of_bytes")]
        path: PathBuf,
        settings: Option<String>,
    },
    /// This test is wanted.
    Collected(Collected),
    /// It begins.
    Start { id: String },
    /// It has ended.
    End(Ended),
}

/// How a test ended, or a module that could not be collected.
#[derive(Debug, Deserialize)]
pub struct Ended {
    /// pytest's name of it.
    pub id: String,
    /// `passed`, `failed` or `skipped`.
    pub outcome: String,
    /// Why, unless it passed.
    pub reason: String,
    /// What it printed, where it failed.
    pub output: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether it is a module that was asked for by name.
    #[serde(default)]
    pub asked: bool,
}

impl Ended {
    /// A test that failed without having said so itself.
    pub fn failed(id: String, reason: String, output: String, seconds: f64) -> Self {
        Self {
            id,
            outcome: "failed".to_owned(),
            reason,
            output,
            seconds,
            asked: false,
        }
    }

    /// What it comes to, where the test failed before for the reason that is given.
    pub fn verdict(&self, before: Option<&String>) -> Verdict {
        match (self.outcome.as_str(), before) {
            ("passed", Some(reason)) => Verdict::Flaky(reason.clone()),
            ("passed", None) => Verdict::Passed,
            ("skipped", _) => {
                let reason = self.reason.strip_prefix("skipped: ");
                Verdict::Skipped(reason.unwrap_or(&self.reason).to_owned())
            }
            _ => Verdict::Failed(self.reason.clone()),
        }
    }
}

/// The plugin's file, read as it grows.
pub struct Events {
    path: PathBuf,
    offset: u64,
    /// The line that is not whole yet.
    rest: Vec<u8>,
}

impl Events {
    /// Of the file at `path`, from its beginning.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            rest: Vec::new(),
        }
    }

    /// What was added since. A line that is none of the plugin's is not for us.
    pub fn read(&mut self) -> Vec<Event> {
        let mut added = Vec::new();
        // What cannot be read now is read the next time.
        let _ = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut added)
        });
        self.offset += added.len() as u64;
        self.rest.append(&mut added);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        lines
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_plugins_file_is_read_as_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut file = File::create(&path).unwrap();
        let mut events = Events::new(path);
        assert!(events.read().is_empty());
        file.write_all(b"{\"event\":\"start\",\"id\":\"a\"}\nno JSON\n{\"event\":\"sta")
            .unwrap();
        assert!(matches!(&events.read()[..], [Event::Start { id }] if id == "a"));
        assert!(events.read().is_empty());
        file.write_all(b"rt\",\"id\":\"b\"}\n\xff\xfe\n").unwrap();
        assert!(matches!(&events.read()[..], [Event::Start { id }] if id == "b"));
    }
}
