use std::path::Path;

use crate::diagnostics::Message;

/// What happens in a build. Everything that one compiler says comes at once, so that what several say is not mixed.
#[derive(Debug)]
pub enum Event<'a> {
    /// The compiler had something to say.
    Message {
        /// The kernel package or program that was compiled.
        name: &'a str,
        /// What it said.
        message: &'a Message,
    },
    /// A kernel package or a program is there.
    Made {
        /// Its name.
        name: &'a str,
        /// Where it is.
        path: &'a Path,
        /// Whether it was there before.
        fresh: bool,
    },
}
