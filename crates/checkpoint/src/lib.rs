//! Looks at a checkpoint of GPT-OSS before anything loads it: its configuration, its index, the headers of its files and
//! its tokenizer. Weights are not read, but for the scales when [`count_nan_scales`] is asked.
//!
//! [`inspect`] returns what is there and every [`Fault`] that would keep it from being served.

mod compare;
mod config;
mod dtype;
mod expected;
mod fault;
mod files;
mod header;
mod index;
mod inspection;
mod layout;
mod read;
mod scales;
mod sizes;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
mod tokenizer;

pub use dtype::Dtype;
pub use fault::{Fault, Faults};
pub use files::{weight_bytes, weight_files};
pub use header::{Header, parse};
pub use inspection::{DtypeTotal, Inspection, Shard, Tokenizer, inspect};
pub use layout::{Axes, Layout};
pub use scales::{LayerScales, count_nan_scales};
pub use sizes::Sizes;
pub use tensor::Tensor;
