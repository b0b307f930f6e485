//! What clients ask, read and checked: from a body to prompts and sampling.

mod chat;
mod completion;
mod content;
mod form;
mod grammar;
mod messages;
mod reader;
mod refused;
mod sampling;
mod tokens;
mod tool_choice;
mod tools;
mod unknown_keys;

pub(crate) use chat::ChatRequest;
pub(crate) use completion::{CompletionPrompt, CompletionRequest};
pub(crate) use reader::Reader;
pub(crate) use sampling::{Sampling, Streaming};
pub(crate) use tokens::{DetokenizeRequest, TokenizeRequest};
pub(crate) use unknown_keys::UnknownKeys;
