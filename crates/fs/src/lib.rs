//! What every crate does with files, done in one way.

mod walk;

pub use walk::{Found, Walk, names};
