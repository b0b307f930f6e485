//! What the load generator says of one load: one JSON object a line.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::bench::measurement::positive;

/// A line of the load generator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Line {
    /// Whose level it is.
    pub server: Whose,
    /// What was measured.
    #[serde(flatten)]
    pub level: Level,
}

/// Which of two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// The one that is measured.
    Ours,
    /// The one that it is compared with.
    Peer,
}

/// One load on one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Tokens of each prompt.
    pub input: NonZeroU32,
    /// Tokens of each answer.
    pub output: NonZeroU32,
    /// Requests at once.
    pub concurrency: NonZeroU32,
    /// Requests in all.
    pub requests: u32,
    /// Those without an answer.
    pub failed: u32,
    /// Those with fewer or more tokens than asked for.
    pub short: u32,
    /// Some of what went wrong.
    #[serde(default)]
    pub errors: Vec<String>,
    /// From the first request to the last answer.
    #[serde(deserialize_with = "positive")]
    pub seconds: f64,
    /// Tokens of all prompts.
    pub input_tokens: u64,
    /// Tokens of all answers.
    pub output_tokens: u64,
    /// Milliseconds to the first token.
    pub ttft_ms: Spread,
    /// Milliseconds for each token after the first, by request.
    pub tpot_ms: Spread,
    /// Milliseconds between two pieces of an answer.
    pub itl_ms: Spread,
    /// The most memory of the GPUs that was in use meanwhile, by all processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<u64>,
}

/// The median and the 99th percentile; `None` where nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub p50: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
}

/// What makes levels of two servers comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens of each prompt.
    pub input: u32,
    /// Tokens of each answer.
    pub output: u32,
    /// Requests at once.
    pub concurrency: u32,
}

impl Line {
    /// Reads a line; `None` when it is none of the load generator's.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl Level {
    /// The load.
    pub fn load(&self) -> Load {
        Load {
            input: self.input.get(),
            output: self.output.get(),
            concurrency: self.concurrency.get(),
        }
    }

    /// Tokens of answers a second.
    pub fn tokens_per_second(&self) -> f64 {
        self.output_tokens as f64 / self.seconds
    }

    /// Answered requests a second.
    pub fn requests_per_second(&self) -> f64 {
        f64::from(self.requests.saturating_sub(self.failed)) / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"server":"ours","input":64,"output":32,"concurrency":8,"requests":32,"failed":2,"short":1,
        "errors":["no"],"seconds":0.5,"input_tokens":2048,"output_tokens":928,"ttft_ms":{"p50":1.5,"p99":3},
        "tpot_ms":{"p50":0.3,"p99":1.4},"itl_ms":{"p50":null,"p99":null}}"#;

    #[test]
    fn a_level_with_what_follows_from_it() {
        let line = Line::parse(LINE).unwrap();
        assert_eq!(line.server, Whose::Ours);
        assert_eq!(line.level.tokens_per_second(), 1856.0);
        assert_eq!(line.level.requests_per_second(), 60.0);
        assert_eq!(line.level.itl_ms.p50, None);
        let written = serde_json::to_string(&line.level).unwrap();
        assert_eq!(serde_json::from_str::<Level>(&written).unwrap(), line.level);
    }

    #[test]
    fn what_cannot_be_divided_by_is_no_level() {
        for (ours, theirs) in [
            ("\"seconds\":0.5", "\"seconds\":0"),
            ("\"input\":64", "\"input\":0"),
            ("\"requests\":32", "\"requests\":-1"),
            ("\"server\":\"ours\"", "\"server\":\"other\""),
        ] {
            assert_eq!(Line::parse(&LINE.replace(ours, theirs)), None, "{theirs}");
        }
        assert_eq!(Line::parse("no json"), None);
    }
}
