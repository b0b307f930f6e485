//! What clients ask, read and checked: from a body to prompts and sampling.

mod chat;
mod completion;
pub(crate) mod content;
pub(crate) mod form;
pub(crate) mod grammar;
mod messages;
mod reader;
mod refused;
pub(crate) mod sampling;
mod tokens;
mod tool_choice;
mod tools;
mod unknown_keys;

pub(crate) use chat::{ChatPrompt, ChatRequest};
pub(crate) use completion::{CompletionPrompt, CompletionRequest};
pub(crate) use messages::function_name;
pub(crate) use reader::Reader;
pub(crate) use sampling::{Sampling, Streaming};
pub(crate) use tokens::{DetokenizeRequest, TokenizeRequest};
pub(crate) use tool_choice::{Choice, Mode, mode};
pub(crate) use tools::{MOST_TOOLS, Offered, Offers, Tools};
pub(crate) use unknown_keys::UnknownKeys;
