//! Where the parts of an answer go.

use mxfp4_engine::TokenLogprobs;
use mxfp4_harmony::Kind;

use super::asked::Asked;
use super::finish::FinishReason;

/// Where the parts of one choice go, in their order.
pub(crate) trait Sink {
    /// A token is read; what comes of it follows.
    fn token(&mut self, id: u32);
    /// So many of the prompt's tokens were in the engine's prefix cache.
    fn cached(&mut self, _tokens: u32) {}
    /// A message with text begins.
    fn message(&mut self, _kind: Kind) {}
    fn reasoning(&mut self, text: &str);
    fn content(&mut self, text: &str);
    fn call(&mut self, name: String, arguments: String);
    /// The text has ended at a stop word.
    fn stop_word(&mut self, _word: &str) {}
    /// How likely a token of the reasoning or of the content was.
    fn score(&mut self, part: Scored, token: &TokenLogprobs, offset: usize);
    /// Nothing more comes.
    fn finish(&mut self, reason: FinishReason);
}

/// What a token with log-probabilities belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scored {
    Reasoning,
    Content,
}

/// The sinks of a request's choices.
pub(crate) trait Sinks {
    /// One choice's.
    type Sink<'a>: Sink
    where
        Self: 'a;

    /// The sink of a choice. It is dropped when all that has come is read.
    fn of<'a>(&'a mut self, asked: &'a Asked, choice: usize) -> Self::Sink<'a>;
}
