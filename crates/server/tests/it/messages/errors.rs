//! Errors in Anthropic's form.

use mxfp4_engine::scripted::Fault;
use mxfp4_server::{Config, KeyLimits, KeySource, Keys, Limits, Secret};
use serde_json::{Value, json};

use super::{add, ask, filled};
use crate::client::{Reply, get, post, post_bytes, raw};
use crate::rig::{Rig, config, in_turn, limited, options, says};
use crate::vocabulary::tokens;

/// A status, and the error's type and message.
fn error(reply: &Reply) -> (u16, String, String) {
    let body = reply.json();
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(
        body["request_id"].as_str(),
        reply.header("request-id"),
        "{body}"
    );
    assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
    let error = body["error"].as_object().unwrap();
    assert_eq!(error.len(), 2);
    let text = |key: &str| error[key].as_str().unwrap().to_owned();
    (reply.status, text("type"), text("message"))
}

#[tokio::test]
async fn a_wrong_request_is_told_where_it_is_wrong() {
    let rig = Rig::new(&[&says("Four.")]).await;
    let block = |block: Value| json!({"messages": [{"role": "user", "content": [block]}]});
    let said = |block: Value| json!({"messages": [{"role": "assistant", "content": [block]}]});
    for (body, message) in [
        (
            json!({"messages": []}),
            "`messages`: must have at least one message",
        ),
        (
            json!({"messages": "Hi"}),
            "`messages`: must be an array, but is a string",
        ),
        (
            json!({"messages": [{"content": "Hi"}]}),
            "`messages[0].role`: is missing",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "Hi"}]}),
            "`messages[0].role`: \"tool\" is no role; a message is of user, assistant or system",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "`messages[0].content`: is missing",
        ),
        (
            json!({"messages": [{"role": "user", "content": 3}]}),
            "`messages[0].content`: must be a string or an array of blocks",
        ),
        (
            block(json!({"type": "image", "source": {}})),
            "`messages[0].content[0].type`: GPT-OSS reads text alone, and no \"image\" block; send text or tool_result",
        ),
        (
            block(json!({"type": "document", "source": {}})),
            "`messages[0].content[0].type`: GPT-OSS reads text alone, and no \"document\" block; send text or tool_result",
        ),
        (
            block(json!({"type": "hologram"})),
            "`messages[0].content[0].type`: \"hologram\" is no block that is read here; send text or tool_result",
        ),
        (
            said(json!({"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}})),
            "`messages[0].content[0].type`: \"server_tool_use\" is no block that is read here; send text, thinking, \
             redacted_thinking or tool_use",
        ),
        (
            block(json!({"text": "x"})),
            "`messages[0].content[0].type`: is missing",
        ),
        (
            block(json!({"type": "text"})),
            "`messages[0].content[0].text`: is missing",
        ),
        (
            block(json!({"type": "tool_result", "tool_use_id": "x"})),
            "`messages[0].content[0].tool_use_id`: no tool_use block before this one has the id \"x\"",
        ),
        (
            said(json!({"type": "tool_use", "id": "a", "name": "a b", "input": {}})),
            "`messages[0].content[0].name`: \"a b\" is no function's name; it must match [a-zA-Z0-9_-]{1,64}",
        ),
        (
            json!({"system": {"a": 1}}),
            "`system`: must be a string or an array of blocks",
        ),
        (
            json!({"max_tokens": -1}),
            "`max_tokens`: must be an integer from 0 to 4294967295, but is -1",
        ),
        (
            json!({"thinking": {"type": "always"}}),
            "`thinking.type`: \"always\" is not known here; send \"enabled\", \"adaptive\", \"between_tools\" or \"disabled\"",
        ),
        (
            json!({"output_config": {"effort": "extreme"}}),
            "`output_config.effort`: no reasoning effort is called \"extreme\": use none, minimal, low, medium, high, \
             xhigh or max",
        ),
        (
            json!({"tool_choice": "auto"}),
            "`tool_choice`: must be an object, but is a string",
        ),
        (
            json!({"tool_choice": {"type": "any"}}),
            "`tool_choice`: needs `tools` to choose from",
        ),
        (
            json!({"tools": [add(), add()]}),
            "`tools[1]`: another tool is called \"add\"",
        ),
        (
            json!({"tools": [add()], "tool_choice": {"type": "tool", "name": "sub"}}),
            "`tool_choice.name`: no tool in `tools` is called \"sub\"",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            "`thinking.budget_tokens`: the server was started without grammars and would ignore it; start it without `-- \
             --no-enable-structured-output`, or leave it out",
        ),
    ] {
        let reply = ask(&rig, body.clone()).await;
        let expected = (400, "invalid_request_error".to_owned(), message.to_owned());
        assert_eq!(error(&reply), expected, "{body}");
    }
}

#[tokio::test]
async fn a_conversation_is_not_kept_and_clients_are_told_so_that_they_send_it() {
    let rig = Rig::new(&[&says("Four.")]).await;
    for thread in [
        json!({"type": "create"}),
        json!({"type": "continue", "previous_message_id": "msg_1"}),
    ] {
        let reply = ask(&rig, json!({"thread": thread})).await;
        assert_eq!(reply.status, 400);
        assert_eq!(
            reply.json()["error"]["details"],
            json!({"error_code": "thread_unsupported_request"})
        );
    }
    for thread in [json!(false), json!(null)] {
        assert_eq!(ask(&rig, json!({"thread": thread})).await.status, 200);
    }
}

#[tokio::test]
async fn each_status_has_its_type() {
    let config = limited(Limits {
        body: 2000,
        ..Limits::default()
    });
    let script = in_turn(vec![
        Fault::QueueFull.into(),
        Fault::Failed("x".into()).into(),
    ]);
    let rig = Rig::with(config, options(), script).await;
    let kind = |reply: &Reply| {
        let (status, kind, _) = error(reply);
        (status, kind)
    };
    let is = |status, name: &str| (status, name.to_owned());
    let full = ask(&rig, json!({})).await;
    assert_eq!(kind(&full), is(529, "overloaded_error"));
    assert_eq!(full.header("retry-after"), Some("1"));
    assert_eq!(kind(&ask(&rig, json!({})).await), is(500, "api_error"));
    assert_eq!(
        kind(&ask(&rig, json!({"stream": true})).await),
        is(529, "overloaded_error")
    );
    let model = ask(&rig, json!({"model": "claude"})).await;
    assert_eq!(kind(&model), is(404, "not_found_error"));
    let batches = post(rig.address, "/v1/messages/batches", &json!({})).await;
    assert_eq!(kind(&batches), is(404, "not_found_error"));
    let method = get(rig.address, "/v1/messages").await;
    assert_eq!(kind(&method), is(405, "invalid_request_error"));
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(3000)}]});
    assert_eq!(kind(&ask(&rig, long).await), is(413, "request_too_large"));
    let broken = post_bytes(rig.address, "/v1/messages", b"{").await;
    assert_eq!(kind(&broken), is(400, "invalid_request_error"));
    let hostless = b"POST /v1/messages HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(
        kind(&raw(rig.address, hostless).await),
        is(400, "invalid_request_error")
    );
    rig.server.drain(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn keys_are_asked_for_in_anthropics_form() {
    let source = KeySource {
        keys: vec![Secret::new("sk-0123456789abcdef")],
        limits: KeyLimits {
            requests: std::num::NonZeroU32::new(1),
            ..KeyLimits::default()
        },
        ..KeySource::default()
    };
    let config = Config {
        keys: Keys::new(source).unwrap(),
        ..config()
    };
    let rig = Rig::with(config, options(), in_turn(vec![tokens(&says("Hi")).into()])).await;
    let send = async |key: &str| {
        let body = filled(json!({})).to_string();
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        raw(rig.address, request.as_bytes()).await
    };
    let (status, kind, _) = error(&send("wrong").await);
    assert_eq!((status, &*kind), (401, "authentication_error"));
    assert_eq!(send("sk-0123456789abcdef").await.status, 200);
    let limited = send("sk-0123456789abcdef").await;
    let (status, kind, _) = error(&limited);
    assert_eq!((status, &*kind), (429, "rate_limit_error"));
    assert!(limited.header("retry-after").is_some());
}

#[tokio::test]
async fn a_head_has_no_body() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let request = b"HEAD /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let reply = raw(rig.address, request).await;
    assert_eq!((reply.status, reply.body.len()), (405, 0));
}
