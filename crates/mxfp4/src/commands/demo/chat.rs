//! One chat request to a server that runs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use mxfp4_client::{ClientArgs, Server, Url, post};
use serde_json::{Value, json};

use mxfp4_toolchain::visible::visible;

/// What is asked.
const QUESTION: &str = "What is a Hopper GPU good at?";

/// How many tokens an answer may have.
const TOKENS: u32 = 64;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks the model at `url`, and returns its answer and how fast it came: `12 tokens in 0.10 s: 120.0 tokens/s`.
pub fn ask(url: &Url, model: &str) -> anyhow::Result<String> {
    let server = Server::new(url, &ClientArgs::default())?;
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": TOKENS,
    });
    let start = Instant::now();
    let reply = post(
        &server,
        "/v1/chat/completions",
        body.to_string().into(),
        PATIENCE,
    )
    .context("the chat request failed")?;
    let reply = String::from_utf8_lossy(&reply);
    told(&reply, start.elapsed())
}

fn told(reply: &str, took: Duration) -> anyhow::Result<String> {
    let reply: Value = serde_json::from_str(reply).context("the answer is not JSON")?;
    let tokens = reply["usage"]["completion_tokens"].as_u64().unwrap_or(0);
    if tokens == 0 {
        anyhow::bail!("the answer has no tokens: {reply}");
    }
    let message = &reply["choices"][0]["message"];
    let text = ["content", "reasoning"]
        .iter()
        .find_map(|part| message[part].as_str().filter(|text| !text.is_empty()))
        .unwrap_or_default();
    let seconds = took.as_secs_f64();
    Ok(format!(
        "{}\n{tokens} tokens in {seconds:.2} s: {:.1} tokens/s",
        visible(text),
        tokens as f64 / seconds
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_told_whichever_part_it_is() {
        let reply = |message: Value, tokens: u64| {
            json!({"choices": [{"message": message}], "usage": {"completion_tokens": tokens}})
                .to_string()
        };
        let second = Duration::from_secs(1);
        for (message, text) in [
            (json!({"content": "Yes.", "reasoning": "Hm."}), "Yes."),
            (json!({"content": null, "reasoning": "Hm."}), "Hm."),
            (json!({}), ""),
        ] {
            let told = told(&reply(message, 2), second).unwrap();
            assert_eq!(told, format!("{text}\n2 tokens in 1.00 s: 2.0 tokens/s"));
        }
        assert!(told(&reply(json!({}), 0), second).is_err());
        assert!(told("<html>", second).is_err());
    }
}
