//! Makes what the other commands need: the SDK ([`setup`]) and the kernel
//! packages ([`build`]).
//!
//! Everything is made aside and renamed into place under a file lock, so a
//! reader sees the old state or the new one, whenever it looks and however the
//! making ended.

mod bazelw;
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
mod no_python;
pub mod portable_sdk;
mod pyproject;
mod run;
pub mod setup;
pub mod upgrade;
mod uv;
mod uv_command;
mod uv_version;
pub mod visible;

pub use error::{BuildError, ConfigError, Error, Refused, SdkError, Step, UvNeeded};
pub use no_python::NoPython;
pub use uv::{Uv, look as look_at_uv};
pub use uv_version::{OLDEST as OLDEST_UV, Version as UvVersion};
