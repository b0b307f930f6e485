//! What the compiler can say.

use std::ops::Range;

use serde_json::{Value, json};

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
    pub(crate) offset: usize,
    /// What of `text` belongs to it.
    pub(crate) ranges: Vec<Range<usize>>,
    /// What the compiler would write instead.
    pub(crate) fixes: Vec<Fix>,
}

/// A piece of source that the compiler would replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// First line and column, both from 1; columns count bytes.
    pub start: (usize, usize),
    /// Last line, and the column behind the last character.
    pub end: (usize, usize),
    pub replacement: String,
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

/// The offset at or before `offset` that is between two characters of `text`.
pub fn boundary(text: &str, offset: usize) -> usize {
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
