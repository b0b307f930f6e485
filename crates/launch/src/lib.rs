//! Starts MAX, for whichever command: what is to be started ([`Launch`]), whether this machine can
//! ([`Launch::problems`]), and the server from its start through its phases to its end ([`Server`]).
//!
//! Nothing here writes to the terminal: what a start shows is told to a [`Watcher`].

mod access;
mod address;
mod compile_cache;
mod entry_point;
mod error;
mod flags;
mod front_end;
mod frontend;
mod gpu;
mod history;
mod hub;
mod log_line;
mod log_tail;
mod migration;
mod model;
mod phase;
mod plan;
mod port;
mod process;
mod python;
mod running;
mod startup;

pub use access::{Access, Kept};
pub use address::Address;
pub use compile_cache::{CompileCache, is_graph};
pub use error::Error;
pub use flags::Flags;
pub use frontend::Frontend;
pub use gpu::{GpuError, MemoryError, Selected, gib, gpus, has_hopper, memory, needed};
pub use history::{PhaseTime, StartupHistory};
pub use hub::{hub_cache, hub_home, is_offline};
pub use log_line::{Level, Levels};
pub use log_tail::LogTail;
pub use model::{Model, ModelError};
pub use phase::Phase;
pub use plan::{Launch, Request, Task};
pub use port::{METRICS_PORT, METRICS_VARIABLE, PortError, metrics_port, port};
pub use process::{check_packages, finish};
pub use python::{python, python_path};
pub use running::{Server, Wait, Watcher, start};
pub use startup::Startup;
