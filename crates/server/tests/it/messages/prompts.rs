//! One conversation has one prompt, whichever interface it comes by.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::client::post;
use crate::mutated::cases;
use crate::rig::{Rig, config, in_turn, options, says};
use crate::vocabulary::tokens;

/// A conversation, of which each interface makes its own body.
#[derive(Clone, Debug)]
struct Talk {
    system: Vec<String>,
    tools: bool,
    form: bool,
    effort: Option<&'static str>,
    turns: Vec<Turn>,
}

#[derive(Clone, Debug)]
enum Turn {
    /// Parts of one text.
    User(Vec<String>),
    System(String),
    Assistant {
        reasoning: String,
        text: Vec<String>,
        /// Arguments, and the result of each.
        calls: Vec<(Value, String)>,
    },
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{1,12}",
        Just("<|start|>assistant<|end|>".to_owned()),
        Just("é😀\n\"quoted\"\t\u{1}".to_owned()),
        any::<String>(),
    ]
}

/// One that Anthropic's interface does not leave out.
fn some_text() -> impl Strategy<Value = String> {
    text().prop_filter("it is empty", |text| !text.is_empty())
}

fn turn() -> impl Strategy<Value = Turn> {
    let arguments = prop::collection::btree_map(
        "[a-c]",
        prop_oneof![
            any::<i32>().prop_map(Value::from),
            text().prop_map(Value::from),
            Just(json!({"deep": [null, true]})),
        ],
        0..3,
    );
    let arguments = arguments.prop_map(|map| Value::Object(Map::from_iter(map)));
    let calls = prop::collection::vec((arguments, text()), 0..3);
    let said = (
        prop_oneof![Just(String::new()), text()],
        prop::collection::vec(some_text(), 0..3),
        calls,
    );
    prop_oneof![
        3 => prop::collection::vec(text(), 1..3).prop_map(Turn::User),
        1 => text().prop_map(Turn::System),
        4 => said.prop_map(|(reasoning, text, calls)| Turn::Assistant { reasoning, text, calls }),
    ]
}

fn talk() -> impl Strategy<Value = Talk> {
    let effort = prop::option::of(prop::sample::select(vec!["low", "medium", "high", "max"]));
    let system = prop::collection::vec(text(), 0..3);
    let turns = prop::collection::vec(turn(), 0..8);
    (system, any::<bool>(), any::<bool>(), effort, turns).prop_map(
        |(system, tools, form, effort, mut turns)| {
            // Anthropic's interface makes one turn of two.
            turns.dedup_by(|next, before| {
                matches!((&*before, &*next), (Turn::Assistant { calls, .. }, Turn::Assistant { .. }) if calls.is_empty())
            });
            turns.push(Turn::User(vec!["Now?".to_owned()]));
            Talk {
                system,
                tools,
                form,
                effort,
                turns,
            }
        },
    )
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
}

/// Parts of a content, as both interfaces have them.
fn parts(texts: &[String]) -> Value {
    let part = |text: &String| json!({"type": "text", "text": text});
    texts.iter().map(part).collect()
}

impl Talk {
    /// As `/v1/chat/completions` has it.
    fn chat(&self) -> Value {
        let mut messages: Vec<Value> = Vec::new();
        for text in &self.system {
            messages.push(json!({"role": "system", "content": text}));
        }
        let mut ids = 0..;
        for turn in &self.turns {
            match turn {
                Turn::User(texts) => {
                    messages.push(json!({"role": "user", "content": parts(texts)}))
                }
                Turn::System(text) => messages.push(json!({"role": "system", "content": text})),
                Turn::Assistant {
                    reasoning,
                    text,
                    calls,
                } => {
                    let mut results = Vec::new();
                    let mut made = Vec::new();
                    for (arguments, result) in calls {
                        let id = format!("call_{}", ids.next().unwrap());
                        made.push(json!({"id": id, "type": "function", "function":
                            {"name": "add", "arguments": arguments.to_string()}}));
                        results
                            .push(json!({"role": "tool", "tool_call_id": id, "content": result}));
                    }
                    messages.push(json!({
                        "role": "assistant", "content": parts(text), "reasoning": reasoning, "tool_calls": made,
                    }));
                    messages.extend(results);
                }
            }
        }
        let mut body = json!({"messages": messages});
        if self.tools {
            body["tools"] = json!([{"type": "function", "function":
                {"name": "add", "description": "Adds.", "parameters": schema()}}]);
        }
        if self.form {
            body["response_format"] = json!({"type": "json_schema", "json_schema":
                {"name": "response", "schema": schema()}});
        }
        if let Some(effort) = self.effort {
            body["reasoning_effort"] = effort.into();
        }
        body
    }

    /// As `/v1/responses` has it.
    fn responses(&self) -> Value {
        let message = |role: &str, texts: &[String]| {
            let kind = match role {
                "assistant" => "output_text",
                _ => "input_text",
            };
            let part = |text: &String| json!({"type": kind, "text": text});
            let parts: Value = texts.iter().map(part).collect();
            json!({"type": "message", "role": role, "content": parts})
        };
        let system = |text: &String| message("developer", std::slice::from_ref(text));
        let mut items: Vec<Value> = self.system.iter().map(system).collect();
        let mut ids = 0..;
        for turn in &self.turns {
            match turn {
                Turn::User(texts) => items.push(message("user", texts)),
                Turn::System(text) => items.push(system(text)),
                Turn::Assistant {
                    reasoning,
                    text,
                    calls,
                } => {
                    items.push(json!({"type": "reasoning", "summary": [], "content":
                        [{"type": "reasoning_text", "text": reasoning}]}));
                    items.push(message("assistant", text));
                    let mut outputs = Vec::new();
                    for (arguments, result) in calls {
                        let id = format!("call_{}", ids.next().unwrap());
                        items.push(
                            json!({"type": "function_call", "call_id": id, "name": "add",
                            "arguments": arguments.to_string()}),
                        );
                        outputs.push(json!({"type": "function_call_output", "call_id": id, "output": result}));
                    }
                    items.extend(outputs);
                }
            }
        }
        let mut body = json!({"input": items});
        if self.tools {
            body["tools"] = json!([{"type": "function", "name": "add", "description": "Adds.", "parameters": schema()}]);
        }
        if self.form {
            body["text"]["format"] =
                json!({"type": "json_schema", "name": "response", "schema": schema()});
        }
        if let Some(effort) = self.effort {
            body["reasoning"]["effort"] = effort.into();
        }
        body
    }

    /// As `/v1/messages` has it.
    fn messages(&self) -> Value {
        let mut messages: Vec<Value> = Vec::new();
        let mut ids = 0..;
        for turn in &self.turns {
            match turn {
                Turn::User(texts) => {
                    messages.push(json!({"role": "user", "content": parts(texts)}))
                }
                Turn::System(text) => messages.push(json!({"role": "system", "content": text})),
                Turn::Assistant {
                    reasoning,
                    text,
                    calls,
                } => {
                    let mut content =
                        vec![json!({"type": "thinking", "thinking": reasoning, "signature": ""})];
                    content.extend(parts(text).as_array().unwrap().iter().cloned());
                    let mut results = Vec::new();
                    for (input, result) in calls {
                        let id = format!("toolu_{}", ids.next().unwrap());
                        content.push(
                            json!({"type": "tool_use", "id": id, "name": "add", "input": input}),
                        );
                        results.push(
                            json!({"type": "tool_result", "tool_use_id": id, "content": result}),
                        );
                    }
                    messages.push(json!({"role": "assistant", "content": content}));
                    if !results.is_empty() {
                        messages.push(json!({"role": "user", "content": results}));
                    }
                }
            }
        }
        let mut body =
            json!({"max_tokens": 10, "messages": messages, "system": parts(&self.system)});
        if self.tools {
            body["tools"] =
                json!([{"name": "add", "description": "Adds.", "input_schema": schema()}]);
        }
        if self.form {
            body["output_config"]["format"] = json!({"type": "json_schema", "schema": schema()});
        }
        if let Some(effort) = self.effort {
            body["output_config"]["effort"] = effort.into();
        }
        body
    }
}

/// `PROPTEST_CASES=2000` is the full measure.
#[test]
fn a_conversation_has_one_prompt() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut options = options();
    options.hello.grammar = true;
    let answer = tokens(&says("Hi")).into();
    let rig = runtime.block_on(Rig::with(config(), options, in_turn(vec![answer])));
    let config = ProptestConfig {
        cases: cases(200),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = proptest::test_runner::TestRunner::new(config).run(&talk(), |talk| {
        let mut prompts = Vec::new();
        for (path, body) in [
            ("/v1/chat/completions", talk.chat()),
            ("/v1/messages", talk.messages()),
            ("/v1/responses", talk.responses()),
        ] {
            let reply = runtime.block_on(post(rig.address, path, &body));
            prop_assert_eq!(reply.status, 200, "{} {}: {}", path, body, reply.text());
            let asked = rig.last_request();
            prompts.push((rig.last_prompt(), asked.prompt, asked.grammar));
        }
        prop_assert_eq!(&prompts[0], &prompts[1]);
        prop_assert_eq!(&prompts[0], &prompts[2]);
        Ok(())
    });
    run.unwrap();
}

/// What the model writes in a turn: thinking, words on the way, and a call or an answer.
fn written() -> impl Strategy<Value = String> {
    let text = "[a-zé😀 .]{1,20}";
    let tail = prop_oneof![
        text.prop_map(|text| format!("<|channel|>final<|message|>{text}<|return|>")),
        (prop::option::of(text), any::<i32>()).prop_map(|(words, number)| {
            let words = words.map(|words| {
                format!("<|channel|>commentary<|message|>{words}<|end|><|start|>assistant")
            });
            format!(
                "{}<|channel|>commentary to=functions.add <|constrain|>json<|message|>{{\"a\":{number}}}<|call|>",
                words.unwrap_or_default()
            )
        }),
    ];
    (text, tail).prop_map(|(thinking, tail)| {
        format!("<|channel|>analysis<|message|>{thinking}<|end|><|start|>assistant{tail}")
    })
}

/// What follows a turn that came by a chat.
fn after_chat(reply: &Value) -> Value {
    let message = &reply["choices"][0]["message"];
    let next = match message["tool_calls"].as_array() {
        Some(calls) => json!({"role": "tool", "tool_call_id": calls[0]["id"], "content": "3"}),
        None => json!({"role": "user", "content": "Go on."}),
    };
    json!([{"role": "user", "content": "Hi"}, message, next])
}

/// What follows a turn that came as a message.
fn after_message(reply: &Value) -> Value {
    let content = &reply["content"];
    let last = content.as_array().unwrap().last().unwrap();
    let next = match last["type"].as_str() {
        Some("tool_use") => {
            json!([{"type": "tool_result", "tool_use_id": last["id"], "content": "3"}])
        }
        _ => json!("Go on."),
    };
    json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": next},
    ])
}

/// What follows a turn that came as a response.
fn after_response(reply: &Value) -> Value {
    let output = reply["output"].as_array().unwrap();
    let last = output.last().unwrap();
    let next = match last["type"].as_str() {
        Some("function_call") => {
            json!({"type": "function_call_output", "call_id": last["call_id"], "output": "3"})
        }
        _ => json!({"role": "user", "content": "Go on."}),
    };
    let mut items = vec![json!({"role": "user", "content": "Hi"})];
    items.extend(output.iter().cloned());
    items.push(next);
    items.into()
}

/// The prompt after a turn that the model wrote, asked for and sent back by one interface,
/// where `conversation` is the field for it.
async fn played_back(
    rig: &Rig,
    path: &str,
    conversation: &str,
    mut body: Value,
    after: fn(&Value) -> Value,
) -> String {
    let reply = post(rig.address, path, &body).await;
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    body[conversation] = after(&reply.json());
    let again = post(rig.address, path, &body).await;
    assert_eq!(again.status, 200, "{path} {body}: {}", again.text());
    rig.last_prompt()
}

#[test]
fn a_turn_that_is_played_back_has_one_prompt() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let script = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let answers = script.clone();
    let rig = runtime.block_on(Rig::with(
        config(),
        options(),
        Box::new(move |_| answers.lock().unwrap().clone().into()),
    ));
    let config = ProptestConfig {
        cases: cases(100),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let function = json!({"name": "add", "parameters": schema()});
    let chat = json!({"messages": hi, "tools": [{"type": "function", "function": function}]});
    let messages = json!({
        "messages": hi, "max_tokens": 100_000, "thinking": {"type": "adaptive"},
        "tools": [{"name": "add", "input_schema": schema()}],
    });
    let responses = json!({
        "input": hi, "tools": [{"type": "function", "name": "add", "parameters": schema()}],
    });
    let run = proptest::test_runner::TestRunner::new(config).run(&written(), |text| {
        *script.lock().unwrap() = tokens(&text);
        let by_chat = runtime.block_on(played_back(
            &rig,
            "/v1/chat/completions",
            "messages",
            chat.clone(),
            after_chat,
        ));
        let by_messages = runtime.block_on(played_back(
            &rig,
            "/v1/messages",
            "messages",
            messages.clone(),
            after_message,
        ));
        let by_responses = runtime.block_on(played_back(
            &rig,
            "/v1/responses",
            "input",
            responses.clone(),
            after_response,
        ));
        prop_assert_eq!(&by_chat, &by_messages);
        prop_assert_eq!(&by_chat, &by_responses);
        Ok(())
    });
    run.unwrap();
}
