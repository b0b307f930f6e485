//! `/v1/chat/completions`: what clients send and get.

use mxfp4_engine::scripted::Answer;
use serde_json::{Value, json};

use crate::rig::{Rig, config, in_turn, joined, options, paced, says};
use crate::vocabulary::tokens;

const THINKS: &str = "<|channel|>analysis<|message|>Hm \"é😀\".<|end|><|start|>assistant<|channel|>final<|message|>Four\n😀.<|return|>";
const CALLS: &str = "<|channel|>analysis<|message|>Ask.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Paris\"}<|call|>";

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather"}}])
}

#[tokio::test]
async fn an_answer_in_one_piece() {
    let answer = Answer {
        cached_tokens: Some(5),
        ..tokens(THINKS).into()
    };
    let rig = Rig::with(config(), options(), in_turn(vec![answer])).await;
    let reply = rig.chat(json!({"model": "gpt-oss"})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let mut body = reply.json();
    let id = body["id"].take();
    assert!(id.as_str().unwrap().starts_with("chatcmpl-"), "{id}");
    assert!(body["created"].take().as_u64().unwrap() > 1_700_000_000);
    let prompt = rig.last_request().prompt.len();
    let completion = tokens(THINKS).len();
    assert_eq!(
        body,
        json!({
            "id": null, "object": "chat.completion", "created": null,
            "model": "openai/gpt-oss-20b", "system_fingerprint": "mxfp4-0.1.0-max-scripted",
            "choices": [{
                "index": 0,
                "message": {
                    "role": "assistant", "content": "Four\n😀.", "refusal": null,
                    "reasoning": "Hm \"é😀\".", "reasoning_content": "Hm \"é😀\".",
                },
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": prompt, "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": "Hm \"é😀\".".len()},
            },
        })
    );
}

#[tokio::test]
async fn an_answer_in_events() {
    // Slow enough that most tokens have an event of their own.
    let script = in_turn(vec![tokens(THINKS).into()]);
    let rig = Rig::with(config(), paced(6), script).await;
    let reply = rig
        .chat(json!({"stream": true, "stream_options": {"include_usage": true}}))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let (mut chunks, done) = reply.events();
    assert!(done && reply.whole);
    let id = chunks[0]["id"].clone();
    for chunk in &chunks {
        assert_eq!(chunk["id"], id);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "openai/gpt-oss-20b");
    }
    assert_eq!(
        chunks[0]["choices"],
        json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": null, "finish_reason": null}])
    );
    let usage = chunks.pop().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], tokens(THINKS).len());
    assert_eq!(
        usage["usage"]["completion_tokens_details"],
        json!({"reasoning_tokens": "Hm \"é😀\".".len()})
    );
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(
        chunks.last().unwrap()["choices"],
        json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"}])
    );
    assert!(chunks.len() > 4, "{} chunks", chunks.len());
    assert_eq!(
        joined(&chunks, 0),
        json!({"content": "Four\n😀.", "reasoning": "Hm \"é😀\".", "tool_calls": [], "finish_reason": "stop"})
    );
}

#[tokio::test]
async fn usage_in_every_chunk() {
    let rig = Rig::with(config(), paced(1), in_turn(vec![tokens(THINKS).into()])).await;
    let reply = rig
        .chat(json!({"stream": true, "stream_options": {"continuous_usage_stats": true}}))
        .await;
    let (chunks, _) = reply.events();
    let counts: Vec<u64> = chunks
        .iter()
        .map(|chunk| chunk["usage"]["completion_tokens"].as_u64().unwrap())
        .collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(*counts.last().unwrap(), tokens(THINKS).len() as u64);
}

#[tokio::test]
async fn a_call_has_no_content() {
    let rig = Rig::new(&[CALLS]).await;
    let body = rig.chat(json!({"tools": weather()})).await.json();
    let mut message = body["choices"][0]["message"].clone();
    let id = message["tool_calls"][0]["id"].take();
    assert!(id.as_str().unwrap().starts_with("call_"), "{id}");
    assert_eq!(
        message,
        json!({
            "role": "assistant", "content": null, "refusal": null,
            "reasoning": "Ask.", "reasoning_content": "Ask.",
            "tool_calls": [{"id": null, "type": "function", "function":
                {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}],
        })
    );
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");

    let reply = rig.chat(json!({"tools": weather(), "stream": true})).await;
    let (chunks, done) = reply.events();
    assert!(done);
    assert_eq!(
        joined(&chunks, 0),
        json!({"content": "", "reasoning": "Ask.", "finish_reason": "tool_calls",
               "tool_calls": [[0, "get_weather", "{\"city\": \"Paris\"}"]]})
    );
}

#[tokio::test]
async fn calls_are_text_where_none_may_be_made() {
    let rig = Rig::new(&[CALLS]).await;
    let body = rig
        .chat(json!({"tools": weather(), "tool_choice": "none"}))
        .await
        .json();
    let choice = &body["choices"][0];
    assert!(choice["message"].get("tool_calls").is_none());
    assert_eq!(choice["finish_reason"], "stop");
    assert!(
        choice["message"]["content"]
            .as_str()
            .unwrap()
            .contains("Paris")
    );
    assert!(!rig.last_prompt().contains("get_weather"));
}

#[tokio::test]
async fn one_call_where_the_client_wants_no_more() {
    let two = "<|channel|>commentary to=functions.get_weather<|message|>{\"city\": \"A\"}<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather<|message|>{\"city\": \"B\"}<|call|>";
    let rig = Rig::new(&[two]).await;
    let calls = |body: Value| {
        body["choices"][0]["message"]["tool_calls"]
            .as_array()
            .unwrap()
            .len()
    };
    let both = rig.chat(json!({"tools": weather()})).await;
    assert_eq!(calls(both.json()), 2);
    let one = rig
        .chat(json!({"tools": weather(), "parallel_tool_calls": false}))
        .await;
    assert_eq!(calls(one.json()), 1);
}

#[tokio::test]
async fn reasoning_is_left_out_for_who_does_not_want_it() {
    let rig = Rig::new(&[THINKS]).await;
    let body = rig.chat(json!({"include_reasoning": false})).await.json();
    assert_eq!(body["choices"][0]["message"]["reasoning"], Value::Null);
    assert_eq!(body["choices"][0]["message"]["content"], "Four\n😀.");
    let streamed = rig
        .chat(json!({"include_reasoning": false, "stream": true}))
        .await;
    assert_eq!(joined(&streamed.events().0, 0)["reasoning"], "");
}

#[tokio::test]
async fn an_answer_that_is_cut_says_so() {
    let rig = Rig::new(&[THINKS]).await;
    for stream in [false, true] {
        let reply = rig
            .chat(json!({"max_completion_tokens": 18, "max_tokens": 99, "stream": stream}))
            .await;
        assert_eq!(rig.last_request().max_tokens, Some(18));
        let (reason, reasoning, content) = if stream {
            let whole = joined(&reply.events().0, 0);
            (
                whole["finish_reason"].clone(),
                whole["reasoning"].clone(),
                whole["content"].clone(),
            )
        } else {
            let choice = &reply.json()["choices"][0];
            let message = &choice["message"];
            (
                choice["finish_reason"].clone(),
                message["reasoning"].clone(),
                message["content"].clone(),
            )
        };
        assert_eq!(reason, "length");
        // The emoji's last bytes did not come.
        assert_eq!(reasoning, "Hm \"é\u{fffd}");
        assert_eq!(content, "");
    }
}

#[tokio::test]
async fn an_end_that_is_the_last_token_allowed_is_an_end() {
    let answer = says("Hi");
    let rig = Rig::new(&[&answer]).await;
    let length = tokens(&answer).len();
    let body = rig.chat(json!({"max_tokens": length})).await.json();
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let body = rig.chat(json!({"max_tokens": length - 1})).await.json();
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["choices"][0]["message"]["content"], "Hi");
}

#[tokio::test]
async fn harmonys_ends_end_whatever_the_engine_says() {
    let mut options = options();
    options.hello.end_tokens = vec![199_999];
    let answer = format!("{}nonsense", says("Hi"));
    let rig = Rig::with(config(), options, in_turn(vec![tokens(&answer).into()])).await;
    let body = rig.chat(json!({})).await.json();
    assert_eq!(body["choices"][0]["message"]["content"], "Hi");
    assert_eq!(
        body["usage"]["completion_tokens"],
        tokens(&says("Hi")).len()
    );
    assert_eq!(
        rig.last_request().stop_token_ids,
        [200_002, 200_012, 199_999]
    );
}

#[tokio::test]
async fn whoever_ignores_ends_gets_all_tokens() {
    let answer = format!("{}nonsense", says("Hi"));
    let rig = Rig::new(&[&answer]).await;
    let length = tokens(&answer).len();
    let body = rig
        .chat(json!({"ignore_eos": true, "max_tokens": length}))
        .await
        .json();
    assert_eq!(body["usage"]["completion_tokens"], length);
    assert_eq!(body["choices"][0]["message"]["content"], "Hi");
    assert_eq!(rig.last_request().stop_token_ids, [0u32; 0]);
}

#[tokio::test]
async fn a_clients_own_stop_token_is_no_text() {
    let rig = Rig::new(&["<|channel|>final<|message|>One. Two.<|return|>"]).await;
    let body = rig
        .chat(json!({"stop_token_ids": [u32::from(b'.')]}))
        .await
        .json();
    assert_eq!(body["choices"][0]["message"]["content"], "One");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn ids_beyond_the_tokenizer_are_nothing() {
    let mut answer = tokens("<|channel|>final<|message|>Hi");
    answer.splice(2..2, [201_000]);
    answer.extend([200_500, 201_087, 200_002]);
    let rig = Rig::with(config(), options(), in_turn(vec![answer.into()])).await;
    let body = rig.chat(json!({})).await.json();
    assert_eq!(body["choices"][0]["message"]["content"], "Hi");
}

#[tokio::test]
async fn several_choices_have_seeds_of_their_own() {
    let answers = ["A", "B", "C"].map(says);
    let rig = Rig::new(&answers.each_ref().map(String::as_str)).await;
    let body = rig.chat(json!({"n": 3, "seed": 7})).await.json();
    let choices = body["choices"].as_array().unwrap();
    let texts: Vec<&str> = choices
        .iter()
        .map(|choice| choice["message"]["content"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["A", "B", "C"]);
    let seeds: Vec<_> = rig
        .scripted
        .requests()
        .iter()
        .map(|request| request.seed)
        .collect();
    assert_eq!(seeds, [7, 7 + (1 << 32), 7 + (2 << 32)].map(Some));
    let length = tokens(&answers[0]).len();
    assert_eq!(body["usage"]["completion_tokens"], 3 * length);
    assert_eq!(
        body["usage"]["prompt_tokens"],
        rig.last_request().prompt.len()
    );

    let reply = rig.chat(json!({"n": 128, "stream": true})).await;
    let (chunks, done) = reply.events();
    assert!(done);
    let texts: Vec<String> = (0..128)
        .map(|index| {
            joined(&chunks, index)["content"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(texts.iter().filter(|text| *text == "A").count(), 43);
}

#[tokio::test]
async fn later_choices_of_a_long_prompt_find_it_in_the_cache() {
    let answer = says("A");
    let script = in_turn(vec![tokens(&answer).into()]);
    let rig = Rig::with(config(), paced(200), script).await;
    let long = "x".repeat(300);
    let asked =
        rig.chat(json!({"n": 4, "max_tokens": 2, "messages": [{"role": "user", "content": long}]}));
    let watched = async {
        crate::rig::until("the first choice", || rig.scripted.requests().len() == 1).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(
            rig.scripted.requests().len(),
            1,
            "the others wait for its first token"
        );
    };
    let (reply, ()) = tokio::join!(asked, watched);
    assert_eq!(reply.status, 200);
    assert_eq!(rig.scripted.requests().len(), 4);
}

#[tokio::test]
async fn what_is_asked_of_the_engine() {
    let rig = Rig::new(&[&says("Hi")]).await;
    rig.chat(json!({
        "temperature": 0.5, "top_p": 0.25, "top_k": 0, "min_p": 0.125, "seed": 0, "min_tokens": 2,
        "frequency_penalty": 1, "presence_penalty": -1.0, "repetition_penalty": 1.5,
        "max_tokens": 20.0, "logprobs": true, "top_logprobs": 2, "user": null, "unknown": {"a": [1]},
    }))
    .await;
    let request = rig.last_request();
    assert_eq!(
        (
            request.temperature,
            request.top_p,
            request.top_k,
            request.min_p
        ),
        (Some(0.5), Some(0.25), Some(-1), Some(0.125))
    );
    assert_eq!(
        (request.seed, request.min_tokens, request.max_tokens),
        (Some(0), Some(2), Some(20))
    );
    assert_eq!(
        (
            request.frequency_penalty,
            request.presence_penalty,
            request.repetition_penalty
        ),
        (Some(1.0), Some(-1.0), Some(1.5))
    );
    assert_eq!(request.logprobs, Some(2));

    rig.chat(json!({"top_p": 0, "frequency_penalty": 0, "repetition_penalty": 1.0, "seed": -1, "min_tokens": 0}))
        .await;
    let request = rig.last_request();
    assert_eq!((request.top_p, request.top_k), (None, Some(1)));
    assert_eq!(
        (request.frequency_penalty, request.repetition_penalty),
        (None, None)
    );
    assert_eq!((request.seed, request.min_tokens), (Some(u64::MAX), None));

    rig.chat(json!({})).await;
    let ends = mxfp4_engine::Request {
        prompt: rig.last_request().prompt,
        stop_token_ids: vec![200_002, 200_012, 199_999],
        ..mxfp4_engine::Request::default()
    };
    assert_eq!(rig.last_request(), ends);
}

#[tokio::test]
async fn more_tokens_than_there_is_room_for_are_cut_to_it() {
    let mut options = options();
    options.hello.max_length = 400;
    let rig = Rig::with(config(), options, in_turn(vec![tokens(&says("Hi")).into()])).await;
    rig.chat(json!({"max_tokens": 100_000})).await;
    let request = rig.last_request();
    assert_eq!(request.max_tokens, Some(400 - request.prompt.len() as u32));
}

#[tokio::test]
async fn the_prompt_says_what_the_request_says() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let effort = |prompt: String| {
        let (_, rest) = prompt.split_once("Reasoning: ").unwrap();
        rest.split('\n').next().unwrap().to_owned()
    };
    for (body, expected) in [
        (json!({}), "medium"),
        (json!({"reasoning_effort": "high"}), "high"),
        (json!({"reasoning_effort": "none"}), "low"),
        (
            json!({"reasoning": {"effort": "xhigh", "summary": "auto"}}),
            "high",
        ),
        (
            json!({"chat_template_kwargs": {"reasoning_effort": "minimal", "enable_thinking": true}}),
            "low",
        ),
        (
            json!({"reasoning_effort": "low", "reasoning": {"effort": "high"}}),
            "low",
        ),
    ] {
        assert_eq!(rig.chat(body.clone()).await.status, 200, "{body}");
        assert_eq!(effort(rig.last_prompt()), expected, "{body}");
    }
    rig.chat(json!({"chat_template_kwargs": {"model_identity": "You are Bo."}}))
        .await;
    assert!(
        rig.last_prompt()
            .starts_with("<|start|>system<|message|>You are Bo.\n")
    );
    assert!(rig.last_prompt().contains("Current date: 2026-12-01"));
}

#[tokio::test]
async fn a_last_message_may_be_continued() {
    let rig = Rig::new(&[" two.<|return|>"]).await;
    let body = rig
        .chat(json!({
            "messages": [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One,"}],
            "continue_final_message": true, "add_generation_prompt": false,
        }))
        .await
        .json();
    assert_eq!(body["choices"][0]["message"]["content"], " two.");
    assert!(
        rig.last_prompt()
            .ends_with("<|start|>assistant<|channel|>final<|message|>One,")
    );
}

#[tokio::test]
async fn contents_are_strings_or_parts() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let messages = json!([
        {"role": "system", "content": [{"type": "text", "text": "Be "}, {"text": "brief."}]},
        {"role": "user", "content": ["A", {"type": "input_text", "text": "B"}], "name": "x"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "T"}, {"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": null, "refusal": "Never."},
        {"role": "assistant"},
        {"role": "user", "content": ""},
    ]);
    assert_eq!(rig.chat(json!({"messages": messages})).await.status, 200);
    let prompt = rig.last_prompt();
    let (_, rest) = prompt.split_once("<|start|>developer").unwrap();
    assert_eq!(
        rest,
        "<|message|># Instructions\n\nBe brief.<|end|><|start|>user<|message|>AB<|end|>\
         <|start|>assistant<|channel|>final<|message|>No.<|end|>\
         <|start|>assistant<|channel|>final<|message|>Never.<|end|>\
         <|start|>user<|message|><|end|><|start|>assistant"
    );
}

#[tokio::test]
async fn a_function_may_return_nothing() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let call = json!({"id": "c", "function": {"name": "f", "arguments": {"a": [1]}}});
    let messages = json!([
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": null},
    ]);
    assert_eq!(rig.chat(json!({"messages": messages})).await.status, 200);
    let prompt = rig.last_prompt();
    assert!(
        prompt.contains(
            "<|message|>{\"a\":[1]}<|call|><|start|>functions.f to=assistant<|channel|>commentary<|message|><|end|>"
        ),
        "{prompt}"
    );
}

#[tokio::test]
async fn results_in_the_former_way() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let messages = json!([
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "20"},
    ]);
    assert_eq!(rig.chat(json!({"messages": messages})).await.status, 200);
    assert!(
        rig.last_prompt()
            .contains("<|start|>functions.f to=assistant<|channel|>commentary<|message|>20<|end|>")
    );
}

#[tokio::test]
async fn lone_surrogates_and_nul_are_text() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let body = br#"{"messages": [{"role": "user", "content": "a\ud800b\u0000c\ud83d\ude00"}]}"#;
    let reply = crate::client::post_bytes(rig.address, "/v1/chat/completions", body).await;
    assert_eq!(reply.status, 200);
    assert!(
        rig.last_prompt()
            .contains("<|message|>a\u{fffd}b\0c😀<|end|>")
    );
}

#[tokio::test]
async fn what_the_server_sent_can_be_sent_back() {
    let answer = says("Done.");
    let rig = Rig::new(&[CALLS, &answer, &answer]).await;
    let mut messages = vec![json!({"role": "user", "content": "Weather?"})];
    let first = rig
        .chat(json!({"messages": messages, "tools": weather()}))
        .await
        .json();
    let message = first["choices"][0]["message"].clone();
    let id = message["tool_calls"][0]["id"].clone();
    messages.push(message);
    messages.push(json!({"role": "tool", "tool_call_id": id, "content": "{\"t\": 20}"}));
    let second = rig
        .chat(json!({"messages": messages, "tools": weather()}))
        .await;
    assert_eq!(second.status, 200, "{}", second.text());
    let prompt = rig.last_prompt();
    let (_, history) = prompt.split_once("<|message|>Weather?<|end|>").unwrap();
    assert_eq!(
        history,
        "<|start|>assistant<|channel|>analysis<|message|>Ask.<|end|>\
         <|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{\"city\": \"Paris\"}<|call|>\
         <|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>{\"t\": 20}<|end|>\
         <|start|>assistant"
    );
    messages.push(second.json()["choices"][0]["message"].clone());
    messages.push(json!({"role": "user", "content": "Thanks"}));
    assert_eq!(rig.chat(json!({"messages": messages})).await.status, 200);
    assert!(
        !rig.last_prompt().contains("Ask."),
        "reasoning before an answer is dropped"
    );
}
