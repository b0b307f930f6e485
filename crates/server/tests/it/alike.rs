//! A stream tells what the answer in one piece tells, whatever the model writes.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::mutated::cases;
use crate::rig::{Rig, config, joined, options};
use crate::vocabulary::tokens;

/// Pieces that answers are made of, and noise.
pub fn piece() -> impl Strategy<Value = Vec<u32>> {
    let known = prop::sample::select(vec![
        "<|channel|>analysis<|message|>",
        "<|channel|>final<|message|>",
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
        "<|channel|>commentary<|message|>",
        "<|end|><|start|>assistant",
        "<|end|>",
        "<|start|>",
        "<|message|>",
        "<|call|>",
        "<|return|>",
        "<|constrain|>",
        "{\"a\": 1}",
        "STOP",
        "ST",
        "OP",
        "😀é",
        "text \"quoted\"\n",
        "to=functions.f",
    ]);
    prop_oneof![
        4 => known.prop_map(tokens),
        1 => prop::collection::vec(0u32..256, 1..4),
        1 => (200_013u32..201_088).prop_map(|id| vec![id]),
    ]
}

/// What a whole answer says.
fn whole(body: &Value) -> Value {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let text = |key: &str| message[key].as_str().unwrap_or_default();
    let mut calls = Vec::new();
    for (index, call) in message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let function = &call["function"];
        calls.push(json!([index, function["name"], function["arguments"]]));
    }
    json!({
        "content": text("content"), "reasoning": text("reasoning"), "tool_calls": calls,
        "finish_reason": choice["finish_reason"],
    })
}

/// The tokens with log-probabilities, of content and of reasoning.
fn scored<'a>(chunks: impl IntoIterator<Item = &'a Value>) -> [Vec<Value>; 2] {
    let mut lists = [Vec::new(), Vec::new()];
    for chunk in chunks {
        let scores = &chunk["choices"][0]["logprobs"];
        for (list, key) in lists.iter_mut().zip(["content", "reasoning"]) {
            list.extend(scores[key].as_array().into_iter().flatten().cloned());
        }
    }
    lists
}

#[test]
fn a_stream_tells_what_the_whole_answer_tells() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let script = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let answers = script.clone();
    let rig = runtime.block_on(Rig::with(
        config(),
        options(),
        Box::new(move |_| answers.lock().unwrap().clone().into()),
    ));
    let strategy = (
        prop::collection::vec(piece(), 1..12),
        prop::sample::select(vec![json!(null), json!("STOP"), json!(["é", "OP"])]),
        any::<[bool; 3]>(),
        prop::option::of(1u32..60),
    );
    let config = ProptestConfig {
        cases: cases(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = proptest::test_runner::TestRunner::new(config).run(
        &strategy,
        |(pieces, stop, [tools, logprobs, ignore_eos], max_tokens)| {
            *script.lock().unwrap() = pieces.concat();
            let tool = json!({"type": "function", "function": {"name": "f"}});
            let mut body = json!({
                "stop": stop, "logprobs": logprobs, "ignore_eos": ignore_eos, "max_tokens": max_tokens,
                "tools": if tools { json!([tool]) } else { json!([]) },
            });
            let piece = runtime.block_on(rig.chat(body.clone())).json();
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
            let (mut chunks, done) = runtime.block_on(rig.chat(body)).events();
            prop_assert!(done);
            let usage = chunks.pop().unwrap()["usage"].clone();
            prop_assert_eq!(&usage, &piece["usage"]);
            prop_assert_eq!(joined(&chunks, 0), whole(&piece));
            prop_assert_eq!(scored(&chunks), scored([&piece]));
            Ok(())
        },
    );
    run.unwrap();
}
