//! xgrammar's EBNF of texts as they stand in a JSON string.

use std::fmt::Write;

use serde_json::Value;

/// A text of EBNF.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                out.push('\\');
                out.push(char);
            }
            ' '..='~' => out.push(char),
            _ => out.push_str(&escaped(char)),
        }
    }
    out.push('"');
    out
}

/// A text as it stands in a JSON string.
pub(super) fn literal(text: &str) -> String {
    let json = Value::from(text).to_string();
    quoted(&json[1..json.len() - 1])
}

/// One character of ranges, as it stands in a JSON string.
pub(super) fn class(ranges: impl IntoIterator<Item = (char, char)>) -> String {
    let mut plain = String::new();
    let mut ways = Vec::new();
    for (first, last) in ranges {
        let mut next = Some(first);
        for special in ('\0'..' ').chain(['"', '\\']) {
            if (first..=last).contains(&special) {
                ways.push(literal(special.encode_utf8(&mut [0; 4])));
            }
        }
        // What stands for itself is what is between those.
        for (from, to) in [(' ', '!'), ('#', '['), (']', char::MAX)] {
            let (from, to) = (from.max(first), to.min(last));
            if from <= to && next.is_some_and(|next| from >= next) {
                range(&mut plain, from, to);
                next = Some(to);
            }
        }
    }
    if !plain.is_empty() {
        ways.push(format!("[{plain}]"));
    }
    match ways.len() {
        // Nothing is in it: a text that no model writes.
        0 => "[\\x00]".to_owned(),
        1 => ways.remove(0),
        _ => format!("({})", ways.join(" | ")),
    }
}

fn range(out: &mut String, from: char, to: char) {
    out.push_str(&in_class(from));
    if from < to {
        out.push('-');
        out.push_str(&in_class(to));
    }
}

fn in_class(char: char) -> String {
    match char {
        'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' => char.to_string(),
        _ => escaped(char),
    }
}

fn escaped(char: char) -> String {
    let mut out = String::new();
    let code = u32::from(char);
    // Writing to a string does not fail.
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    out
}
