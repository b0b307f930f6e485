//! A vocabulary that has the format's tokens.

use std::sync::Arc;

use crate::memo::Memo;
use crate::{MissingToken, Reader, Special, Vocabulary};

/// Renders conversations and reads answers with one vocabulary. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Harmony {
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) special: Special,
    pub(crate) memo: Arc<Memo>,
}

impl Harmony {
    /// Fails where the vocabulary lacks one of the format's tokens.
    pub fn new(vocabulary: Arc<Vocabulary>) -> Result<Self, MissingToken> {
        let special = vocabulary.special()?;
        Ok(Self {
            vocabulary,
            special,
            memo: Arc::default(),
        })
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// The ids of the format's tokens.
    pub fn special(&self) -> &Special {
        &self.special
    }

    /// Reads what follows `<|start|>assistant`. `offered` are the functions that the model may
    /// call, without `functions.`; where there are none, nothing is a call.
    pub fn reader(&self, offered: &[impl AsRef<str>]) -> Reader {
        self.reader_after(offered, &[])
    }

    /// Reads what follows `<|start|>assistant` and `opened`, which are the prompt's last tokens:
    /// an open message of [`render_open`](Self::render_open), or any other beginning.
    ///
    /// Of what the prompt began nothing is told, not even that a message begins.
    pub fn reader_after(&self, offered: &[impl AsRef<str>], opened: &[u32]) -> Reader {
        Reader::new(&self.vocabulary, self.special, offered, opened)
    }
}
