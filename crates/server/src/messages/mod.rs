//! Anthropic's interface, `/v1/messages`: what its clients ask, as a chat of ours, and what they
//! get.

mod block;
mod conversation;
mod error;
mod events;
mod kept;
mod message;
mod models;
mod output;
mod request;
mod thinking;
mod tools;

pub(crate) use error::{REQUEST_ID, address, are_spoken};
pub(crate) use events::MessageEvents;
pub(crate) use kept::Keeper;
pub(crate) use message::{Head, collect};
pub(crate) use models::{list, model};
pub(crate) use request::{CountRequest, MessagesRequest};
