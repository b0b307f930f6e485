//! How long the phases of a start took the last time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::phase::Phase;

/// How many models the past is kept of.
const KEPT: usize = 64;

/// A phase and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// How long it took.
    pub seconds: f64,
}

/// What the last start of each model took, in a file that may be lost.
#[derive(Debug)]
pub struct StartupHistory {
    file: PathBuf,
    model: String,
}

type Starts = BTreeMap<String, Vec<PhaseTime>>;

impl StartupHistory {
    /// That of `model`, kept in the workspace's `state` folder.
    pub fn of(model: &str, state: &Path) -> Self {
        Self {
            file: state.join("starts.json"),
            model: model.to_owned(),
        }
    }

    /// The last start's phases; none where there was none.
    pub fn times(&self) -> Vec<PhaseTime> {
        self.read().remove(&self.model).unwrap_or_default()
    }

    /// Keeps them for the next start. Where that fails, the next start does not know what is left.
    pub fn keep(&self, times: Vec<PhaseTime>) {
        let mut starts = self.read();
        starts.insert(self.model.clone(), times);
        while starts.len() > KEPT {
            starts.pop_first();
        }
        if let Ok(text) = serde_json::to_vec_pretty(&starts) {
            let _ = mxfp4_fs::write(&self.file, text);
        }
    }

    fn read(&self) -> Starts {
        let text = fs::read(&self.file).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_kept_by_model_and_may_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let past = StartupHistory::of("a", folder.path());
        assert_eq!(past.times(), []);
        let times = vec![PhaseTime {
            phase: Phase::Load,
            seconds: 2.0,
        }];
        past.keep(times.clone());
        assert_eq!(past.times(), times);
        assert_eq!(StartupHistory::of("b", folder.path()).times(), []);
        fs::write(folder.path().join("starts.json"), "{").unwrap();
        assert_eq!(past.times(), []);
    }
}
