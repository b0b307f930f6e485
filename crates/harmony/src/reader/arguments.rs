//! The arguments of a call as valid JSON.

use serde_json::Value;

use super::closed::Closed;

/// A call's arguments as JSON, or [`None`] where its content cannot be made JSON.
///
/// No content is `{}`. A function that was not `offered` takes an object only. What was cut is
/// a call only where its brackets are closed.
pub(super) fn arguments(content: &str, offered: bool, closed: Closed) -> Option<String> {
    let content = content.trim();
    if content.is_empty() {
        return (closed != Closed::Cut).then(|| "{}".to_owned());
    }
    let whole = match (offered, closed) {
        (false, _) => content.starts_with('{'),
        (true, Closed::Cut) => content.starts_with(['{', '[']),
        (true, _) => true,
    };
    if !whole {
        return None;
    }
    if is_json(content) {
        return Some(content.to_owned());
    }
    let mut repair = Repair::new(content);
    repair.run(closed == Closed::Call)?;
    is_json(&repair.out).then_some(repair.out)
}

/// Whether all JSON parsers take it: `1e999` and halves of surrogate pairs only some do.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// Makes JSON of what models write for it:
///
/// - control characters in strings are escaped, backslashes that escape nothing doubled,
///   halves of surrogate pairs replaced by U+FFFD;
/// - `NaN`, `Infinity` and `None` are `null`, `True` and `False` are lowercase;
/// - commas before a closing bracket and closing brackets after the last one are dropped;
/// - where `<|call|>` follows, missing closing brackets are added.
struct Repair<'c> {
    rest: &'c str,
    out: String,
    /// The brackets that are open, by what closes them.
    open: Vec<char>,
}

impl<'c> Repair<'c> {
    fn new(content: &'c str) -> Self {
        Self {
            rest: content,
            out: String::with_capacity(content.len() + 16),
            open: Vec::new(),
        }
    }

    /// Writes the repaired text. [`None`] where text would be lost by it.
    fn run(&mut self, complete: bool) -> Option<()> {
        while let Some(char) = self.next() {
            match char {
                '"' => self.string()?,
                '{' | '[' => {
                    self.open.push(if char == '{' { '}' } else { ']' });
                    self.out.push(char);
                }
                '}' | ']' => {
                    self.close(char)?;
                    if self.open.is_empty() {
                        let closers = |char: char| char.is_whitespace() || "}]".contains(char);
                        return self.rest.chars().all(closers).then_some(());
                    }
                }
                '-' if self.rest.starts_with("Infinity") => {}
                _ if char.is_ascii_alphabetic() => self.word(char),
                _ => self.out.push(char),
            }
        }
        while complete && let Some(closer) = self.open.last().copied() {
            self.close(closer)?;
        }
        Some(())
    }

    fn next(&mut self) -> Option<char> {
        let char = self.rest.chars().next()?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    fn close(&mut self, closer: char) -> Option<()> {
        if self.open.pop()? != closer {
            return None;
        }
        let written = self.out.trim_end();
        if written.ends_with(',') {
            self.out.truncate(written.len() - 1);
        }
        self.out.push(closer);
        Some(())
    }

    /// A word outside strings.
    fn word(&mut self, first: char) {
        let end = self.rest.find(|char: char| !char.is_ascii_alphanumeric());
        let (more, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let word = format!("{first}{more}");
        self.out.push_str(match word.as_str() {
            "NaN" | "Infinity" | "None" => "null",
            "True" => "true",
            "False" => "false",
            other => other,
        });
    }

    /// A string after its first quote. [`None`] where no other one follows.
    fn string(&mut self) -> Option<()> {
        self.out.push('"');
        loop {
            match self.next()? {
                '"' => break,
                '\\' => self.escape()?,
                char => self.character(char),
            }
        }
        self.out.push('"');
        Some(())
    }

    /// A character of a string.
    fn character(&mut self, char: char) {
        match char {
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\0'..'\x20' => self.out.push_str(&format!("\\u{:04x}", char as u32)),
            _ => self.out.push(char),
        }
    }

    /// What follows a backslash in a string.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            char @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                self.out.push('\\');
                self.out.push(char);
            }
            'u' if hex(self.rest).is_some() => self.unicode(),
            '\'' => self.out.push('\''),
            char => {
                // It escapes nothing: a path, a pattern.
                self.out.push_str("\\\\");
                self.character(char);
            }
        }
        Some(())
    }

    /// Four digits after `\u`, with the other half of a surrogate pair where they are one.
    fn unicode(&mut self) {
        let length = match hex(self.rest) {
            Some(0xD800..=0xDBFF) => {
                let other = self.rest[4..].strip_prefix("\\u").and_then(hex);
                if matches!(other, Some(0xDC00..=0xDFFF)) {
                    10
                } else {
                    0
                }
            }
            Some(0xDC00..=0xDFFF) => 0,
            _ => 4,
        };
        self.out.push_str("\\u");
        if length == 0 {
            self.out.push_str("fffd");
            self.rest = &self.rest[4..];
        } else {
            let (digits, rest) = self.rest.split_at(length);
            self.out.push_str(digits);
            self.rest = rest;
        }
    }
}

/// The number that four hexadecimal digits at a text's beginning are.
fn hex(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(content: &str) -> Option<String> {
        arguments(content, true, Closed::Call)
    }

    #[test]
    fn json_stays_as_it_was_written() {
        for text in [
            r#"{"a":  1.50}"#,
            "[]",
            "\"x\"",
            "5",
            r#"{"a":"\u00e9\ud83d\ude42"}"#,
        ] {
            assert_eq!(called(text).as_deref(), Some(text));
        }
        assert_eq!(called(" {} \n").as_deref(), Some("{}"));
        assert_eq!(called("").as_deref(), Some("{}"));
        assert_eq!(called(" \n").as_deref(), Some("{}"));
    }

    #[test]
    fn what_models_write_for_json_is_repaired() {
        for (written, json) in [
            (
                "{\"a\": \"one\ntwo\t\r\u{1}\"}",
                r#"{"a": "one\ntwo\t\r\u0001"}"#,
            ),
            (
                r#"{"a": NaN, "b": [-Infinity, Infinity]}"#,
                r#"{"a": null, "b": [null, null]}"#,
            ),
            (
                r#"{"a": True, "b": False, "c": None}"#,
                r#"{"a": true, "b": false, "c": null}"#,
            ),
            (
                r#"{"a": "\d+\.C:\Users it\'s"}"#,
                r#"{"a": "\\d+\\.C:\\Users it's"}"#,
            ),
            (r#"{"a": "\ud83d x \ude42"}"#, r#"{"a": "\ufffd x \ufffd"}"#),
            (r#"{"a": [1, 2, ], }"#, r#"{"a": [1, 2 ] }"#),
            (r#"{"a": {"b": 1}}}"#, r#"{"a": {"b": 1}}"#),
            (r#"{"a": {"b": [1"#, r#"{"a": {"b": [1]}}"#),
        ] {
            let repaired = called(written);
            let value = |text: &str| serde_json::from_str::<Value>(text).ok();
            assert_eq!(
                repaired.as_deref().and_then(value),
                value(json),
                "{written}"
            );
            assert!(value(json).is_some(), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_json_is_text() {
        for text in [
            "print(1)",
            "{\"a\": \"open",
            "{\"a\":",
            "{\"a\": 1} and more",
            "{\"a\": 1}{\"b\": 2}",
            "{a: 1}",
            "{\"a\": 1e999}",
            "[1}",
            "{\"a\": \"x\\",
            "]",
            "{\"a\" \"b\"}",
            "'a'",
        ] {
            assert_eq!(called(text), None, "{text}");
        }
        let deep = "[".repeat(500);
        assert_eq!(called(&deep), None);
    }

    #[test]
    fn a_cut_call_is_whole_or_none() {
        let cut = |text| arguments(text, true, Closed::Cut);
        assert_eq!(cut("{\"a\": 1}").as_deref(), Some("{\"a\": 1}"));
        for text in ["", "{\"a\": 1", "12", "{\"a\": [1]", "\"x\""] {
            assert_eq!(cut(text), None, "{text}");
        }
    }

    #[test]
    fn a_function_that_was_not_offered_takes_an_object() {
        let other = |text| arguments(text, false, Closed::Call);
        assert_eq!(other("{\"a\": 1}").as_deref(), Some("{\"a\": 1}"));
        assert_eq!(other("").as_deref(), Some("{}"));
        for text in ["[1]", "1", "print(1)"] {
            assert_eq!(other(text), None, "{text}");
        }
    }
}
