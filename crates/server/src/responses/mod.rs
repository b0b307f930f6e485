//! `/v1/responses`: OpenAI's interface for agents, on what a chat is made of.

mod call;
mod context;
mod conversation;
mod echo;
mod events;
mod format;
mod item;
mod kept;
mod request;
mod response;
mod text;
mod tools;
mod truncation;
mod writer;

pub(crate) use context::Context;
pub(crate) use events::ResponseEvents;
pub(crate) use kept::{InputItems, Page};
pub(crate) use request::ResponsesRequest;
pub(crate) use response::Head;
