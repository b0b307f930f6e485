//! What is written to the terminal, and how: every command says it through here.

#[macro_use]
pub mod print;

pub mod access_log;
pub mod color;
pub mod duration;
pub mod error;
pub mod json_error;
pub mod log;
pub mod message_format;
pub mod progress;
pub mod start;
