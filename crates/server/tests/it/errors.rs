//! What is refused, and how.

use mxfp4_server::Config;
use serde_json::{Value, json};

use crate::client::{post, post_bytes};
use crate::rig::{Rig, config, in_turn, options, with_message};
use crate::vocabulary::tokens;

async fn rig() -> Rig {
    let mut options = options();
    options.hello.penalties = false;
    options.hello.min_tokens = false;
    options.hello.max_length = 300;
    Rig::with(config(), options, in_turn(vec![tokens("Hi").into()])).await
}

fn call(id: &str, name: &str) -> Value {
    json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}]})
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

#[tokio::test]
async fn fields_of_a_chat_are_named() {
    let rig = rig().await;
    let user = json!({"role": "user", "content": "Hi"});
    let long_name = "f".repeat(65);
    let image = json!({"type": "image_url", "image_url": {"url": "data:"}});
    for (body, param) in [
        (json!({"messages": []}), "messages"),
        (json!({"messages": "Hi"}), "messages"),
        (json!({"messages": [null]}), "messages[0]"),
        (json!({"messages": [{"content": "Hi"}]}), "messages[0].role"),
        (
            json!({"messages": [user, {"role": "wizard", "content": "Hi"}]}),
            "messages[1].role",
        ),
        (json!({"messages": [{"role": 1}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "user", "content": null}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "user", "content": 7}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [user, user, {"role": "user", "content": [image]}]}),
            "messages[2].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
            "messages[0].content[0].text",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}),
            "messages[0].content[0].text",
        ),
        (
            json!({"messages": [user, call("c", "a b")]}),
            "messages[1].tool_calls[0].function.name",
        ),
        (
            json!({"messages": [user, call("c", &long_name)]}),
            "messages[1].tool_calls[0].function.name",
        ),
        (
            json!({"messages": [user, call("c", "f"), {"role": "tool", "tool_call_id": "d", "content": ""}]}),
            "messages[2].tool_call_id",
        ),
        (
            json!({"messages": [user, {"role": "tool", "content": ""}]}),
            "messages[1].tool_call_id",
        ),
        (
            json!({"messages": [user, {"role": "function", "name": "f", "content": ""}]}),
            "messages[1].name",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}]}),
            "messages[0].tool_calls[0].type",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}),
            "messages[0].tool_calls[0].function",
        ),
        (
            json!({"tools": [tool("get weather")]}),
            "tools[0].function.name",
        ),
        (json!({"tools": [tool("")]}), "tools[0].function.name"),
        (json!({"tools": [tool("f"), tool("f")]}), "tools[1]"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (
            json!({"tools": [{"type": "function"}]}),
            "tools[0].function",
        ),
        (
            json!({"tools": [{"function": {"name": "f", "parameters": []}}]}),
            "tools[0].function.parameters",
        ),
        (
            json!({"tools": [tool("f")], "tool_choice": "required"}),
            "tool_choice",
        ),
        (json!({"functions": [{"name": "f"}]}), "functions"),
        (
            json!({"function_call": {"name": "f"}}),
            "function_call.name",
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            "response_format",
        ),
        (json!({"response_format": {}}), "response_format.type"),
        (json!({"guided_json": {}}), "guided_json"),
        (json!({"reasoning_effort": "immense"}), "reasoning_effort"),
        (json!({"reasoning": {"effort": 3}}), "reasoning.effort"),
        (
            json!({"chat_template_kwargs": {"reasoning_effort": ""}}),
            "chat_template_kwargs.reasoning_effort",
        ),
        (
            json!({"chat_template_kwargs": {"builtin_tools": ["browser"]}}),
            "chat_template_kwargs.builtin_tools",
        ),
        (json!({"chat_template": "{{ x }}"}), "chat_template"),
        (
            json!({"continue_final_message": true}),
            "continue_final_message",
        ),
        (
            json!({"add_generation_prompt": false}),
            "add_generation_prompt",
        ),
        (json!({"echo": true}), "echo"),
        (json!({"modalities": ["text", "audio"]}), "modalities[1]"),
        (json!({"n": 0}), "n"),
        (json!({"n": 129}), "n"),
        (json!({"n": "2"}), "n"),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": true}), "temperature"),
        (json!({"top_p": -0.1}), "top_p"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"min_p": 1.5}), "min_p"),
        (json!({"seed": 1.5}), "seed"),
        (json!({"frequency_penalty": 1}), "frequency_penalty"),
        (json!({"presence_penalty": 2.5}), "presence_penalty"),
        (json!({"repetition_penalty": 1.1}), "repetition_penalty"),
        (json!({"min_tokens": 1}), "min_tokens"),
        (json!({"logit_bias": {"5": 1}}), "logit_bias"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (
            json!({"max_completion_tokens": -1}),
            "max_completion_tokens",
        ),
        (json!({"max_tokens": 1e300}), "max_tokens"),
        (json!({"stop": ""}), "stop"),
        (json!({"stop": ["a", ""]}), "stop[1]"),
        (json!({"stop": vec!["a"; 17]}), "stop"),
        (json!({"stop": 5}), "stop"),
        (json!({"stop_token_ids": [201_088]}), "stop_token_ids"),
        (json!({"stop_token_ids": [-1]}), "stop_token_ids"),
        (json!({"stream": 1}), "stream"),
        (json!({"stream_options": []}), "stream_options"),
        (json!({"cache_salt": "x"}), "cache_salt"),
        (json!({"use_beam_search": true}), "use_beam_search"),
        (json!({"prompt_logprobs": 1}), "prompt_logprobs"),
    ] {
        let reply = post(
            rig.address,
            "/v1/chat/completions",
            &with_message(body.clone()),
        )
        .await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        let (message, found, _) = reply.error();
        assert_eq!(found, json!(param), "{body}");
        assert!(message.contains(&format!("`{param}`")), "{message}");
    }
    let reply = post(rig.address, "/v1/chat/completions", &json!({})).await;
    assert_eq!(reply.error().1, "messages");
    assert!(rig.scripted.requests().is_empty());
}

#[tokio::test]
async fn what_asks_for_nothing_is_taken() {
    let rig = rig().await;
    let body = json!({
        "model": "gpt-oss", "logit_bias": {}, "best_of": 1, "use_beam_search": false, "functions": [],
        "response_format": {"type": "text"}, "tool_choice": "auto", "guided_json": null, "stop": [],
        "frequency_penalty": 0.0, "presence_penalty": 0, "repetition_penalty": 1, "min_tokens": 0,
        "top_logprobs": 0, "logprobs": false, "modalities": ["text"], "echo": false, "tools": null,
        "continue_final_message": false, "add_generation_prompt": true, "no_stop_trim": false,
        "stream_options": {"include_usage": true}, "parallel_tool_calls": true, "store": true,
        "chat_template_kwargs": {}, "reasoning": {}, "truncate_prompt_tokens": null, "cache_salt": "",
        "skip_special_tokens": true, "separate_reasoning": true, "metadata": {"a": "b"}, "user": "u",
    });
    let reply = rig.chat(body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn fields_of_a_completion_are_named() {
    let rig = rig().await;
    for (body, param) in [
        (json!({}), "prompt"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"prompt": 5}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": ["a", ""]}), "prompt[1]"),
        (json!({"prompt": ["a", 1]}), "prompt[1]"),
        (json!({"prompt": [1, "a"]}), "prompt"),
        (json!({"prompt": [[1], [-1]]}), "prompt[1]"),
        (json!({"prompt": [201_088]}), "prompt"),
        (json!({"prompt": vec!["a"; 9], "n": 128}), "prompt"),
        (json!({"prompt": "a", "suffix": "b"}), "suffix"),
        (json!({"prompt": "a", "best_of": 2}), "best_of"),
        (
            json!({"prompt": "a", "echo": true, "logprobs": 1}),
            "logprobs",
        ),
        (json!({"prompt": "a", "max_tokens": 0}), "max_tokens"),
        (
            json!({"prompt": "a", "response_format": {"type": "json_object"}}),
            "response_format",
        ),
    ] {
        let reply = post(rig.address, "/v1/completions", &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.error().1, json!(param), "{body}");
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_in_numbers() {
    let rig = rig().await;
    let body = json!({"messages": [{"role": "user", "content": "x".repeat(400)}]});
    let reply = rig.chat(body).await;
    let (message, param, code) = reply.error();
    assert_eq!(
        (reply.status, param, code),
        (400, json!("messages"), json!("context_length_exceeded"))
    );
    assert!(
        message.contains("maximum context length is 300 tokens"),
        "{message}"
    );

    let reply = rig.complete(json!({"prompt": vec![65; 300]})).await;
    let (message, param, code) = reply.error();
    assert_eq!(
        (reply.status, param, code),
        (400, json!("prompt"), json!("context_length_exceeded"))
    );
    assert!(
        message.starts_with("the prompt has 300 tokens"),
        "{message}"
    );
    assert_eq!(
        rig.complete(json!({"prompt": vec![65; 299]})).await.status,
        200
    );
    assert_eq!(
        rig.complete(json!({"prompt": vec![65; 3000]})).await.status,
        400
    );
}

#[tokio::test]
async fn the_flags_of_max_are_named() {
    let rig = rig().await;
    let (message, ..) = rig.chat(json!({"presence_penalty": 1})).await.error();
    assert!(message.contains("--enable-penalties"), "{message}");
    let (message, ..) = rig.chat(json!({"min_tokens": 1})).await.error();
    assert!(message.contains("--enable-min-tokens"), "{message}");
}

#[tokio::test]
async fn another_model_is_not_found() {
    let rig = rig().await;
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/tokenize",
        "/detokenize",
    ] {
        let reply = post(
            rig.address,
            path,
            &json!({"model": "gpt-4o", "prompt": "a", "tokens": []}),
        )
        .await;
        assert_eq!(reply.status, 404, "{path}");
        let (message, param, code) = reply.error();
        assert_eq!((param, code), (json!("model"), json!("model_not_found")));
        assert!(
            message.contains("`gpt-4o`") && message.contains("`openai/gpt-oss-20b`"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_with_their_place() {
    let rig = rig().await;
    for (body, text) in [
        (&b""[..], "line 1 column 0"),
        (b"{\"messages\": [}", "line 1 column 15"),
        (b"{\"temperature\": NaN}", "line 1 column 17"),
        (b"[]", "no object"),
        (b"\"\\ud800", "line 1"),
        (b"{\"a\": \"\xff\"}", "byte 7"),
        (b"{} {}", "trailing characters at line 1 column 4"),
    ] {
        let reply = post_bytes(rig.address, "/v1/chat/completions", body).await;
        assert_eq!(reply.status, 400, "{:?}", String::from_utf8_lossy(body));
        let (message, ..) = reply.error();
        assert!(message.contains(text), "{message}");
    }
}

#[tokio::test]
async fn chats_need_the_formats_tokens() {
    let server = mxfp4_server::Server::bind(Config {
        port: 0,
        ..config()
    })
    .await
    .unwrap();
    let (engine, _scripted) =
        crate::rig::engine(options(), in_turn(vec![tokens("Hi").into()])).await;
    server.ready(engine, crate::vocabulary::plain_vocabulary());
    let address = server.addresses()[0];
    let reply = post(address, "/v1/chat/completions", &with_message(json!({}))).await;
    assert_eq!(reply.status, 400);
    assert!(reply.error().0.contains("<|start|>"), "{}", reply.text());
    let reply = post(address, "/v1/completions", &json!({"prompt": "a"})).await;
    assert_eq!(reply.json()["choices"][0]["text"], "Hi");
}
