use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::Sender;

use crate::supervise::Event;

/// Where a child wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a child's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it was written.
    pub stream: Stream,
    /// Its text without the line break. Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Reads `source` to its end, sending every line; a last line without a line
/// break counts.
pub(crate) fn forward(stream: Stream, source: impl Read, events: &Sender<Event>) {
    let mut reader = BufReader::new(source);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if events.send(Event::Line(Line { stream, text })).is_err() {
            return;
        }
        bytes.clear();
    }
    let _ = events.send(Event::EndOfStream);
}
