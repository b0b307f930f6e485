//! The front end's end of the socket to MAX.
//!
//! The front end listens with [`EngineListener`], names the socket in the variable
//! [`VARIABLE`] of MAX's process, and gets an [`Engine`] when that is ready. An
//! [`Engine`] takes a [`Request`] of prompt tokens and gives a [`Generation`], which
//! yields a [`Step`] of tokens at a time.
//!
//! On the wire are frames: a length of four bytes, little endian, and that many bytes
//! of msgpack. MAX's side sends one frame a step for all requests.
//! `python/mxfp4/engine` is the other end; `python/tests/frames.json` holds frames that the
//! tests of both sides read.

mod engine;
mod error;
mod frame;
mod generation;
mod hello;
mod link;
mod listener;
mod request;
#[cfg(feature = "scripted")]
pub mod scripted;
mod slot;
mod step;
mod wire;

pub use engine::Engine;
pub use error::{BindError, EngineError, Gone, StartError};
pub use frame::{FrameError, MAX_FRAME};
pub use generation::Generation;
pub use hello::{Hello, PROTOCOL};
pub use listener::{EngineListener, VARIABLE};
pub use request::Request;
#[cfg(feature = "scripted")]
pub use scripted::ScriptedEngine;
pub use step::{Finish, Step, TokenLogprobs};
