//! The subcommands: each is a module with its `Args` and `run`.

pub mod allow;
pub mod bench;
pub mod build;
pub mod bundle;
pub mod chat;
pub mod clean;
pub mod code;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod env;
pub mod fmt;
pub mod hook;
pub mod hook_env;
pub mod init;
pub mod man;
pub mod model;
pub mod run;
pub mod serve;
pub mod setup;
pub mod shell;
pub mod test;
pub mod version;
pub mod vscode;
pub mod warm;
