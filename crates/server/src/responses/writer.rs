//! The events of a response, written.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::answer::{Score, escape, put_json};

/// Writes events: each with its type as its name, and its number.
pub(super) struct Writer {
    pub(super) out: BytesMut,
    sequence: u64,
}

/// Where in a response a text is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) item: &'a str,
    pub(super) index: usize,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            out: BytesMut::new(),
            sequence: 0,
        }
    }

    /// An event that has the whole response.
    pub(super) fn response(&mut self, kind: &str, response: &RawValue) {
        self.begin(kind);
        self.out.put_slice(b",\"response\":");
        self.out.put_slice(response.get().as_bytes());
        self.end();
    }

    /// An event that has a whole item.
    pub(super) fn item(&mut self, kind: &str, index: usize, item: &impl Serialize) {
        self.begin(kind);
        self.member("output_index", &index);
        self.member("item", item);
        self.end();
    }

    /// An event of an item's text, whole: `members` follow its place.
    pub(super) fn text(&mut self, kind: &str, place: Place<'_>, members: Map<String, Value>) {
        self.begin(kind);
        self.place(place);
        for (key, value) in members {
            self.member(&key, &value);
        }
        self.end();
    }

    /// A piece of a text, and its tokens' log-probabilities where it may have some.
    pub(super) fn delta(
        &mut self,
        kind: &str,
        place: Place<'_>,
        text: &str,
        scores: Option<&[Score]>,
    ) {
        self.begin(kind);
        self.place(place);
        self.member("content_index", &0);
        let mut escaped = Vec::with_capacity(text.len() + 16);
        escape(&mut escaped, text);
        self.out.put_slice(b",\"delta\":\"");
        self.out.put_slice(&escaped);
        self.out.put_slice(b"\"");
        if let Some(scores) = scores {
            self.member("logprobs", &scores);
        }
        self.end();
    }

    /// A comment, so that nobody takes silence for the end.
    pub(super) fn silence(&mut self) {
        self.out.put_slice(b": the response goes on\n\n");
    }

    fn begin(&mut self, kind: &str) {
        for part in ["event: ", kind, "\ndata: {\"type\":\"", kind, "\""] {
            self.out.put_slice(part.as_bytes());
        }
        self.member("sequence_number", &self.sequence.clone());
        self.sequence += 1;
    }

    fn place(&mut self, place: Place<'_>) {
        self.member("item_id", &place.item);
        self.member("output_index", &place.index);
    }

    fn member(&mut self, key: &str, value: &impl Serialize) {
        for part in [",\"", key, "\":"] {
            self.out.put_slice(part.as_bytes());
        }
        put_json(&mut self.out, value);
    }

    fn end(&mut self) {
        self.out.put_slice(b"}\n\n");
    }
}
