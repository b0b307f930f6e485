//! What the Mojo compiler says, as `--diagnostic-format json` has it: read, and rendered for a person.
//!
//! The compiler is another's program, and a crash of it can write anything. What is no diagnostic is kept as text, and
//! nothing of it reaches a terminal unescaped: see [`visible`].

mod render;
mod visible;

use std::ops::Range;

use mxfp4_process::{Line, Stream};
use serde::Deserialize;
use serde_json::{Value, json};

pub use render::Style;
pub use visible::visible;

/// One thing that the compiler said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An error, a warning, or another diagnostic.
    Diagnostic(Diagnostic),
    /// A line that is none, as it was written.
    Text(String),
}

/// An error or a warning, and the notes that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub message: String,
    /// Where, when that is known.
    pub place: Option<Place>,
    /// What was said to explain it.
    pub notes: Vec<Diagnostic>,
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The build fails.
    Error,
    /// The build goes on.
    Warning,
    /// It explains another.
    Note,
}

/// Where in the sources something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the compiler names it.
    pub file: String,
    /// The line's number, from 1.
    pub line: usize,
    /// The text of that line.
    pub text: String,
    /// The offset in `text` of what is wrong; always between two characters.
    offset: usize,
    /// What of `text` belongs to it.
    ranges: Vec<Range<usize>>,
    /// What the compiler would write instead.
    fixes: Vec<Fix>,
}

/// A piece of source that the compiler would replace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fix {
    /// First line and column, both from 1; columns count bytes.
    start: (usize, usize),
    /// Last line, and the column behind the last character.
    end: (usize, usize),
    replacement: String,
}

impl Level {
    /// Its name in diagnostics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Place {
    /// The column, from 1 and in characters.
    pub fn column(&self) -> usize {
        self.text[..self.offset].chars().count() + 1
    }
}

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

/// The offset at or before `offset` that is between two characters of `text`.
fn boundary(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset)
}

impl Diagnostic {
    /// It and its notes as JSON: lines and columns count from 1, columns in characters.
    pub fn to_json(&self) -> Value {
        let place = self.place.as_ref();
        let fixes: Vec<Value> = place
            .into_iter()
            .flat_map(|place| &place.fixes)
            .map(|fix| {
                json!({
                    "start": {"line": fix.start.0, "byte_column": fix.start.1},
                    "end": {"line": fix.end.0, "byte_column": fix.end.1},
                    "replacement": fix.replacement,
                })
            })
            .collect();
        json!({
            "level": self.level.name(),
            "message": self.message,
            "file": place.map(|place| &place.file),
            "line": place.map(|place| place.line),
            "column": place.map(Place::column),
            "fixes": fixes,
            "children": self.notes.iter().map(Self::to_json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests;
