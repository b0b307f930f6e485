//! `/v1/chat/completions`: a conversation to continue.

use mxfp4_harmony::grammar::Limits;
use mxfp4_harmony::{Conversation, Effort, System};

use super::grammar::{Asked, Words, check_ends, read_reasoning};
use super::sampling::{check_logprobs, flag, read_max_tokens};
use super::tools::Tools;
use super::{Reader, Sampling, form, messages, refused};
use crate::api_error::ApiError;
use crate::json::{Field, Object};

/// A conversation to continue.
pub(crate) struct ChatRequest {
    pub(crate) sampling: Sampling,
    pub(crate) prompt: ChatPrompt,
    /// Whether the client wants to see it.
    pub(crate) reasoning: bool,
    /// Whether more than one call may come.
    pub(crate) parallel_calls: bool,
}

/// A conversation as tokens.
pub(crate) struct ChatPrompt {
    pub(crate) tokens: Vec<u32>,
    /// How many of them belong to the answer: those of a message that is continued.
    pub(crate) opened: usize,
    /// The functions that the model may call.
    pub(crate) offered: Vec<String>,
    /// What the answer is held to.
    pub(crate) grammar: Option<String>,
}

impl ChatRequest {
    pub(crate) fn read(text: &str, reader: &Reader<'_>) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        reader.check_model(&mut body)?;
        refused::check_chat(&mut body)?;
        check_modalities(&mut body)?;
        let mut sampling = Sampling::read(&mut body, reader)?;
        sampling.request.logprobs = read_logprobs(&mut body, reader)?;
        let most = read_max_tokens(&mut body, &["max_completion_tokens", "max_tokens"], 1)?;
        let reasoning = body
            .get("include_reasoning")
            .map_or(Ok(true), |field| field.boolean())?;
        let parallel_calls = may_call_several(&mut body)?;
        // Without it special tokens would be shown, which harmony's reader never does.
        body.ignore(&[
            "skip_special_tokens",
            "separate_reasoning",
            "stream_reasoning",
        ]);
        let mut prompt = read_prompt(&mut body, reader)?;
        if prompt.grammar.is_some() {
            check_ends(&mut body)?;
            sampling.request.grammar = prompt.grammar.take();
            sampling.request.thinking_token_budget = read_reasoning(&mut body)?;
        }
        reader.unknown.tell(&body);
        reader.check_length(prompt.tokens.len(), "messages")?;
        sampling.request.max_tokens = reader.limit(most, prompt.tokens.len());
        if !sampling.request.ignore_eos {
            let ends = reader.harmony()?.special().ends();
            sampling.request.stop_token_ids.extend(ends);
        }
        Ok(Self {
            sampling,
            prompt,
            reasoning,
            parallel_calls,
        })
    }
}

/// The prompt of a body with `messages`, as `/tokenize` wants it.
pub(crate) fn prompt_of_messages(
    body: &mut Object<'_>,
    reader: &Reader<'_>,
) -> Result<Vec<u32>, ApiError> {
    Ok(read_prompt(body, reader)?.tokens)
}

fn read_prompt(body: &mut Object<'_>, reader: &Reader<'_>) -> Result<ChatPrompt, ApiError> {
    let harmony = reader.harmony()?;
    let Some(field) = body.get("messages") else {
        return Err(ApiError::field("messages", "is missing"));
    };
    let turns = messages::read(&field)?;
    let tools = Tools::read(body)?;
    let mut limits = Limits::default();
    let mut form = form::read(body, &mut limits)?;
    let conversation = Conversation {
        turns,
        tools: tools.told(),
        format: form.as_mut().and_then(|form| form.told.take()),
        system: read_system(body, reader)?,
    };
    let continues = continues(body)?;
    let (tokens, opened) = if continues {
        harmony.render_open(&conversation).ok_or_else(|| {
            ApiError::field(
                "continue_final_message",
                "the last message must be the assistant's, and no call",
            )
        })?
    } else {
        (harmony.render(&conversation), 0)
    };
    let asked = Asked {
        tools: &tools,
        form,
        reasoning: read_reasoning(body)?,
        several: may_call_several(body)?,
        continues,
        words: Words::CHAT,
    };
    Ok(ChatPrompt {
        tokens,
        opened,
        offered: tools.names(),
        grammar: asked.tag(harmony, reader.hello, &conversation, limits)?,
    })
}

fn may_call_several(body: &mut Object<'_>) -> Result<bool, ApiError> {
    body.get("parallel_tool_calls")
        .map_or(Ok(true), |field| field.boolean())
}

/// Whether the last message is to be written on, and no new one begun.
fn continues(body: &mut Object<'_>) -> Result<bool, ApiError> {
    let continues = flag(body, "continue_final_message")?;
    match body.get("add_generation_prompt") {
        Some(field) if field.boolean()? == continues => Err(field.refuse(if continues {
            "must be false where `continue_final_message` is true"
        } else {
            "a prompt ends with the assistant's turn here; leave it out"
        })),
        _ => Ok(continues),
    }
}

fn read_system(body: &mut Object<'_>, reader: &Reader<'_>) -> Result<System, ApiError> {
    let mut efforts = Vec::new();
    let mut system = System {
        effort: reader.effort,
        date: reader.date.clone(),
        ..System::default()
    };
    efforts.extend(body.get("reasoning_effort"));
    if let Some(field) = body.get("reasoning") {
        let mut reasoning = field.object()?;
        efforts.extend(reasoning.get("effort"));
    }
    if let Some(field) = body.get("chat_template_kwargs") {
        let mut arguments = field.object()?;
        efforts.extend(arguments.get("reasoning_effort"));
        if let Some(identity) = arguments.get("model_identity") {
            system.identity = identity.string()?;
        }
        if let Some(tools) = arguments.get("builtin_tools")
            && !tools.array(16)?.is_empty()
        {
            return Err(tools.refuse("this server runs no tools of its own; leave it out"));
        }
        reader.unknown.tell(&arguments);
    }
    for field in efforts.iter().rev() {
        let effort: Effort = field
            .string()?
            .parse()
            .map_err(|error| field.refuse(error))?;
        system.effort = effort;
    }
    Ok(system)
}

fn check_modalities(body: &mut Object<'_>) -> Result<(), ApiError> {
    let Some(field) = body.get("modalities") else {
        return Ok(());
    };
    for each in field.array(8)? {
        if each.string()? != "text" {
            return Err(each.refuse("GPT-OSS writes text alone"));
        }
    }
    Ok(())
}

/// How many of the likeliest tokens come with each.
fn read_logprobs(body: &mut Object<'_>, reader: &Reader<'_>) -> Result<Option<u8>, ApiError> {
    let wanted = body.get("logprobs");
    let top = body.get("top_logprobs");
    match wanted {
        Some(field) if field.boolean()? => match top {
            Some(top) => check_logprobs(&top, reader.hello).map(Some),
            None if reader.hello.max_logprobs == 0 => {
                check_logprobs(&field, reader.hello).map(Some)
            }
            None => Ok(Some(0)),
        },
        _ => match top {
            Some(top) if top.integer(0..=20)? > 0 => {
                Err(top.refuse("needs `logprobs`, which must be true"))
            }
            _ => Ok(None),
        },
    }
}
