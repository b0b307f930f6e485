//! A run of the serving benchmark, as `--json` writes it and `--from` reads it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::level::Level;
use crate::commands::bench::file;
use crate::commands::bench::record::{Gpu, Versions};
use mxfp4_launch::PhaseTime;

/// A run of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The command that measures the same.
    pub command: String,
    /// The model, as it was named.
    pub model: String,
    /// Where it was measured; `None` where no driver told.
    pub gpu: Option<Gpu>,
    /// What was measured; of a server that was not started here, MAX's version is not known.
    pub versions: Versions,
    /// The start of the server; `None` where one ran already.
    pub start: Option<Start>,
    /// What the server did.
    pub levels: Vec<Level>,
    /// What another server did under the same load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer: Vec<Level>,
}

/// A start of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// From the first process to the first answer.
    pub seconds: f64,
    /// What it consists of.
    pub phases: Vec<PhaseTime>,
    /// Whether the model was compiled; otherwise it came from the cache.
    pub compiled: bool,
}

impl Record {
    /// Reads the file that `--json` wrote.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        file::read_run(path, "recorded run of `bench serve`", |record: &Self| {
            record.levels.is_empty()
        })
    }

    /// Writes it for [`Self::read`].
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        file::write_run(self, path)
    }

    /// The peer's level for the load of `level`.
    pub fn peer_of(&self, level: &Level) -> Option<&Level> {
        self.peer.iter().find(|peer| peer.load() == level.load())
    }

    /// Requests that failed or were answered with fewer tokens than asked for, the peer's too.
    pub fn lost(&self) -> u32 {
        let all = self.levels.iter().chain(&self.peer);
        all.map(|level| level.failed + level.short).sum()
    }

    /// The start, as a sentence.
    pub fn start_sentence(&self) -> Option<String> {
        let start = self.start.as_ref()?;
        let phases: Vec<String> = start
            .phases
            .iter()
            .map(|lap| format!("{} {:.1} s", lap.phase, lap.seconds))
            .collect();
        let whence = match start.compiled {
            true => "the model was compiled",
            false => "the compiled model came from the cache",
        };
        Some(format!(
            "ready after {:.1} s ({}); {whence}",
            start.seconds,
            phases.join(", ")
        ))
    }
}
