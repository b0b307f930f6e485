//! The other paths, and what is no path.

use serde_json::json;

use crate::client::{get, post, raw};
use crate::rig::{Rig, says};
use crate::vocabulary::tokens;

#[tokio::test]
async fn models_have_names_with_slashes() {
    let rig = Rig::new(&[]).await;
    let list = get(rig.address, "/v1/models").await.json();
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(names, ["openai/gpt-oss-20b", "gpt-oss"]);
    for path in [
        "/v1/models/openai/gpt-oss-20b",
        "/v1/models/openai%2Fgpt-oss-20b",
    ] {
        let mut model = get(rig.address, path).await.json();
        assert!(model["created"].take().is_u64());
        assert_eq!(
            model,
            json!({"id": "openai/gpt-oss-20b", "object": "model", "created": null, "owned_by": "mxfp4",
                   "root": "scripted", "parent": null, "max_model_len": 131_072}),
            "{path}"
        );
    }
    let reply = get(rig.address, "/v1/models/gpt-4o").await;
    assert_eq!(
        (reply.status, reply.error().2),
        (404, json!("model_not_found"))
    );
}

#[tokio::test]
async fn tokens_of_texts_and_chats() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let reply = post(
        rig.address,
        "/tokenize",
        &json!({"prompt": "a<|end|>", "return_token_strs": true}),
    )
    .await;
    assert_eq!(
        reply.json(),
        json!({"count": 2, "max_model_len": 131_072, "tokens": [97, 200_007], "token_strs": ["a", "<|end|>"]})
    );
    let body =
        json!({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true});
    let chat = post(rig.address, "/tokenize", &body).await.json();
    rig.chat(body).await;
    assert_eq!(chat["tokens"], json!(rig.last_request().prompt));
    assert_eq!(chat["token_strs"], json!(null));

    let reply = post(
        rig.address,
        "/detokenize",
        &json!({"tokens": tokens("é<|end|>")}),
    )
    .await;
    assert_eq!(reply.json(), json!({"prompt": "é<|end|>"}));
    for (path, body, param) in [
        ("/tokenize", json!({}), "prompt"),
        ("/tokenize", json!({"prompt": 1}), "prompt"),
        ("/detokenize", json!({}), "tokens"),
        ("/detokenize", json!({"tokens": [300_000]}), "tokens"),
    ] {
        let reply = post(rig.address, path, &body).await;
        assert_eq!(
            (reply.status, reply.error().1),
            (400, json!(param)),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn versions() {
    let rig = Rig::new(&[]).await;
    assert_eq!(
        get(rig.address, "/version").await.json(),
        json!({"version": env!("CARGO_PKG_VERSION"), "max": "scripted"})
    );
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let rig = Rig::new(&[]).await;
    for path in [
        "/index.html",
        "/v1/chat/completions/",
        "/v1/embeddings",
        "/%ff",
        "/a\u{7f}",
    ] {
        let reply = get(rig.address, path).await;
        assert!(
            [400, 404].contains(&reply.status),
            "{path}: {}",
            reply.status
        );
    }
    let reply = get(rig.address, "/v1/embeddings").await;
    assert_eq!((reply.status, reply.error().2), (404, json!("not_found")));
    let reply = get(rig.address, "/v1/chat/completions").await;
    assert_eq!(
        (reply.status, reply.error().2),
        (405, json!("method_not_allowed"))
    );
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = raw(
        rig.address,
        b"OPTIONS /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(
        (reply.status, reply.header("allow")),
        (405, Some("GET,HEAD"))
    );
}

#[tokio::test]
async fn heads_have_no_body() {
    let rig = Rig::new(&[]).await;
    let reply = raw(
        rig.address,
        b"HEAD /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert!(reply.header("content-length").is_some());
}

#[tokio::test]
async fn http_1_0_is_answered() {
    let rig = Rig::new(&[&says("Hi")]).await;
    let body = json!({"messages": [{"role": "user", "content": "Hi"}], "stream": true}).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = raw(rig.address, request.as_bytes()).await;
    assert_eq!(
        (reply.status, reply.header("transfer-encoding")),
        (200, None)
    );
    assert!(reply.events().1);
}

#[tokio::test]
async fn requests_have_names() {
    let rig = Rig::new(&[]).await;
    let with = |id: &str| {
        format!(
            "GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n\r\n"
        )
    };
    let reply = raw(rig.address, with("abc-1.2:3").as_bytes()).await;
    assert_eq!(reply.header("x-request-id"), Some("abc-1.2:3"));
    for id in ["", "a b", "\u{e9}", &"x".repeat(129)] {
        let reply = raw(rig.address, with(id).as_bytes()).await;
        let made = reply.header("x-request-id").unwrap();
        assert!(made.starts_with("req-") && made.len() == 36, "{made}");
    }
}

#[tokio::test]
async fn any_content_type_will_do() {
    let rig = Rig::new(&[&says("Hi")]).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let body = r#"{"messages": [{"role": "user", "content": "Hi"}]}"#;
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(
            raw(rig.address, request.as_bytes()).await.status,
            200,
            "{kind}"
        );
    }
}
