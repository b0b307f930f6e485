//! What is remembered of a request until its end: for the access log and the metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Method};

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::api_error::ApiError;
use crate::auth::{KeyId, Permit};
use crate::metrics::{Metrics, Presence, Times, Tokens};
use crate::route::Route;

/// What is remembered of a request until its end, when it is logged.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    route: Route,
    method: Method,
    /// `x-request-id`.
    id: HeaderValue,
    started: Instant,
    answer: Mutex<Remembered>,
    /// What waits for its end.
    waits: Option<TaskTrackerToken>,
}

#[derive(Default)]
struct Remembered {
    /// None: the client left before there was one.
    status: Option<u16>,
    end: End,
    asked: bool,
    /// Whose key it came with.
    key: Option<KeyId>,
    /// What the key may take less of meanwhile.
    permit: Option<Permit>,
    tokens: Tokens,
    first: Option<Duration>,
    last: Duration,
}

/// How an answer ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// The client left before its end.
    #[default]
    Cut,
    Whole,
    /// With an error after it had begun.
    Failed,
}

impl Record {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        route: Route,
        method: Method,
        id: HeaderValue,
    ) -> Self {
        Self {
            metrics,
            route,
            method,
            id,
            started: Instant::now(),
            answer: Mutex::default(),
            waits: None,
        }
    }

    /// Something waits for this request's end.
    pub(crate) fn counts_as(&mut self, token: TaskTrackerToken) {
        self.waits = Some(token);
    }

    pub(crate) fn id(&self) -> &HeaderValue {
        &self.id
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It came with a right key.
    pub(crate) fn has_key(&self, key: KeyId) {
        self.lock().key = Some(key);
    }

    /// The name of the key that it came with.
    pub(crate) fn key_name(&self) -> Option<String> {
        let record = self.lock();
        let name = record.key.as_ref().and_then(KeyId::name);
        name.map(str::to_owned)
    }

    /// It counts among what its key may take, until its end.
    pub(crate) fn permitted(&self, permit: Permit) {
        self.lock().permit = Some(permit);
    }

    /// Takes the tokens that the request may use at most from what its key may take, or what
    /// is known of them: those of the prompts and, where that is bounded, of the answers.
    pub(crate) fn reserve(&self, tokens: u64) -> Result<(), ApiError> {
        match &mut self.lock().permit {
            Some(permit) => permit.reserve(tokens).map_err(Into::into),
            None => Ok(()),
        }
    }

    /// The engine is asked.
    pub(crate) fn asked(&self, prompt_tokens: u32) {
        let mut answer = self.lock();
        answer.asked = true;
        answer.tokens.prompt = prompt_tokens.into();
    }

    pub(crate) fn presence(&self) -> Presence {
        self.metrics.presence()
    }

    pub(crate) fn first_token(&self) {
        self.lock().first = Some(self.started.elapsed());
    }

    /// The engine has answered, whole or not.
    pub(crate) fn generated(&self, tokens: Tokens) {
        let mut answer = self.lock();
        answer.tokens = tokens;
        answer.last = self.started.elapsed();
    }

    /// The answer's head is made.
    pub(crate) fn status(&self, status: u16) {
        self.lock().status = Some(status);
    }

    /// The answer's body was taken to its end.
    pub(crate) fn whole(&self) {
        let mut answer = self.lock();
        if answer.end == End::Cut {
            answer.end = End::Whole;
        }
    }

    /// The answer ends with an error after it has begun.
    pub(crate) fn failed(&self) {
        self.lock().end = End::Failed;
    }
}

/// What a proxy logs where a client left before there was an answer.
const CLIENT_LEFT: u16 = 499;

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let answer = self
            .answer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let status = answer.status.unwrap_or(CLIENT_LEFT);
        let Tokens {
            prompt,
            cached,
            completion,
            reasoning,
            ..
        } = answer.tokens;
        let key = answer.key.take();
        let key = key.as_ref().and_then(KeyId::name);
        if let Some(permit) = answer.permit.take() {
            permit.settle(match answer.asked {
                true => prompt + completion,
                false => 0,
            });
        }
        self.metrics.answered(self.route, status, duration);
        if let Some(key) = key {
            self.metrics.of_key(key, status, answer.tokens);
        }
        if answer.asked {
            let times = Times {
                first: answer.first,
                last: answer.last,
            };
            self.metrics.generated(self.route, times, answer.tokens);
        }
        let (method, route) = (self.method.as_str(), self.route.as_str());
        let id = self.id.to_str().unwrap_or_default();
        let milliseconds = rounded(duration);
        let end = match answer.end {
            End::Cut => "cut",
            End::Whole => "whole",
            End::Failed => "failed",
        };
        if self.route.watches() {
            tracing::debug!(target: "mxfp4::access", method, route, status, milliseconds, key, id);
        } else if answer.asked {
            tracing::info!(
                target: "mxfp4::access",
                method,
                route,
                status,
                milliseconds,
                first_token = answer.first.map(rounded),
                prompt,
                cached,
                completion,
                reasoning,
                end,
                key,
                id,
            );
        } else {
            tracing::info!(target: "mxfp4::access", method, route, status, milliseconds, end, key, id);
        }
    }
}

/// Milliseconds, to a tenth.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}
