//! Reading what clients send: leniently, by name, and with the place of each mistake.
//!
//! A body is walked as text. Nothing is built of members that nobody asks for, so a
//! body's memory is its text and what the request means.

mod field;
mod object;
mod text;

pub(crate) use field::Field;
pub(crate) use object::Object;
pub(crate) use text::readable;
