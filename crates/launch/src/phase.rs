//! The phases of a start, as MAX's log tells them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a start is at. The order is that of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Python loads MAX and reads the model's configuration.
    Start,
    /// The weights are fetched from the hub.
    Download,
    /// The process that runs the model starts.
    Worker,
    /// Weights are read and packed, and the graph is built.
    Load,
    /// The graph is compiled, or taken from the cache.
    Compile,
    /// Decode steps are captured as device graphs.
    Capture,
    /// The model is there; what serves it comes up.
    Open,
}

/// A piece of a line of MAX's log, and the phase that begins when it is written.
///
/// A MAX that words them otherwise costs the phases their names and nothing else: that a server is ready is asked of
/// the server.
const BEGINNINGS: [(&str, Phase); 8] = [
    ("Downloading weight files for", Phase::Download),
    ("Starting worker: ", Phase::Worker),
    ("Waiting for model worker readiness", Phase::Worker),
    ("Initializing model pipeline", Phase::Load),
    ("Building model graph took", Phase::Compile),
    ("Starting serve device graph capture warmup", Phase::Capture),
    ("Model worker startup total: ", Phase::Open),
    ("Model worker ready", Phase::Open),
];

impl Phase {
    /// The phase that begins with this line of MAX's log.
    pub fn begun_by(line: &str) -> Option<Self> {
        // What a request made MAX log may hold anything; MAX's own words stand right after the level.
        let (_, message) = line.split_once(" INFO: ")?;
        BEGINNINGS
            .iter()
            .find(|(words, _)| message.starts_with(words))
            .map(|(_, phase)| *phase)
    }

    /// What is being done, for a person.
    pub fn doing(self) -> &'static str {
        match self {
            Self::Start => "starting MAX",
            Self::Download => "fetching the weights",
            Self::Worker => "starting the model's process",
            Self::Load => "loading and packing the weights",
            Self::Compile => "compiling the model",
            Self::Capture => "capturing device graphs",
            Self::Open => "opening the server",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Download => "download",
            Self::Worker => "worker",
            Self::Load => "load",
            Self::Compile => "compile",
            Self::Capture => "capture",
            Self::Open => "open",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_s_lines_begin_phases() {
        for (line, expect) in [
            (
                "15:11:14.468 INFO: Starting worker: MODEL_b3e58b38",
                Some(Phase::Worker),
            ),
            (
                "15:11:19.426 INFO: Initializing model pipeline...",
                Some(Phase::Load),
            ),
            (
                "20:17:43.893 INFO: Building model graph took 0.0 seconds",
                Some(Phase::Compile),
            ),
            (
                "15:11:19.428 INFO: Model worker startup total: 5.0s — spawn: 5.0s",
                Some(Phase::Open),
            ),
            (
                "15:11:19.428 INFO: Pinned memory cache primed in 0.00s",
                None,
            ),
            ("15:11:19.428 WARNING: Model worker ready", None),
            ("15:11:19.428 INFO: a prompt: Model worker ready", None),
            ("Model worker ready", None),
            ("", None),
        ] {
            assert_eq!(Phase::begun_by(line), expect, "{line}");
        }
    }
}
