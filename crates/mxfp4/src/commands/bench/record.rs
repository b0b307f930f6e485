//! A run of the benchmark, as `--json` writes it and `--from` reads it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file;
use super::measurement::{Case, Limit, Row};

/// A run of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The command that measures the same.
    pub command: String,
    /// Where it was measured.
    pub gpu: Gpu,
    /// What was measured.
    pub versions: Versions,
    /// What the GPU can do at most.
    #[serde(default)]
    pub limits: Limits,
    /// What the kernel does.
    pub rows: Vec<Row>,
    /// What another kernel does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

/// A GPU and its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Version of the driver.
    pub driver: String,
}

/// Versions of what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub mxfp4: String,
    /// MAX, where it can be told.
    pub max: Option<String>,
    /// Mojo, where it can be told.
    pub mojo: Option<String>,
}

/// What the GPU can do at most; `None` where the program did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Reading memory, in 10^9 bytes a second.
    #[serde(default, deserialize_with = "positive_or_none")]
    pub read_gbs: Option<f64>,
    /// Multiplying dense bf16 matrices, in 10^12 operations a second.
    #[serde(default, deserialize_with = "positive_or_none")]
    pub matmul_tflops: Option<f64>,
}

/// Another kernel on the same shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// What it is called.
    pub name: String,
    /// What it does.
    pub rows: Vec<Row>,
}

impl Record {
    /// Reads the file that `--json` wrote.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        file::read_run(path, "recorded run", |record: &Self| record.rows.is_empty())
    }

    /// Writes it for [`Self::read`].
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        file::write_run(self, path)
    }

    /// The peer's row for what `row` measured.
    pub fn peer_of(&self, row: &Row) -> Option<&Row> {
        let peers = &self.peer.as_ref()?.rows;
        peers
            .iter()
            .find(|peer| peer.case() == row.case() && peer.tokens == row.tokens)
    }

    /// What was measured, in the order in which it was, whatever the number of tokens.
    pub fn cases(&self) -> Vec<Case<'_>> {
        let mut cases = Vec::new();
        for row in self
            .rows
            .iter()
            .chain(self.peer.iter().flat_map(|p| &p.rows))
        {
            if !cases.contains(&row.case()) {
                cases.push(row.case());
            }
        }
        cases
    }
}

impl Limits {
    /// Takes note of one.
    pub fn set(&mut self, limit: Limit) {
        match limit {
            Limit::Read { gbs } => self.read_gbs = Some(gbs),
            Limit::Matmul { tflops } => self.matmul_tflops = Some(tflops),
        }
    }
}

fn positive_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    Ok(number.filter(|number| *number > 0.0))
}
