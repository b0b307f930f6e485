//! A request's items, as turns of a conversation: those that a chat's messages become.

use std::collections::HashMap;

use mxfp4_harmony::{Call, Item, Turn};
use serde_json::json;

use super::context::{Context, MOST_BYTES};
use super::tools::qualified;
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::content::{self, Content};
use crate::request::function_name;

/// The most items.
const MOST_ITEMS: usize = 65_536;

/// A conversation that is read, item by item.
pub(super) struct Past<'c> {
    context: &'c Context,
    turns: Vec<Turn>,
    /// What the model said and did since the last turn of anybody else.
    run: Vec<Said>,
    /// Functions by their calls' ids.
    calls: HashMap<String, String>,
    items: usize,
    /// Bytes of responses that were looked into for an item.
    referred: usize,
}

/// One thing that the model said or did.
enum Said {
    Reasoning(String),
    Text { text: String, phase: Option<Phase> },
    Call(Call),
}

/// What a message of the model's is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Commentary,
    Final,
}

/// Whether an item was kept by this server or came from a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Store,
    Client,
}

impl<'c> Past<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self {
            context,
            turns: Vec::new(),
            run: Vec::new(),
            calls: HashMap::new(),
            items: 0,
            referred: 0,
        }
    }

    /// A developer's message.
    pub(super) fn instructions(&mut self, text: String) {
        self.turn(Turn::Developer(text));
    }

    /// Reads `input`: a text, or items.
    pub(super) fn input(&mut self, field: &Field<'_>) -> Result<(), ApiError> {
        if field.is_string() {
            self.turn(Turn::User(field.string()?));
            return Ok(());
        }
        self.items(field, From::Client)
    }

    /// Reads an array of items.
    pub(super) fn items(&mut self, field: &Field<'_>, from: From) -> Result<(), ApiError> {
        if !field.is_array() {
            return Err(field.refuse("must be a text or an array of items"));
        }
        let items = field.array(MOST_ITEMS)?;
        self.items += items.len();
        if self.items > MOST_ITEMS {
            return Err(field.refuse(format_args!(
                "the conversation has more than {MOST_ITEMS} items"
            )));
        }
        for item in &items {
            self.item(item, from)?;
        }
        Ok(())
    }

    /// The whole conversation.
    pub(super) fn turns(mut self) -> Vec<Turn> {
        self.close();
        self.turns
    }

    fn item(&mut self, field: &Field<'_>, from: From) -> Result<(), ApiError> {
        let mut item = field.object()?;
        let kind = item.get("type").map(|kind| kind.string()).transpose()?;
        match kind.as_deref() {
            Some("message") => self.message(&mut item),
            // A message may come without its type.
            None if item.get("role").is_some() => self.message(&mut item),
            Some("reasoning") => self.reasoning(&mut item, from),
            Some("function_call") => self.call(&mut item),
            Some("custom_tool_call") => self.custom_call(&mut item),
            Some("function_call_output" | "custom_tool_call_output") => self.output(&mut item),
            // Clients that know an id and nothing else leave the type out.
            Some("item_reference") | None if item.get("id").is_some() => self.reference(&mut item),
            Some("item_reference") => Err(ApiError::field(&item.path_of("id"), "is missing")),
            None => Err(ApiError::field(&item.path_of("type"), "is missing")),
            Some(other) => Err(ApiError::field(
                &item.path_of("type"),
                format_args!(
                    "{:?} is no item that this server reads; leave it out, or say in a message what it says",
                    excerpt(other)
                ),
            )),
        }
    }

    fn message(&mut self, message: &mut Object<'_>) -> Result<(), ApiError> {
        let Some(role) = message.get("role") else {
            return Err(ApiError::field(&message.path_of("role"), "is missing"));
        };
        let Some(content) = message.get("content") else {
            return Err(ApiError::field(&message.path_of("content"), "is missing"));
        };
        let text = content::read(&content)?.text;
        match role.string()?.as_str() {
            "system" | "developer" => self.turn(Turn::Developer(text)),
            "user" => self.turn(Turn::User(text)),
            "assistant" => {
                let phase = phase(message)?;
                self.run.push(Said::Text { text, phase });
            }
            other => {
                return Err(role.refuse(format_args!(
                    "{:?} is no role; a message is of system, developer, user or assistant",
                    excerpt(other)
                )));
            }
        }
        Ok(())
    }

    /// What is sealed counts, where it came from a client: the rest may be anything.
    fn reasoning(&mut self, item: &mut Object<'_>, from: From) -> Result<(), ApiError> {
        let sealed = item
            .get("encrypted_content")
            .filter(|_| from == From::Client);
        let text = match sealed {
            Some(field) => self
                .context
                .open(&field.string()?)
                .map_err(|error| field.refuse(error))?,
            None => reasoning_text(item)?,
        };
        if !text.is_empty() {
            self.run.push(Said::Reasoning(text));
        }
        Ok(())
    }

    fn call(&mut self, item: &mut Object<'_>) -> Result<(), ApiError> {
        let arguments = match item.get("arguments") {
            // Some clients send the object that the text stands for.
            Some(field) if field.is_object() => field.text().to_owned(),
            Some(field) => field.string()?,
            None => "{}".to_owned(),
        };
        self.called(item, arguments)
    }

    /// A custom tool is called as a function whose one argument is the input.
    fn custom_call(&mut self, item: &mut Object<'_>) -> Result<(), ApiError> {
        let input = match item.get("input") {
            Some(field) => field.string()?,
            None => String::new(),
        };
        self.called(item, json!({ "input": input }).to_string())
    }

    fn called(&mut self, item: &mut Object<'_>, arguments: String) -> Result<(), ApiError> {
        let name = function_name(item)?;
        let name = match item.get("namespace") {
            Some(space) => qualified(&space.string()?, &name),
            None => name,
        };
        if let Some(id) = item.get("call_id") {
            self.calls.insert(id.string()?, name.clone());
        }
        self.run.push(Said::Call(Call { name, arguments }));
        Ok(())
    }

    fn output(&mut self, item: &mut Object<'_>) -> Result<(), ApiError> {
        let Some(field) = item.get("call_id") else {
            return Err(ApiError::field(
                &item.path_of("call_id"),
                "is missing; it names the call that this is the output of",
            ));
        };
        let id = field.string()?;
        let Some(name) = self.calls.get(&id).cloned() else {
            return Err(field.refuse(format_args!(
                "no call before this item has the id {:?}",
                excerpt(&id)
            )));
        };
        let content = match item.get("output") {
            Some(field) => output_text(&field)?,
            None => String::new(),
        };
        self.turn(Turn::ToolResult { name, content });
        Ok(())
    }

    /// An item of a response that is kept, by its id alone.
    fn reference(&mut self, item: &mut Object<'_>) -> Result<(), ApiError> {
        let Some(field) = item.get("id") else {
            return Err(ApiError::field(&item.path_of("id"), "is missing"));
        };
        let id = field.string()?;
        let missing = || {
            field.refuse(format_args!(
                "no item {:?} is kept here; send the item itself",
                excerpt(&id)
            ))
        };
        let entry = response_of(&id).map(|response| self.context.find(&response));
        let entry = entry.transpose()?.flatten().ok_or_else(missing)?;
        self.referred += entry.output.len() + entry.input.len();
        if self.referred > MOST_BYTES {
            return Err(
                field.refuse("refers to more than any model reads; send the items themselves")
            );
        }
        for items in [&entry.output, &entry.input] {
            let items = Field::of(field.path(), items);
            for kept in items.array(MOST_ITEMS)? {
                let kept_id = kept.object()?.get("id");
                if kept_id.is_some_and(|kept| kept.string().is_ok_and(|kept| kept == id)) {
                    return self.item(&kept, From::Store);
                }
            }
        }
        Err(missing())
    }

    fn turn(&mut self, turn: Turn) {
        self.close();
        self.turns.push(turn);
    }

    /// Ends what the model said and did: somebody else's turn comes. A message without a phase is
    /// a preamble where a call follows, as in a chat.
    fn close(&mut self) {
        let run = std::mem::take(&mut self.run);
        let last_call = run.iter().rposition(|said| matches!(said, Said::Call(_)));
        let says_nothing = run
            .iter()
            .all(|said| matches!(said, Said::Text { text, .. } if text.is_empty()));
        let mut items = Vec::new();
        for (at, said) in run.into_iter().enumerate() {
            let is_before_call = last_call.is_some_and(|call| at < call);
            match said {
                Said::Reasoning(text) => items.push(Item::Reasoning(text)),
                Said::Call(call) => items.push(Item::Call(call)),
                // An empty answer is one where there is nothing else.
                Said::Text { text, .. }
                    if text.is_empty() && !(says_nothing && items.is_empty()) => {}
                Said::Text { text, phase } => items.push(match phase {
                    Some(Phase::Commentary) => Item::Preamble(text),
                    None if is_before_call => Item::Preamble(text),
                    Some(Phase::Final) | None => Item::Final(text),
                }),
            }
        }
        if !items.is_empty() {
            self.turns.push(Turn::Assistant(items));
        }
    }
}

/// What a tool returned. An agent cannot take back what its tool returned, so that an image or a
/// file is no error: the model is told that there is one which it does not see.
fn output_text(field: &Field<'_>) -> Result<String, ApiError> {
    if !field.is_array() {
        return Ok(content::read(field)?.text);
    }
    let mut output = Content::default();
    for part in field.array(MOST_ITEMS)? {
        let kind = match part.is_object() {
            true => part.object()?.get("type"),
            false => None,
        };
        match kind.map(|kind| kind.string()).transpose()?.as_deref() {
            Some("input_image") => output
                .text
                .push_str("(an image, which this model cannot see)"),
            Some("input_file") => output
                .text
                .push_str("(a file, which this model cannot read)"),
            _ => content::read_part(&part, &mut output)?,
        }
    }
    Ok(output.text)
}

/// Whether a message is a preamble or the answer, as the server said it.
fn phase(message: &mut Object<'_>) -> Result<Option<Phase>, ApiError> {
    let Some(field) = message.get("phase") else {
        return Ok(None);
    };
    match field.string()?.as_str() {
        "commentary" => Ok(Some(Phase::Commentary)),
        "final_answer" => Ok(Some(Phase::Final)),
        other => Err(field.refuse(format_args!(
            "{:?} is not known here; send \"commentary\" or \"final_answer\"",
            excerpt(other)
        ))),
    }
}

/// The text of reasoning, all of its parts. A summary is not what the model thought.
fn reasoning_text(item: &mut Object<'_>) -> Result<String, ApiError> {
    let mut text = String::new();
    let Some(content) = item.get("content") else {
        return Ok(text);
    };
    if content.is_string() {
        return content.string();
    }
    for part in content.array(MOST_ITEMS)? {
        let mut part = part.object()?;
        match part.get("text") {
            Some(field) => text.push_str(&field.string()?),
            None => return Err(ApiError::field(&part.path_of("text"), "is missing")),
        }
    }
    Ok(text)
}

/// The response that an item of this id is of: `msg_ID_3` is of `resp_ID`.
fn response_of(item: &str) -> Option<String> {
    let (_, rest) = item.split_once('_')?;
    let (id, _) = rest.split_once('_')?;
    Some(format!("resp_{id}"))
}
