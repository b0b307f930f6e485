//! One answer of a request while it is made.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mxfp4_engine::{Engine, EngineError, Generation, Request, Step};

use super::chat_reading::ChatReading;
use super::finish::FinishReason;
use super::raw_reading::RawReading;
use super::sink::Sink;
use crate::metrics::Presence;
use crate::record::Record;

/// Prompts of so many tokens are not shared by waiting: the prefix cache has whole pages
/// of 128.
const SHORT_PROMPT: usize = 256;

/// One answer of a request while it is made.
pub(crate) struct Choice {
    state: State,
    reading: Reading,
    /// The choice whose first token this one waits for, to find its prompt in the
    /// engine's prefix cache.
    after: Option<usize>,
    /// Whether it is its prompt's first.
    leads: bool,
    tokens: u32,
    cached: u32,
    finish: Option<FinishReason>,
}

enum State {
    /// The prompt, and all else that the engine is asked.
    Waits(Arc<[u32]>, Box<Request>),
    Runs(Generation, Presence),
    /// No token is wanted, so the engine is not asked.
    Empty,
    Ended,
}

/// From tokens to text.
pub(crate) enum Reading {
    Chat(Box<ChatReading>),
    Raw(Box<RawReading>),
}

impl Choice {
    /// `request` is without the prompt; `leader` is the first choice of the same prompt,
    /// if this is a later one.
    pub(crate) fn new(
        prompt: Arc<[u32]>,
        request: Request,
        reading: Reading,
        leader: Option<usize>,
    ) -> Self {
        // A short prompt is read sooner than waited for.
        let shared = prompt.len() > SHORT_PROMPT;
        Self {
            state: State::Waits(prompt, Box::new(request)),
            reading,
            after: leader.filter(|_| shared),
            leads: leader.is_none(),
            tokens: 0,
            cached: 0,
            finish: None,
        }
    }

    /// Whether it is its prompt's first.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    pub(crate) fn waits_for(&self) -> Option<usize> {
        match self.state {
            State::Waits(..) => self.after,
            _ => None,
        }
    }

    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, State::Waits(..))
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(self.state, State::Runs(..) | State::Empty)
    }

    pub(crate) fn start(&mut self, engine: &Engine, record: &Record) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Waits(prompt, mut request) = state {
            self.state = if request.max_tokens == Some(0) {
                State::Empty
            } else {
                request.prompt = prompt.to_vec();
                State::Runs(engine.generate(*request), record.presence())
            };
        }
    }

    /// Ends it without a reason: what runs in the engine is cancelled.
    pub(crate) fn cancel(&mut self) {
        self.state = State::Ended;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.tokens > 0 || self.finish.is_some()
    }

    pub(crate) fn tokens(&self) -> u32 {
        self.tokens
    }

    pub(crate) fn cached(&self) -> u32 {
        self.cached
    }

    /// None of a raw completion.
    pub(crate) fn reasoning_tokens(&self) -> Option<u32> {
        match &self.reading {
            Reading::Chat(reading) => Some(reading.reasoning_tokens()),
            Reading::Raw(_) => None,
        }
    }

    /// Reads what the engine has said since. Pending, and woken later, where that is
    /// nothing.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl Sink,
    ) -> Poll<Result<(), EngineError>> {
        let (generation, presence) = match &mut self.state {
            State::Runs(generation, presence) => (generation, presence),
            State::Empty => {
                self.end(FinishReason::Length, sink);
                return Poll::Ready(Ok(()));
            }
            State::Waits(..) | State::Ended => return Poll::Pending,
        };
        let next = pin!(generation.next()).poll(context);
        let Poll::Ready(next) = next else {
            return Poll::Pending;
        };
        presence.runs();
        let reasonless = || EngineError::Failed("it ended an answer without a reason".into());
        let step = next.unwrap_or_else(|| Err(reasonless()))?;
        if let Some(finish) = self.read(step, sink)? {
            self.end(finish, sink);
        }
        Poll::Ready(Ok(()))
    }

    /// Where the engine has not ended, it is cancelled.
    fn end(&mut self, finish: FinishReason, sink: &mut impl Sink) {
        sink.finish(finish);
        self.finish = Some(finish);
        self.state = State::Ended;
    }

    fn read(
        &mut self,
        step: Step,
        sink: &mut impl Sink,
    ) -> Result<Option<FinishReason>, EngineError> {
        if let Some(cached) = step.cached_tokens {
            self.cached = cached;
            sink.cached(cached);
        }
        let (read, finish) = match &mut self.reading {
            Reading::Chat(reading) => reading.read(step, sink)?,
            Reading::Raw(reading) => reading.read(step, sink)?,
        };
        self.tokens += read;
        Ok(finish)
    }
}
