//! The page at `/`, as it comes over HTTP. What it does in a browser is the test `page`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mxfp4_server::Config;
use sha2::{Digest, Sha256};

use crate::client::{Reply, get, raw};
use crate::rig::{Rig, config, in_turn, options};

async fn page(rig: &Rig) -> Reply {
    get(rig.address, "/").await
}

/// What stands between two tags, which come once.
fn between<'a>(html: &'a str, open: &str, close: &str) -> &'a str {
    assert_eq!(
        (html.matches(open).count(), html.matches(close).count()),
        (1, 1),
        "{open}"
    );
    html.split_once(open)
        .unwrap()
        .1
        .split_once(close)
        .unwrap()
        .0
}

#[tokio::test]
async fn one_file_whose_policy_names_what_is_in_it() {
    let rig = Rig::new(&[]).await;
    let reply = page(&rig).await;
    assert_eq!(reply.status, 200);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let html = reply.text();
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let script = hash(between(&html, "<script type=\"module\">", "</script>"));
    let style = hash(between(&html, "<style>", "</style>"));
    let policy = reply.header("content-security-policy").unwrap();
    let directives: Vec<_> = policy.split("; ").collect();
    assert_eq!(
        directives,
        [
            "default-src 'none'",
            &format!("script-src {script}"),
            &format!("style-src {style}"),
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    );
    // The policy would keep these from working, and nothing is to want them.
    for part in [" src=", " style=", " onclick=", "<link rel=\"stylesheet"] {
        assert!(!html.contains(part), "{part}");
    }
    let style = between(&html, "<style>", "</style>");
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[tokio::test]
async fn it_is_sent_once() {
    let rig = Rig::new(&[]).await;
    let etag = page(&rig).await.header("etag").unwrap().to_owned();
    let request =
        format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nif-none-match: {etag}\r\n\r\n");
    let again = raw(rig.address, request.as_bytes()).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), Some(&*etag));
    let head = raw(
        rig.address,
        b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let post = raw(
        rig.address,
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET,HEAD")));
}

#[tokio::test]
async fn it_comes_before_the_model_is_there_and_tells_nothing_of_it() {
    let server = mxfp4_server::Server::bind(config()).await.unwrap();
    let reply = get(server.addresses()[0], "/").await;
    assert_eq!(reply.status, 200);
    assert!(!reply.text().contains("gpt-oss"));
}

#[tokio::test]
async fn without_it_the_path_is_unknown() {
    let config = Config {
        page: false,
        ..config()
    };
    let rig = Rig::with(config, options(), in_turn(vec![])).await;
    let reply = page(&rig).await;
    assert_eq!((reply.status, reply.error().2), (404, "not_found".into()));
    assert_eq!(reply.header("content-security-policy"), None);
}
