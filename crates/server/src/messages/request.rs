//! What `/v1/messages` and `/v1/messages/count_tokens` are asked.

use mxfp4_harmony::grammar::Limits;
use mxfp4_harmony::{Conversation, Effort, Harmony, System, Turn};

use super::conversation::Messages;
use super::error::THREADS;
use super::kept::Keeper;
use super::thinking::{self, Shown};
use super::{conversation, output, tools};
use crate::api_error::ApiError;
use crate::json::{Field, Object};
use crate::request::grammar::{Asked, Words};
use crate::request::sampling::{flag, read_draw, read_stop};
use crate::request::{ChatPrompt, ChatRequest, Reader, Sampling, Streaming};

/// A message to be answered.
pub(crate) struct MessagesRequest {
    pub(crate) chat: ChatRequest,
    pub(crate) shown: Shown,
    /// Whether the model's length leaves less than the client allows.
    pub(crate) is_short: bool,
}

/// A prompt whose tokens are to be counted.
pub(crate) struct CountRequest {
    pub(crate) tokens: usize,
}

/// Known fields that change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "betas",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
];

const WORDS: Words = Words {
    budget: "thinking.budget_tokens",
    close: "end `messages` with the user's",
};

impl MessagesRequest {
    pub(crate) fn read(text: &str, reader: &Reader<'_>, keeper: &Keeper) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        let Prompt {
            mut prompt,
            several,
            shown,
            budget,
        } = Prompt::read(&mut body, reader, keeper)?;
        let mut sampling = read_sampling(&mut body)?;
        if prompt.grammar.is_some() {
            sampling.request.grammar = prompt.grammar.take();
            sampling.request.thinking_token_budget = budget;
        }
        let most = read_max_tokens(&mut body)?;
        reader.unknown.tell(&body);
        check_length(reader, prompt.tokens.len())?;
        let limit = reader.limit(most, prompt.tokens.len());
        sampling.request.max_tokens = limit;
        let ends = reader.harmony()?.special().ends();
        sampling.request.stop_token_ids.extend(ends);
        Ok(Self {
            shown,
            is_short: limit < most || most.is_none(),
            chat: ChatRequest {
                sampling,
                prompt,
                reasoning: shown != Shown::No,
                parallel_calls: several,
            },
        })
    }
}

impl CountRequest {
    pub(crate) fn read(text: &str, reader: &Reader<'_>, keeper: &Keeper) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        let prompt = Prompt::read(&mut body, reader, keeper)?.prompt;
        // Clients send the whole of a request.
        read_sampling(&mut body)?;
        read_max_tokens(&mut body)?;
        reader.unknown.tell(&body);
        Ok(Self {
            tokens: prompt.tokens.len(),
        })
    }
}

/// A prompt, and what comes with it.
struct Prompt {
    prompt: ChatPrompt,
    /// Whether more than one call may come.
    several: bool,
    shown: Shown,
    /// The most tokens of thinking.
    budget: Option<u32>,
}

impl Prompt {
    fn read(body: &mut Object<'_>, reader: &Reader<'_>, keeper: &Keeper) -> Result<Self, ApiError> {
        reader.check_model(body)?;
        check_thread(body)?;
        body.ignore(WITHOUT_EFFECT);
        let harmony = reader.harmony()?;
        let Messages { turns, found } = read_messages(body, keeper)?;
        let (tools, several) = tools::read(body, reader, &found)?;
        let mut limits = Limits::default();
        let mut output = output::read(body, &mut limits)?;
        let thinking = thinking::read(body)?;
        let effort = output.effort.or(thinking.effort);
        let form = output.form.as_mut();
        let conversation = Conversation {
            turns,
            tools: tools.told(),
            format: form.and_then(|form| form.told.take()),
            system: system(reader, effort),
        };
        let (tokens, opened) = render(harmony, &conversation)?;
        let asked = Asked {
            tools: &tools,
            form: output.form,
            reasoning: thinking.budget,
            several,
            continues: opened > 0,
            words: WORDS,
        };
        let grammar = asked.tag(harmony, reader.hello, &conversation, limits)?;
        Ok(Self {
            prompt: ChatPrompt {
                tokens,
                opened,
                offered: tools.names(),
                grammar,
            },
            several,
            shown: thinking.shown,
            budget: thinking.budget,
        })
    }
}

/// Refuses to keep a conversation, by the code at which clients send all of it.
fn check_thread(body: &mut Object<'_>) -> Result<(), ApiError> {
    match body.get("thread") {
        Some(field) if field.text() != "false" => Err(field
            .refuse("this server keeps no conversations; leave it out, and send all messages")
            .with_code(THREADS)),
        _ => Ok(()),
    }
}

/// `system` comes before all messages.
fn read_messages(body: &mut Object<'_>, keeper: &Keeper) -> Result<Messages, ApiError> {
    let mut turns = conversation::system(body)?;
    let Some(field) = body.get("messages") else {
        return Err(ApiError::field("messages", "is missing"));
    };
    let mut messages = conversation::read(&field, keeper)?;
    turns.append(&mut messages.turns);
    Ok(Messages { turns, ..messages })
}

fn system(reader: &Reader<'_>, effort: Option<Effort>) -> System {
    System {
        effort: effort.unwrap_or(reader.effort),
        date: reader.date.clone(),
        ..System::default()
    }
}

/// An assistant's message at the end is written on.
fn render(harmony: &Harmony, conversation: &Conversation) -> Result<(Vec<u32>, usize), ApiError> {
    if !matches!(conversation.turns.last(), Some(Turn::Assistant(_))) {
        return Ok((harmony.render(conversation), 0));
    }
    harmony.render_open(conversation).ok_or_else(|| {
        ApiError::field(
            "messages",
            "the last message ends with a tool_use block, and nothing follows it; send its tool_result",
        )
    })
}

fn read_sampling(body: &mut Object<'_>) -> Result<Sampling, ApiError> {
    let mut request = mxfp4_engine::Request::default();
    read_draw(body, &mut request)?;
    Ok(Sampling {
        request,
        choices: 1,
        stop: read_stop(body, "stop_sequences")?,
        keep_stop: false,
        token_ids: false,
        stream: flag(body, "stream")?.then(Streaming::default),
    })
}

fn read_max_tokens(body: &mut Object<'_>) -> Result<Option<u32>, ApiError> {
    let Some(field) = body.get("max_tokens") else {
        return Ok(None);
    };
    let most = field.integer(0..=i128::from(u32::MAX))? as u32;
    // 0 asks for the prompt to be read alone, of which the first token is the end. It begins a
    // header, which no client sees.
    Ok(Some(most.max(1)))
}

/// Refuses a prompt that leaves no room for an answer. Clients look for these words, to send a
/// shorter one.
fn check_length(reader: &Reader<'_>, tokens: usize) -> Result<(), ApiError> {
    let most = (reader.hello.max_length as usize).saturating_sub(1);
    if tokens <= most {
        return Ok(());
    }
    let message = format!("prompt is too long: {tokens} tokens > {most} maximum");
    Err(ApiError::invalid(message).with_param("messages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_clients_names_every_field() {
        let page = include_str!("../../../../docs/reference/messages.md");
        for name in WITHOUT_EFFECT {
            assert!(
                page.contains(&format!("`{name}`")),
                "docs/reference/messages.md lacks {name}"
            );
        }
    }
}
