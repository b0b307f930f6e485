//! What an answer is held to: which tag reaches the engine, and what is refused.

use mxfp4_engine::scripted::{Fault, Options};
use serde_json::{Value, json};

use crate::client::post;
use crate::rig::{Rig, config, in_turn, options, paced, says, with_message};
use crate::vocabulary::tokens;

const CALL: &str =
    "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\": 1}<|call|>";

fn masking(options: Options) -> Options {
    let mut options = options;
    options.hello.grammar = true;
    options
}

async fn rig(answer: &str) -> Rig {
    Rig::with(
        config(),
        masking(options()),
        in_turn(vec![tokens(answer).into()]),
    )
    .await
}

fn tool(name: &str, strict: bool) -> Value {
    let parameters =
        json!({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]});
    json!({"type": "function", "function": {"name": name, "strict": strict, "parameters": parameters}})
}

/// The tag that a chat's answer is held to.
async fn tag(rig: &Rig, body: Value) -> Option<Value> {
    let reply = rig.chat(body.clone()).await;
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    rig.last_request()
        .grammar
        .map(|tag| serde_json::from_str(&tag).unwrap())
}

/// All parts of a tag of one type, in their order.
fn parts<'a>(tag: &'a Value, kind: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    if tag["type"] == kind {
        found.push(tag);
    }
    for key in ["format", "content"] {
        if tag[key].is_object() {
            found.extend(parts(&tag[key], kind));
        }
    }
    for element in tag["elements"].as_array().into_iter().flatten() {
        found.extend(parts(element, kind));
    }
    found
}

fn texts(tag: &Value) -> Vec<&str> {
    let texts = parts(tag, "const_string");
    texts
        .iter()
        .map(|text| text["value"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn without_a_form_nothing_is_asked() {
    let rig = rig(&says("Four.")).await;
    for body in [
        json!({}),
        json!({"tools": [tool("add", false)]}),
        json!({"tools": [tool("add", false)], "tool_choice": "auto", "parallel_tool_calls": false}),
        json!({"tools": [tool("add", true)], "tool_choice": "none"}),
        json!({"response_format": {"type": "text"}}),
    ] {
        assert_eq!(tag(&rig, body.clone()).await, None, "{body}");
    }
}

#[tokio::test]
async fn calls_are_forced() {
    let rig = rig(CALL).await;
    let tools = json!([tool("add", false), tool("sub", false)]);
    let required = tag(&rig, json!({"tools": tools, "tool_choice": "required"}))
        .await
        .unwrap();
    assert_eq!(required["type"], "structural_tag");
    assert!(!texts(&required).contains(&"final"), "{required}");
    assert!(texts(&required).contains(&" to=functions.sub"));
    let schema = &parts(&required, "json_schema")[0];
    assert_eq!(
        schema["json_schema"],
        json!({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": false})
    );
    assert_eq!(schema["reject_unsupported"], true);
    for choice in [
        json!({"type": "function", "function": {"name": "add"}}),
        json!({"type": "function", "name": "add"}),
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
            {"type": "function", "function": {"name": "add"}}]}}),
    ] {
        let body = json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": false});
        let named = tag(&rig, body).await.unwrap();
        assert!(
            !texts(&named)
                .iter()
                .any(|text| text.contains("sub") || *text == "final")
        );
        assert_eq!(parts(&named, "json_schema").len(), 1, "one call alone");
        assert!(rig.last_prompt().contains("type sub = "));
    }
    let former = json!({"tools": tools, "function_call": {"name": "sub"}});
    let former = tag(&rig, former).await.unwrap();
    assert!(texts(&former).contains(&" to=functions.sub"));
}

#[tokio::test]
async fn a_forced_call_is_told_as_one() {
    let rig = rig(CALL).await;
    let body = json!({"tools": [tool("add", true)], "tool_choice": tool("add", true)});
    let choice = &rig.chat(body).await.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["arguments"],
        "{\"a\": 1}"
    );
}

#[tokio::test]
async fn a_strict_function_keeps_its_schema_where_it_is_called() {
    let rig = rig(&says("Four.")).await;
    let body = json!({"tools": [tool("add", true), tool("sub", false)]});
    let tag = tag(&rig, body).await.unwrap();
    assert!(texts(&tag).contains(&"final"));
    let schemas = parts(&tag, "json_schema");
    assert_eq!(schemas[0]["json_schema"]["required"], json!(["a"]));
    assert_eq!(schemas[1]["json_schema"], json!({"type": "object"}));
}

#[tokio::test]
async fn a_function_may_be_called_that_cannot_be_enforced() {
    let rig = rig(CALL).await;
    let mut odd = tool("add", false);
    odd["function"]["parameters"]["properties"]["a"] =
        json!({"type": "array", "uniqueItems": true});
    let required = json!({"tools": [odd], "tool_choice": "required"});
    let tag = tag(&rig, required).await.unwrap();
    assert_eq!(
        parts(&tag, "json_schema")[0]["json_schema"],
        json!({"type": "object"})
    );
    odd["function"]["strict"] = true.into();
    let reply = rig.chat(json!({"tools": [odd]})).await;
    assert_eq!(reply.status, 400);
    let (message, param, _) = reply.error();
    assert_eq!(
        param,
        "tools[0].function.parameters.properties.a.uniqueItems"
    );
    assert!(
        message.contains("`uniqueItems` cannot be enforced"),
        "{message}"
    );
}

#[tokio::test]
async fn forms_of_answers_are_forced_and_told() {
    let rig = rig(&says("{}")).await;
    let schema =
        json!({"title": "Day", "type": "object", "properties": {"sun": {"type": "boolean"}}});
    let format = json!({"type": "json_schema", "json_schema": {
        "name": "day", "description": "One day.\nOf many.", "strict": true, "schema": schema}});
    let tools = json!([tool("add", false)]);
    let whole = tag(&rig, json!({"response_format": format})).await.unwrap();
    assert!(texts(&whole).contains(&"final") && !texts(&whole).contains(&"commentary"));
    assert_eq!(
        parts(&whole, "json_schema")[0]["json_schema"],
        json!({"type": "object", "properties": {"sun": {"type": "boolean"}}, "additionalProperties": false})
    );
    let prompt = rig.last_prompt();
    let told = format!(
        "<|start|>developer<|message|># Response Formats\n\n## day\n\n// One day.\n// Of many.\n{schema}<|end|>"
    );
    assert!(prompt.contains(&told), "{prompt}");
    let both = tag(&rig, json!({"response_format": format, "tools": tools}))
        .await
        .unwrap();
    assert_eq!(
        parts(&both, "json_schema").len(),
        3,
        "an answer, a call, another"
    );
    assert!(
        rig.last_prompt()
            .contains("} // namespace functions\n\n# Response Formats\n\n## day")
    );
    let required = json!({"response_format": format, "tools": tools, "tool_choice": "required"});
    let required = tag(&rig, required).await.unwrap();
    assert!(!texts(&required).contains(&"final"));
    let object = json!({"response_format": {"type": "json_object"}});
    let object = tag(&rig, object).await.unwrap();
    assert_eq!(
        parts(&object, "json_schema")[0]["json_schema"],
        json!({"type": "object"})
    );
}

#[tokio::test]
async fn other_servers_names_mean_the_same() {
    let rig = rig(&says("yes")).await;
    let schema = json!({"type": "boolean"});
    for (body, kind, key, value) in [
        (
            json!({"structured_outputs": {"json": schema}}),
            "json_schema",
            "json_schema",
            schema.clone(),
        ),
        (
            json!({"structured_outputs": {"json": schema.to_string()}}),
            "json_schema",
            "json_schema",
            schema.clone(),
        ),
        (
            json!({"structured_outputs": {"json_object": true}}),
            "json_schema",
            "json_schema",
            json!({"type": "object"}),
        ),
        (
            json!({"structured_outputs": {"regex": "y|n"}}),
            "regex",
            "pattern",
            json!("y|n"),
        ),
        (
            json!({"structured_outputs": {"grammar": "root ::= \"y\""}}),
            "grammar",
            "grammar",
            json!("root ::= \"y\""),
        ),
        (
            json!({"guided_json": schema}),
            "json_schema",
            "json_schema",
            schema.clone(),
        ),
        (
            json!({"guided_regex": "y|n"}),
            "regex",
            "pattern",
            json!("y|n"),
        ),
        (
            json!({"guided_grammar": "root ::= \"y\""}),
            "grammar",
            "grammar",
            json!("root ::= \"y\""),
        ),
        (
            json!({"json_schema": schema.to_string()}),
            "json_schema",
            "json_schema",
            schema.clone(),
        ),
        (json!({"regex": "y|n"}), "regex", "pattern", json!("y|n")),
        (
            json!({"ebnf": "root ::= \"y\""}),
            "grammar",
            "grammar",
            json!("root ::= \"y\""),
        ),
    ] {
        let tag = tag(&rig, body.clone()).await.unwrap();
        assert_eq!(parts(&tag, kind)[0][key], value, "{body}");
        let mut raw = body.clone();
        raw["prompt"] = "Say".into();
        assert_eq!(rig.complete(raw).await.status, 200, "{body}");
        let tag = rig.last_request().grammar.unwrap();
        let tag: Value = serde_json::from_str(&tag).unwrap();
        assert_eq!(tag["format"][key], value, "{body}: without messages around");
    }
    for body in [
        json!({"structured_outputs": {"choice": ["yes", "no"]}}),
        json!({"guided_choice": ["yes", "no"]}),
    ] {
        let tag = tag(&rig, body).await.unwrap();
        assert!(texts(&tag).ends_with(&["yes", "no"]));
    }
}

#[tokio::test]
async fn reasoning_can_be_cut() {
    let rig = rig(&says("Four.")).await;
    // The engine counts; the grammar says how reasoning ends.
    let tag = tag(&rig, json!({"thinking_token_budget": 64}))
        .await
        .unwrap();
    assert!(texts(&tag).contains(&"analysis"));
    assert_eq!(rig.last_request().thinking_token_budget, Some(64));
    rig.chat(json!({"response_format": {"type": "json_object"}}))
        .await;
    assert_eq!(rig.last_request().thinking_token_budget, None);
}

#[tokio::test]
async fn an_open_message_is_written_on() {
    let rig = rig("and on.<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>").await;
    let open = |message: Value| {
        json!({"messages": [{"role": "user", "content": "Hi"}, message],
            "continue_final_message": true, "add_generation_prompt": false})
    };
    let mut thinks = open(json!({"role": "assistant", "reasoning": "I think"}));
    thinks["response_format"] = json!({"type": "json_object"});
    let tag = tag(&rig, thinks).await.unwrap();
    assert_eq!(tag["format"]["elements"][0]["type"], "any_tokens");
    let mut answers = open(json!({"role": "assistant", "content": "{"}));
    answers["tools"] = json!([tool("add", true)]);
    assert_eq!(rig.chat(answers.clone()).await.status, 200);
    assert_eq!(
        rig.last_request().grammar,
        None,
        "no call can come any more"
    );
    answers["response_format"] = json!({"type": "json_object"});
    let reply = rig.chat(answers).await;
    assert_eq!(
        (reply.status, reply.error().1),
        (400, json!("response_format"))
    );
}

#[tokio::test]
async fn what_cannot_be_forced_is_named() {
    let rig = rig(&says("{}")).await;
    let tools = json!([tool("add", false)]);
    let format = |schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}});
    for (body, param) in [
        (json!({"tool_choice": "required"}), "tool_choice"),
        (
            json!({"tool_choice": tool("add", false)}),
            "tool_choice.function.name",
        ),
        (
            json!({"tools": tools, "tool_choice": tool("sub", false)}),
            "tool_choice.function.name",
        ),
        (
            json!({"tools": tools, "tool_choice": "sometimes"}),
            "tool_choice",
        ),
        (json!({"tools": tools, "tool_choice": 1}), "tool_choice"),
        (
            json!({"tools": tools, "tool_choice": {"type": "custom"}}),
            "tool_choice.type",
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "function"}}),
            "tool_choice.function",
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}}),
            "tool_choice.allowed_tools.tools",
        ),
        (
            json!({"tools": tools, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": tools}}}),
            "tool_choice.allowed_tools.mode",
        ),
        (json!({"response_format": {}}), "response_format.type"),
        (
            json!({"response_format": {"type": "xml"}}),
            "response_format.type",
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            "response_format.json_schema",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}),
            "response_format.json_schema.schema",
        ),
        (
            format(json!({"properties": {"a": {"uniqueItems": true}}})),
            "response_format.json_schema.schema.properties.a.uniqueItems",
        ),
        (
            format(json!({"type": "string", "format": "nope"})),
            "response_format.json_schema.schema.format",
        ),
        (format(json!(false)), "response_format.json_schema.schema"),
        (format(json!(5)), "response_format.json_schema.schema"),
        (json!({"structured_outputs": {}}), "structured_outputs"),
        (
            json!({"structured_outputs": {"json": {}, "regex": "a"}}),
            "structured_outputs.regex",
        ),
        (
            json!({"structured_outputs": {"json": "{"}}),
            "structured_outputs.json",
        ),
        (
            json!({"structured_outputs": {"choice": []}}),
            "structured_outputs.choice",
        ),
        (
            json!({"structured_outputs": {"choice": ["a", ""]}}),
            "structured_outputs.choice[1]",
        ),
        (
            json!({"structured_outputs": {"regex": "(?=a)b"}}),
            "structured_outputs.regex",
        ),
        (
            json!({"structured_outputs": {"structural_tag": "{}"}}),
            "structured_outputs.structural_tag",
        ),
        (json!({"structural_tag": {}}), "structural_tag"),
        (
            json!({"guided_json": {}, "response_format": {"type": "json_object"}}),
            "guided_json",
        ),
        (json!({"regex": "a", "ebnf": "root ::= \"a\""}), "ebnf"),
        (json!({"regex": "a".repeat(40_000)}), "regex"),
        (
            json!({"guided_json": {"enum": ["a".repeat(300_000)]}}),
            "guided_json",
        ),
        (json!({"guided_json": {}, "ignore_eos": true}), "ignore_eos"),
        (json!({"guided_json": {}, "min_tokens": 2}), "min_tokens"),
        (
            json!({"thinking_token_budget": 1.5}),
            "thinking_token_budget",
        ),
        (
            json!({"thinking_token_budget": -1}),
            "thinking_token_budget",
        ),
    ] {
        let reply = rig.chat(body.clone()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.error().1, json!(param), "{body}: {}", reply.text());
    }
    assert!(rig.scripted.requests().is_empty());
}

#[tokio::test]
async fn a_start_without_grammars_refuses_them() {
    let rig = Rig::new(&[&says("{}")]).await;
    for (body, param) in [
        (
            json!({"tools": [tool("add", false)], "tool_choice": "required"}),
            "tool_choice",
        ),
        (
            json!({"tools": [tool("add", true)]}),
            "tools[0].function.strict",
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            "response_format",
        ),
        (
            json!({"structured_outputs": {"regex": "a"}}),
            "structured_outputs.regex",
        ),
        (json!({"thinking_token_budget": 3}), "thinking_token_budget"),
    ] {
        let reply = post(
            rig.address,
            "/v1/chat/completions",
            &with_message(body.clone()),
        )
        .await;
        let (message, found, _) = reply.error();
        assert_eq!((reply.status, found), (400, json!(param)), "{body}");
        assert!(message.contains("started without grammars"), "{message}");
    }
    let reply = rig.complete(json!({"guided_regex": "a"})).await;
    assert_eq!(
        (reply.status, reply.error().1),
        (400, json!("guided_regex"))
    );
    assert!(rig.scripted.requests().is_empty());
}

#[tokio::test]
async fn what_the_engine_refuses_is_the_status_of_a_stream_too() {
    // Longer than a stream's head waits for its first event.
    let script = in_turn(vec![
        Fault::BadGrammar("the regex has no end".into()).into(),
    ]);
    let rig = Rig::with(config(), masking(paced(1500)), script).await;
    let body = json!({"guided_regex": "(", "stream": true});
    let reply = rig.chat(body).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.error().0, "the regex has no end");
}

#[tokio::test]
async fn a_stream_of_a_form_waits_for_the_engine() {
    let script = in_turn(vec![tokens(&says("{}")).into()]);
    let rig = Rig::with(config(), masking(paced(400)), script).await;
    let body = json!({"response_format": {"type": "json_object"}, "stream": true});
    let reply = rig.chat(body).await;
    assert_eq!(reply.status, 200);
    assert!(reply.events().1);
}
