//! What was said so far, and how it is asked for more.

use bytes::Bytes;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::answer::Answer;

/// How much the model is to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Effort {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Effort {
    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A conversation.
pub struct Conversation {
    model: String,
    /// What the model is told before all else.
    pub system: Option<String>,
    /// How much it is to think; the server decides where nothing is said.
    pub effort: Option<Effort>,
    messages: Vec<Value>,
}

impl Conversation {
    /// One with this model, in which nothing was said.
    pub fn new(model: String, system: Option<String>, effort: Option<Effort>) -> Self {
        Self {
            model,
            system,
            effort,
            messages: Vec::new(),
        }
    }

    /// The name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The body of a request that asks this next.
    pub fn body(&self, question: &str) -> Bytes {
        let system = self.system.as_ref();
        let mut messages: Vec<Value> = system
            .map(|text| json!({"role": "system", "content": text}))
            .into_iter()
            .collect();
        messages.extend(self.messages.iter().cloned());
        messages.push(user(question));
        let mut body = json!({
            "model": self.model,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if let Some(effort) = self.effort {
            body["reasoning_effort"] = effort.name().into();
        }
        body.to_string().into()
    }

    /// Adds a question and its answer, as far as that came.
    pub fn add(&mut self, question: &str, answer: &Answer) {
        let mut reply = json!({"role": "assistant", "content": answer.content});
        if !answer.reasoning.is_empty() {
            // The server leaves out what the model is not to see again.
            reply["reasoning"] = answer.reasoning.as_str().into();
        }
        self.messages.extend([user(question), reply]);
    }

    /// Forgets what was said, but not what the model is told before it.
    pub fn reset(&mut self) {
        self.messages.clear();
    }
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}
