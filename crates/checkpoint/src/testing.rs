//! Checkpoints for tests: a small one in the published layout, and the ways to break it.

mod broken;
mod small;

pub use broken::{Broken, broken};
pub use small::{Small, Stored, write_header};
