//! What is measured of one answer.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use mxfp4_client::{Lost, message};

/// An answer that came to its end.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// From the request to the last event.
    pub took: Duration,
    /// From the request to the first piece of text; none came where no token has text.
    pub first: Option<Duration>,
    /// Seconds from each piece of text to the next.
    pub gaps: Vec<f32>,
    /// Tokens of the prompt, where the server says it.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, as the server counts them.
    pub tokens: u64,
}

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum Uncounted {
    /// It did not come in time.
    #[error("no whole answer within {0:?}")]
    Late(Duration),
    /// The connection broke, or the server refused.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// An event that is none.
    #[error("an event of the stream cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The stream tells an error.
    #[error("{}", .0.as_deref().unwrap_or("the stream tells an error"))]
    Told(Option<String>),
    /// It has no end.
    #[error("the stream was cut: it ended without [DONE]")]
    Cut,
    /// How long it is was not said.
    #[error("the server did not say how many tokens it answered with (no usage)")]
    NoUsage,
}

/// Measures an answer while it comes.
pub struct Measuring {
    began: Instant,
    last: Instant,
    last_piece: Option<Instant>,
    first: Option<Duration>,
    gaps: Vec<f32>,
    usage: Usage,
    done: bool,
}

/// One event of a stream: what is needed of it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// As it was written: only whether there is any matters.
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// What an empty text is written as.
const EMPTY: &str = "\"\"";

impl Measuring {
    /// Begins now, with room for so many tokens.
    pub fn begin(tokens: usize) -> Self {
        let began = Instant::now();
        Self {
            began,
            last: began,
            last_piece: None,
            first: None,
            gaps: Vec::with_capacity(tokens.min(4096)),
            usage: Usage::default(),
            done: false,
        }
    }

    /// Takes the data of an event that came `at` this time. An error is what the server says went wrong.
    pub fn event(&mut self, data: &[u8], at: Instant) -> Result<(), Uncounted> {
        self.last = at;
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let event: Event<'_> = serde_json::from_slice(data)?;
        if event.error.is_some() {
            return Err(Uncounted::Told(message(data)));
        }
        if let Some(usage) = event.usage {
            self.usage = usage;
        }
        let is_text = |text: &RawValue| text.get() != EMPTY;
        if event
            .choices
            .iter()
            .any(|choice| choice.text.is_some_and(is_text))
        {
            self.piece(at);
        }
        Ok(())
    }

    fn piece(&mut self, at: Instant) {
        match self.last_piece {
            None => self.first = Some(at - self.began),
            Some(before) => self.gaps.push((at - before).as_secs_f32()),
        }
        self.last_piece = Some(at);
    }

    /// The answer, once nothing more comes.
    pub fn finish(self) -> Result<Answer, Uncounted> {
        if !self.done {
            return Err(Uncounted::Cut);
        }
        let tokens = self.usage.completion_tokens.ok_or(Uncounted::NoUsage)?;
        Ok(Answer {
            took: self.last - self.began,
            first: self.first,
            gaps: self.gaps,
            prompt_tokens: self.usage.prompt_tokens,
            tokens,
        })
    }
}

impl Answer {
    /// Seconds for each token after the first.
    pub fn time_per_token(&self) -> Option<f64> {
        let more = self.tokens.checked_sub(1).filter(|more| *more > 0)?;
        Some((self.took - self.first?).as_secs_f64() / more as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: &[&str]) -> Result<Answer, Uncounted> {
        let mut measuring = Measuring::begin(8);
        let began = measuring.began;
        for (number, event) in events.iter().enumerate() {
            let at = began + Duration::from_millis(10 * (number as u64 + 1));
            measuring.event(event.as_bytes(), at)?;
        }
        measuring.finish()
    }

    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;

    #[test]
    fn times_are_those_of_text() {
        let answer = read(&[
            r#"{"choices":[{"index":0,"text":""}]}"#,
            r#"{"id":"c","choices":[{"text":"a","logprobs":null}],"usage":null}"#,
            r#"{ "choices" : [ { "text" : "\"" , "finish_reason" : null } ] }"#,
            r#"{"choices":[{"text":null,"finish_reason":"length"}]}"#,
            USAGE,
            "[DONE]",
        ]);
        let answer = answer.unwrap();
        let ms = Duration::from_millis;
        assert_eq!((answer.first, answer.took), (Some(ms(20)), ms(60)));
        assert_eq!(answer.gaps, [0.01]);
        assert_eq!((answer.prompt_tokens, answer.tokens), (Some(7), 3));
        assert_eq!(answer.time_per_token(), Some(0.02));
    }

    #[test]
    fn an_answer_may_have_no_text() {
        let answer = read(&[USAGE, "[DONE]"]).unwrap();
        assert_eq!((answer.first, answer.time_per_token()), (None, None));
        assert_eq!(answer.tokens, 3);
    }

    #[test]
    fn what_is_no_answer() {
        let text = r#"{"choices":[{"text":"a"}]}"#;
        for (events, why) in [
            (&[text, USAGE][..], "without [DONE]"),
            (&[text, "[DONE]"], "no usage"),
            (&["{\"cho"], "cannot be read"),
            (
                &[r#"{"error":{"message":"full\nof it","code":500}}"#],
                "full",
            ),
            (&[r#"{"error":"worse"}"#], "worse"),
            (&[r#"{"error":{"code":500}}"#], "tells an error"),
        ] {
            let error = read(events).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
