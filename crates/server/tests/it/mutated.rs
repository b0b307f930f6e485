//! Requests that are almost right: whatever comes of them, it is never the server's fault.

use std::sync::Arc;

use mxfp4_server::{Config, Store, StoreLimits};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::client::post_bytes;
use crate::rig::{Rig, config, in_turn, options, says};
use crate::vocabulary::tokens;

/// Requests that have every field once.
fn requests() -> Vec<(&'static str, Value)> {
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
        "parameters": {"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": ["x"], "default": 1},
        "b": {"$ref": "#/$defs/B"}}, "$defs": {"B": {"oneOf": [{"type": "array", "items": {}}]}}}}}]);
    let messages = json!([
        {"role": "system", "content": "Be."}, {"role": "user", "content": [{"type": "text", "text": "A"}]},
        {"role": "assistant", "content": null, "reasoning": "R", "tool_calls":
            [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "20"},
        {"role": "assistant", "content": "Done.", "refusal": "", "annotations": [], "audio": null},
        {"role": "user", "content": "é😀"},
    ]);
    let items = json!([
        {"type": "message", "role": "developer", "content": "Be."},
        {"role": "user", "content": [{"type": "input_text", "text": "A"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "R"}]},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "B"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "20"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "p", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "y"},
        {"type": "item_reference", "id": "msg_1_2"},
    ]);
    let offered = json!([
        {"type": "function", "name": "f", "strict": true, "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /a+/ LF\n%import common.LF"}},
        {"type": "custom", "name": "q", "format": {"type": "grammar", "syntax": "regex", "definition": "[a-z]{2,3}"}},
        {"type": "namespace", "name": "n", "description": "N", "tools": [{"type": "function", "name": "f"}]},
        {"type": "web_search", "external_web_access": true},
    ]);
    let mut response = json!({
        "model": "gpt-oss", "input": items, "instructions": "I", "tools": offered, "stream": true, "store": true,
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f", "namespace": "n"}]},
        "temperature": 1.0, "top_p": 0.9, "top_logprobs": 2, "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 50, "max_tool_calls": 3, "parallel_tool_calls": false, "truncation": "auto",
        "reasoning": {"effort": "low", "summary": "auto"}, "metadata": {"a": "b"}, "background": false,
        "text": {"format": {"type": "text"}, "verbosity": "low"}, "previous_response_id": null, "user": "u",
        "prompt_cache_key": "k", "safety_identifier": "s", "client_metadata": {}, "thinking_token_budget": 5,
    });
    let whole = response.clone();
    // One that is answered as it is, but for the reference to what is not kept.
    response["input"].as_array_mut().unwrap().pop();
    vec![
        ("/v1/responses", whole),
        ("/v1/responses", response),
        (
            "/v1/responses",
            json!({"input": "x", "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}}),
        ),
        (
            "/v1/chat/completions",
            json!({
                "model": "gpt-oss", "messages": messages, "tools": tools, "tool_choice": "auto", "n": 2,
                "stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": false},
                "temperature": 1.0, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "seed": 3, "stop": ["x", "yz"],
                "stop_token_ids": [5], "logprobs": true, "top_logprobs": 3, "max_tokens": 50, "min_tokens": 1,
                "frequency_penalty": 0.5, "reasoning_effort": "low", "reasoning": {"effort": "high"},
                "chat_template_kwargs": {"model_identity": "I"}, "response_format": {"type": "text"},
                "parallel_tool_calls": false, "include_reasoning": true, "ignore_eos": false, "logit_bias": {},
            }),
        ),
        (
            "/v1/completions",
            json!({
                "model": "gpt-oss", "prompt": ["a", "b"], "n": 2, "echo": true, "max_tokens": 4, "stop": "q",
                "stream": false, "suffix": null, "best_of": 1, "skip_special_tokens": false, "logprobs": null,
            }),
        ),
        (
            "/v1/completions",
            json!({"prompt": [[1, 2], [3]], "logprobs": 2, "max_tokens": 4}),
        ),
        ("/v1/messages", anthropic()),
        ("/v1/messages/count_tokens", anthropic()),
        (
            "/tokenize",
            json!({"prompt": "a", "add_special_tokens": true, "return_token_strs": true}),
        ),
        ("/tokenize", json!({"messages": messages, "tools": tools})),
        ("/detokenize", json!({"tokens": [1, 2, 3]})),
    ]
}

/// A request of Anthropic's interface.
fn anthropic() -> Value {
    json!({
        "model": "gpt-oss", "max_tokens": 50, "stream": true, "stop_sequences": ["x", "yz"], "temperature": 1.0,
        "top_p": 0.9, "top_k": 4, "system": [{"type": "text", "text": "Be.", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"},
        "metadata": {"user_id": "u"}, "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "tools": [
            {"type": "web_search_20250305", "name": "web_search"},
            {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"enum": ["x"]}}}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "A"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "T", "signature": ""}, {"type": "text", "text": "B"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": "x"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "3"}], "is_error": true},
                {"type": "text", "text": "é😀"},
            ]},
        ],
    })
}

/// Values that fit nowhere.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(1.5)),
        Just(json!(1e300)),
        Just(json!(u64::MAX)),
        Just(json!("")),
        Just(json!("\0<|end|>\u{ffff}")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[[[{"a": [null]}]]]])),
        Just(json!([1, "a", null])),
        any::<String>().prop_map(Value::String),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ]
}

/// Replaces the value at the place that `at` counts to, or adds or removes there.
fn mutate(value: &mut Value, at: &mut usize, how: usize, odd: &Value) -> bool {
    if *at == 0 {
        match (how, &mut *value) {
            (1, Value::Object(map)) => {
                map.insert("added".to_owned(), odd.clone());
            }
            (1, Value::Array(list)) => list.push(odd.clone()),
            (2, Value::Object(map)) => {
                if let Some(key) = map.keys().next().cloned() {
                    map.remove(&key);
                }
            }
            (3, Value::Array(list)) => {
                if let Some(first) = list.first().cloned() {
                    list.push(first);
                }
            }
            _ => *value = odd.clone(),
        }
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|each| mutate(each, at, how, odd)),
        Value::Object(map) => map.values_mut().any(|each| mutate(each, at, how, odd)),
        _ => false,
    }
}

/// How many cases: `PROPTEST_CASES`, or so many.
pub fn cases(few: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(few)
}

#[test]
fn nothing_that_clients_send_is_the_servers_fault() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rig = Arc::new(runtime.block_on(async {
        let answer = tokens(&says("Hi"));
        let mut options = options();
        options.hello.grammar = true;
        let config = Config {
            store: Some(Store::memory(StoreLimits::default())),
            ..config()
        };
        Rig::with(config, options, in_turn(vec![answer.into()])).await
    }));
    let outcomes = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let strategy = (
        0..requests().len(),
        prop::collection::vec((0usize..120, 0usize..5, odd()), 1..4),
        prop::option::weighted(0.1, (0usize..2000, any::<u8>())),
    );
    let config = ProptestConfig {
        cases: cases(400),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&strategy, |(which, changes, byte)| {
            let (path, mut body) = requests().swap_remove(which);
            for (mut at, how, odd) in changes {
                mutate(&mut body, &mut at, how, &odd);
            }
            let mut bytes = body.to_string().into_bytes();
            if let Some((at, byte)) = byte {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let reply = runtime.block_on(post_bytes(rig.address, path, &bytes));
            *outcomes.borrow_mut().entry(reply.status).or_insert(0) += 1;
            prop_assert!(
                (200..500).contains(&reply.status),
                "{path} {}: {}",
                String::from_utf8_lossy(&bytes),
                reply.text()
            );
            prop_assert!(reply.whole);
            if reply.status != 200 {
                reply.error();
            }
            Ok(())
        })
        .unwrap();
    let outcomes = outcomes.into_inner();
    assert!(
        outcomes.contains_key(&200) && outcomes.contains_key(&400),
        "{outcomes:?}"
    );
}
