//! A chat as clients send it.

use serde_json::Value;

use crate::Effort;

/// A chat, in the order in which it took place.
///
/// [`Harmony::render`](crate::Harmony::render) says how it becomes a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// What the system message says.
    pub system: System,
    /// The functions that the model may call.
    pub tools: Vec<Tool>,
    /// The form that the answer is to have, of which the model is told.
    pub format: Option<ResponseFormat>,
    /// The messages.
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// A chat with the default system message and no tools.
    pub fn new(turns: Vec<Turn>) -> Self {
        Self {
            turns,
            ..Self::default()
        }
    }
}

/// The system message, which belongs to the format. What clients call "system" is
/// [`Turn::Developer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Who the model is.
    pub identity: String,
    /// Up to when the model knows the world, as `2024-06`.
    pub cutoff: String,
    /// Today, as `2026-12-01`; without it the line is left out.
    pub date: Option<String>,
    /// How much the model thinks.
    pub effort: Effort,
}

impl Default for System {
    /// The words that the model was trained with.
    fn default() -> Self {
        Self {
            identity: "You are ChatGPT, a large language model trained by OpenAI.".to_owned(),
            cutoff: "2024-06".to_owned(),
            date: None,
            effort: Effort::default(),
        }
    }
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// See [`is_function_name`](crate::is_function_name).
    pub name: String,
    /// What it does; may have several lines.
    pub description: Option<String>,
    /// A JSON schema of its arguments. Any value is taken: what is no schema renders as `any`.
    pub parameters: Option<Value>,
}

/// The form of an answer. A [grammar](crate::grammar) holds the answer to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseFormat {
    /// What the form is called.
    pub name: String,
    /// What it is for; may have several lines.
    pub description: Option<String>,
    /// A JSON schema, which is told as it is.
    pub schema: Value,
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Instructions: a client's `system` or `developer` message.
    Developer(String),
    /// What the user says.
    User(String),
    /// What the model said and did, in its order.
    Assistant(Vec<Item>),
    /// What a function returned, as it returned it.
    ToolResult {
        /// The function that was called.
        name: String,
        /// Its result, unquoted.
        content: String,
    },
}

impl Turn {
    /// An assistant's message as the chat API has it: reasoning, text, calls, in this order.
    ///
    /// Text before calls is a preamble, otherwise it is the answer. Empty reasoning and an
    /// empty preamble are left out; an empty answer is an answer.
    pub fn assistant(reasoning: Option<String>, content: Option<String>, calls: Vec<Call>) -> Self {
        let mut items = Vec::new();
        items.extend(
            reasoning
                .filter(|text| !text.is_empty())
                .map(Item::Reasoning),
        );
        if calls.is_empty() {
            items.extend(content.map(Item::Final));
        } else {
            items.extend(content.filter(|text| !text.is_empty()).map(Item::Preamble));
        }
        items.extend(calls.into_iter().map(Item::Call));
        Self::Assistant(items)
    }
}

/// One thing that the model said or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// What it thought: the channel `analysis`.
    Reasoning(String),
    /// What it told the user on the way: the channel `commentary`, to nobody.
    Preamble(String),
    /// The answer: the channel `final`.
    Final(String),
    /// A call of a function.
    Call(Call),
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function, without `functions.`.
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}
