//! Makes what the other commands need: the SDK ([`setup`]) and the kernel
//! packages ([`build`]).
//!
//! Everything is made aside and renamed into place under a file lock, so a
//! reader sees the old state or the new one, whenever it looks and however the
//! making ended.

pub mod build;

pub mod clean;
pub mod diagnostics;
mod error;
mod files;
mod fingerprint;
mod inputs;
mod interpreter;
mod lock;
mod lock_file;
pub mod portable_sdk;
mod pyproject;
mod run;
pub mod setup;
pub mod upgrade;
mod uv;
mod uv_command;
pub mod visible;

pub use error::{BuildError, ConfigError, Error, Refused, SdkError, Step, UvNeeded};
pub use interpreter::NoPython;
pub use uv::{OLDEST as OLDEST_UV, Uv, Version as UvVersion, look as look_at_uv};
