//! All choices of a request while they are made.

use std::sync::Arc;
use std::task::{Context, Poll};

use mxfp4_engine::{Engine, EngineError};

use super::asked::{Asked, Shape};
use super::choice::Choice;
use super::sink::Sinks;
use super::usage::Usage;
use crate::metrics::Tokens;
use crate::record::Record;

/// What an answer's poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something was read, which may be nothing that is told.
    Read,
    /// All choices have ended.
    Ended,
}

/// All choices of a request while they are made. Dropping it cancels them.
pub(crate) struct Answer {
    pub(crate) asked: Asked,
    choices: Vec<Choice>,
    /// How many the engine was not asked for yet.
    waiting: usize,
    begun: bool,
    engine: Engine,
    record: Arc<Record>,
}

impl Answer {
    /// Asks the engine for every choice that waits for no other.
    pub(crate) fn start(
        asked: Asked,
        choices: Vec<Choice>,
        engine: Engine,
        record: Arc<Record>,
    ) -> Self {
        record.asked(asked.prompt_tokens);
        let mut answer = Self {
            asked,
            waiting: choices.len(),
            choices,
            begun: false,
            engine,
            record,
        };
        answer.start_choices();
        answer
    }

    pub(crate) fn len(&self) -> usize {
        self.choices.len()
    }

    /// The sum over all choices.
    pub(crate) fn usage(&self) -> Usage {
        let sum = |count: fn(&Choice) -> u32| self.choices.iter().map(count).sum::<u32>();
        let reasoning = sum(|choice| choice.reasoning_tokens().unwrap_or(0));
        // What later choices find in the cache is their own prompt, which counts once.
        let cached = sum(|choice| if choice.leads() { choice.cached() } else { 0 });
        Usage::new(
            self.asked.prompt_tokens,
            cached,
            sum(Choice::tokens),
            (self.asked.shape == Shape::Chat).then_some(reasoning),
        )
    }

    /// Reads what the engine has said since. Where that is nothing, the task is woken when
    /// it says more; after [`Progress::Read`] this has to be called again for that. When a
    /// choice has failed, all are cancelled.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        sinks: &mut impl Sinks,
    ) -> Poll<Result<Progress, EngineError>> {
        let mut runs = false;
        let mut read = false;
        for index in 0..self.choices.len() {
            let choice = &mut self.choices[index];
            if !choice.runs() {
                continue;
            }
            let polled = choice.poll(context, &mut sinks.of(&self.asked, index));
            match polled {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => read = true,
                Poll::Ready(Err(error)) => {
                    self.cancel();
                    return Poll::Ready(Err(error));
                }
            }
            runs |= self.choices[index].runs();
        }
        if read && !self.begun {
            self.begun = self.choices.iter().any(Choice::has_begun);
            if self.begun {
                self.record.first_token();
            }
        }
        // Those that start now have to be polled, to wake this task.
        let started = self.start_choices();
        if !runs && !started {
            return Poll::Ready(Ok(Progress::Ended));
        }
        if read || started {
            Poll::Ready(Ok(Progress::Read))
        } else {
            Poll::Pending
        }
    }

    /// It ends with an error after it has begun.
    pub(crate) fn failed(&self) {
        self.record.failed();
    }

    /// Ends all choices.
    pub(crate) fn cancel(&mut self) {
        for choice in &mut self.choices {
            choice.cancel();
        }
    }

    /// Asks the engine for what waits for nothing any more.
    fn start_choices(&mut self) -> bool {
        if self.waiting == 0 {
            return false;
        }
        let before = self.waiting;
        for index in 0..self.choices.len() {
            let ready = match self.choices[index].waits_for() {
                Some(leader) => self.choices[leader].has_begun(),
                None => true,
            };
            if ready && self.choices[index].waits() {
                self.choices[index].start(&self.engine, &self.record);
                self.waiting -= 1;
            }
        }
        self.waiting < before
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let sum = |count: fn(&Choice) -> u32| self.choices.iter().map(count).map(u64::from).sum();
        let longest = self.choices.iter().map(Choice::tokens).max();
        self.record.generated(Tokens {
            prompt: self.asked.prompt_tokens.into(),
            cached: sum(|choice| if choice.leads() { choice.cached() } else { 0 }),
            completion: sum(Choice::tokens),
            reasoning: sum(|choice| choice.reasoning_tokens().unwrap_or(0)),
            longest: longest.unwrap_or(0).into(),
        });
    }
}
