//! The tokens that the format is made of.

/// A vocabulary without one of the format's tokens: good for raw completions, not for chat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tokenizer has no token {0}, which chat needs: use /v1/completions, or GPT-OSS's tokenizer.json"
)]
pub struct MissingToken(pub &'static str);

/// The ids of the format's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// `<|start|>`: a message's header begins.
    pub start: u32,
    /// `<|end|>`: a message ends, another may follow.
    pub end: u32,
    /// `<|message|>`: the header ends, the content begins.
    pub message: u32,
    /// `<|channel|>`: the channel's name follows.
    pub channel: u32,
    /// `<|constrain|>`: the content's type follows.
    pub constrain: u32,
    /// `<|call|>`: a message to a function ends, and with it the model's turn.
    pub call: u32,
    /// `<|return|>`: the answer ends, and with it the model's turn.
    pub ret: u32,
    /// `<|endoftext|>`: a text ends. The published configuration counts it among the ends.
    pub endoftext: u32,
}

impl Special {
    /// The ids by the tokens' names, of which `find` knows those of a vocabulary.
    pub(crate) fn of(find: impl Fn(&str) -> Option<u32>) -> Result<Self, MissingToken> {
        let id = |name| find(name).ok_or(MissingToken(name));
        Ok(Self {
            start: id("<|start|>")?,
            end: id("<|end|>")?,
            message: id("<|message|>")?,
            channel: id("<|channel|>")?,
            constrain: id("<|constrain|>")?,
            call: id("<|call|>")?,
            ret: id("<|return|>")?,
            endoftext: id("<|endoftext|>")?,
        })
    }

    /// The tokens that end the model's turn, whatever a checkpoint's configuration says.
    pub fn ends(&self) -> [u32; 3] {
        [self.ret, self.call, self.endoftext]
    }
}
