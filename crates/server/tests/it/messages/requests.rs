//! What is asked, and what reaches the engine.

use mxfp4_engine::scripted::Answer;
use serde_json::{Value, json};

use super::{TURN, add, ask, filled, message};
use crate::client::{get, post, raw};
use crate::rig::{Rig, config, in_turn, options, says};
use crate::vocabulary::tokens;

async fn masking(answers: &[&str]) -> Rig {
    let mut options = options();
    options.hello.grammar = true;
    let answers = answers.iter().map(|text| tokens(text).into()).collect();
    Rig::with(config(), options, in_turn(answers)).await
}

#[tokio::test]
async fn a_message_has_the_models_blocks_in_their_order() {
    let answer = Answer {
        cached_tokens: Some(128),
        ..tokens(TURN).into()
    };
    let rig = Rig::with(config(), options(), in_turn(vec![answer])).await;
    let reply = message(
        &rig,
        json!({"tools": [add()], "thinking": {"type": "adaptive"}}),
    )
    .await;
    let content = reply["content"].as_array().unwrap();
    assert_eq!(content[0]["type"], "thinking");
    assert_eq!(content[0]["thinking"], "Add them.");
    assert_eq!(content[1], json!({"type": "text", "text": "I add."}));
    assert_eq!(content[2]["type"], "tool_use");
    assert_eq!(content[2]["name"], "add");
    assert_eq!(content[2]["input"], json!({"a": 1}));
    let id = content[2]["id"].as_str().unwrap();
    assert!(id.starts_with("toolu_"), "{id}");
    assert_eq!(content.len(), 3);
    let prompt = rig.last_request().prompt.len() as u64;
    assert_eq!(
        json!([
            reply["type"],
            reply["role"],
            reply["model"],
            reply["stop_reason"],
            reply["stop_sequence"]
        ]),
        json!([
            "message",
            "assistant",
            "openai/gpt-oss-20b",
            "tool_use",
            null
        ])
    );
    assert_eq!(
        reply["usage"],
        json!({
            "input_tokens": prompt - 128, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 128,
            "output_tokens": tokens(TURN).len(), "output_tokens_details": {"thinking_tokens": 9},
        })
    );
}

#[tokio::test]
async fn thinking_is_not_shown_where_nobody_asks_for_it() {
    let rig = Rig::new(&[TURN]).await;
    for thinking in [json!(null), json!({"type": "disabled"})] {
        let reply = message(&rig, json!({"tools": [add()], "thinking": thinking})).await;
        let kinds: Vec<_> = reply["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| &block["type"])
            .collect();
        assert_eq!(kinds, ["text", "tool_use"]);
    }
}

#[tokio::test]
async fn an_answer_says_why_it_ended() {
    let rig = Rig::new(&[&says("one STOP two")]).await;
    let body = json!({"stop_sequences": ["none", "STOP"]});
    let reply = message(&rig, body).await;
    assert_eq!(reply["content"], json!([{"type": "text", "text": "one "}]));
    assert_eq!(reply["stop_reason"], "stop_sequence");
    assert_eq!(reply["stop_sequence"], "STOP");
    let reply = message(&rig, json!({})).await;
    assert_eq!(reply["stop_reason"], "end_turn");
    let reply = message(&rig, json!({"max_tokens": 12})).await;
    assert_eq!(reply["stop_reason"], "max_tokens");
    // The prompt alone is read.
    let reply = message(&rig, json!({"max_tokens": 0})).await;
    assert_eq!(reply["content"], json!([]));
    assert_eq!(reply["stop_reason"], "max_tokens");
    assert_eq!(rig.last_request().max_tokens, Some(1));
}

#[tokio::test]
async fn the_models_length_is_no_clients_limit() {
    let mut options = options();
    options.hello.max_length = 1000;
    let answer = tokens(&says(&"x".repeat(2000)));
    let rig = Rig::with(config(), options, in_turn(vec![answer.into()])).await;
    let reply = message(&rig, json!({"max_tokens": 5000})).await;
    assert_eq!(reply["stop_reason"], "model_context_window_exceeded");
    let reply = message(&rig, json!({"max_tokens": 50})).await;
    assert_eq!(reply["stop_reason"], "max_tokens");
    let long = json!([{"role": "user", "content": "x".repeat(1000)}]);
    let reply = ask(&rig, json!({"messages": long})).await;
    assert_eq!(reply.status, 400);
    let text = reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(text.starts_with("prompt is too long: 1"), "{text}");
    assert!(text.ends_with(" tokens > 999 maximum"), "{text}");
}

#[tokio::test]
async fn fields_reach_the_engine() {
    let rig = masking(&[&says("Four.")]).await;
    message(
        &rig,
        json!({"temperature": 0.5, "top_p": 0.9, "top_k": 3, "max_tokens": 7}),
    )
    .await;
    let asked = rig.last_request();
    assert_eq!(
        (asked.temperature, asked.top_p, asked.top_k),
        (Some(0.5), Some(0.9), Some(3))
    );
    assert_eq!(asked.max_tokens, Some(7));
    assert_eq!((asked.grammar, asked.thinking_token_budget), (None, None));
    for (body, effort) in [
        (json!({}), "medium"),
        (json!({"thinking": {"type": "disabled"}}), "low"),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            "low",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 10_000}}),
            "medium",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 32_000}}),
            "high",
        ),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}),
            "high",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 32_000}, "output_config": {"effort": "low"}}),
            "low",
        ),
    ] {
        message(&rig, body.clone()).await;
        assert!(
            rig.last_prompt()
                .contains(&format!("Reasoning: {effort}\n")),
            "{body}"
        );
        let asked = rig.last_request();
        let budget = body["thinking"]["budget_tokens"].as_u64();
        assert_eq!(asked.thinking_token_budget.map(u64::from), budget);
        assert_eq!(asked.grammar.is_some(), budget.is_some());
    }
}

#[tokio::test]
async fn forms_and_tools_hold_the_answer() {
    let rig = masking(&[&says("{}")]).await;
    let schema = json!({"type": "object", "properties": {"prime": {"type": "boolean"}}, "required": ["prime"]});
    let form = json!({"type": "json_schema", "schema": schema});
    for body in [
        json!({"output_config": {"format": form}}),
        json!({"output_format": form}),
    ] {
        message(&rig, body).await;
        assert!(rig.last_request().grammar.unwrap().contains("prime"));
        assert!(
            rig.last_prompt()
                .contains("# Response Formats\n\n## response\n\n{")
        );
    }
    let mut strict = add();
    strict["strict"] = true.into();
    let other = json!({"name": "other", "input_schema": {"type": "object"}});
    for (choice, tool, tag) in [
        (json!(null), add(), None),
        (
            json!({"type": "auto"}),
            strict.clone(),
            Some("to=functions.add"),
        ),
        (json!({"type": "any"}), add(), Some("to=functions.other")),
        (
            json!({"type": "tool", "name": "add"}),
            add(),
            Some("to=functions.add"),
        ),
        (json!({"type": "none"}), strict, None),
    ] {
        let none = choice["type"] == "none";
        let named = choice["type"] == "tool";
        message(&rig, json!({"tools": [tool, other], "tool_choice": choice})).await;
        let grammar = rig.last_request().grammar;
        match tag {
            None => assert_eq!(grammar, None),
            Some(tag) => assert!(grammar.as_ref().unwrap().contains(tag)),
        }
        let grammar = grammar.unwrap_or_default();
        assert!(!named || !grammar.contains("to=functions.other"));
        assert_eq!(rig.last_prompt().contains("type add = "), !none);
    }
}

#[tokio::test]
async fn one_call_comes_where_one_is_wanted() {
    let call = "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\":1}<|end|><|start|>assistant";
    let rig = Rig::new(&[&format!(
        "{call}{call}<|channel|>final<|message|>x<|return|>"
    )])
    .await;
    for (alone, calls) in [(false, 2), (true, 1)] {
        let choice = json!({"type": "auto", "disable_parallel_tool_use": alone});
        let reply = message(&rig, json!({"tools": [add()], "tool_choice": choice})).await;
        let content = reply["content"].as_array().unwrap();
        let found = content.iter().filter(|block| block["type"] == "tool_use");
        assert_eq!(found.count(), calls);
        assert_eq!(reply["stop_reason"], "tool_use");
    }
}

#[tokio::test]
async fn tools_of_anthropics_servers_are_left_out() {
    let rig = masking(&[&says("Four.")]).await;
    let search = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 5});
    let tools =
        json!([search, {"type": "custom", "name": "add", "input_schema": {"type": "object"}}]);
    message(&rig, json!({"tools": tools})).await;
    let prompt = rig.last_prompt();
    assert!(
        prompt.contains("type add = ") && !prompt.contains("web_search"),
        "{prompt}"
    );
    let reply = ask(
        &rig,
        json!({"tools": tools, "tool_choice": {"type": "tool", "name": "web_search"}}),
    )
    .await;
    let (error, ..) = reply.error();
    assert_eq!(reply.status, 400);
    assert_eq!(
        error,
        "`tool_choice.name`: \"web_search\" is a tool of Anthropic's servers, which this one does not run"
    );
    let reply = ask(
        &rig,
        json!({"tools": [search], "tool_choice": {"type": "any"}}),
    )
    .await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_message_of_the_assistants_is_written_on() {
    let rig = Rig::new(&["B)<|return|>"]).await;
    let messages = json!([{"role": "user", "content": "Sol or Helios?"}, {"role": "assistant", "content": "It is ("}]);
    let reply = message(&rig, json!({"messages": messages})).await;
    assert_eq!(reply["content"], json!([{"type": "text", "text": "B)"}]));
    assert!(
        rig.last_prompt()
            .ends_with("<|channel|>final<|message|>It is (")
    );
    let call = json!([{"type": "tool_use", "id": "a", "name": "add", "input": {}}]);
    let reply = ask(
        &rig,
        json!({"messages": [{"role": "assistant", "content": call}]}),
    )
    .await;
    assert_eq!(reply.status, 400);
    assert!(reply.error().0.contains("send its tool_result"));
}

#[tokio::test]
async fn counts_that_change_are_no_instructions() {
    let rig = Rig::new(&[&says("Four.")]).await;
    let system = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1a2b;"},
        {"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be kind."},
    ]);
    message(&rig, json!({"system": system})).await;
    let prompt = rig.last_prompt();
    assert!(
        prompt.contains("# Instructions\n\nBe short.\n\nBe kind.<|end|>"),
        "{prompt}"
    );
}

#[tokio::test]
async fn what_is_counted_is_the_prompt() {
    let rig = Rig::new(&[&says("Four.")]).await;
    let body = filled(json!({
        "system": "Be short.", "tools": [add()], "thinking": {"type": "adaptive"}, "stream": true, "stop_sequences": ["x"],
    }));
    let reply = post(rig.address, "/v1/messages/count_tokens", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(ask(&rig, body).await.status, 200);
    let prompt = rig.last_request().prompt.len();
    assert_eq!(reply.json(), json!({"input_tokens": prompt}));
}

#[tokio::test]
async fn models_come_in_the_form_that_is_asked_for() {
    let rig = Rig::new(&[&says("Four.")]).await;
    assert_eq!(
        get(rig.address, "/v1/models").await.json()["object"],
        "list"
    );
    let ask = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nanthropic-version: 2023-06-01\r\nconnection: close\r\n\r\n"
        )
    };
    let reply = raw(rig.address, ask("/v1/models").as_bytes()).await;
    assert!(reply.header("request-id").is_some());
    let list = reply.json();
    assert_eq!(list["has_more"], false);
    assert_eq!(list["first_id"], "openai/gpt-oss-20b");
    assert_eq!(list["last_id"], "gpt-oss");
    let model = raw(rig.address, ask("/v1/models/openai/gpt-oss-20b").as_bytes())
        .await
        .json();
    assert_eq!(model, list["data"][0]);
    assert_eq!(
        (&model["type"], &model["max_input_tokens"]),
        (&json!("model"), &json!(131_072))
    );
    let date = model["created_at"].as_str().unwrap();
    assert!(date.ends_with('Z'), "{date}");
    let missing = raw(rig.address, ask("/v1/models/x").as_bytes()).await;
    assert_eq!(
        (missing.status, &missing.json()["type"]),
        (404, &Value::from("error"))
    );
}

#[tokio::test]
async fn deferred_tools_are_offered_when_a_search_has_found_them() {
    let rig = Rig::new(&[&says("Four.")]).await;
    let tool = |name: &str, deferred| json!({"name": name, "input_schema": {"type": "object"}, "defer_loading": deferred});
    let tools = json!([
        tool("search", false),
        tool("fetch", true),
        tool("print", true)
    ]);
    message(&rig, json!({"tools": tools})).await;
    let prompt = rig.last_prompt();
    assert!(
        prompt.contains("type search = ") && !prompt.contains("fetch"),
        "{prompt}"
    );
    let messages = json!([
        {"role": "user", "content": "Fetch it."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "search", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content":
            [{"type": "tool_reference", "tool_name": "fetch"}]}]},
    ]);
    message(&rig, json!({"tools": tools, "messages": messages})).await;
    let prompt = rig.last_prompt();
    assert!(
        prompt.contains("type fetch = ") && !prompt.contains("print"),
        "{prompt}"
    );
    assert!(
        prompt.contains("<|message|>The function fetch can be called now.\n<|end|>"),
        "{prompt}"
    );
}
