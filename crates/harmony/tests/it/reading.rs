//! Answers as the reader tells them, joined.

use std::sync::OnceLock;

use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_harmony::{Call, End, Event, Harmony, Item, Kind, Part, Reader};

/// The published vocabulary, with the format's tokens.
pub fn harmony() -> &'static Harmony {
    static HARMONY: OnceLock<Harmony> = OnceLock::new();
    HARMONY.get_or_init(|| {
        let vocabulary = published_vocabulary().expect("tests without it are skipped");
        Harmony::new(vocabulary).expect("the published vocabulary has the format's tokens")
    })
}

/// What a reader told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub items: Vec<Item>,
    pub end: Option<End>,
    pub parts: Vec<Part>,
}

impl Answer {
    /// All reasoning, content and calls, each joined.
    pub fn reasoning(&self) -> String {
        self.joined(|item| match item {
            Item::Reasoning(text) => Some(text),
            _ => None,
        })
    }

    pub fn content(&self) -> String {
        self.joined(|item| match item {
            Item::Preamble(text) | Item::Final(text) => Some(text),
            _ => None,
        })
    }

    pub fn calls(&self) -> Vec<Call> {
        let calls = self.items.iter().filter_map(|item| match item {
            Item::Call(call) => Some(call.clone()),
            _ => None,
        });
        calls.collect()
    }

    fn joined(&self, text: impl Fn(&Item) -> Option<&String>) -> String {
        self.items.iter().filter_map(text).cloned().collect()
    }

    /// Adds an event as a client would. Pieces of text must follow their message's beginning,
    /// none may be empty, and nothing may follow the end.
    pub fn add(&mut self, event: Event<'_>) {
        assert_eq!(self.end, None, "{event:?} after the end");
        match event {
            Event::Message(Kind::Reasoning) => self.items.push(Item::Reasoning(String::new())),
            Event::Message(Kind::Preamble) => self.items.push(Item::Preamble(String::new())),
            Event::Message(Kind::Final) => self.items.push(Item::Final(String::new())),
            Event::Reasoning(piece) => match self.items.last_mut() {
                Some(Item::Reasoning(text)) if !piece.is_empty() => text.push_str(piece),
                other => panic!("{piece:?} after {other:?}"),
            },
            Event::Content(piece) => match self.items.last_mut() {
                Some(Item::Preamble(text) | Item::Final(text)) if !piece.is_empty() => {
                    text.push_str(piece);
                }
                other => panic!("{piece:?} after {other:?}"),
            },
            Event::Call { name, arguments } => {
                self.items.push(Item::Call(Call { name, arguments }))
            }
            Event::End(end) => self.end = Some(end),
        }
    }
}

/// Reads tokens with a reader, to the end.
pub fn read_with(mut reader: Reader, tokens: &[u32]) -> Answer {
    let mut answer = Answer::default();
    for token in tokens {
        let part = reader.push(*token, &mut |event| answer.add(event));
        answer.parts.push(part);
    }
    reader.finish(&mut |event| answer.add(event));
    answer
}

/// Reads what follows `<|start|>assistant`.
pub fn read(offered: &[&str], tokens: &[u32]) -> Answer {
    read_with(harmony().reader(offered), tokens)
}
