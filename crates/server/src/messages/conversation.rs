//! `system` and `messages`, as turns of a conversation.

use std::collections::{HashMap, HashSet};

use mxfp4_harmony::{Call, Item, Turn};

use super::block::{self, Block};
use super::kept::Keeper;
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::function_name;

/// The most messages.
const MOST_MESSAGES: usize = 65_536;
/// What the first block of Claude Code's instructions begins with: counts for who bills, new in
/// each request, which Anthropic's servers take out too. The prefix cache would find nothing.
const BILLING: &str = "x-anthropic-billing-header:";

/// Reads `system`. Each block is instructions of its own, as each of a chat's messages is.
pub(super) fn system(body: &mut Object<'_>) -> Result<Vec<Turn>, ApiError> {
    let Some(field) = body.get("system") else {
        return Ok(Vec::new());
    };
    let mut texts = block::texts(&field)?;
    texts.retain(|text| !text.starts_with(BILLING));
    Ok(texts.into_iter().map(Turn::Developer).collect())
}

/// What `messages` say.
pub(super) struct Messages {
    pub(super) turns: Vec<Turn>,
    /// Deferred tools that a search has found.
    pub(super) found: HashSet<String>,
}

/// Reads `messages`.
pub(super) fn read(field: &Field<'_>, keeper: &Keeper) -> Result<Messages, ApiError> {
    let messages = field.array(MOST_MESSAGES)?;
    if messages.is_empty() {
        return Err(field.refuse("must have at least one message"));
    }
    let mut past = Past {
        keeper,
        turns: Vec::with_capacity(messages.len()),
        said: None,
        calls: HashMap::new(),
        found: HashSet::new(),
    };
    for message in &messages {
        past.read(message)?;
    }
    past.close();
    Ok(Messages {
        turns: past.turns,
        found: past.found,
    })
}

/// What the messages before said.
struct Past<'k> {
    keeper: &'k Keeper,
    turns: Vec<Turn>,
    /// What the assistant says, which its next message may go on with.
    said: Option<Vec<Said>>,
    /// Functions by their calls' ids.
    calls: HashMap<String, String>,
    found: HashSet<String>,
}

/// One block of the assistant's. Text that comes together is one.
enum Said {
    Thinking(String),
    Text(String),
    Call(Call),
}

impl Past<'_> {
    fn read(&mut self, field: &Field<'_>) -> Result<(), ApiError> {
        let mut message = field.object()?;
        let Some(role) = message.get("role") else {
            return Err(ApiError::field(&message.path_of("role"), "is missing"));
        };
        let role_name = role.string()?;
        let Some(content) = message.get("content") else {
            return Err(ApiError::field(&message.path_of("content"), "is missing"));
        };
        match role_name.as_str() {
            "assistant" => self.assistant(&content),
            "user" => {
                self.close();
                self.user(&content)
            }
            "system" => {
                self.close();
                self.turns.push(Turn::Developer(block::joined(&content)?));
                Ok(())
            }
            other => Err(role.refuse(format_args!(
                "{:?} is no role; a message is of user, assistant or system",
                excerpt(other)
            ))),
        }
    }

    fn user(&mut self, content: &Field<'_>) -> Result<(), ApiError> {
        if !content.is_array() {
            self.turns.push(Turn::User(block::joined(content)?));
            return Ok(());
        }
        let mut text: Option<String> = None;
        let blocks = Block::all(content)?;
        let is_empty = blocks.is_empty();
        for mut block in blocks {
            match block.name.as_str() {
                "text" => text.get_or_insert_default().push_str(&block.text("text")?),
                "tool_result" => {
                    self.turns.extend(text.take().map(Turn::User));
                    let result = self.result(&mut block.object)?;
                    self.turns.push(result);
                }
                _ => return Err(block.refuse("text or tool_result")),
            }
        }
        if is_empty {
            text = Some(String::new());
        }
        self.turns.extend(text.map(Turn::User));
        Ok(())
    }

    fn result(&mut self, block: &mut Object<'_>) -> Result<Turn, ApiError> {
        let Some(field) = block.get("tool_use_id") else {
            return Err(ApiError::field(
                &block.path_of("tool_use_id"),
                "is missing; it names the call that this is the result of",
            ));
        };
        let id = field.string()?;
        let Some(name) = self.calls.get(&id).cloned() else {
            return Err(field.refuse(format_args!(
                "no tool_use block before this one has the id {:?}",
                excerpt(&id)
            )));
        };
        let content = match block.get("content") {
            Some(field) if field.is_array() => self.parts(&field)?,
            Some(field) => block::joined(&field)?,
            None => String::new(),
        };
        Ok(Turn::ToolResult { name, content })
    }

    /// The text of a result's blocks. A search of tools has references to those that it found.
    fn parts(&mut self, field: &Field<'_>) -> Result<String, ApiError> {
        let mut text = String::new();
        for mut block in Block::all(field)? {
            match block.name.as_str() {
                "text" => text.push_str(&block.text("text")?),
                "tool_reference" => {
                    let name = block.text("tool_name")?;
                    text.push_str(&format!("The function {name} can be called now.\n"));
                    self.found.insert(name);
                }
                _ => return Err(block.refuse("text or tool_reference")),
            }
        }
        Ok(text)
    }

    fn assistant(&mut self, content: &Field<'_>) -> Result<(), ApiError> {
        let mut said = self.said.take().unwrap_or_default();
        if content.is_array() {
            for block in Block::all(content)? {
                let block = self.said(block)?;
                add(&mut said, block);
            }
        } else {
            add(&mut said, Said::Text(block::joined(content)?));
        }
        self.said = Some(said);
        Ok(())
    }

    fn said(&mut self, mut block: Block<'_>) -> Result<Said, ApiError> {
        match block.name.as_str() {
            "text" => Ok(Said::Text(block.text("text")?)),
            "thinking" => self.keeper.thinking(&mut block).map(Said::Thinking),
            "redacted_thinking" => self.keeper.redacted(&mut block).map(Said::Thinking),
            "tool_use" => self.call(&mut block).map(Said::Call),
            _ => Err(block.refuse("text, thinking, redacted_thinking or tool_use")),
        }
    }

    fn call(&mut self, block: &mut Block<'_>) -> Result<Call, ApiError> {
        let id = block.text("id")?;
        let name = function_name(&mut block.object)?;
        let input = block.object.get("input");
        let arguments = input.map_or("{}", |input| input.text()).to_owned();
        self.calls.insert(id, name.clone());
        Ok(Call { name, arguments })
    }

    /// The assistant's turn is over.
    fn close(&mut self) {
        let turn = self.said.take().map(turn);
        self.turns.extend(turn);
    }
}

fn add(said: &mut Vec<Said>, next: Said) {
    match (said.last_mut(), next) {
        (Some(Said::Text(text)), Said::Text(next)) => text.push_str(&next),
        (_, next) => said.push(next),
    }
}

/// Text on the way to a call, or to more thinking, is a preamble; at the end it is the answer.
/// Nothing comes of empty thinking and empty text, unless that is all.
fn turn(mut said: Vec<Said>) -> Turn {
    said.retain(|block| match block {
        Said::Thinking(text) | Said::Text(text) => !text.is_empty(),
        Said::Call(_) => true,
    });
    if said.is_empty() {
        return Turn::Assistant(vec![Item::Final(String::new())]);
    }
    let calls = said.iter().any(|block| matches!(block, Said::Call(_)));
    let last = said.len() - 1;
    let item = |(at, block)| match block {
        Said::Thinking(text) => Item::Reasoning(text),
        Said::Text(text) if at == last && !calls => Item::Final(text),
        Said::Text(text) => Item::Preamble(text),
        Said::Call(call) => Item::Call(call),
    };
    Turn::Assistant(said.into_iter().enumerate().map(item).collect())
}
