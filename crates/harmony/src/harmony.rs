//! A vocabulary that has the format's tokens.

use std::sync::Arc;

use crate::{Conversation, Message, MissingToken, Reader, Special, Vocabulary};

/// Renders conversations and reads answers with one vocabulary. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Harmony {
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) special: Special,
}

impl Harmony {
    /// Fails where the vocabulary lacks one of the format's tokens.
    pub fn new(vocabulary: Arc<Vocabulary>) -> Result<Self, MissingToken> {
        let special = Special::of(&vocabulary)?;
        Ok(Self {
            vocabulary,
            special,
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

    /// The prompt for the next turn. Ends with `<|start|>assistant`.
    pub fn render(&self, _conversation: &Conversation) -> Vec<u32> {
        todo!()
    }

    /// A prompt that ends inside the last turn, for the model to write on; [`None`] where the
    /// last turn is not the assistant's or its last item is a call.
    ///
    /// Returns the prompt and how many of its last tokens follow `<|start|>assistant`: these
    /// [`reader_after`](Self::reader_after) needs.
    pub fn render_open(&self, _conversation: &Conversation) -> Option<(Vec<u32>, usize)> {
        todo!()
    }

    /// Messages as they are, nothing dropped, nothing appended.
    pub fn render_messages(&self, _messages: &[Message]) -> Vec<u32> {
        todo!()
    }

    /// Reads what follows `<|start|>assistant`. `offered` are the functions of the request,
    /// without `functions.`.
    pub fn reader(&self, offered: &[impl AsRef<str>]) -> Reader {
        self.reader_after(offered, &[])
    }

    /// Reads what follows `<|start|>assistant` and `opened`, which are the prompt's last tokens:
    /// an open message of [`render_open`](Self::render_open), or any other beginning.
    pub fn reader_after(&self, _offered: &[impl AsRef<str>], _opened: &[u32]) -> Reader {
        todo!()
    }
}
