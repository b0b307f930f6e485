//! From what a request asks of its answer to a grammar.

use mxfp4_engine::Hello;
use mxfp4_harmony::grammar::{Grammar, Limits, Opened, Text};
use mxfp4_harmony::{Conversation, Harmony, Item, Turn};

use super::form::Form;
use super::tool_choice::Mode;
use super::tools::Tools;
use crate::api_error::ApiError;
use crate::json::Object;

/// What a chat asks of its answer.
pub(crate) struct Asked<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) form: Option<Form>,
    /// The most tokens of reasoning, at which the engine ends it as the grammar says.
    pub(crate) reasoning: Option<u32>,
    /// Whether more than one call may come.
    pub(crate) several: bool,
    /// Whether the last message is written on.
    pub(crate) continues: bool,
    pub(crate) words: Words,
}

/// What an interface calls things, for its errors.
pub(crate) struct Words {
    /// The field of the most tokens of reasoning.
    pub(crate) budget: &'static str,
    /// What to do so that the last message is not written on.
    pub(crate) close: &'static str,
}

impl Words {
    pub(super) const CHAT: Self = Self {
        budget: "thinking_token_budget",
        close: "leave out `continue_final_message`",
    };
}

/// Reads `thinking_token_budget`.
pub(crate) fn read_reasoning(body: &mut Object<'_>) -> Result<Option<u32>, ApiError> {
    let Some(field) = body.get("thinking_token_budget") else {
        return Ok(None);
    };
    // More is no limit.
    field.integer(0..=999_999_999).map(|most| Some(most as u32))
}

impl Asked<'_> {
    /// The tag that the answer is held to, where anything but free text was asked for.
    pub(crate) fn tag(
        self,
        harmony: &Harmony,
        hello: &Hello,
        conversation: &Conversation,
        mut limits: Limits,
    ) -> Result<Option<String>, ApiError> {
        let Some(path) = self.path() else {
            return Ok(None);
        };
        check_engine(hello, &path)?;
        let required = self.tools.choice.mode == Mode::Required;
        let form = self.form.map(|form| form.text);
        let mut grammar = Grammar {
            text: (!required).then_some(form.unwrap_or(Text::Free)),
            calls: self.tools.calls(self.several, &mut limits)?,
            opened: Opened::Nothing,
        };
        if self.continues {
            match opened(conversation) {
                Some(opened) => grammar.opened = opened,
                // The answer has begun, and with it no call can come any more.
                None if grammar.text == Some(Text::Free) => return Ok(None),
                None => {
                    return Err(ApiError::field(
                        &path,
                        format_args!(
                            "cannot be had of an answer that has begun; {}",
                            self.words.close
                        ),
                    ));
                }
            }
        }
        Ok(Some(harmony.structural_tag(&grammar)))
    }

    /// The field that asks for more than free text.
    fn path(&self) -> Option<String> {
        let form = self.form.as_ref().map(|form| form.path.clone());
        let budget = || self.reasoning.map(|_| self.words.budget.to_owned());
        form.or_else(|| self.tools.forced_by()).or_else(budget)
    }
}

/// The message that is written on; none where that is an answer.
fn opened(conversation: &Conversation) -> Option<Opened> {
    let Some(Turn::Assistant(items)) = conversation.turns.last() else {
        return Some(Opened::Nothing);
    };
    match items.last() {
        Some(Item::Reasoning(_) | Item::Preamble(_)) => Some(Opened::Words),
        Some(Item::Final(_)) => None,
        Some(Item::Call(_)) | None => Some(Opened::Nothing),
    }
}

/// Refuses a form where the engine would ignore it.
pub(super) fn check_engine(hello: &Hello, path: &str) -> Result<(), ApiError> {
    if hello.grammar {
        return Ok(());
    }
    Err(ApiError::field(
        path,
        "the server was started without grammars and would ignore it; \
         start it without `-- --no-enable-structured-output`, or leave it out",
    ))
}

/// Refuses what keeps an answer from its end.
pub(super) fn check_ends(body: &mut Object<'_>) -> Result<(), ApiError> {
    for key in ["ignore_eos", "min_tokens"] {
        if let Some(field) = body.get(key)
            && !["false", "0"].contains(&field.text())
        {
            return Err(
                field.refuse("an answer of a given form ends where the form does; leave it out")
            );
        }
    }
    Ok(())
}
