//! `/v1/completions`: raw texts.

use serde_json::json;

use crate::rig::{Rig, config, in_turn, options, paced};
use crate::vocabulary::tokens;

#[tokio::test]
async fn a_text_in_one_piece() {
    let rig = Rig::new(&["é😀!<|return|>"]).await;
    let mut body = rig
        .complete(json!({"prompt": "<|start|>user<|message|>é"}))
        .await
        .json();
    assert!(body["id"].take().as_str().unwrap().starts_with("cmpl-"));
    body["created"].take();
    assert_eq!(
        body,
        json!({
            "id": null, "object": "text_completion", "created": null,
            "model": "openai/gpt-oss-20b", "system_fingerprint": "mxfp4-0.1.0-max-scripted",
            "choices": [{"index": 0, "text": "é😀!", "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 8, "completion_tokens": 8, "total_tokens": 16,
                      "prompt_tokens_details": {"cached_tokens": 0}},
        })
    );
    // Special tokens by name are special tokens in a raw prompt.
    assert_eq!(rig.last_request().prompt[0], 200_006);
    assert_eq!(rig.last_request().max_tokens, None);
}

#[tokio::test]
async fn a_text_in_events_is_never_split_inside_a_character() {
    let rig = Rig::with(config(), paced(1), in_turn(vec![tokens("é😀!").into()])).await;
    let reply = rig
        .complete(json!({"stream": true, "stream_options": {"include_usage": true}}))
        .await;
    let (mut chunks, done) = reply.events();
    assert!(done);
    let usage = chunks.pop().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 7);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "text_completion")
    );
    let texts: Vec<&str> = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.concat(), "é😀!");
    assert!(!texts.concat().contains('\u{fffd}'));
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
}

#[tokio::test]
async fn several_prompts_and_choices() {
    let rig = Rig::new(&["a", "b", "c", "d"]).await;
    let body = rig
        .complete(json!({"prompt": ["P", "QQ"], "n": 2, "seed": 1}))
        .await
        .json();
    let choices: Vec<_> = body["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| {
            (
                choice["index"].as_u64().unwrap(),
                choice["text"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(choices, [(0, "a"), (1, "b"), (2, "c"), (3, "d")]);
    let asked: Vec<_> = rig
        .scripted
        .requests()
        .into_iter()
        .map(|request| (request.prompt, request.seed))
        .collect();
    let second = 1 + (1 << 32);
    let (p, q) = (vec![u32::from(b'P')], vec![u32::from(b'Q'); 2]);
    assert_eq!(
        asked,
        [
            (p.clone(), Some(1)),
            (p, Some(second)),
            (q.clone(), Some(1)),
            (q, Some(second))
        ]
    );
    assert_eq!(body["usage"]["prompt_tokens"], 3);
    assert_eq!(body["usage"]["completion_tokens"], 4);
}

#[tokio::test]
async fn prompts_may_be_token_ids() {
    let rig = Rig::new(&["a"]).await;
    for (prompt, expected) in [
        (json!([1, 2.0, 3]), vec![vec![1, 2, 3]]),
        (json!([[1], [200_006, 5]]), vec![vec![1], vec![200_006, 5]]),
        (json!([201_087]), vec![vec![201_087]]),
    ] {
        let before = rig.scripted.requests().len();
        assert_eq!(rig.complete(json!({"prompt": prompt})).await.status, 200);
        let asked: Vec<_> = rig.scripted.requests()[before..]
            .iter()
            .map(|request| request.prompt.clone())
            .collect();
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn special_tokens_are_shown_to_who_wants_them() {
    let rig = Rig::new(&["<|channel|>final<|message|>Hi<|return|>"]).await;
    let text = |body: serde_json::Value| body["choices"][0]["text"].clone();
    let hidden = rig.complete(json!({})).await.json();
    assert_eq!(text(hidden), "finalHi");
    let shown = rig
        .complete(json!({"skip_special_tokens": false}))
        .await
        .json();
    // The end is no part of the text.
    assert_eq!(text(shown), "<|channel|>final<|message|>Hi");
}

#[tokio::test]
async fn harmonys_ends_end_raw_texts_too() {
    let mut options = options();
    options.hello.end_tokens = Vec::new();
    let rig = Rig::with(
        config(),
        options,
        in_turn(vec![tokens("Hi<|call|>more").into()]),
    )
    .await;
    let body = rig.complete(json!({})).await.json();
    assert_eq!(body["choices"][0]["text"], "Hi");
    let body = rig.complete(json!({"ignore_eos": true})).await.json();
    assert_eq!(body["choices"][0]["text"], "Himore");
}

#[tokio::test]
async fn a_prompt_may_be_echoed() {
    let rig = Rig::new(&["one"]).await;
    let body = rig
        .complete(json!({"prompt": "é and ", "echo": true}))
        .await
        .json();
    assert_eq!(body["choices"][0]["text"], "é and one");
    let body = rig
        .complete(json!({"prompt": ["a", "b"], "echo": true, "max_tokens": 0}))
        .await
        .json();
    assert_eq!(body["choices"][1]["text"], "b");
    assert_eq!(body["choices"][1]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 0);
    let reply = rig
        .complete(json!({"prompt": "é and ", "echo": true, "stream": true}))
        .await;
    let texts: Vec<String> = reply
        .events()
        .0
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts.concat(), "é and one");
}

#[tokio::test]
async fn token_ids_come_where_they_are_wanted() {
    let raw = "é😀!<|return|>";
    let chat = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>A.<|return|>";
    for (text, is_chat) in [(raw, false), (chat, true)] {
        let rig = Rig::with(config(), paced(1), in_turn(vec![tokens(text).into()])).await;
        let ask = async |mut body: serde_json::Value| {
            body["return_token_ids"] = true.into();
            if is_chat {
                rig.chat(body).await
            } else {
                rig.complete(body).await
            }
        };
        let whole = ask(json!({})).await.json();
        assert_eq!(whole["choices"][0]["token_ids"], json!(tokens(text)));
        let (chunks, _) = ask(json!({"stream": true})).await.events();
        let ids: Vec<_> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["token_ids"].as_array())
            .flatten()
            .cloned()
            .collect();
        assert_eq!(ids, json!(tokens(text)).as_array().unwrap()[..]);
        let without = rig.complete(json!({})).await.json();
        assert_eq!(without["choices"][0].get("token_ids"), None);
    }
}
