//! The text that a client reads as the answer.

use std::collections::VecDeque;

use mxfp4_engine::TokenLogprobs;

use super::sink::{Scored, Sink};
use super::stop_words::{Seen, StopWords};

/// The text that a client reads as the answer, up to a stop word.
pub(crate) struct AnswerText {
    stop: Option<StopWords>,
    stopped: bool,
    /// Bytes that came, and bytes that went out.
    came: usize,
    went: usize,
    scores: Option<Scores>,
}

/// Log-probabilities of tokens whose text has not gone out.
#[derive(Default)]
struct Scores {
    /// Characters that came.
    characters: usize,
    held: VecDeque<(Place, TokenLogprobs)>,
}

#[derive(Clone, Copy)]
pub(crate) struct Place {
    bytes: usize,
    characters: usize,
}

impl AnswerText {
    /// `before` is what stands in front of the text, where places are counted from.
    pub(crate) fn new(stop: Option<StopWords>, scored: bool, before: usize) -> Self {
        Self {
            stop,
            stopped: false,
            came: 0,
            went: 0,
            scores: scored.then(|| Scores {
                characters: before,
                ..Scores::default()
            }),
        }
    }

    /// Whether a stop word came.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn push(&mut self, text: &str, sink: &mut impl Sink) {
        if self.stopped {
            return;
        }
        self.came += text.len();
        if let Some(scores) = &mut self.scores {
            scores.characters += text.chars().count();
        }
        let Some(stop) = &mut self.stop else {
            self.went = self.came;
            sink.content(text);
            return;
        };
        let out = match stop.push(text) {
            Seen::Go(bytes) => bytes,
            Seen::Stop(bytes, word) => {
                self.stopped = true;
                sink.stop_word(stop.word(word));
                bytes
            }
        };
        if out > 0 {
            sink.content(&stop.held()[..out]);
            self.went += out;
            stop.release(out);
        }
    }

    /// Where the next token's text begins.
    pub(crate) fn place(&self) -> Place {
        Place {
            bytes: self.came,
            characters: self.scores.as_ref().map_or(0, |scores| scores.characters),
        }
    }

    /// Takes a token's log-probabilities; `place` is where its text begins.
    pub(crate) fn score(&mut self, token: TokenLogprobs, place: Place, sink: &mut impl Sink) {
        let Some(scores) = &mut self.scores else {
            return;
        };
        scores.held.push_back((place, token));
        let all_went = self.went == self.came;
        while let Some((place, token)) = scores.held.front()
            && (place.bytes < self.went || all_went && !self.stopped)
        {
            sink.score(Scored::Content, token, place.characters);
            scores.held.pop_front();
        }
    }

    /// Nothing more comes: what is held goes out, unless a stop word ended the text.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink) {
        if self.stopped {
            return;
        }
        if let Some(stop) = &mut self.stop {
            let held = stop.held().len();
            if held > 0 {
                sink.content(stop.held());
                stop.release(held);
            }
        }
        self.went = self.came;
        let scores = self
            .scores
            .iter_mut()
            .flat_map(|scores| scores.held.drain(..));
        for (place, token) in scores {
            sink.score(Scored::Content, &token, place.characters);
        }
    }
}
