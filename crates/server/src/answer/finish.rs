//! Why an answer ended, in OpenAI's words.

use serde::Serialize;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinishReason {
    /// The model ended it, or a stop word did.
    Stop,
    /// It had as many tokens as it may.
    Length,
    /// It has a call, whose result the model waits for.
    ToolCalls,
}

impl FinishReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}
