//! What was measured of one load.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::drive::Driven;
use crate::commands::bench::measurement::positive;

/// How many different errors are told.
const ERRORS: usize = 5;

/// Which of two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub input: NonZeroU32,
    /// Tokens of each answer.
    pub output: NonZeroU32,
    /// Requests at once.
    pub concurrency: NonZeroU32,
}

impl Level {
    /// What came of this load: every request is accounted for.
    pub fn of(load: Load, driven: Driven) -> Self {
        let requests = driven.answers.len();
        let mut errors = Vec::new();
        let mut answers = Vec::with_capacity(requests);
        for answer in driven.answers {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(why) => errors.push(why.to_string()),
            }
        }
        let failed = errors.len();
        let output = u64::from(load.output.get());
        let counts = answers.iter().map(|answer| answer.tokens);
        errors.extend(
            counts
                .filter(|tokens| *tokens != output)
                .map(|tokens| format!("{tokens} tokens instead of {output}")),
        );
        let short = errors.len() - failed;
        errors.sort_unstable();
        errors.dedup();
        errors.truncate(ERRORS);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let gaps = answers.iter().flat_map(|answer| &answer.gaps);
        let input = u64::from(load.input.get());
        Self {
            input: load.input,
            output: load.output,
            concurrency: load.concurrency,
            requests: requests as u32,
            failed: failed as u32,
            short: short as u32,
            errors,
            seconds: driven.took.max(Duration::from_nanos(1)).as_secs_f64(),
            input_tokens: answers
                .iter()
                .map(|answer| answer.prompt_tokens.unwrap_or(input))
                .sum(),
            output_tokens: answers.iter().map(|answer| answer.tokens).sum(),
            ttft_ms: Spread::of(answers.iter().filter_map(|answer| answer.first.map(ms))),
            tpot_ms: Spread::of(
                answers
                    .iter()
                    .filter_map(|answer| Some(answer.time_per_token()? * 1e3)),
            ),
            itl_ms: Spread::of(gaps.map(|seconds| f64::from(*seconds) * 1e3)),
            gpu_memory: None,
        }
    }

    /// The load.
    pub fn load(&self) -> Load {
        Load {
            input: self.input,
            output: self.output,
            concurrency: self.concurrency,
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

impl Spread {
    /// Of these samples; between two of them a percentile is interpolated.
    pub fn of(samples: impl Iterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.collect();
        samples.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * samples.len().checked_sub(1)? as f64;
            let (low, high) = (samples[place as usize], samples[place.ceil() as usize]);
            Some(low + (high - low) * place.fract())
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Answer, Uncounted};
    use super::*;

    fn load() -> Load {
        let number = |number| NonZeroU32::new(number).unwrap();
        Load {
            input: number(64),
            output: number(5),
            concurrency: number(2),
        }
    }

    fn answer(tokens: u64) -> Result<Answer, Uncounted> {
        Ok(Answer {
            took: Duration::from_millis(50),
            first: Some(Duration::from_millis(10)),
            gaps: vec![0.01; 4],
            prompt_tokens: (tokens == 5).then_some(65),
            tokens,
        })
    }

    #[test]
    fn every_request_is_accounted_for() {
        let fail = || Err(Uncounted::Cut);
        let driven = Driven {
            answers: vec![answer(5), fail(), answer(2), answer(5), fail(), answer(9)],
            took: Duration::from_millis(500),
        };
        let level = Level::of(load(), driven);
        assert_eq!((level.requests, level.failed, level.short), (6, 2, 2));
        let errors = [
            "2 tokens instead of 5",
            "9 tokens instead of 5",
            "the stream was cut: it ended without [DONE]",
        ];
        assert_eq!(level.errors, errors);
        assert_eq!((level.input_tokens, level.output_tokens), (258, 21));
        assert_eq!(level.tokens_per_second(), 42.0);
        assert_eq!(level.requests_per_second(), 8.0);
        let near = |value: Option<f64>, expect: f64| (value.unwrap() - expect).abs() < 1e-6;
        assert!(near(level.ttft_ms.p50, 10.0), "{level:?}");
        assert!(near(level.tpot_ms.p50, 10.0), "{level:?}");
        assert!(near(level.itl_ms.p99, 10.0), "{level:?}");
        let written = serde_json::to_string(&level).unwrap();
        assert_eq!(serde_json::from_str::<Level>(&written).unwrap(), level);
    }

    #[test]
    fn a_load_without_answers() {
        let driven = Driven {
            answers: vec![Err(Uncounted::NoUsage)],
            took: Duration::ZERO,
        };
        let level = Level::of(load(), driven);
        assert_eq!((level.failed, level.tokens_per_second()), (1, 0.0));
        assert_eq!(level.ttft_ms.p50, None);
        let written = serde_json::to_string(&level).unwrap();
        assert_eq!(serde_json::from_str::<Level>(&written).unwrap(), level);
        for (ours, theirs) in [
            ("\"seconds\":", "\"seconds\":-"),
            ("\"input\":64", "\"input\":0"),
            ("\"requests\":1", "\"requests\":-1"),
        ] {
            let changed = written.replace(ours, theirs);
            assert!(serde_json::from_str::<Level>(&changed).is_err(), "{theirs}");
        }
    }

    #[test]
    fn percentiles_are_interpolated() {
        let spread = |samples: &[f64]| {
            let spread = Spread::of(samples.iter().copied());
            (spread.p50, spread.p99)
        };
        assert_eq!(spread(&[]), (None, None));
        assert_eq!(spread(&[3.0]), (Some(3.0), Some(3.0)));
        assert_eq!(spread(&[4.0, 1.0]), (Some(2.5), Some(1.0 + 3.0 * 0.99)));
        assert_eq!(spread(&[9.0, 1.0, 5.0]).0, Some(5.0));
    }
}
