//! An answer, while it comes and whole.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use mxfp4_client::message;

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// What the model thinks.
    Reasoning(&'a str),
    /// What it answers.
    Answer(&'a str),
}

/// The same, of its own.
pub enum Owned {
    /// What the model thinks.
    Reasoning(String),
    /// What it answers.
    Answer(String),
}

impl Owned {
    /// The piece.
    pub fn as_ref(&self) -> Piece<'_> {
        match self {
            Self::Reasoning(text) => Piece::Reasoning(text),
            Self::Answer(text) => Piece::Answer(text),
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server says why: `stop`, `length`.
    Finished(String),
    /// Ctrl-C.
    Interrupted,
    /// Something went wrong on the way.
    Broken(String),
}

impl End {
    /// Why an answer that the server finished is none that the model did.
    pub fn is_early(&self) -> Option<&'static str> {
        match self {
            Self::Finished(reason) if reason == "length" => {
                Some("the answer ends here because no more tokens fit")
            }
            _ => None,
        }
    }
}

/// What the server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Usage {
    /// Tokens of the whole prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer, its reasoning among them.
    pub completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Usage {
    /// Tokens of the prompt that the server did not compute again.
    pub fn cached(&self) -> u64 {
        let details = self
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens);
        details.unwrap_or(0)
    }

    /// Tokens of the reasoning.
    pub fn reasoning(&self) -> u64 {
        let details = self
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens);
        details.unwrap_or(0)
    }
}

/// An answer, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the model thought.
    pub reasoning: String,
    /// What it answered.
    pub content: String,
    /// Why it ended.
    pub end: End,
    /// What the server counted; it does not say so of an answer that was cut.
    pub usage: Option<Usage>,
    /// From the request to the end.
    pub took: Duration,
    /// From the request to the first piece.
    pub first: Option<Duration>,
}

impl Answer {
    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.reasoning.is_empty() && self.content.is_empty()
    }

    /// Tokens a second, from the first on.
    pub fn rate(&self) -> Option<f64> {
        let more = self.usage?.completion_tokens.checked_sub(1)?;
        let seconds = (self.took - self.first?).as_secs_f64();
        (more > 0 && seconds > 0.0).then(|| more as f64 / seconds)
    }
}

/// An answer while it is read.
pub struct Reading {
    began: Instant,
    first: Option<Duration>,
    reasoning: String,
    content: String,
    finish: Option<String>,
    usage: Option<Usage>,
    is_done: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
}

impl Reading {
    /// Begins now.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            first: None,
            reasoning: String::new(),
            content: String::new(),
            finish: None,
            usage: None,
            is_done: false,
        }
    }

    /// Takes the data of an event and returns the text in it. An error is what went wrong on the server's side.
    pub fn event(&mut self, data: &[u8]) -> Result<Vec<Owned>, String> {
        if data == b"[DONE]" {
            self.is_done = true;
            return Ok(Vec::new());
        }
        let event: Event = serde_json::from_slice(data)
            .map_err(|error| format!("an event of the stream cannot be read: {error}"))?;
        if event.error.is_some() {
            return Err(message(data).unwrap_or_else(|| "the stream tells an error".into()));
        }
        self.usage = event.usage.or(self.usage);
        let mut pieces = Vec::new();
        for choice in event.choices {
            // Some servers have one of the names, some both with the same text.
            let delta = choice.delta;
            let reasoning = delta
                .reasoning
                .or(delta.reasoning_content)
                .unwrap_or_default();
            let content = delta.content.unwrap_or_default();
            self.reasoning.push_str(&reasoning);
            self.content.push_str(&content);
            if !reasoning.is_empty() {
                pieces.push(Owned::Reasoning(reasoning));
            }
            if !content.is_empty() {
                pieces.push(Owned::Answer(content));
            }
            self.finish = choice.finish_reason.or(self.finish.take());
        }
        if !pieces.is_empty() && self.first.is_none() {
            self.first = Some(self.began.elapsed());
        }
        Ok(pieces)
    }

    /// Why it ends, once nothing more comes.
    pub fn end(&self) -> End {
        match &self.finish {
            Some(reason) if self.is_done => End::Finished(reason.clone()),
            _ => End::Broken("the connection ended before the answer did".into()),
        }
    }

    /// What came.
    pub fn finish(self, end: End) -> Answer {
        Answer {
            reasoning: self.reasoning,
            content: self.content,
            end,
            usage: self.usage,
            took: self.began.elapsed(),
            first: self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: &[&str]) -> Result<Answer, String> {
        let mut reading = Reading::begin();
        for event in events {
            reading.event(event.as_bytes())?;
        }
        let end = reading.end();
        Ok(reading.finish(end))
    }

    #[test]
    fn reasoning_and_answer_are_told_apart() {
        let answer = read(&[
            r#"{"choices":[{"delta":{"role":"assistant"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"Hm","reasoning_content":"Hm"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"m."}}]}"#,
            r#"{"choices":[{"delta":{"content":"4"},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,
                "prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":null}}"#,
            "[DONE]",
        ]);
        let answer = answer.unwrap();
        assert_eq!((&*answer.reasoning, &*answer.content), ("Hmm.", "4"));
        assert_eq!(answer.end, End::Finished("stop".into()));
        let usage = answer.usage.unwrap();
        assert_eq!((usage.cached(), usage.reasoning()), (5, 0));
    }

    #[test]
    fn what_is_no_whole_answer() {
        let text = r#"{"choices":[{"delta":{"content":"4"}}]}"#;
        for events in [&[text][..], &[text, "[DONE]"], &[]] {
            assert!(
                matches!(read(events).unwrap().end, End::Broken(_)),
                "{events:?}"
            );
        }
        assert_eq!(
            read(&[r#"{"error":{"message":"full"}}"#]).unwrap_err(),
            "full"
        );
        assert!(read(&["{"]).is_err());
    }
}
