//! A raw completion: tokens to text.

use std::sync::Arc;

use mxfp4_engine::{EngineError, Step, TokenLogprobs};
use mxfp4_harmony::Vocabulary;

use super::ends::Ended;
use super::finish::FinishReason;
use super::sink::Sink;
use super::text::AnswerText;
use super::utf8::Utf8;

/// A raw completion: tokens to text.
pub(crate) struct RawReading {
    vocabulary: Arc<Vocabulary>,
    utf8: Utf8,
    text: AnswerText,
    /// Tokens that end an answer, which are no text at its end.
    ends: Vec<u32>,
    show_special: bool,
}

impl RawReading {
    pub(crate) fn new(
        vocabulary: Arc<Vocabulary>,
        text: AnswerText,
        ends: Vec<u32>,
        show_special: bool,
    ) -> Self {
        Self {
            vocabulary,
            utf8: Utf8::default(),
            text,
            ends,
            show_special,
        }
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
            && self.ends.contains(last)
        {
            tokens = before;
            uncounted = 1;
        }
        let mut scores = step.logprobs.into_iter();
        for (place, &token) in tokens.iter().enumerate() {
            self.token(token, scores.next(), sink);
            if self.text.stopped() {
                return Ok((place as u32 + 1, Some(FinishReason::Stop)));
            }
        }
        if let (1, Some(end)) = (uncounted, step.tokens.last()) {
            sink.token(*end);
        }
        let reason = match ended {
            Ended::Not => None,
            Ended::Stop => Some(FinishReason::Stop),
            Ended::Length => Some(FinishReason::Length),
        };
        if reason.is_some() {
            let Self { utf8, text, .. } = self;
            utf8.finish(&mut |piece| text.push(piece, sink));
            text.finish(sink);
        }
        Ok((tokens.len() as u32 + uncounted, reason))
    }

    fn token(&mut self, token: u32, score: Option<TokenLogprobs>, sink: &mut impl Sink) {
        sink.token(token);
        let Self {
            vocabulary,
            utf8,
            text,
            show_special,
            ..
        } = self;
        let place = text.place();
        if *show_special || !vocabulary.is_special(token) {
            utf8.push(vocabulary.bytes(token), &mut |piece| text.push(piece, sink));
        }
        if let Some(score) = score {
            text.score(score, place, sink);
        }
    }
}
