use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::Sender;

use crate::event::Event;
use crate::{Line, Stream};

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
