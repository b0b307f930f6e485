use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::commands::vscode::merge::Variable;

/// What a configuration of `launch.json` wants, in small.
fn wanted() -> Vec<(String, Merge)> {
    let configuration = vec![
        ("type".to_owned(), Merge::Exactly("mojo".into())),
        ("note".to_owned(), Merge::Something("ours".into())),
        (
            "buildArgs".to_owned(),
            Merge::Sequence(vec!["-I".into(), "kernels".into()]),
        ),
        (
            "env".to_owned(),
            Merge::Variables(vec![Variable {
                name: "P".into(),
                separator: ',',
                entries: vec!["a".into(), "${env:P}".into()],
            }]),
        ),
    ];
    vec![
        (
            "configurations".to_owned(),
            Merge::Entries("name", vec![("Ours".to_owned(), configuration)]),
        ),
        (
            "dirs".to_owned(),
            Merge::Among(vec!["x".into(), "y".into()]),
        ),
        (
            "names".to_owned(),
            Merge::AmongUnless("unwanted", vec!["m".into(), "n".into()]),
        ),
        (
            "watch".to_owned(),
            Merge::Object(vec![("**/a".to_owned(), Merge::Something(true.into()))]),
        ),
    ]
}

/// A file with everything of ours, and with much of somebody else's.
const FULL: &str = r#"// Of the team.
{
  "mine": [1, 2.5e3, null, {"deep": [[]]}], // stays
  "configurations": [
    /* theirs */ {"name": "Theirs", "type": "python"},
    {
      "name": "Ours",
      "type": "mojo", "note": "changed",
      "buildArgs": ["-O0", "-I", "kernels"],
      "env": [
        "FLAG=1", // why
        "P=a,mine,${env:P}",
      ],
    },
  ],
  "dirs": ["z", "y", "x"],
  "names": ["n"], "unwanted": ["m"],
  "watch": {"**/a": false, "**/b": true},
}
"#;

fn edit(text: &str) -> String {
    edited(text, &wanted()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn value(text: &str) -> serde_json::Value {
    let root = CstRootNode::parse(text.trim_start_matches('\u{feff}'), &OPTIONS).unwrap();
    root.to_serde_value().unwrap()
}

#[test]
fn what_is_right_already_is_not_touched() {
    assert_eq!(edit(FULL), FULL);
    let crlf = FULL.replace('\n', "\r\n");
    assert_eq!(edit(&crlf), crlf);
    let marked = format!("\u{feff}{FULL}");
    assert_eq!(edit(&marked), marked);
}

#[test]
fn nothing_becomes_everything() {
    for nothing in ["", " \n", "{}", "// a note\n{}\n", "{ }", "\u{feff}"] {
        let text = edit(nothing);
        assert_eq!(edit(&text), text, "{nothing:?}");
        let value = value(&text);
        let ours = &value["configurations"][0];
        assert_eq!(ours["name"], "Ours");
        assert_eq!(ours["env"], serde_json::json!(["P=a,${env:P}"]));
        assert_eq!(value["names"], serde_json::json!(["m", "n"]));
        assert_eq!(value["watch"], serde_json::json!({"**/a": true}));
    }
    assert!(edit("// a note\n{}\n").starts_with("// a note\n"));
    assert!(edit("// a note").contains("// a note"));
}

#[test]
fn what_is_wrong_is_mended_and_everything_else_stays() {
    for (wrong, right) in [
        (r#""type": "mojo""#, r#""type": "lldb""#),
        (r#"["-O0", "-I", "kernels"]"#, r#"["-O0"]"#),
        (r#""P=a,mine,${env:P}","#, ""),
        (r#""P=a,mine,${env:P}","#, r#""P=b""#),
        (r#""P=a,mine,${env:P}","#, r#""P=b", "P=a,${env:P}""#),
        (r#""P=a,mine,${env:P}","#, r#""P""#),
        (r#"["z", "y", "x"]"#, r#"["z"]"#),
        (r#"{"**/a": false, "**/b": true}"#, r#"{"**/b": true}"#),
        (r#"["n"]"#, "[]"),
    ] {
        let before = FULL.replace(wrong, right);
        assert_ne!(before, FULL);
        let after = edit(&before);
        assert_ne!(after, before, "{right} was not mended");
        assert_eq!(edit(&after), after);
        let value = value(&after);
        let ours = &value["configurations"][1];
        assert_eq!(ours["type"], "mojo");
        assert_eq!(ours["note"], "changed");
        let env = ours["env"].as_array().unwrap();
        let set: Vec<&str> = env
            .iter()
            .filter_map(|v| v.as_str()?.strip_prefix("P="))
            .collect();
        assert_eq!(set.len(), 1, "{after}");
        assert!(env.contains(&"FLAG=1".into()));
        assert_eq!(
            value["mine"],
            serde_json::json!([1, 2500.0, null, {"deep": [[]]}])
        );
        assert_eq!(value["configurations"][0]["name"], "Theirs");
        assert!(value["dirs"].as_array().unwrap().contains(&"z".into()));
        assert_eq!(value["watch"]["**/b"], true);
        for comment in ["// Of the team.", "// stays", "/* theirs */", "// why"] {
            assert!(after.contains(comment), "{comment} is gone: {after}");
        }
    }
}

#[test]
fn of_two_properties_the_one_that_counts_is_mended() {
    let twice = r#"{"configurations": [{"name": "Ours", "type": "mojo", "type": "lldb"}]}"#;
    let after = edit(twice);
    assert_eq!(after.matches(r#""type": "mojo""#).count(), 2, "{after}");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let deep = "[".repeat(100_000);
    for (text, says) in [
        ("{", "not JSON"),
        ("{\"a\": 1", "not JSON"),
        ("{\"a\" 1}", "not JSON"),
        ("{a: 1}", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ("{\"a\": 1} {}", "not JSON"),
        ("{\"a\": \"\\x\"}", "not JSON"),
        ("{\"a\": 1 \"b\": 2}", "not JSON"),
        ("/* open", "not JSON"),
        ("<<<<<<< HEAD\n{}", "not JSON"),
        ("\0", "not JSON"),
        (deep.as_str(), "depth"),
        ("[]", "something else than an object"),
        ("null", "something else than an object"),
        ("\"{}\"", "something else than an object"),
        ("{\"configurations\": {}}", "`configurations` is not a list"),
        (
            "{\"configurations\": null}",
            "`configurations` is not a list",
        ),
        (
            "{\"configurations\": [1, {\"name\": \"Ours\", \"env\": {\"P\": \"a\"}}]}",
            "`configurations[1].env` is not a list",
        ),
        ("{\"dirs\": \"x\"}", "`dirs` is not a list"),
        ("{\"watch\": []}", "`watch` is not an object"),
    ] {
        let error = edited(text, &wanted()).expect_err(&text[..text.len().min(40)]);
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// Whatever a file holds, it is edited once and for all or refused, and nothing panics.
#[test]
fn damaged_files_are_edited_or_refused() {
    const PIECES: [&str; 16] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "//",
        "/*",
        "\\",
        "\n",
        "null",
        "\u{feff}",
        "é",
        "\"name\": \"Ours\"",
        "1e",
    ];
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..4000 {
        let mut text = FULL.to_owned();
        for _ in 0..=random(3) {
            let at = text.floor_char_boundary(random(text.len() + 1));
            let end = text
                .floor_char_boundary((at + random(12)).min(text.len()))
                .max(at);
            match random(3) {
                0 => text.insert_str(at, PIECES[random(PIECES.len())]),
                1 => text.replace_range(at..end, ""),
                _ => text.truncate(end),
            }
        }
        match edited(&text, &wanted()) {
            Ok(after) => {
                accepted += 1;
                let again = edited(&after, &wanted());
                assert_eq!(again.as_ref(), Ok(&after), "from {text}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} {refused}");
}

#[test]
fn a_file_is_replaced_whole_and_a_link_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".vscode/launch.json");
    let document = Document::edit(&path, &wanted()).unwrap();
    assert!(document.is_changed());
    assert!(!folder.path().join(".vscode").exists());
    document.write().unwrap();
    assert!(!Document::edit(&path, &wanted()).unwrap().is_changed());

    let real = folder.path().join("real.json");
    fs::write(&real, "{\"mine\": 1}").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path().join(".vscode/link.json");
    symlink("../real.json", &link).unwrap();
    Document::edit(&link, &wanted()).unwrap().write().unwrap();
    assert!(link.is_symlink());
    assert_eq!(value(&fs::read_to_string(&real).unwrap())["mine"], 1);
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("bytes"), b"{\"a\": \"\xff\"}").unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    fs::File::create(path("large"))
        .unwrap()
        .set_len(LONGEST + 1)
        .unwrap();
    let made = Command::new("mkfifo").arg(path("pipe")).status();
    let pipe = made
        .is_ok_and(|status| status.success())
        .then_some(("pipe", "not a file"));
    let others = [
        ("folder", "not a file"),
        ("bytes", "not UTF-8"),
        ("dangling", "cannot be read"),
        ("large", "too large"),
        ("bytes/launch.json", "cannot be read"),
    ];
    for (name, says) in others.into_iter().chain(pipe) {
        let Err(problem) = Document::edit(&path(name), &wanted()) else {
            panic!("{name} was read");
        };
        let text = problem.to_string();
        assert!(
            text.contains(says) && text.contains("mxfp4 vscode"),
            "{text}"
        );
    }
}
