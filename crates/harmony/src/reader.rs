//! Tokens to events.

use crate::{Event, Harmony, Part};

/// Reads an answer, token by token. Made by [`Harmony::reader`].
#[derive(Debug)]
pub struct Reader {
    _harmony: Harmony,
}

impl Reader {
    /// Reads a token, tells what is known by it, and returns the part it belongs to.
    /// Ids beyond the tokenizer are nothing. After [`Event::End`] nothing more is told.
    pub fn push(&mut self, _id: u32, _tell: &mut impl FnMut(Event<'_>)) -> Part {
        todo!()
    }

    /// The answer was cut, or its last token was not delivered: tells what was held back.
    /// A whole call is a call, any other is text. Tells nothing after an end.
    pub fn finish(&mut self, _tell: &mut impl FnMut(Event<'_>)) {
        todo!()
    }

    /// Whether [`Event::End`] was told.
    pub fn ended(&self) -> bool {
        todo!()
    }
}
