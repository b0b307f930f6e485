//! The format's own messages, which chats and other APIs are mapped to.

use std::fmt;

/// Where the functions of a request live.
pub(crate) const FUNCTIONS: &str = "functions.";

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The format's system message.
    System,
    /// Instructions and tools.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool by its full name, as `functions.get_weather`.
    Tool(String),
}

impl Author {
    /// The word in the header.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool(name) => name,
        }
    }
}

/// Whom the model's words are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Reasoning.
    Analysis,
    /// Calls, and words on the way.
    Commentary,
    /// The answer.
    Final,
}

impl Channel {
    /// The word in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Commentary => "commentary",
            Self::Final => "final",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message of the format: a header and a content.
///
/// All strings are plain text: what looks like a special token in them stays text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub author: Author,
    /// To whom, as `functions.get_weather`; to all where there is none.
    pub recipient: Option<String>,
    /// The model's and the tools' messages have one.
    pub channel: Option<Channel>,
    /// What follows `<|constrain|>`, as `json`.
    pub constrain: Option<String>,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message to all, without a channel.
    pub fn new(author: Author, content: &str) -> Self {
        Self {
            author,
            recipient: None,
            channel: None,
            constrain: None,
            content: content.to_owned(),
        }
    }
}
