//! Stop words: in the answer alone, and cut in streams.

use serde_json::{Value, json};

use crate::rig::{Rig, config, in_turn, joined, paced, until};
use crate::vocabulary::tokens;

const ANSWER: &str = "<|channel|>analysis<|message|>STOP final assistant<|end|><|start|>assistant<|channel|>final<|message|>One STOP two.<|return|>";

fn choice(body: &Value) -> (Value, Value, Value) {
    let choice = &body["choices"][0];
    (
        choice["message"]["content"].clone(),
        choice["message"]["reasoning"].clone(),
        choice["finish_reason"].clone(),
    )
}

#[tokio::test]
async fn words_count_in_the_answer_alone() {
    let rig = Rig::new(&[ANSWER]).await;
    let reasoning = "STOP final assistant";
    for (body, content) in [
        (json!({"stop": "STOP"}), "One "),
        (json!({"stop": ["final", "assistant", "STOP two"]}), "One "),
        (json!({"stop": ["nothing"]}), "One STOP two."),
        (
            json!({"stop": ["STOP"], "include_stop_str_in_output": true}),
            "One STOP",
        ),
        (json!({"stop": ["STOP"], "no_stop_trim": true}), "One STOP"),
        (json!({"stop": ["."]}), "One STOP two"),
        // Held back to the end, for it may become one.
        (json!({"stop": ["two.."]}), "One STOP two."),
        (json!({"stop": null}), "One STOP two."),
    ] {
        let expected = (json!(content), json!(reasoning), json!("stop"));
        assert_eq!(
            choice(&rig.chat(body.clone()).await.json()),
            expected,
            "{body}"
        );
        let mut body = body;
        body["stream"] = true.into();
        let whole = joined(&rig.chat(body.clone()).await.events().0, 0);
        let streamed = (
            whole["content"].clone(),
            whole["reasoning"].clone(),
            whole["finish_reason"].clone(),
        );
        assert_eq!(streamed, expected, "{body}");
    }
}

#[tokio::test]
async fn the_engine_is_told_to_stop() {
    let answer = format!(
        "<|channel|>final<|message|>One STOP{}",
        " on".repeat(10_000)
    );
    let rig = Rig::with(config(), paced(1), in_turn(vec![tokens(&answer).into()])).await;
    let body = rig.chat(json!({"stop": "STOP"})).await.json();
    assert_eq!(choice(&body).0, "One ");
    let read = tokens("<|channel|>final<|message|>One STOP").len();
    assert_eq!(body["usage"]["completion_tokens"], read);
    until("the cancellation", || rig.scripted.cancelled() == 1).await;
    assert_eq!(rig.engine.live(), 0);
}

#[tokio::test]
async fn a_call_after_a_stop_word_is_none() {
    let answer = "<|channel|>commentary<|message|>I STOP<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>";
    let rig = Rig::new(&[answer]).await;
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let body = rig
        .chat(json!({"stop": "STOP", "tools": tools}))
        .await
        .json();
    assert_eq!(body["choices"][0]["message"]["content"], "I ");
    assert!(body["choices"][0]["message"].get("tool_calls").is_none());
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn what_is_held_back_comes_before_a_call() {
    let answer = "<|channel|>commentary<|message|>I ST<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>";
    let rig = Rig::new(&[answer]).await;
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let reply = rig
        .chat(json!({"stop": "STOP", "tools": tools, "stream": true}))
        .await;
    assert_eq!(
        joined(&reply.events().0, 0),
        json!({"content": "I ST", "reasoning": "", "tool_calls": [[0, "f", "{}"]], "finish_reason": "tool_calls"})
    );
}

#[tokio::test]
async fn words_end_raw_texts_anywhere() {
    let rig = Rig::new(&["One STOP two"]).await;
    let body = rig.complete(json!({"stop": ["two", "STOP"]})).await.json();
    assert_eq!(body["choices"][0]["text"], "One ");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
}
