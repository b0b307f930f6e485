use proptest::prelude::*;

use serde_json::json;

use super::*;
use crate::visible::visible;

const STYLE: Style = Style {
    color: false,
    width: 80,
};

fn line(stream: Stream, text: &str) -> Line {
    Line {
        stream,
        text: text.to_owned(),
    }
}

fn stderr(lines: &[&str]) -> Vec<Message> {
    let lines: Vec<_> = lines
        .iter()
        .map(|text| line(Stream::Stderr, text))
        .collect();
    parse(&lines)
}

fn rendered(lines: &[&str]) -> String {
    let messages = stderr(lines);
    let parts: Vec<_> = messages
        .iter()
        .map(|message| message.render(STYLE))
        .collect();
    parts.join("\n")
}

// As mojo 1.2.0 writes them.
const MISSING: &str = r#"{"diagnostic":{"file":"/w/a.mojo","fixIts":[],"location":{"column":17,"line":3},"ranges":[],"text":"def twice(x: Int -> Int:"},"kind":"error","message":"expected ')' in argument list"}"#;
const FN: &str = r#"{"diagnostic":{"file":"/w/a.mojo","fixIts":[{"end":{"column":3,"line":4},"start":{"column":1,"line":4},"text":"def"}],"location":{"column":0,"line":4},"ranges":[],"text":"fn old(x: Int) -> Int:"},"kind":"error","message":"'fn' has been removed; use 'def' instead"}"#;
const UNUSED: &str = r#"{"diagnostic":{"file":"/w/a.mojo","fixIts":[{"end":{"column":5,"line":14},"start":{"column":5,"line":14},"text":"_ = "}],"location":{"column":6,"line":14},"ranges":[{"end":9,"start":4}],"text":"    x + 1"},"kind":"warning","message":"'Int' value is unused; assign to '_' to discard the result"}"#;
const DEPRECATED: &str = r#"{"diagnostic":{"file":"/w/a.mojo","fixIts":[],"location":{"column":4,"line":13},"ranges":[{"end":5,"start":4}],"text":"    a()"},"kind":"warning","message":"use b"}"#;
const DECLARED: &str = r#"{"diagnostic":{"file":"/w/a.mojo","fixIts":[],"location":{"column":4,"line":2},"ranges":[],"text":"def a(): pass"},"kind":"note","message":"'a' declared here"}"#;
const WIDE: &str = r#"{"diagnostic":{"file":"/w/a.mojo","fixIts":[],"location":{"column":14,"line":8},"ranges":[],"text":"\tvar é = \"日本\""},"kind":"error","message":"unexpected character"}"#;
const FAILED: &str =
    r#"{"kind":"error","message":"failed to parse the provided Mojo source module"}"#;

#[test]
fn an_error_stands_under_its_source() {
    assert_eq!(
        rendered(&[MISSING]),
        "\
error: expected ')' in argument list
 --> /w/a.mojo:3:18
  |
3 | def twice(x: Int -> Int:
  |                  ^"
    );
}

#[test]
fn a_fix_is_shown() {
    assert_eq!(
        rendered(&[FN]),
        "\
error: 'fn' has been removed; use 'def' instead
 --> /w/a.mojo:4:1
  |
4 | fn old(x: Int) -> Int:
  | ^
  |
help: the compiler suggests
  |
4 - fn old(x: Int) -> Int:
4 + def old(x: Int) -> Int:
  |"
    );
    let unused = rendered(&[UNUSED]);
    assert!(unused.contains("\n  --> /w/a.mojo:14:7\n"), "{unused}");
    assert!(unused.contains("\n   |     --^--\n"), "{unused}");
    assert!(unused.contains("\n14 |     _ = x + 1\n"), "{unused}");
}

#[test]
fn a_note_belongs_to_what_it_explains() {
    let messages = stderr(&[DEPRECATED, DECLARED, UNUSED]);
    let [Message::Diagnostic(deprecated), Message::Diagnostic(unused)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(deprecated.notes.len(), 1);
    assert_eq!(unused.notes, []);
    let text = deprecated.render(STYLE);
    assert!(
        text.starts_with("warning: use b\n  --> /w/a.mojo:13:5\n"),
        "{text}"
    );
    assert!(
        text.contains("\nnote: 'a' declared here\n  --> /w/a.mojo:2:5\n"),
        "{text}"
    );
    let json = deprecated.to_json();
    assert_eq!(json["children"][0]["message"], "'a' declared here");
    assert_eq!((&json["line"], &json["column"]), (&13.into(), &5.into()));
}

#[test]
fn what_is_said_twice_is_shown_once() {
    assert_eq!(stderr(&[MISSING, UNUSED, MISSING]).len(), 2);
    // With another explanation it is another thing to say.
    assert_eq!(stderr(&[DEPRECATED, DECLARED, DEPRECATED]).len(), 2);
    assert_eq!(stderr(&["0 x", "0 x"]).len(), 2);
}

#[test]
fn columns_count_characters() {
    // Behind `é`, which has two bytes, and a tab.
    let messages = stderr(&[WIDE]);
    let [Message::Diagnostic(wide)] = &messages[..] else {
        panic!("{messages:?}");
    };
    let place = wide.place.as_ref().unwrap();
    assert_eq!(place.column(), 12);
    let text = wide.render(STYLE);
    assert!(text.contains(" --> /w/a.mojo:8:12\n"), "{text}");
    assert!(!text.contains('\t'), "{text}");
}

#[test]
fn the_summary_is_said_only_when_nothing_else_was() {
    let summary = line(Stream::Stdout, FAILED);
    let alone = parse(std::slice::from_ref(&summary));
    assert_eq!(alone.len(), 1);
    assert_eq!(
        alone[0].render(STYLE),
        "error: failed to parse the provided Mojo source module"
    );
    assert_eq!(parse(&[line(Stream::Stderr, MISSING), summary]).len(), 1);
}

#[test]
fn what_is_no_diagnostic_is_kept_as_text() {
    for text in [
        "Stack dump:",
        &MISSING[..60],
        "{}",
        r#"{"kind":"fatal","message":"x"}"#,
        r#"{"kind":3,"message":"x"}"#,
    ] {
        assert_eq!(stderr(&[text]), [Message::Text(text.to_owned())]);
    }
    // The message of a place that makes no sense is kept.
    for place in [
        "3",
        r#"{"file":"a","location":{"line":-1,"column":0}}"#,
        r#"{"file":"a","location":{"line":0,"column":0}}"#,
        r#"{"file":"a","location":{"line":99999999999,"column":0}}"#,
    ] {
        let text = format!(r#"{{"kind":"error","message":"m","diagnostic":{place}}}"#);
        assert_eq!(rendered(&[&text]), "error: m");
    }
    assert_eq!(stderr(&["", "  "]), []);
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\r\u{8}\u{202e}";
    let shown = Message::Text(hostile.to_owned()).render(STYLE);
    assert_eq!(shown, "␛]0;title␇␛[2J\u{fffd}31m␍␈\u{fffd}");
    let json = serde_json::json!({
        "kind": "error",
        "message": hostile,
        "diagnostic": {
            "file": hostile,
            "text": format!("{hostile}x"),
            "location": {"line": 1, "column": hostile.len()},
            "fixIts": [{
                "start": {"line": 1, "column": 1},
                "end": {"line": 1, "column": 2},
                "text": hostile
            }]
        }
    });
    check(&rendered(&[&json.to_string()]));
}

#[test]
fn the_corpus_is_shown_safely() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let messages = stderr(&text.split('\n').collect::<Vec<_>>());
        assert!(!messages.is_empty());
        for message in messages {
            check(&message.render(STYLE).replace('\t', " "));
        }
        files += 1;
    }
    assert!(files >= 5, "{files} files in {corpus}");
}

fn check(shown: &str) {
    for char in shown.chars() {
        assert!(
            char == '\n' || (!char.is_control() && !('\u{202a}'..='\u{202e}').contains(&char)),
            "{char:?} in {shown:?}"
        );
    }
}

/// Text with what is likely to break something in it.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\u{1b}[31m".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\t".to_owned()),
        Just("日本".to_owned()),
        Just("e\u{301}\u{200b}".to_owned()),
        Just("\u{fffd}".to_owned()),
        "[ -~]{0,12}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![0..40i64, any::<i64>(), Just(u32::MAX.into()), Just(-1)]
}

fn diagnostic() -> impl Strategy<Value = Value> {
    let point = || (number(), number()).prop_map(|(l, c)| json!({"line": l, "column": c}));
    let near = || (3..5i64, 0..30i64).prop_map(|(l, c)| json!({"line": l, "column": c}));
    let any_point = move || prop_oneof![near(), point()];
    let range = (number(), number()).prop_map(|(start, end)| json!({"start": start, "end": end}));
    let fix = (any_point(), any_point(), nasty())
        .prop_map(|(start, end, text)| json!({"start": start, "end": end, "text": text}));
    let kind = prop_oneof![Just("error"), Just("warning"), Just("note"), Just("odd")];
    (
        kind,
        nasty(),
        nasty(),
        nasty(),
        any_point(),
        prop::collection::vec(range, 0..4),
        prop::collection::vec(fix, 0..4),
    )
        .prop_map(|(kind, message, file, text, location, ranges, fixes)| {
            json!({"kind": kind, "message": message, "diagnostic": {
                "file": file, "text": text, "location": location, "ranges": ranges, "fixIts": fixes,
            }})
        })
}

fn output_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => diagnostic().prop_map(|value| value.to_string()),
        // Half a line: the compiler died, or another process wrote into it.
        2 => (diagnostic(), any::<prop::sample::Index>()).prop_map(|(value, index)| {
            let text = value.to_string();
            let end = boundary(&text, index.index(text.len()));
            text[..end].to_owned()
        }),
        1 => nasty(),
        1 => prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn whatever_the_compiler_writes_is_shown_safely(
        lines in prop::collection::vec((output_line(), any::<bool>()), 0..6),
        width in 0..300usize,
    ) {
        let lines: Vec<_> = lines
            .iter()
            .map(|(text, out)| line(if *out { Stream::Stdout } else { Stream::Stderr }, text))
            .collect();
        for message in parse(&lines) {
            check(&message.render(Style { color: false, width }).replace('\t', " "));
            let _ = message.render(Style { color: true, width });
            if let Message::Diagnostic(diagnostic) = &message {
                let first = diagnostic.message.lines().next().unwrap_or_default();
                let shown = message.render(STYLE);
                prop_assert!(shown.starts_with(diagnostic.level.name()));
                let first = visible(first).replace('\t', " ");
                prop_assert!(shown.contains(first.trim()), "{first:?} is not in {shown:?}");
                let _ = diagnostic.to_json();
            }
        }
    }
}
