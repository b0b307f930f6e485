//! Servers that do not answer.

use std::process::Stdio;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::chat::fixed::{Fixed, Say};
use crate::chat::rig::{Rig, chat, says};
use crate::chat::trial;
use crate::support::{Ran, folder, free_port, mxfp4, run};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("no_server_is_said_with_what_to_do", nobody),
        trial("the_server_is_looked_for_where_serve_listens", configured),
        trial("refusals_are_said_with_what_to_do", refusals),
        trial("a_cut_answer_is_an_error", cut),
        trial("the_key_goes_to_the_server_and_nowhere_else", key),
        trial("addresses_that_are_none", addresses),
    ]
}

fn ask(url: &str, args: &[&str]) -> Ran {
    let folder = folder::<&str, &str>([]);
    run(chat(folder.path(), url)
        .args(args)
        .arg("x")
        .stdin(Stdio::null()))
}

fn nobody() {
    let (_, port) = free_port();
    let ran = ask(&format!("http://127.0.0.1:{port}"), &[]);
    assert_eq!((ran.code, &*ran.stdout), (Some(5), ""), "{ran:?}");
    for said in [&*port, "refused", "mxfp4 serve --model", "--url"] {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}

fn configured() {
    let rig = Rig::quick(&[says("", "Yes.")]);
    let port = rig.address.port();
    let toml = format!("[serve]\nport = {port}\n");
    let workspace = folder([("mxfp4.toml", &*toml), ("below/", "")]);
    let ran = run(mxfp4(&workspace.path().join("below"))
        .args(["chat", "x"])
        .stdin(Stdio::null()));
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "Yes.\n"), "{ran:?}");
    let nowhere = folder::<&str, &str>([]);
    let mut command = mxfp4(nowhere.path());
    command.args(["chat", "x"]).stdin(Stdio::null());
    let ran = run(command.env("MAX_SERVE_PORT", port.to_string()));
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "Yes.\n"), "{ran:?}");
    let broken = folder([("mxfp4.toml", "[serve\n")]);
    let ran = run(mxfp4(broken.path())
        .args(["chat", "x"])
        .stdin(Stdio::null()));
    assert_eq!(ran.code, Some(3), "{ran:?}");
}

const FULL: Say = Say::Status(
    "429 Too Many Requests",
    "retry-after: 7\r\n",
    r#"{"error":{"message":"as many \u001b[2Jwait as may"}}"#,
);
const STARTS: Say = Say::Status("503 Service Unavailable", "", "<html>");
const KEY: Say = Say::Status("401 Unauthorized", "", r#"{"error":{"message":"no key"}}"#);
const WRONG: Say = Say::Status("400 Bad Request", "", r#"{"error":{"message":"too long"}}"#);
const NOT_THERE: Say = Say::Status("404 Not Found", "", "");

fn refusals() {
    for (answers, code, said) in [
        (&[FULL], 1, "again in 7 seconds"),
        (&[STARTS], 5, "/health answers 200"),
        (&[KEY], 5, "MXFP4_API_KEY or --api-key"),
        (&[WRONG], 1, "too long"),
        (&[NOT_THERE], 5, "check the address"),
    ] {
        let ran = ask(&Fixed::chat(answers).url, &[]);
        assert_eq!((ran.code, &*ran.stdout), (Some(code), ""), "{ran:?}");
        assert!(
            ran.stderr.contains(said) && !ran.stderr.contains('\u{1b}'),
            "{ran:?}"
        );
        let ran = ask(&Fixed::start(&answers[0], answers).url, &["--json"]);
        let told: Value = serde_json::from_str(&ran.stdout).expect("an object");
        let error = told["error"].as_str().expect("it says why");
        let hint = told["hint"].as_str().map(|hint| format!("; {hint}"));
        let said = format!("error: {error}{}\n", hint.unwrap_or_default());
        assert_eq!(ran.stderr, said);
        assert_eq!(ran.code, Some(code), "{ran:?}");
    }
}

const PIECE: &str = r#"{"choices":[{"delta":{"content":"It is"}}]}"#;

fn cut() {
    for (answers, why) in [
        (&[Say::Events(&[PIECE])], "ended before the answer did"),
        (
            &[Say::Events(&[
                PIECE,
                r#"{"error":{"message":"the engine is gone"}}"#,
            ])],
            "the engine is gone",
        ),
        (&[Say::Events(&[PIECE, "{"])], "cannot be read"),
    ] {
        let ran = ask(&Fixed::chat(answers).url, &[]);
        assert_eq!((ran.code, &*ran.stdout), (Some(1), "It is\n"), "{ran:?}");
        assert!(
            ran.stderr.contains("not whole") && ran.stderr.contains(why),
            "{ran:?}"
        );
        let ran = ask(&Fixed::chat(answers).url, &["--json"]);
        let told: Value = serde_json::from_str(&ran.stdout).expect("an object");
        assert_eq!(told["kind"], "failed");
        assert!(
            told["error"]
                .as_str()
                .is_some_and(|error| error.contains(why)),
            "{told}"
        );
        assert!(told["answer"].is_null() && ran.code == Some(1), "{ran:?}");
    }
}

fn key() {
    let server = Fixed::chat(&[KEY]);
    let folder = folder::<&str, &str>([]);
    let mut command = chat(folder.path(), &server.url);
    command.args(["-vv", "x"]).stdin(Stdio::null());
    let ran = run(command.env("MXFP4_API_KEY", "sk-secret"));
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    for request in requests {
        assert!(
            request
                .to_ascii_lowercase()
                .contains("authorization: bearer sk-secret\r\n"),
            "{request}"
        );
    }
    assert!(
        !ran.stderr.contains("sk-secret") && ran.code == Some(5),
        "{ran:?}"
    );
    let ran = ask(&server.url, &["--api-key", "sk-secret\n"]);
    assert!(
        ran.code == Some(2) && !ran.stderr.contains("sk-secret"),
        "{ran:?}"
    );
    let help = run(mxfp4(folder.path())
        .args(["chat", "--help"])
        .env("MXFP4_API_KEY", "sk-secret"));
    assert!(!help.stdout.contains("sk-secret"), "{help:?}");
}

fn addresses() {
    for url in ["127.0.0.1:8000", "ftp://x", "http://", "http://a b"] {
        let ran = ask(url, &[]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    for idle in [
        &["--devices", "gpu"][..],
        &["--no-check"],
        &["--frontend", "max"],
    ] {
        let folder = folder::<&str, &str>([]);
        let ran = run(mxfp4(folder.path())
            .arg("chat")
            .args(idle)
            .stdin(Stdio::null())
            .arg("x"));
        assert!(
            ran.code == Some(2) && ran.stderr.contains(idle[0]),
            "{ran:?}"
        );
    }
    let folder = folder([("no.pem", "no certificate")]);
    let mut command = chat(folder.path(), "https://localhost:1");
    let ran = run(command
        .args(["--tls-ca", "no.pem", "x"])
        .stdin(Stdio::null()));
    let said =
        "error: --tls-ca no.pem: it has no certificate; give it a PEM file with certificates\n";
    assert!(ran.code == Some(2) && ran.stderr == said, "{ran:?}");
}
