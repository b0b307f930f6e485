//! What is counted, for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::route::Route;

/// What is counted, for Prometheus. All names begin with `mxfp4_`; MAX's with `maxserve_`.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<StatusLabels, Counter>,
    pub(crate) connections: Gauge,
    waiting: Gauge,
    running: Gauge,
    prompt_tokens: Family<RouteLabels, Counter>,
    cached_tokens: Family<RouteLabels, Counter>,
    completion_tokens: Family<RouteLabels, Counter>,
    reasoning_tokens: Family<RouteLabels, Counter>,
    first_token: Family<RouteLabels, Histogram>,
    output_token: Family<RouteLabels, Histogram>,
    duration: Family<RouteLabels, Histogram>,
    key_requests: Family<KeyStatusLabels, Counter>,
    key_prompt_tokens: Family<KeyLabels, Counter>,
    key_completion_tokens: Family<KeyLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    /// Its name.
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyStatusLabels {
    key: String,
    status: u16,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) prompt: u64,
    pub(crate) cached: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    /// Those of the longest choice.
    pub(crate) longest: u64,
}

/// When an answer's tokens came, from the request on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// None: none came.
    pub(crate) first: Option<Duration>,
    pub(crate) last: Duration,
}

/// Seconds.
const FIRST_TOKEN: [f64; 16] = [
    0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];
const OUTPUT_TOKEN: [f64; 14] = [
    0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0,
];
const DURATION: [f64; 16] = [
    0.005, 0.02, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 600.0,
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("mxfp4");
        let all = &mut registry;
        Self {
            requests: add(
                all,
                "requests",
                "Requests that were answered, by route and status",
            ),
            connections: add(all, "connections", "Open connections of clients"),
            waiting: add(
                all,
                "answers_waiting",
                "Answers that the engine was asked for and has not begun",
            ),
            running: add(all, "answers_running", "Answers that the engine has begun"),
            prompt_tokens: add(all, "prompt_tokens", "Tokens of prompts"),
            cached_tokens: add(
                all,
                "cached_prompt_tokens",
                "Tokens of prompts that the prefix cache had",
            ),
            completion_tokens: add(all, "completion_tokens", "Tokens of answers"),
            reasoning_tokens: add(
                all,
                "reasoning_tokens",
                "Tokens of answers that were reasoning",
            ),
            first_token: add_family(
                all,
                "time_to_first_token_seconds",
                "From a request to its first token",
                || Histogram::new(FIRST_TOKEN),
            ),
            output_token: add_family(
                all,
                "time_per_output_token_seconds",
                "Mean time between a request's tokens after the first",
                || Histogram::new(OUTPUT_TOKEN),
            ),
            duration: add_family(
                all,
                "request_duration_seconds",
                "From a request to the end of its answer",
                || Histogram::new(DURATION),
            ),
            key_requests: add(
                all,
                "key_requests",
                "Requests that were answered, by the key's name and status",
            ),
            key_prompt_tokens: add(
                all,
                "key_prompt_tokens",
                "Tokens of prompts, by the key's name",
            ),
            key_completion_tokens: add(
                all,
                "key_completion_tokens",
                "Tokens of answers, by the key's name",
            ),
            registry,
        }
    }

    /// A request came with the key of this name.
    pub(crate) fn of_key(&self, name: &str, status: u16, tokens: Tokens) {
        let key = name.to_owned();
        let labels = KeyStatusLabels {
            key: key.clone(),
            status,
        };
        self.key_requests.get_or_create(&labels).inc();
        if tokens.prompt == 0 {
            return;
        }
        let labels = KeyLabels { key };
        self.key_prompt_tokens
            .get_or_create(&labels)
            .inc_by(tokens.prompt);
        self.key_completion_tokens
            .get_or_create(&labels)
            .inc_by(tokens.completion);
    }

    /// A request was answered, or its client left before.
    pub(crate) fn answered(&self, route: Route, status: u16, duration: Duration) {
        let route = route.as_str();
        let labels = StatusLabels { route, status };
        self.requests.get_or_create(&labels).inc();
        self.duration
            .get_or_create(&RouteLabels { route })
            .observe(duration.as_secs_f64());
    }

    /// The engine answered a request, whole or not.
    pub(crate) fn generated(&self, route: Route, times: Times, tokens: Tokens) {
        let labels = &RouteLabels {
            route: route.as_str(),
        };
        self.prompt_tokens
            .get_or_create(labels)
            .inc_by(tokens.prompt);
        self.cached_tokens
            .get_or_create(labels)
            .inc_by(tokens.cached);
        self.completion_tokens
            .get_or_create(labels)
            .inc_by(tokens.completion);
        self.reasoning_tokens
            .get_or_create(labels)
            .inc_by(tokens.reasoning);
        let Some(first) = times.first else {
            return;
        };
        self.first_token
            .get_or_create(labels)
            .observe(first.as_secs_f64());
        if tokens.longest > 1 {
            let rest = times.last.saturating_sub(first).as_secs_f64();
            self.output_token
                .get_or_create(labels)
                .observe(rest / (tokens.longest - 1) as f64);
        }
    }

    /// An answer that the engine was asked for; it counts until this is dropped.
    pub(crate) fn presence(&self) -> Presence {
        self.waiting.inc();
        Presence {
            waiting: self.waiting.clone(),
            running: self.running.clone(),
            runs: false,
        }
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        prometheus_text(&text)
    }
}

fn add<M: Metric + Default + Clone>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn add_family(
    registry: &mut Registry,
    name: &str,
    help: &str,
    new: fn() -> Histogram,
) -> Family<RouteLabels, Histogram> {
    let family = Family::new_with_constructor(new);
    registry.register(name, help, family.clone());
    family
}

/// OpenMetrics' text as Prometheus' own format: there a counter's help and type name its
/// sample, which ends in `_total`, and nothing marks the end.
fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 256);
    let mut help = String::new();
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.clone_into(&mut help);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, words) = help.split_once(' ').unwrap_or((&help, ""));
            let counter = kind.ends_with(" counter");
            let suffix = if counter { "_total" } else { "" };
            let kind = kind.rsplit(' ').next().unwrap_or_default();
            text.push_str(&format!(
                "# HELP {name}{suffix} {words}\n# TYPE {name}{suffix} {kind}\n"
            ));
        } else if line != "# EOF" {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// An answer that the engine was asked for.
pub(crate) struct Presence {
    waiting: Gauge,
    running: Gauge,
    runs: bool,
}

impl Presence {
    /// The engine has begun it.
    pub(crate) fn runs(&mut self) {
        if !self.runs {
            self.runs = true;
            self.waiting.dec();
            self.running.inc();
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.runs {
            self.running.dec();
        } else {
            self.waiting.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus_own() {
        let metrics = Metrics::new();
        let times = Times {
            first: Some(Duration::from_millis(50)),
            last: Duration::from_millis(250),
        };
        let tokens = Tokens {
            prompt: 7,
            cached: 0,
            completion: 3,
            reasoning: 1,
            longest: 3,
        };
        metrics.generated(Route::Chat, times, tokens);
        metrics.answered(Route::Chat, 200, Duration::from_millis(250));
        let mut presence = metrics.presence();
        presence.runs();
        let text = metrics.text();
        for line in [
            "# TYPE mxfp4_requests_total counter",
            "mxfp4_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1",
            "# HELP mxfp4_prompt_tokens_total Tokens of prompts.",
            "mxfp4_prompt_tokens_total{route=\"/v1/chat/completions\"} 7",
            "mxfp4_answers_running 1",
            "mxfp4_answers_waiting 0",
            "# TYPE mxfp4_time_to_first_token_seconds histogram",
            "mxfp4_time_to_first_token_seconds_bucket{le=\"0.06\",route=\"/v1/chat/completions\"} 1",
            "mxfp4_time_per_output_token_seconds_sum{route=\"/v1/chat/completions\"} 0.1",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}\nin\n{text}");
        }
        assert!(!text.contains("EOF") && !text.contains("# UNIT"));
    }
}
