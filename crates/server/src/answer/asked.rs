//! What was asked for, as all that tells of an answer needs it.

use std::sync::Arc;

use mxfp4_harmony::Vocabulary;

use super::ids::Ids;

/// What clients read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Messages of a chat.
    Chat,
    /// Texts.
    Raw,
}

/// What all of an answer's chunks, or its one body, say alike.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) shape: Shape,
    /// As `chatcmpl-...`.
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    /// Whether log-probabilities are wanted.
    pub(crate) scored: bool,
    /// Whether token ids are.
    pub(crate) token_ids: bool,
    pub(crate) prompt_tokens: u32,
    /// What answers begin with, one of each choice; empty where nothing is echoed.
    pub(crate) echoes: Vec<Arc<str>>,
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) ids: Arc<Ids>,
}
