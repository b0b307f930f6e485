use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::Warning;
use crate::fixture::{Fixture, told};
use crate::{Environment, Error, Variable};

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
        warnings: vec![Warning::TooLong],
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

/// As [`environment`], in what is text.
fn of_text() -> Environment {
    let mut environment = environment();
    environment
        .variables
        .retain(|variable| variable.name != "NOT_TEXT");
    environment
}

/// One variable of this value.
fn holding(value: &str) -> Environment {
    Environment {
        variables: vec![Variable {
            name: "X".into(),
            value: Some(value.into()),
            reason: String::new(),
        }],
        warnings: Vec::new(),
    }
}

fn shown(code: Result<Vec<u8>, Error>) -> String {
    String::from_utf8(code.unwrap()).unwrap()
}

#[test]
fn fish_gets_what_is_not_text_byte_by_byte() {
    let text = String::from_utf8(fish(&environment())).unwrap();
    insta::assert_snapshot!(text, @r#"
    set -gx PLAIN '/a/b:c,d-e_f.g'
    set -gx EMPTY ''
    set -gx HOSTILE 'it\'s "a" $b `c`
    \\d!'
    set -gx HOME_LIKE '~/a:~b'
    set -gx NOT_TEXT '/'\Xff''
    set -q GONE; and set -e GONE
    "#);
}

#[test]
fn nu_gets_words_in_double_quotes_and_path_as_a_list() {
    let mut environment = of_text();
    environment.variables[0].name = "PATH".into();
    insta::assert_snapshot!(shown(nu(&environment)), @r#"
    load-env {PATH: ["/a/b" "c,d-e_f.g"]}
    load-env {EMPTY: ""}
    load-env {HOSTILE: "it's \"a\" $b `c`\u{a}\\d!"}
    load-env {HOME_LIKE: "~/a:~b"}
    hide-env --ignore-errors GONE
    hide-env --ignore-errors GONE
    "#);
}

#[test]
fn powershell_gets_every_kind_of_single_quote_twice() {
    let mut environment = of_text();
    environment
        .variables
        .retain(|variable| variable.name != "EMPTY");
    environment.variables[0].value = Some("\u{2019}; id".into());
    insta::assert_snapshot!(shown(powershell(&environment)), @r#"
    $env:PLAIN = '’’; id'
    $env:HOSTILE = 'it''s "a" $b `c`' + [char]10 + '\d!'
    $env:HOME_LIKE = '~/a:~b'
    Remove-Item -LiteralPath Env:GONE -ErrorAction Ignore
    "#);
}

#[test]
fn dotenv_has_only_what_its_readers_agree_about() {
    for (value, expected) in [
        ("/a/b:c", "X=/a/b:c"),
        ("", "X=''"),
        (
            "$(id) `id` \"q\" $X #\n\\d ~ é",
            "X='$(id) `id` \"q\" $X #\n\\d ~ é'",
        ),
        ("it's # \t~", "X=\"it's # \t~\""),
    ] {
        assert_eq!(shown(dotenv(&holding(value))), format!("{expected}\n"));
    }
    for (value, what) in [
        ("a'\"", "a single quote beside"),
        ("a'$b", "a single quote beside"),
        ("a'\n", "a single quote beside"),
        ("a\\\\b", "two backslashes"),
        ("a \\", "two backslashes"),
        ("${a}", "`${`"),
        ("a\rb", "a carriage return"),
    ] {
        let message = told(&dotenv(&holding(value)).unwrap_err());
        assert!(
            message.contains("the value of X has") && message.contains(what),
            "{message}"
        );
        assert!(
            message.contains("a .env file") && message.contains("--shell"),
            "{message}"
        );
    }
    let mut environment = holding("x");
    environment.variables[0].value = None;
    assert_eq!(shown(dotenv(&environment)), "# X must not be set\n");
}

#[test]
fn github_actions_gets_values_between_words_that_are_not_in_them() {
    let value = "a\nMXFP4_END\nPATH<<MXFP4_END_\n/evil\nMXFP4_END_";
    let expected = format!("X<<MXFP4_END__\n{value}\nMXFP4_END__\n");
    assert_eq!(shown(github_actions(&holding(value))), expected);
    let mut environment = holding("");
    environment.variables[0].value = None;
    assert_eq!(
        shown(github_actions(&environment)),
        "X<<MXFP4_END\n\nMXFP4_END\n"
    );
}

#[test]
fn what_a_language_cannot_express_is_refused_by_name() {
    for (language, render) in [
        ("nu", nu as fn(&Environment) -> Result<Vec<u8>, Error>),
        ("PowerShell", powershell),
        ("a .env file", dotenv),
        ("GITHUB_ENV", github_actions),
    ] {
        let mut environment = environment();
        environment
            .variables
            .retain(|variable| variable.name == "NOT_TEXT");
        let error = render(&environment).unwrap_err();
        assert_eq!(error.exit().code(), 3);
        let message = told(&error);
        let expected =
            format!("NOT_TEXT has bytes that are not UTF-8, which {language} cannot express");
        assert!(
            message.contains(&expected) && message.contains("--shell"),
            "{message}"
        );
    }
    let message = told(&powershell(&holding("")).unwrap_err());
    assert!(message.contains("X has nothing in it"), "{message}");
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
    assert_eq!(json["warnings"][0], Warning::TooLong.to_string());
}
