//! What answers took: `/tokens`.

use std::fmt;

use super::answer::Answer;

/// What the last answer and all of a conversation took.
#[derive(Default)]
pub struct Tally {
    last: Option<Row>,
    last_times: String,
    all: Row,
    answers: u32,
    /// Answers of which the server did not say.
    unknown: u32,
}

#[derive(Clone, Copy, Default)]
struct Row {
    prompt: u64,
    cached: u64,
    reasoning: u64,
    answer: u64,
}

impl Tally {
    /// Counts an answer.
    pub fn add(&mut self, answer: &Answer) {
        self.answers += 1;
        self.last_times = times(answer);
        self.last = answer.usage.map(|usage| Row {
            prompt: usage.prompt_tokens,
            cached: usage.cached(),
            reasoning: usage.reasoning(),
            answer: usage.completion_tokens.saturating_sub(usage.reasoning()),
        });
        match self.last {
            Some(row) => self.all.add(row),
            None => self.unknown += 1,
        }
    }
}

impl Row {
    fn add(&mut self, other: Self) {
        self.prompt += other.prompt;
        self.cached += other.cached;
        self.reasoning += other.reasoning;
        self.answer += other.answer;
    }
}

/// `2.1 s, its first token 0.05 s, 120.3 tokens/s`
fn times(answer: &Answer) -> String {
    let mut text = format!("{:.1} s", answer.took.as_secs_f64());
    if let Some(first) = answer.first {
        text.push_str(&format!(", its first token {:.2} s", first.as_secs_f64()));
    }
    if let Some(rate) = answer.rate() {
        text.push_str(&format!(", {rate:.1} tokens/s"));
    }
    text
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.answers == 0 {
            return f.write_str("nothing was answered yet");
        }
        let line = |name: &str, row: Row| {
            let Row {
                prompt,
                cached,
                reasoning,
                answer,
            } = row;
            format!("{name:<13}{prompt:>8}{cached:>8}{reasoning:>11}{answer:>8}")
        };
        let head = format!(
            "{:<13}{:>8}{:>8}{:>11}{:>8}",
            "tokens", "prompt", "cached", "reasoning", "answer"
        );
        writeln!(f, "{head}")?;
        match self.last {
            Some(row) => writeln!(f, "{}", line("last answer", row))?,
            None => writeln!(f, "last answer: cut, and so not counted by the server")?,
        }
        let answers = match self.answers {
            1 => "1 answer".to_owned(),
            count => format!("{count} answers"),
        };
        f.write_str(&line(&answers, self.all))?;
        if self.unknown > 0 {
            write!(f, "  without {} cut", self.unknown)?;
        }
        write!(f, "\nthe last took {}", self.last_times)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::chat::answer::End;

    #[test]
    fn it_is_a_table() {
        let mut tally = Tally::default();
        assert_eq!(tally.to_string(), "nothing was answered yet");
        let usage = r#"{"prompt_tokens":75,"completion_tokens":21,"prompt_tokens_details":{"cached_tokens":64},
            "completion_tokens_details":{"reasoning_tokens":12}}"#;
        let mut answer = Answer {
            reasoning: String::new(),
            content: "4".into(),
            end: End::Finished("stop".into()),
            usage: serde_json::from_str(usage).ok(),
            took: Duration::from_millis(2100),
            first: Some(Duration::from_millis(100)),
        };
        tally.add(&answer);
        (answer.usage, answer.first) = (None, None);
        tally.add(&answer);
        let expected = "\
tokens         prompt  cached  reasoning  answer
last answer: cut, and so not counted by the server
2 answers          75      64         12       9  without 1 cut
the last took 2.1 s";
        assert_eq!(tally.to_string(), expected);
        assert_eq!(
            times(&Answer {
                usage: serde_json::from_str(usage).ok(),
                first: Some(Duration::from_millis(100)),
                ..answer
            }),
            "2.1 s, its first token 0.10 s, 10.0 tokens/s"
        );
    }
}
