//! A chat's answer: harmony's tokens to reasoning, content and calls.

use mxfp4_engine::{EngineError, Step};
use mxfp4_harmony::{Event, Part, Reader};

use super::ends::Ended;
use super::finish::FinishReason;
use super::sink::{Scored, Sink};
use super::text::AnswerText;

/// A chat's answer: harmony's tokens to reasoning, content and calls.
pub(crate) struct ChatReading {
    pub(super) reader: Reader,
    pub(super) text: AnswerText,
    /// Tokens that the client named as ends, which are no text.
    pub(super) stop_tokens: Vec<u32>,
    pub(super) options: ChatOptions,
    pub(super) reasoning_tokens: u32,
    pub(super) calls: u32,
}

/// What a client wants of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChatOptions {
    pub(crate) reasoning: bool,
    pub(crate) parallel_calls: bool,
    /// Whether the engine goes on after harmony's end.
    pub(crate) ignore_eos: bool,
}

impl ChatReading {
    pub(crate) fn new(
        reader: Reader,
        text: AnswerText,
        stop_tokens: Vec<u32>,
        options: ChatOptions,
    ) -> Self {
        Self {
            reader,
            text,
            stop_tokens,
            options,
            reasoning_tokens: 0,
            calls: 0,
        }
    }

    pub(crate) fn reasoning_tokens(&self) -> u32 {
        self.reasoning_tokens
    }

    /// Returns how many tokens were read, and why the answer has ended if it has.
    pub(super) fn read(
        &mut self,
        step: Step,
        sink: &mut impl Sink,
    ) -> Result<(u32, Option<FinishReason>), EngineError> {
        let ended = Ended::of(step.finish)?;
        let mut tokens = &step.tokens[..];
        let mut uncounted = 0;
        if let (Ended::Stop, Some((last, before))) = (&ended, tokens.split_last())
            && self.stop_tokens.contains(last)
        {
            tokens = before;
            uncounted = 1;
        }
        let mut scores = step.logprobs.into_iter();
        for (place, &token) in tokens.iter().enumerate() {
            self.token(token, scores.next(), sink);
            if self.is_over() {
                self.finish(sink);
                return Ok((place as u32 + 1, Some(self.reason())));
            }
        }
        if let (1, Some(end)) = (uncounted, step.tokens.last()) {
            sink.token(*end);
        }
        let read = tokens.len() as u32 + uncounted;
        let finish = match ended {
            Ended::Not => None,
            Ended::Stop => {
                self.finish(sink);
                Some(self.reason())
            }
            Ended::Length => {
                self.finish(sink);
                Some(match self.reason() {
                    FinishReason::Stop if !self.text.stopped() => FinishReason::Length,
                    reason => reason,
                })
            }
        };
        Ok((read, finish))
    }

    fn token(
        &mut self,
        token: u32,
        score: Option<mxfp4_engine::TokenLogprobs>,
        sink: &mut impl Sink,
    ) {
        sink.token(token);
        let place = self.text.place();
        let mut tell = teller(&mut self.text, self.options, &mut self.calls, sink);
        let part = self.reader.push(token, &mut tell);
        drop(tell);
        match part {
            Part::Reasoning => {
                self.reasoning_tokens += 1;
                if let (Some(score), true) = (score, self.options.reasoning) {
                    sink.score(Scored::Reasoning, &score, 0);
                }
            }
            Part::Content => {
                if let Some(score) = score {
                    self.text.score(score, place, sink);
                }
            }
            Part::Header | Part::Call => {}
        }
    }

    /// Whether nothing more is to be told, whatever the engine says.
    fn is_over(&self) -> bool {
        let ended = self.reader.ended() || self.calls > 0 && !self.options.parallel_calls;
        self.text.stopped() || ended && !self.options.ignore_eos
    }

    fn finish(&mut self, sink: &mut impl Sink) {
        let mut tell = teller(&mut self.text, self.options, &mut self.calls, sink);
        self.reader.finish(&mut tell);
        drop(tell);
        self.text.finish(sink);
    }

    fn reason(&self) -> FinishReason {
        if self.calls > 0 && !self.text.stopped() {
            FinishReason::ToolCalls
        } else {
            FinishReason::Stop
        }
    }
}

/// Hands what the reader tells to the sink.
fn teller<S: Sink>(
    text: &mut AnswerText,
    options: ChatOptions,
    calls: &mut u32,
    sink: &mut S,
) -> impl FnMut(Event<'_>) {
    move |event| match event {
        Event::Reasoning(piece) if options.reasoning => sink.reasoning(piece),
        Event::Message(kind) => sink.message(kind),
        Event::Reasoning(_) | Event::End(_) => {}
        Event::Content(piece) => text.push(piece, sink),
        Event::Call { name, arguments } => {
            if text.stopped() || *calls > 0 && !options.parallel_calls {
                return;
            }
            *calls += 1;
            // What may have become a stop word comes before the call.
            text.finish(sink);
            sink.call(name, arguments);
        }
    }
}
