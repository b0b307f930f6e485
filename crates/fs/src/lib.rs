//! What every crate does with files, done in one way.

mod stamp;
mod walk;

pub use stamp::{Stamp, TIME_GRAIN};
pub use walk::{Found, Walk, names};
