//! What is kept with a response: the items that it answered.

use serde_json::{Map, Value, json};

use super::context::Context;
use crate::api_error::{ApiError, excerpt};
use crate::json::Object;

/// A response's own input, to be kept.
pub(crate) struct Input {
    pub(super) previous: Option<String>,
    /// A JSON array.
    pub(super) items: String,
}

impl Input {
    /// The items of `input`, each with an id.
    pub(super) fn read(
        body: &mut Object<'_>,
        previous: Option<String>,
        context: &Context,
    ) -> Result<Self, ApiError> {
        let items = match body.get("input") {
            Some(field) if field.is_string() => vec![message(field.string()?)],
            Some(field) => field.read()?,
            None => Vec::new(),
        };
        let items = items.into_iter().enumerate();
        let items: Vec<Value> = items.map(|(at, item)| named(item, at, context)).collect();
        Ok(Self {
            previous,
            items: Value::from(items).to_string(),
        })
    }
}

fn message(text: String) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// An item with an id of its own, by which it can be referred to, its type, and its text in parts,
/// as clients expect it.
fn named(item: Value, at: usize, context: &Context) -> Value {
    let Value::Object(mut item) = item else {
        return item;
    };
    let kind = item.entry("type").or_insert_with(|| "message".into());
    let (prefix, is_message) = match kind.as_str() {
        Some("message") => ("msg", true),
        Some("reasoning") => ("rs", false),
        Some("function_call") => ("fc", false),
        Some("function_call_output") => ("fco", false),
        Some("custom_tool_call") => ("ctc", false),
        Some("custom_tool_call_output") => ("ctco", false),
        _ => ("item", false),
    };
    if is_message {
        in_parts(&mut item);
    }
    if !item.get("id").is_some_and(Value::is_string) {
        item.insert(
            "id".to_owned(),
            format!("{prefix}_{}_i{at}", context.id).into(),
        );
    }
    item.into()
}

fn in_parts(message: &mut Map<String, Value>) {
    let is_assistant = message.get("role").is_some_and(|role| role == "assistant");
    if let Some(Value::String(text)) = message.get_mut("content") {
        let text = std::mem::take(text);
        let part = match is_assistant {
            true => json!({"type": "output_text", "text": text, "annotations": []}),
            false => json!({"type": "input_text", "text": text}),
        };
        message.insert("content".to_owned(), json!([part]));
    }
}

/// Which of a response's input items are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    after: Option<String>,
    limit: usize,
    newest_first: bool,
}

impl Page {
    /// Reads a query, as `after=ID&limit=20&order=asc`.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let mut page = Self {
            after: None,
            limit: 20,
            newest_first: true,
        };
        for (key, value) in pairs {
            match key.as_str() {
                "after" => page.after = Some(value.clone()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=100).contains(limit));
                    page.limit = limit.ok_or_else(|| {
                        ApiError::field("limit", "must be an integer from 1 to 100")
                    })?;
                }
                "order" => {
                    page.newest_first = match value.as_str() {
                        "asc" => false,
                        "desc" => true,
                        other => {
                            let other = excerpt(other);
                            let why = format!("{other:?} is not known here; send asc or desc");
                            return Err(ApiError::field("order", why));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(page)
    }
}

/// The items that a response answered.
pub(crate) struct InputItems;

impl InputItems {
    /// A page of them as JSON: those of the responses that it went on from are among them.
    pub(crate) fn page(
        context: &Context,
        id: &str,
        page: &Page,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        if context.find(id)?.is_none() {
            return Ok(None);
        }
        let chain = context.chain("previous_response_id", id)?;
        let mut items: Vec<Value> = Vec::new();
        for (at, entry) in chain.iter().enumerate() {
            items.extend(array(&entry.input));
            if at + 1 < chain.len() {
                items.extend(array(&entry.output));
            }
        }
        if page.newest_first {
            items.reverse();
        }
        if let Some(after) = &page.after {
            let at = items.iter().position(|item| item["id"] == **after);
            let at = at.ok_or_else(|| {
                ApiError::field(
                    "after",
                    format_args!("no item is called {:?}", excerpt(after)),
                )
            })?;
            items.drain(..=at);
        }
        let more = items.len() > page.limit;
        items.truncate(page.limit);
        let id = |item: Option<&Value>| item.map(|item| item["id"].clone());
        let list = json!({
            "object": "list",
            "first_id": id(items.first()),
            "last_id": id(items.last()),
            "has_more": more,
            "data": items,
        });
        Ok(Some(list.to_string().into_bytes()))
    }
}

/// What was kept is JSON.
fn array(items: &str) -> Vec<Value> {
    serde_json::from_str(items).unwrap_or_default()
}
