//! The events of a stream.

use std::time::Duration;

use mxfp4_engine::scripted::{Answer, Fault};
use mxfp4_server::Limits;
use serde_json::{Value, json};

use super::{TURN, add, ask, events, joined, message};
use crate::rig::{Rig, config, in_turn, limited, options, says};
use crate::vocabulary::tokens;

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn events_come_in_anthropics_order() {
    let answer = Answer {
        cached_tokens: Some(7),
        ..tokens(TURN).into()
    };
    let rig = Rig::with(config(), options(), in_turn(vec![answer])).await;
    let body = json!({"tools": [add()], "thinking": {"type": "adaptive"}, "stream": true});
    let reply = ask(&rig, body).await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let events = events(&reply);
    let block = [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ];
    let order = [
        &["message_start"][..],
        &block,
        &block,
        &block,
        &["message_delta", "message_stop"],
    ];
    assert_eq!(kinds(&events), order.concat());
    let prompt = rig.last_request().prompt.len();
    let start = &events[0]["message"];
    assert_eq!(start["usage"]["input_tokens"], prompt - 7);
    assert_eq!(start["usage"]["cache_read_input_tokens"], 7);
    assert_eq!(
        (&start["content"], &start["stop_reason"]),
        (&json!([]), &json!(null))
    );
    let message = joined(&events);
    let content = &message["content"];
    assert_eq!(content[0]["thinking"], "Add them.");
    assert_eq!(content[1]["text"], "I add.");
    assert_eq!(content[2]["input"], json!({"a": 1}));
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["usage"]["output_tokens"], tokens(TURN).len());
}

#[tokio::test]
async fn each_message_of_thinking_is_a_block() {
    let twice = "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>Two.<|end|>\
        <|start|>assistant<|channel|>final<|message|>Three.<|return|>";
    let rig = Rig::new(&[twice]).await;
    let body = json!({"thinking": {"type": "adaptive"}, "stream": true});
    let streamed = joined(&events(&ask(&rig, body).await));
    let whole = message(&rig, json!({"thinking": {"type": "adaptive"}})).await;
    for message in [streamed, whole] {
        let content = message["content"].as_array().unwrap();
        let texts: Vec<_> = content
            .iter()
            .map(|block| [&block["thinking"], &block["text"]])
            .collect();
        assert_eq!(
            json!(texts),
            json!([["One.", null], ["Two.", null], [null, "Three."]])
        );
    }
}

#[tokio::test]
async fn a_silence_is_a_ping() {
    let fault = Answer {
        fault: Some(Fault::Stall),
        ..tokens("<|channel|>final<|message|>Fo").into()
    };
    let config = limited(Limits {
        quiet_time: Duration::from_millis(20),
        ..Limits::default()
    });
    let rig = Rig::with(config, options(), in_turn(vec![fault])).await;
    let ended = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rig.server.drain(Duration::ZERO).await
    };
    let (reply, _) = tokio::join!(ask(&rig, json!({"stream": true})), ended);
    let events = events(&reply);
    let kinds = kinds(&events);
    assert!(kinds.contains(&"ping"), "{kinds:?}");
    // The answer is not whole.
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["error"]["type"]),
        (&json!("error"), &json!("overloaded_error"))
    );
    assert!(last["request_id"].is_string());
}

#[tokio::test]
async fn an_engine_that_fails_ends_the_stream_with_an_error() {
    let fault = Answer {
        fault: Some(Fault::Failed("no memory".into())),
        ..tokens("<|channel|>final<|message|>Fo").into()
    };
    let rig = Rig::with(
        config(),
        options(),
        in_turn(vec![fault, tokens(&says("Hi")).into()]),
    )
    .await;
    let events = events(&ask(&rig, json!({"stream": true})).await);
    let last = events.last().unwrap();
    assert_eq!(last["error"]["type"], "api_error");
    assert_eq!(events[0]["type"], "message_start");
}
