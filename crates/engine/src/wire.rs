//! The messages in the frames. Each is a map of one entry: the message's name and its
//! content.

use crate::hello::Hello;
use crate::request::Request;
use crate::step::{Finish, TokenLogprobs};
use serde::{Deserialize, Serialize};

/// What the engine sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromEngine {
    /// First on the connection that is opened when the engine's process begins. It
    /// carries nothing else: each side sees by it that the other has ended.
    Lifeline {
        /// The version of the frames.
        protocol: u32,
    },
    /// First on the connection that carries requests, when the model is loaded.
    Hello(Hello),
    /// What one step made, of all requests.
    Step(StepFrame),
    /// A request has no answer, or no more of it.
    Error {
        /// The request.
        id: u64,
        /// Whose fault it is.
        kind: ErrorKind,
        /// A sentence.
        message: String,
    },
}

/// What the engine is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToEngine {
    /// The answer to a lifeline.
    Welcome {
        /// The version of the frames.
        protocol: u32,
    },
    /// A request to answer.
    Generate {
        /// What it is called from now on.
        id: u64,
        /// What is asked.
        request: Request,
    },
    /// Requests whose answers nobody wants any more.
    Cancel(Vec<u64>),
}

/// What one step made. Most requests get one token and nothing else, and stand in the
/// two lists; the others are rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepFrame {
    /// Requests that got one token.
    #[serde(default)]
    pub ids: Vec<u64>,
    /// The token of each.
    #[serde(default)]
    pub tokens: Vec<u32>,
    /// Requests that have more to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
}

/// What a step made for one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The request.
    pub id: u64,
    /// Its tokens.
    #[serde(default)]
    pub tokens: Vec<u32>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// Tokens of its prompt that were in the prefix cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u32>,
    /// One of each token, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprobs>,
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// Nobody's: the queue is full.
    Full,
    /// The request's.
    Invalid,
    /// The engine's.
    Failed,
}

#[cfg(test)]
mod tests;
