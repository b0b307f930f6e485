//! The items that a response puts out.

use serde::Serialize;

use crate::answer::Score;

/// One item that a response puts out.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum OutputItem {
    /// What the model thought.
    Reasoning {
        id: String,
        /// There is none: the model writes no summaries.
        summary: [(); 0],
        content: Vec<Part>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
        status: Status,
    },
    /// What it said.
    Message {
        id: String,
        role: &'static str,
        status: Status,
        phase: Phase,
        content: Vec<Part>,
    },
    /// A call of a function.
    FunctionCall {
        id: String,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
        status: Status,
    },
    /// A call of a custom tool.
    CustomToolCall {
        id: String,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        input: String,
        status: Status,
    },
}

/// A piece of an item.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    ReasoningText {
        text: String,
    },
    OutputText {
        text: String,
        annotations: [(); 0],
        logprobs: Vec<Score>,
    },
}

/// How far an item, or a response, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    /// It was cut.
    Incomplete,
    Failed,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Words on the way to a call.
    Commentary,
    /// The answer.
    FinalAnswer,
}
