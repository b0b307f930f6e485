use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::fixture::Fixture;
use crate::{Environment, Variable};

fn environment() -> Environment {
    let variable = |name: &str, value: Option<OsString>| Variable {
        name: name.into(),
        value,
        reason: "because".into(),
    };
    Environment {
        variables: vec![
            variable("PLAIN", Some("/a/b:c,d-e_f.g".into())),
            variable("EMPTY", Some("".into())),
            variable("HOSTILE", Some("it's \"a\" $b `c`\n\\d!".into())),
            variable("HOME_LIKE", Some("~/a:~b".into())),
            variable("NOT_TEXT", Some(OsString::from_vec(vec![b'/', 0xff]))),
            variable("GONE", None),
        ],
        warnings: vec!["careful".into()],
    }
}

#[test]
fn a_shell_gets_words_in_single_quotes() {
    let text = String::from_utf8_lossy(&posix(&environment())).into_owned();
    insta::assert_snapshot!(text, @r#"
    export PLAIN=/a/b:c,d-e_f.g
    export EMPTY=''
    export HOSTILE='it'\''s "a" $b `c`
    \d!'
    export HOME_LIKE='~/a:~b'
    export NOT_TEXT='/�'
    unset GONE
    "#);
    assert!(
        posix(&environment())
            .windows(3)
            .any(|bytes| bytes == b"/\xff'")
    );
}

#[test]
fn json_holds_text_as_text_and_the_rest_as_bytes() {
    insta::assert_snapshot!(json(&environment()), @r#"
    {
      "PLAIN": "/a/b:c,d-e_f.g",
      "EMPTY": "",
      "HOSTILE": "it's \"a\" $b `c`\n\\d!",
      "HOME_LIKE": "~/a:~b",
      "NOT_TEXT": {
        "bytes": [
          47,
          255
        ]
      },
      "GONE": null
    }
    "#);
}

#[test]
fn explanations_name_the_workspace_the_sdk_and_each_reason() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let (workspace, sdk) = (fixture.workspace(), fixture.sdk());
    let text = explain(&workspace, sdk.as_ref(), &fixture.compute());
    insta::assert_snapshot!(fixture.shown(&text));
    let json: Value =
        serde_json::from_str(&json_explained(&workspace, sdk.as_ref(), &environment())).unwrap();
    assert_eq!(json["layout"], "standalone");
    assert_eq!(json["sdk"]["source"], "the workspace's own");
    assert_eq!(json["variables"][0]["reason"], "because");
    assert_eq!(json["warnings"][0], "careful");
}
