//! Random answers in the model's form, as tokens.

use std::fmt;

use mxfp4_harmony::{Call, Item};
use proptest::prelude::*;

use crate::reading::harmony;
use crate::schema::value;
use crate::text::{name, text};

/// How a call's header is written.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// The recipient stands before the channel, not after it.
    recipient_first: bool,
    /// `<|constrain|>json`, with a space before it or none; ` json`; nothing.
    content_type: Option<&'static str>,
    /// The reasoning's channel, where some models call too.
    analysis: bool,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vocabulary = harmony().vocabulary().clone();
        let tokens: Vec<_> = self
            .tokens
            .iter()
            .map(|id| vocabulary.decode(&[*id]))
            .collect();
        write!(
            f,
            "{:?} {}, offered {:?}",
            self.tokens,
            tokens.join("·"),
            self.offered
        )
    }
}

/// A message as the model writes it.
#[derive(Clone, Debug)]
struct Written {
    item: Item,
    form: Form,
}

/// What the model writes.
#[derive(Clone)]
pub struct Output {
    /// The functions of the request.
    pub offered: Vec<String>,
    pub tokens: Vec<u32>,
}

fn form() -> impl Strategy<Value = Form> {
    let types = vec![
        Some(" <|constrain|>json"),
        Some("<|constrain|>json"),
        Some(" json"),
        None,
    ];
    (
        any::<bool>(),
        prop::sample::select(types),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(recipient_first, content_type, analysis)| Form {
            recipient_first,
            content_type,
            analysis,
        })
}

/// A call with JSON for arguments, or none.
fn call() -> impl Strategy<Value = Call> {
    let object = prop::collection::vec((text(), value()), 0..4)
        .prop_map(|pairs| serde_json::Value::from_iter(pairs).to_string());
    let arguments = prop_oneof![6 => object, 1 => Just(String::new())];
    (name(), arguments).prop_map(|(name, arguments)| Call { name, arguments })
}

fn written() -> impl Strategy<Value = Written> {
    let item = prop_oneof![
        2 => text().prop_map(Item::Reasoning),
        1 => text().prop_map(Item::Preamble),
        2 => text().prop_map(Item::Final),
        2 => call().prop_map(Item::Call),
    ];
    (item, form()).prop_map(|(item, form)| Written { item, form })
}

/// An answer that keeps the format. Its last message may be open.
pub fn output() -> impl Strategy<Value = Output> {
    let ends = prop::sample::select(vec!["<|return|>", "<|end|>", ""]);
    let messages = prop::collection::vec(written(), 1..6);
    (messages, ends, prop::bool::weighted(0.7)).prop_map(|(messages, end, all_offered)| {
        let calls = messages.iter().filter_map(|message| match &message.item {
            Item::Call(call) => Some(call.name.clone()),
            _ => None,
        });
        let mut offered = vec!["get_weather".to_owned()];
        offered.extend(calls.filter(|_| all_offered));
        let tokens = tokens(&messages, end);
        Output { offered, tokens }
    })
}

/// The tokens after `<|start|>assistant`.
fn tokens(messages: &[Written], end: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            special("<|start|>assistant", &mut tokens);
        }
        message.write(&mut tokens);
        let is_last = at + 1 == messages.len();
        let end = match (&message.item, is_last) {
            // A call that is cut before its arguments is none.
            (Item::Call(call), true) if !end.is_empty() || call.arguments.is_empty() => "<|call|>",
            (_, true) => end,
            (_, false) => "<|end|>",
        };
        special(end, &mut tokens);
    }
    tokens
}

/// Adds a text in which special tokens stand by name.
pub fn special(text: &str, tokens: &mut Vec<u32>) {
    tokens.extend(harmony().vocabulary().encode_with_special(text));
}

impl Written {
    fn write(&self, tokens: &mut Vec<u32>) {
        let (header, content) = match &self.item {
            Item::Reasoning(text) => ("<|channel|>analysis".to_owned(), text),
            Item::Preamble(text) => ("<|channel|>commentary".to_owned(), text),
            Item::Final(text) => ("<|channel|>final".to_owned(), text),
            Item::Call(call) => (self.form.header(&call.name), &call.arguments),
        };
        special(&format!("{header}<|message|>"), tokens);
        tokens.extend(harmony().vocabulary().encode(content));
    }
}

impl Form {
    fn header(&self, name: &str) -> String {
        let channel = if self.analysis {
            "analysis"
        } else {
            "commentary"
        };
        let content_type = self.content_type.unwrap_or_default();
        match self.recipient_first {
            true => format!(" to=functions.{name}<|channel|>{channel}{content_type}"),
            false => format!("<|channel|>{channel} to=functions.{name}{content_type}"),
        }
    }
}
