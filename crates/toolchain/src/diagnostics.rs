//! What the Mojo compiler says, as `--diagnostic-format json` has it: read, and rendered for a person.
//!
//! The compiler is another's program, and a crash of it can write anything. What is no diagnostic is kept as text, and
//! nothing of it reaches a terminal unescaped: see [`visible`].

mod message;
mod render;

use mxfp4_process::{Line, Stream};
use serde::Deserialize;
use serde_json::Value;

pub use self::message::{Diagnostic, Level, Message, Place};
use self::message::{Fix, boundary};
pub use render::Style;

/// Reads the output of one run of the compiler.
pub fn parse(lines: &[Line]) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut has_error = false;
    for line in lines {
        let Some(diagnostic) = parse_line(&line.text) else {
            if !line.text.trim().is_empty() {
                messages.push(Message::Text(line.text.clone()));
            }
            continue;
        };
        // The last word of a failed run, on standard output: that it failed.
        let is_summary = line.stream == Stream::Stdout && diagnostic.place.is_none();
        if is_summary && has_error {
            continue;
        }
        has_error |= diagnostic.level == Level::Error;
        match messages.last_mut() {
            Some(Message::Diagnostic(explained)) if diagnostic.level == Level::Note => {
                explained.notes.push(diagnostic);
            }
            _ => messages.push(Message::Diagnostic(diagnostic)),
        }
    }
    said_once(messages)
}

/// Without what was said before, word for word: the compiler reads some lines more than once.
fn said_once(messages: Vec<Message>) -> Vec<Message> {
    let mut once: Vec<Message> = Vec::new();
    for message in messages {
        // A search for each: of many thousands nobody reads that the same is said twice.
        let is_new = once.len() > 1000 || !once.contains(&message);
        if is_new || matches!(message, Message::Text(_)) {
            once.push(message);
        }
    }
    once
}

/// The diagnostic that `line` is, if it is one.
fn parse_line(line: &str) -> Option<Diagnostic> {
    #[derive(Deserialize)]
    struct Raw {
        kind: String,
        message: String,
        #[serde(default)]
        diagnostic: Value,
    }
    let raw: Raw = serde_json::from_str(line).ok()?;
    let level = match raw.kind.as_str() {
        "error" => Level::Error,
        "warning" => Level::Warning,
        "note" | "remark" => Level::Note,
        _ => return None,
    };
    Some(Diagnostic {
        level,
        message: raw.message,
        // A place that cannot be understood is no reason to lose the message.
        place: serde_json::from_value(raw.diagnostic).ok().and_then(place),
        notes: Vec::new(),
    })
}

/// A place as the compiler writes it: columns count bytes, from 0 but for those of fix-its, which count from 1.
#[derive(Deserialize)]
struct RawPlace {
    file: String,
    location: RawPoint,
    #[serde(default)]
    text: String,
    #[serde(default)]
    ranges: Vec<RawRange>,
    #[serde(default, rename = "fixIts")]
    fixes: Vec<RawFix>,
}

#[derive(Deserialize)]
struct RawPoint {
    line: u32,
    column: u32,
}

#[derive(Deserialize)]
struct RawRange {
    start: u32,
    end: u32,
}

#[derive(Deserialize)]
struct RawFix {
    start: RawPoint,
    end: RawPoint,
    text: String,
}

fn place(raw: RawPlace) -> Option<Place> {
    if raw.file.is_empty() || raw.location.line == 0 {
        return None;
    }
    // One line, whatever it holds.
    let text = raw.text.replace(['\n', '\r'], " ");
    let at = |column: u32| boundary(&text, column as usize);
    let ranges = raw
        .ranges
        .iter()
        .map(|range| at(range.start)..at(range.end))
        .filter(|range| range.start < range.end)
        .collect();
    let point = |point: &RawPoint| (point.line as usize, point.column as usize);
    Some(Place {
        offset: at(raw.location.column),
        ranges,
        fixes: raw
            .fixes
            .into_iter()
            .map(|fix| Fix {
                start: point(&fix.start),
                end: point(&fix.end),
                replacement: fix.text,
            })
            .collect(),
        line: raw.location.line as usize,
        file: raw.file,
        text,
    })
}

#[cfg(test)]
mod tests;
