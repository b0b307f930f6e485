//! `/v1/responses`: what comes of a request, whole and in events.

use std::sync::{Arc, Mutex};

use mxfp4_engine::scripted::{Answer, Fault};
use mxfp4_server::{Store, StoreLimits};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::alike::piece;
use crate::client::{Reply, delete, get, post, post_request};
use crate::mutated::cases;
use crate::rig::{Rig, config, endless, in_turn, options, paced, says, until};
use crate::vocabulary::tokens;

const PATH: &str = "/v1/responses";

const THOUGHT: &str = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant";
const PREAMBLE: &str = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant";
const CALL: &str =
    "<|channel|>commentary to=functions.look <|constrain|>json<|message|>{\"at\": 1}<|call|>";

fn look() -> Value {
    json!({"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": false})
}

async fn respond(rig: &Rig, body: Value) -> Reply {
    post(rig.address, PATH, &body).await
}

/// The events of a stream: each has its type as its name, and its number.
pub fn events(reply: &Reply) -> Vec<Value> {
    let text = reply.text();
    let mut events: Vec<Value> = Vec::new();
    for event in text
        .split_terminator("\n\n")
        .filter(|event| !event.starts_with(':'))
    {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        assert_eq!(data["sequence_number"], events.len());
        events.push(data);
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    // How text is cut into deltas depends on time.
    kinds.dedup_by(|a, b| a == b && a.ends_with("delta"));
    kinds
}

/// A response without what is another's each time.
fn plain(mut response: Value) -> Value {
    for key in ["id", "created_at", "completed_at"] {
        response[key] = Value::Null;
    }
    for item in response["output"].as_array_mut().unwrap() {
        for key in ["id", "call_id", "encrypted_content"] {
            if item.get(key).is_some() {
                item[key] = Value::Null;
            }
        }
    }
    response
}

#[tokio::test]
async fn a_text_is_answered() {
    let rig = Rig::new(&[&format!("{THOUGHT}{}", says("Hi."))]).await;
    let body = json!({"input": "Hello", "instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0.5});
    let reply = respond(&rig, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let response = reply.json();
    assert!(response["id"].as_str().unwrap().starts_with("resp_"));
    assert_eq!(response["object"], "response");
    assert_eq!(response["status"], "completed");
    assert_eq!(response["model"], "openai/gpt-oss-20b");
    assert_eq!(response["instructions"], "Be brief.");
    assert_eq!(response["metadata"], json!({"a": "b"}));
    assert_eq!(response["temperature"], 0.5);
    assert_eq!(response["store"], false);
    assert_eq!(response["output"][0]["type"], "reasoning");
    assert_eq!(
        response["output"][0]["content"],
        json!([{"type": "reasoning_text", "text": "Hm."}])
    );
    assert_eq!(response["output"][0]["summary"], json!([]));
    assert_eq!(response["output"][0].get("encrypted_content"), None);
    assert_eq!(response["output"][1]["phase"], "final_answer");
    assert_eq!(
        response["output"][1]["content"],
        json!([{"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}])
    );
    let usage = &response["usage"];
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 3);
    assert_eq!(
        usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap(),
        usage["total_tokens"].as_u64().unwrap()
    );
    let prompt = rig.last_prompt();
    assert!(
        prompt.contains("# Instructions\n\nBe brief.<|end|>"),
        "{prompt}"
    );
    assert!(
        prompt.ends_with("<|start|>user<|message|>Hello<|end|><|start|>assistant"),
        "{prompt}"
    );
}

#[tokio::test]
async fn the_events_of_a_stream_come_in_their_order_and_make_the_response() {
    let answer = format!("{THOUGHT}{PREAMBLE}{CALL}");
    let rig = Rig::new(&[&answer]).await;
    let mut body =
        json!({"input": "Look.", "tools": [look()], "include": ["reasoning.encrypted_content"]});
    let whole = respond(&rig, body.clone()).await.json();
    body["stream"] = true.into();
    let events = events(&respond(&rig, body).await);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let last = &events.last().unwrap()["response"];
    assert_eq!(plain(last.clone()), plain(whole));
    assert_eq!(events[0]["response"]["id"], last["id"]);
    assert_eq!(events[0]["response"]["output"], json!([]));
    // What came in pieces is what the response has.
    let output = last["output"].as_array().unwrap();
    for (at, item) in output.iter().enumerate() {
        let of = |event: &&Value| event["output_index"] == at;
        let pieces = events
            .iter()
            .filter(of)
            .filter_map(|event| event["delta"].as_str());
        let text = [&item["content"][0]["text"], &item["arguments"]];
        let text = text.into_iter().find_map(Value::as_str).unwrap();
        assert_eq!(pieces.collect::<String>(), text);
        for event in events.iter().filter(of) {
            let id = event.get("item_id").unwrap_or(&event["item"]["id"]);
            assert_eq!(*id, item["id"]);
        }
        let done = events
            .iter()
            .filter(of)
            .find(|event| event["type"] == "response.output_item.done");
        assert_eq!(done.unwrap()["item"], *item);
    }
    assert_eq!(output[1]["phase"], "commentary");
    assert_eq!(output[2]["name"], "look");
    assert!(output[0]["encrypted_content"].is_string());
}

#[tokio::test]
async fn what_is_cut_is_incomplete_and_what_fails_has_failed() {
    let failing = Answer {
        fault: Some(Fault::Failed("out of memory".into())),
        ..tokens("<|channel|>final<|message|>Hel").into()
    };
    let answers = vec![
        tokens(&says("Hello there.")).into(),
        tokens(&says("Hello there.")).into(),
        failing,
    ];
    let rig = Rig::with(config(), options(), in_turn(answers)).await;
    let body = json!({"input": "Hello", "max_output_tokens": 12});
    let response = respond(&rig, body.clone()).await.json();
    assert_eq!(response["status"], "incomplete");
    assert_eq!(
        response["incomplete_details"],
        json!({"reason": "max_output_tokens"})
    );
    assert_eq!(response["output"][0]["status"], "incomplete");
    let mut streamed = body;
    streamed["stream"] = true.into();
    let last = events(&respond(&rig, streamed.clone()).await)
        .pop()
        .unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(plain(last["response"].clone()), plain(response));
    streamed["max_output_tokens"] = Value::Null;
    let reply = respond(&rig, streamed).await;
    let events = events(&reply);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed", "{}", reply.text());
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hel");
}

/// A conversation as an agent sends it, and as a chat does: the prompt is the same.
#[tokio::test]
async fn items_are_the_prompt_that_a_chats_messages_are() {
    let answer = format!("{THOUGHT}{PREAMBLE}{CALL}");
    let rig = Rig::new(&[&answer, &says("Done.")]).await;
    let tools = json!([look()]);
    let body = json!({"input": [{"role": "user", "content": "Look."}], "tools": tools,
                      "include": ["reasoning.encrypted_content"], "store": false});
    let first = respond(&rig, body.clone()).await.json();
    let output = first["output"].as_array().unwrap().clone();
    let result = json!({"type": "function_call_output", "call_id": output[2]["call_id"], "output": "a wall"});
    let with = |items: Vec<Value>| {
        let mut all = body.clone();
        all["input"].as_array_mut().unwrap().extend(items);
        all
    };
    let mut seen = Vec::new();
    // As it came; with what is sealed alone; without phases; with the result in parts.
    let mut sealed = output.clone();
    sealed[0].as_object_mut().unwrap().remove("content");
    let mut bare = output.clone();
    bare[0].as_object_mut().unwrap().remove("encrypted_content");
    bare[1].as_object_mut().unwrap().remove("phase");
    let mut parts = result.clone();
    parts["output"] =
        json!([{"type": "input_text", "text": "a "}, {"type": "input_text", "text": "wall"}]);
    for (items, result) in [(output, &result), (sealed, &result), (bare, &parts)] {
        let reply = respond(&rig, with([items, vec![result.clone()]].concat())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        seen.push(rig.last_request().prompt);
    }
    let messages = json!([
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "I look.", "reasoning": "Hm.",
         "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "a wall"},
    ]);
    let chat_tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    rig.chat(json!({"messages": messages, "tools": chat_tools}))
        .await;
    seen.push(rig.last_request().prompt);
    assert!(seen.iter().all(|prompt| *prompt == seen[3]));
    assert!(
        rig.last_prompt()
            .contains("<|channel|>analysis<|message|>Hm.<|end|>")
    );
}

#[tokio::test]
async fn tools_of_all_kinds_are_called_by_their_own_names() {
    let call = |name: &str, arguments: &str| {
        format!(
            "<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
        )
    };
    let rig = Rig::new(&[
        &call("patch", r#"{"input": "*** Begin\n\"a\""}"#),
        &call("agents__close", r#"{"target": "x"}"#),
        &call("mcp__files__read", "{}"),
        &says("No."),
    ])
    .await;
    let close = json!({"type": "function", "name": "close", "parameters": {"type": "object"}});
    let read = json!({"type": "custom", "name": "read"});
    let tools = json!([
        {"type": "custom", "name": "patch", "description": "Changes files."},
        {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [close]},
        {"type": "namespace", "name": "mcp__files__", "tools": [read]},
        {"type": "web_search", "external_web_access": true},
        {"type": "mcp", "server_label": "x"},
    ]);
    let body = json!({"input": "Do.", "tools": tools});
    let mut outputs = Vec::new();
    for _ in 0..4 {
        let reply = respond(&rig, body.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let response = reply.json();
        assert_eq!(
            response["metadata"]["mxfp4_tools_left_out"],
            "web_search, mcp"
        );
        assert_eq!(response["tools"].as_array().unwrap().len(), 3);
        outputs.push(response["output"][0].clone());
    }
    assert_eq!(outputs[0]["type"], "custom_tool_call");
    assert_eq!(outputs[0]["input"], "*** Begin\n\"a\"");
    assert_eq!(
        (&outputs[1]["name"], &outputs[1]["namespace"]),
        (&json!("close"), &json!("agents"))
    );
    assert_eq!(
        (&outputs[2]["name"], &outputs[2]["namespace"]),
        (&json!("read"), &json!("mcp__files__"))
    );
    let prompt = rig.last_prompt();
    for part in [
        "type patch = (_: {\n",
        "type agents__close = ",
        "type mcp__files__read = ",
        "// Changes files.",
    ] {
        assert!(prompt.contains(part), "{part} is not in {prompt}");
    }
    // What was called is sent back with its output, under its name.
    let items = json!([
        {"role": "user", "content": "Do."},
        outputs[0], {"type": "custom_tool_call_output", "call_id": outputs[0]["call_id"], "output": "Patched."},
        outputs[1], {"type": "function_call_output", "call_id": outputs[1]["call_id"], "output": "Closed."},
    ]);
    let reply = respond(&rig, json!({"input": items, "tools": body["tools"]})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let prompt = rig.last_prompt();
    for part in [
        r#"to=functions.patch<|channel|>commentary <|constrain|>json<|message|>{"input":"*** Begin\n\"a\""}<|call|>"#,
        "<|start|>functions.patch to=assistant<|channel|>commentary<|message|>Patched.<|end|>",
        "<|start|>functions.agents__close to=assistant<|channel|>commentary<|message|>Closed.<|end|>",
    ] {
        assert!(prompt.contains(part), "{part} is not in {prompt}");
    }
}

#[tokio::test]
async fn forms_and_choices_hold_the_answer() {
    let mut options = options();
    options.hello.grammar = true;
    let rig = Rig::with(config(), options, in_turn(vec![tokens(&says("{}")).into()])).await;
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    let close = json!({"type": "function", "name": "close", "parameters": {"type": "object"}});
    let tools = json!([look(), {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark",
        "definition": "start: \"a\" LF\n%import common.LF"}}, {"type": "namespace", "name": "n", "tools": [close]}]);
    for (more, parts) in [
        (
            json!({"text": {"format": {"type": "json_schema", "name": "t", "schema": schema}}}),
            vec!["integer"],
        ),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            vec!["\"object\""],
        ),
        (
            json!({"tools": tools}),
            vec![
                "to=functions.look",
                "r_start ::= \\\"a\\\" r_LF",
                "functions.n__close",
            ],
        ),
        (
            json!({"tools": [look()], "tool_choice": "required"}),
            vec!["to=functions.look"],
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "custom", "name": "patch"}}),
            vec!["to=functions.patch"],
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "function", "name": "close"}}),
            vec!["functions.n__close"],
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "allowed_tools", "mode": "required",
                   "tools": [{"type": "function", "name": "close", "namespace": "n"}]}}),
            vec!["functions.n__close"],
        ),
    ] {
        let mut body = json!({"input": "Do."});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let reply = respond(&rig, body).await;
        assert_eq!(reply.status, 200, "{more}: {}", reply.text());
        let grammar = rig.last_request().grammar.unwrap();
        for part in parts {
            assert!(grammar.contains(part), "{part} is not in {grammar}");
        }
    }
    respond(
        &rig,
        json!({"input": "Do.", "tools": tools, "tool_choice": "none"}),
    )
    .await;
    assert_eq!(rig.last_request().grammar, None);
    assert!(!rig.last_prompt().contains("functions"));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let rig = Rig::new(&[&says("Hi.")]).await;
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    for (body, param) in [
        (json!({}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 1}), "input"),
        (json!({"input": "x", "background": true}), "background"),
        (json!({"input": "x", "conversation": "c"}), "conversation"),
        (json!({"input": "x", "prompt": {"id": "p"}}), "prompt"),
        (
            json!({"input": "x", "previous_response_id": "resp_1"}),
            "previous_response_id",
        ),
        (
            json!({"input": "x", "max_output_tokens": 0}),
            "max_output_tokens",
        ),
        (json!({"input": "x", "truncation": "some"}), "truncation"),
        (json!({"input": "x", "metadata": {"a": 1}}), "metadata"),
        (
            json!({"input": "x", "reasoning": {"effort": "most"}}),
            "reasoning.effort",
        ),
        (
            json!({"input": "x", "text": {"verbosity": "loud"}}),
            "text.verbosity",
        ),
        (
            json!({"input": "x", "text": {"format": {"type": "yaml"}}}),
            "text.format.type",
        ),
        (
            json!({"input": "x", "tools": [{"type": "magic"}]}),
            "tools[0].type",
        ),
        (
            json!({"input": "x", "tools": [{"type": "function", "name": "a b"}]}),
            "tools[0].name",
        ),
        (json!({"input": "x", "tools": [look(), look()]}), "tools[1]"),
        (
            json!({"input": "x", "tools": [{"type": "custom", "name": "c", "format":
            {"type": "grammar", "syntax": "lark", "definition": "start: \"a\"\n%ignore \" \""}}]}),
            "tools[0].format.definition",
        ),
        (
            json!({"input": "x", "tools": [{"type": "web_search"}], "tool_choice": "required"}),
            "tool_choice",
        ),
        (
            json!({"input": "x", "tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            "tool_choice.type",
        ),
        (
            json!({"input": "x", "tools": [look()], "tool_choice": {"type": "function", "name": "g"}}),
            "tool_choice.name",
        ),
        (
            json!({"input": [{"type": "message", "role": "robot", "content": "x"}]}),
            "input[0].role",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]}),
            "input[0].content[0]",
        ),
        (
            json!({"input": [{"type": "computer_call"}]}),
            "input[0].type",
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "msg_1_2"}]}),
            "input[0].id",
        ),
        (
            json!({"input": [call, {"type": "function_call_output", "call_id": "d", "output": ""}]}),
            "input[1].call_id",
        ),
        (
            json!({"input": [{"type": "reasoning", "encrypted_content": "gAAAA", "summary": []}, {"role": "user", "content": "x"}]}),
            "input[0].encrypted_content",
        ),
    ] {
        let reply = respond(&rig, body.clone()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.error().1, param, "{}", reply.text());
    }
}

#[tokio::test]
async fn sealed_reasoning_opens_for_its_own_key_and_model_alone() {
    let sealing = |keys: &[&str], model: &str| {
        let mut config = config();
        config.models = vec![model.to_owned()];
        config.seal_keys = keys
            .iter()
            .map(|key| key.repeat(32).parse().unwrap())
            .collect();
        config
    };
    let answer = || in_turn(vec![tokens(&format!("{THOUGHT}{}", says("Hi."))).into()]);
    let first = Rig::with(sealing(&["aa"], "m"), options(), answer()).await;
    let body = json!({"input": "Hello", "include": ["reasoning.encrypted_content"]});
    let output = respond(&first, body).await.json()["output"].clone();
    let sealed = output[0]["encrypted_content"].as_str().unwrap().to_owned();
    assert!(!sealed.contains("Hm."));
    let sent = |sealed: &str| {
        json!({"input": [{"role": "user", "content": "Hello"},
            {"type": "reasoning", "summary": [], "encrypted_content": sealed, "content":
                [{"type": "reasoning_text", "text": "Forged."}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": ""}]})
    };
    // A server with the same key, that has a newer one, too.
    let again = Rig::with(sealing(&["bb", "aa"], "m"), options(), answer()).await;
    let reply = respond(&again, sent(&sealed)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let prompt = again.last_prompt();
    assert!(
        prompt.contains("Hm.") && !prompt.contains("Forged."),
        "{prompt}"
    );
    let other_model = Rig::with(sealing(&["aa"], "n"), options(), answer()).await;
    let other_key = Rig::with(sealing(&["bb"], "m"), options(), answer()).await;
    let mut altered = sealed.clone().into_bytes();
    altered[60] = if altered[60] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for (rig, sealed) in [
        (&other_model, &sealed),
        (&other_key, &sealed),
        (&again, &altered),
        (&again, &String::new()),
    ] {
        let reply = respond(rig, sent(sealed)).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert_eq!(reply.error().1, "input[1].encrypted_content");
    }
}

fn stored(store: Store) -> mxfp4_server::Config {
    mxfp4_server::Config {
        store: Some(store),
        ..config()
    }
}

#[tokio::test]
async fn what_is_kept_goes_on_and_is_told_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let file = Store::file(&folder.path().join("store"), StoreLimits::default()).unwrap();
    for store in [Store::memory(StoreLimits::default()), file] {
        let answers = [format!("{THOUGHT}{CALL}"), says("A wall."), says("Bye.")];
        let answers = answers.iter().map(|text| tokens(text).into()).collect();
        let rig = Rig::with(stored(store), options(), in_turn(answers)).await;
        let first = respond(&rig, json!({"input": "Look.", "tools": [look()]}))
            .await
            .json();
        assert_eq!(first["store"], true);
        let id = first["id"].as_str().unwrap();
        let output = json!([{"type": "function_call_output", "call_id": first["output"][1]["call_id"], "output": "a wall"}]);
        let body =
            json!({"input": output, "tools": [look()], "previous_response_id": id, "stream": true});
        let events = events(&respond(&rig, body).await);
        let second = &events.last().unwrap()["response"];
        let prompt = rig.last_prompt();
        assert!(
            prompt
                .contains("Look.<|end|><|start|>assistant<|channel|>analysis<|message|>Hm.<|end|>"),
            "{prompt}"
        );
        assert!(
            prompt.ends_with("<|message|>a wall<|end|><|start|>assistant"),
            "{prompt}"
        );
        let got = get(rig.address, &format!("{PATH}/{id}")).await;
        assert_eq!(got.json(), first);
        let path = format!("{PATH}/{}", second["id"].as_str().unwrap());
        assert_eq!(get(rig.address, &path).await.json(), *second);
        let items = get(rig.address, &format!("{path}/input_items?order=asc"))
            .await
            .json();
        let types: Vec<_> = items["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["type"].clone())
            .collect();
        assert_eq!(
            types,
            [
                "message",
                "reasoning",
                "function_call",
                "function_call_output"
            ]
        );
        assert!(
            items["data"]
                .as_array()
                .unwrap()
                .iter()
                .all(|item| item["id"].is_string())
        );
        let page = get(
            rig.address,
            &format!(
                "{path}/input_items?limit=1&after={}",
                items["data"][3]["id"].as_str().unwrap()
            ),
        )
        .await;
        assert_eq!(page.json()["data"][0], items["data"][2]);
        assert_eq!(page.json()["has_more"], true);
        // An item by its id alone.
        let reference = json!([{"type": "item_reference", "id": second["output"][0]["id"]}, {"role": "user", "content": "Thanks."}]);
        let third = respond(&rig, json!({"input": reference, "store": false})).await;
        assert_eq!(third.status, 200, "{}", third.text());
        assert!(
            rig.last_prompt()
                .contains("<|channel|>final<|message|>A wall.<|end|>")
        );
        let unkept = third.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(
            get(rig.address, &format!("{PATH}/{unkept}")).await.status,
            404
        );
        assert_eq!(
            post(rig.address, &format!("{path}/cancel"), &json!({}))
                .await
                .status,
            400
        );
        assert_eq!(
            get(rig.address, &format!("{path}?stream=true"))
                .await
                .status,
            400
        );
        assert_eq!(
            get(rig.address, &format!("{path}/input_items?limit=0"))
                .await
                .status,
            400
        );
        let gone = delete(rig.address, &format!("{PATH}/{id}")).await;
        assert_eq!(
            gone.json(),
            json!({"id": id, "object": "response", "deleted": true})
        );
        assert_eq!(
            delete(rig.address, &format!("{PATH}/{id}")).await.status,
            404
        );
        let reply = respond(
            &rig,
            json!({"input": "x", "previous_response_id": second["id"]}),
        )
        .await;
        assert_eq!(
            (reply.status, reply.error().2),
            (404, json!("previous_response_not_found"))
        );
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_loses_its_beginning() {
    let mut options = options();
    options.hello.max_length = 1000;
    let rig = Rig::with(
        config(),
        options,
        in_turn(vec![tokens(&says("Hi.")).into()]),
    )
    .await;
    let mut input = vec![json!({"role": "developer", "content": "Stay."})];
    for at in 0..20 {
        input.push(json!({"type": "function_call", "call_id": format!("c{at}"), "name": "f", "arguments": "{}"}));
        input.push(json!({"type": "function_call_output", "call_id": format!("c{at}"), "output": format!("<{at}>")}));
    }
    input.push(json!({"role": "user", "content": "Last."}));
    let reply = respond(&rig, json!({"input": input})).await;
    assert_eq!(
        (reply.status, reply.error().2),
        (400, json!("context_length_exceeded"))
    );
    let reply = respond(
        &rig,
        json!({"input": input, "truncation": "auto", "max_output_tokens": 100}),
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["truncation"], "auto");
    let prompt = rig.last_prompt();
    let length = rig.last_request().prompt.len();
    assert!((600..=900).contains(&length), "{length} tokens");
    assert!(
        prompt.contains("Stay.")
            && prompt.contains("<19>")
            && prompt.contains("Last.")
            && !prompt.contains("<0>")
    );
    // No result stands without its call.
    assert_eq!(
        prompt.matches("<|call|>").count(),
        prompt.matches("to=assistant").count()
    );
}

#[tokio::test]
async fn an_image_that_a_tool_returned_ends_no_session() {
    let rig = Rig::new(&[&says("Hi.")]).await;
    let image = json!([{"type": "input_text", "text": "See "}, {"type": "input_image", "image_url": "data:image/png;base64,"}]);
    let input = json!([
        {"type": "function_call", "call_id": "c", "name": "view_image", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": image},
    ]);
    let reply = respond(&rig, json!({"input": input})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(
        rig.last_prompt()
            .contains("<|message|>See (an image, which this model cannot see)<|end|>")
    );
}

#[tokio::test]
async fn who_hangs_up_cancels_the_response_and_it_is_not_kept() {
    let store = Store::memory(StoreLimits::default());
    let rig = Rig::with(stored(store), paced(1), endless()).await;
    let body = json!({"input": "x", "stream": true}).to_string();
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream
        .write_all(&post_request(PATH, body.as_bytes()))
        .await
        .unwrap();
    let mut text = String::new();
    while !text.contains("response.output_text.delta") {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    drop(stream);
    until("the end of the answer", || rig.scripted.cancelled() == 1).await;
    let id = text
        .split_once("\"id\":\"resp_")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    let reply = get(rig.address, &format!("{PATH}/resp_{id}")).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn log_probabilities_come_with_the_text() {
    let rig = Rig::new(&[&format!("{THOUGHT}{}", says("Hi."))]).await;
    let mut body =
        json!({"input": "x", "include": ["message.output_text.logprobs"], "top_logprobs": 2});
    let whole = respond(&rig, body.clone()).await.json();
    let scores = whole["output"][1]["content"][0]["logprobs"].clone();
    assert_eq!(scores.as_array().unwrap().len(), 3);
    assert_eq!(scores[0]["token"], "H");
    assert_eq!(scores[0]["top_logprobs"].as_array().unwrap().len(), 2);
    body["stream"] = true.into();
    let events = events(&respond(&rig, body).await);
    let told: Vec<Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .flat_map(|event| event["logprobs"].as_array().unwrap().clone())
        .collect();
    assert_eq!(Value::from(told), scores);
}

/// The items that events tell of, put together as clients do.
fn joined(events: &[Value]) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    for event in events {
        let Some(at) = event["output_index"].as_u64() else {
            continue;
        };
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(at, items.len() as u64);
                items.push(event["item"].clone());
            }
            "response.output_item.done" => {
                assert_eq!(at, items.len() as u64 - 1);
                let item = items.last_mut().unwrap();
                item["status"] = event["item"]["status"].clone();
                assert_eq!(*item, event["item"]);
            }
            "response.content_part.added" => {
                items.last_mut().unwrap()["content"] = json!([event["part"]]);
            }
            kind if kind.ends_with(".delta") => {
                let delta = event["delta"].as_str().unwrap();
                let item = items.last_mut().unwrap();
                let text = match item["type"].as_str() {
                    Some("function_call") => &mut item["arguments"],
                    Some("custom_tool_call") => &mut item["input"],
                    _ => &mut item["content"][0]["text"],
                };
                *text = (text.as_str().unwrap().to_owned() + delta).into();
            }
            _ => {}
        }
    }
    items
}

#[test]
fn a_stream_tells_what_the_response_tells() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let script = Arc::new(Mutex::new(Vec::new()));
    let answers = script.clone();
    let rig = runtime.block_on(Rig::with(
        config(),
        options(),
        Box::new(move |_| answers.lock().unwrap().clone().into()),
    ));
    let tools = prop::sample::select(vec![
        json!([]),
        json!([{"type": "function", "name": "f"}]),
        json!([{"type": "custom", "name": "f"}]),
    ]);
    let pieces = prop::collection::vec(piece(), 1..12);
    let strategy = (pieces, tools, any::<bool>(), prop::option::of(1u32..60));
    let config = ProptestConfig {
        cases: cases(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = proptest::test_runner::TestRunner::new(config).run(
        &strategy,
        |(pieces, tools, parallel, most)| {
            *script.lock().unwrap() = pieces.concat();
            let mut body = json!({"input": "x", "tools": tools, "parallel_tool_calls": parallel, "max_output_tokens": most});
            let whole = runtime.block_on(respond(&rig, body.clone()));
            prop_assert_eq!(whole.status, 200);
            body["stream"] = true.into();
            let events = events(&runtime.block_on(respond(&rig, body)));
            let last = events.last().unwrap()["response"].clone();
            prop_assert_eq!(&Value::from(joined(&events)), &last["output"]);
            prop_assert_eq!(plain(last), plain(whole.json()));
            Ok(())
        },
    );
    run.unwrap();
}
