//! What every crate does with files, done in one way.

pub mod lock;
mod refused;
mod stamp;
mod text;
mod walk;
mod whole;

pub use refused::remedy;
pub use stamp::{Stamp, TIME_GRAIN};
pub use text::{open, read, read_text, text, written_like};
pub use walk::{Found, Walk, names};
pub use whole::{PARTIAL, can_write, write};
