//! A chat's messages, as turns of a conversation.

use std::collections::HashMap;

use mxfp4_harmony::{Call, Turn, is_function_name};

use super::content::{self, Content};
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// The most messages, and the most calls of one.
const MOST_MESSAGES: usize = 65_536;
const MOST_CALLS: usize = 1024;

/// Reads `messages`.
pub(super) fn read(field: &Field<'_>) -> Result<Vec<Turn>, ApiError> {
    let messages = field.array(MOST_MESSAGES)?;
    if messages.is_empty() {
        return Err(field.refuse("must have at least one message"));
    }
    let mut past = Past::default();
    let mut turns = Vec::with_capacity(messages.len());
    for message in &messages {
        turns.extend(past.read(message)?);
    }
    Ok(turns)
}

/// What earlier messages said.
#[derive(Default)]
struct Past {
    /// Functions by their calls' ids.
    calls: HashMap<String, String>,
    /// The function of the last call in the former way, `function_call`.
    former: Option<String>,
}

impl Past {
    /// Nothing comes of an assistant's message that says nothing.
    fn read(&mut self, field: &Field<'_>) -> Result<Option<Turn>, ApiError> {
        let mut message = field.object()?;
        let Some(role) = message.get("role") else {
            return Err(ApiError::field(&message.path_of("role"), "is missing"));
        };
        let turn = match role.string()?.as_str() {
            "system" | "developer" => Turn::Developer(text(&mut message)?),
            "user" => Turn::User(text(&mut message)?),
            "assistant" => return self.assistant(&mut message),
            "tool" => self.tool(&mut message)?,
            "function" => self.function(&mut message)?,
            other => {
                return Err(role.refuse(format_args!(
                    "{:?} is no role; a message is of system, developer, user, assistant or tool",
                    excerpt(other)
                )));
            }
        };
        Ok(Some(turn))
    }

    fn assistant(&mut self, message: &mut Object<'_>) -> Result<Option<Turn>, ApiError> {
        let Content {
            mut text,
            mut reasoning,
        } = match message.get("content") {
            Some(field) => content::read(&field)?,
            None => Content::default(),
        };
        for key in ["reasoning", "reasoning_content", "thinking"] {
            // Clients send all of our names back, with the same text.
            if let Some(field) = message.get(key)
                && reasoning.is_empty()
            {
                reasoning = field.string()?;
            }
        }
        if let Some(refusal) = message.get("refusal")
            && text.is_empty()
        {
            text = refusal.string()?;
        }
        let calls = self.calls(message)?;
        let says_nothing = text.is_empty() && reasoning.is_empty() && calls.is_empty();
        if says_nothing && message.get("content").is_none() {
            return Ok(None);
        }
        // Reasoning that was cut has no answer; an empty one would end it.
        let content = (!text.is_empty() || says_nothing).then_some(text);
        Ok(Some(Turn::assistant(Some(reasoning), content, calls)))
    }

    fn calls(&mut self, message: &mut Object<'_>) -> Result<Vec<Call>, ApiError> {
        let mut calls = Vec::new();
        if let Some(field) = message.get("tool_calls") {
            for call in field.array(MOST_CALLS)? {
                calls.push(self.call(&call)?);
            }
        }
        if let Some(field) = message.get("function_call") {
            let call = function(&mut field.object()?)?;
            self.former = Some(call.name.clone());
            calls.push(call);
        }
        Ok(calls)
    }

    fn call(&mut self, field: &Field<'_>) -> Result<Call, ApiError> {
        let mut call = field.object()?;
        if let Some(kind) = call.get("type") {
            match kind.string()?.as_str() {
                "function" => {}
                other => {
                    return Err(kind.refuse(format_args!(
                        "{:?} calls are not known here; send `function`",
                        excerpt(other)
                    )));
                }
            }
        }
        let id = call.get("id").map(|id| id.string()).transpose()?;
        let made = match call.get("function") {
            Some(field) => function(&mut field.object()?)?,
            None => return Err(ApiError::field(&call.path_of("function"), "is missing")),
        };
        if let Some(id) = id {
            self.calls.insert(id, made.name.clone());
        }
        Ok(made)
    }

    fn tool(&self, message: &mut Object<'_>) -> Result<Turn, ApiError> {
        let Some(field) = message.get("tool_call_id") else {
            return Err(ApiError::field(
                &message.path_of("tool_call_id"),
                "is missing; it names the call that this is the result of",
            ));
        };
        let id = field.string()?;
        let Some(name) = self.calls.get(&id) else {
            return Err(field.refuse(format_args!(
                "no call before this message has the id {:?}",
                excerpt(&id)
            )));
        };
        Ok(Turn::ToolResult {
            name: name.clone(),
            content: result(message)?,
        })
    }

    /// A result in the former way, which names the function and no call.
    fn function(&self, message: &mut Object<'_>) -> Result<Turn, ApiError> {
        let Some(field) = message.get("name") else {
            return Err(ApiError::field(&message.path_of("name"), "is missing"));
        };
        let name = field.string()?;
        if self.former.as_ref() != Some(&name) {
            return Err(field.refuse(format_args!(
                "no `function_call` before this message is of {:?}",
                excerpt(&name)
            )));
        }
        Ok(Turn::ToolResult {
            name,
            content: result(message)?,
        })
    }
}

fn function(object: &mut Object<'_>) -> Result<Call, ApiError> {
    let name = function_name(object)?;
    let arguments = match object.get("arguments") {
        // Some clients send the object that the text stands for.
        Some(field) if field.is_object() => field.text().to_owned(),
        Some(field) => field.string()?,
        None => "{}".to_owned(),
    };
    Ok(Call { name, arguments })
}

/// The name of a function, which must be one.
pub(crate) fn function_name(object: &mut Object<'_>) -> Result<String, ApiError> {
    let Some(field) = object.get("name") else {
        return Err(ApiError::field(&object.path_of("name"), "is missing"));
    };
    let name = field.string()?;
    if is_function_name(&name) {
        return Ok(name);
    }
    Err(field.refuse(format_args!(
        "{:?} is no function's name; it must match [a-zA-Z0-9_-]{{1,64}}",
        excerpt(&name)
    )))
}

/// A function that returns nothing has no content.
fn result(message: &mut Object<'_>) -> Result<String, ApiError> {
    match message.get("content") {
        Some(field) => Ok(content::read(&field)?.text),
        None => Ok(String::new()),
    }
}

fn text(message: &mut Object<'_>) -> Result<String, ApiError> {
    match message.get("content") {
        Some(field) => Ok(content::read(&field)?.text),
        None => Err(ApiError::field(&message.path_of("content"), "is missing")),
    }
}
