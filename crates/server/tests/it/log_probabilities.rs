//! Log-probabilities of answer and reasoning.

use serde_json::{Value, json};

use crate::rig::{Rig, config, in_turn, options, paced};
use crate::vocabulary::tokens;

const ANSWER: &str = "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>é!<|return|>";

/// As the scripted engine makes it up.
fn score(bytes: &[u8], top: u8) -> Value {
    let one = |byte: u8, logprob: f64| json!({"token": String::from_utf8_lossy(&[byte]), "logprob": logprob, "bytes": [byte]});
    let mut score = one(bytes[0], -0.5);
    score["top_logprobs"] = (0..top)
        .map(|place| one(bytes[0] + place, -0.5 - f64::from(place)))
        .collect();
    score
}

#[tokio::test]
async fn answer_and_reasoning_have_lists_of_their_own() {
    let rig = Rig::with(config(), paced(1), in_turn(vec![tokens(ANSWER).into()])).await;
    let expected_reasoning = json!([score(b"a", 2), score(b"b", 2)]);
    let expected_content = json!([score(b"\xc3", 2), score(b"\xa9", 2), score(b"!", 2)]);
    let body = rig
        .chat(json!({"logprobs": true, "top_logprobs": 2}))
        .await
        .json();
    assert_eq!(
        body["choices"][0]["logprobs"],
        json!({"content": expected_content, "refusal": null, "reasoning": expected_reasoning})
    );

    let reply = rig
        .chat(json!({"logprobs": true, "top_logprobs": 2, "stream": true}))
        .await;
    let mut content = Vec::new();
    let mut reasoning = Vec::new();
    for chunk in reply.events().0 {
        let scores = &chunk["choices"][0]["logprobs"];
        content.extend(scores["content"].as_array().into_iter().flatten().cloned());
        reasoning.extend(
            scores["reasoning"]
                .as_array()
                .into_iter()
                .flatten()
                .cloned(),
        );
    }
    assert_eq!(json!(content), expected_content);
    assert_eq!(json!(reasoning), expected_reasoning);
}

#[tokio::test]
async fn none_come_behind_a_stop_word() {
    let answer = "<|channel|>final<|message|>oSTOPx<|return|>";
    let rig = Rig::new(&[answer]).await;
    for stream in [false, true] {
        let reply = rig
            .chat(json!({"logprobs": true, "stop": "STOP", "stream": stream}))
            .await;
        let chunks = if stream {
            reply.events().0
        } else {
            vec![reply.json()]
        };
        let content: Vec<Value> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
            .flatten()
            .cloned()
            .collect();
        assert_eq!(json!(content), json!([score(b"o", 0)]));
    }
}

#[tokio::test]
async fn raw_texts_have_lists_side_by_side() {
    let rig = Rig::new(&["ab"]).await;
    let body = rig.complete(json!({"logprobs": 2})).await.json();
    assert_eq!(
        body["choices"][0]["logprobs"],
        json!({
            "tokens": ["a", "b"], "token_logprobs": [-0.5, -0.5], "text_offset": [0, 1],
            "top_logprobs": [{"a": -0.5, "b": -1.5}, {"b": -0.5, "c": -1.5}],
        })
    );
    let reply = rig.complete(json!({"logprobs": 0, "stream": true})).await;
    let offsets: Vec<Value> = reply
        .events()
        .0
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(json!(offsets), json!([0, 1]));
}

#[tokio::test]
async fn more_than_the_engine_has_is_refused() {
    let mut options = options();
    options.hello.max_logprobs = 7;
    let rig = Rig::with(config(), options, in_turn(vec![tokens(ANSWER).into()])).await;
    for (body, path) in [
        (json!({"logprobs": true, "top_logprobs": 8}), "top_logprobs"),
        (json!({"top_logprobs": 1}), "top_logprobs"),
        (json!({"logprobs": 1}), "logprobs"),
    ] {
        let reply = rig.chat(body.clone()).await;
        assert_eq!(
            (reply.status, reply.error().1),
            (400, json!(path)),
            "{body}"
        );
    }
    let reply = rig.complete(json!({"logprobs": 8})).await;
    assert_eq!((reply.status, reply.error().1), (400, json!("logprobs")));
    assert_eq!(
        reply.error().0,
        "`logprobs`: must be an integer from 0 to 7, but is 8"
    );
}
