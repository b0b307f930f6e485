//! What comes back for a request.

use serde::{Deserialize, Serialize};

/// Tokens of one or more of the engine's steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// In the order in which they were drawn. The token that ended the answer is
    /// among them.
    pub tokens: Vec<u32>,
    /// One of each token, if the request asked for them; otherwise empty.
    pub logprobs: Vec<TokenLogprobs>,
    /// Why the answer ended. Nothing comes after it.
    pub finish: Option<Finish>,
    /// Tokens of the prompt that were in the prefix cache; said once, with the first
    /// token, where the engine knows.
    pub cached_tokens: Option<u32>,
}

impl Step {
    /// Appends what came after.
    pub(crate) fn append(&mut self, later: Step) {
        self.tokens.extend_from_slice(&later.tokens);
        self.logprobs.extend(later.logprobs);
        self.finish = later.finish.or(self.finish);
        self.cached_tokens = self.cached_tokens.or(later.cached_tokens);
    }
}

/// How likely a drawn token was, and which were the likeliest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprobs {
    /// The drawn token.
    pub token: u32,
    /// The natural logarithm of its likelihood.
    pub logprob: f32,
    /// The likeliest tokens, the likeliest first, as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// At an end token.
    Stop,
    /// At `max_tokens`, or at the model's maximum length.
    Length,
    /// The engine was told to.
    Cancelled,
}
