//! What an engine says of itself before the first request.

use serde::{Deserialize, Serialize};

/// The version of the frames. Both sides refuse another.
pub const PROTOCOL: u32 = 1;

/// What an engine says of itself when its model is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the frames: [`PROTOCOL`].
    pub protocol: u32,
    /// The version of MAX.
    pub max_version: String,
    /// The model's name as MAX has it, a repository's or a folder's.
    pub model: String,
    /// Tokens that a prompt and its answer may have together.
    pub max_length: u32,
    /// Rows of the model's head. A tokenizer may know fewer ids.
    pub vocabulary: u32,
    /// Tokens that end an answer, unless a request ignores them.
    pub end_tokens: Vec<u32>,
    /// Requests that run at once; more wait in the engine's queue.
    pub max_batch: Option<u32>,
    /// Whether penalties have an effect.
    pub penalties: bool,
    /// Whether `min_tokens` has an effect.
    pub min_tokens: bool,
    /// The most log-probabilities a token that a request may ask for.
    pub max_logprobs: u8,
    /// Whether a grammar has an effect.
    pub grammar: bool,
}
