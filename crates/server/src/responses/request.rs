//! What `/v1/responses` is asked.

use mxfp4_harmony::grammar::Limits;
use mxfp4_harmony::{Conversation, Effort, System, Turn};
use serde_json::{Value, json};

use super::context::Context;
use super::conversation::{From, Past};
use super::echo::{self, Echo, Reasoning};
use super::kept::Input;
use super::tools::{self, Names, ResponseTools};
use super::{format, truncation};
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::grammar::{Asked, Words, read_reasoning};
use crate::request::sampling::{check_logprobs, flag, read_draw};
use crate::request::{ChatPrompt, ChatRequest, Reader, Sampling, Streaming};

/// A response to be made.
pub(crate) struct ResponsesRequest {
    pub(crate) chat: ChatRequest,
    pub(crate) about: About,
}

/// What a response says beside the model's answer, and how.
pub(crate) struct About {
    pub(super) echo: Echo,
    pub(super) names: Names,
    /// Whether reasoning comes sealed, too.
    pub(super) seals: bool,
    /// What is kept with the response, where it is to be.
    pub(super) kept: Option<Input>,
}

/// Known fields that change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "client_metadata",
    "context_management",
    "moderation",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "stream_options",
];

/// Fields that would change an answer and cannot be honoured.
const REFUSED: &[(&str, &str)] = &[
    (
        "conversation",
        "this server keeps no conversations; send `previous_response_id`, or the whole conversation as `input`",
    ),
    (
        "prompt",
        "this server keeps no prompts; send `instructions` and `input`",
    ),
];

const WORDS: Words = Words {
    budget: "thinking_token_budget",
    close: "end `input` with the user's",
};

/// Where the note of tools that are left out stands in the metadata.
const LEFT_OUT: &str = "mxfp4_tools_left_out";

/// The most parts that `include` may ask for.
const MOST_INCLUDED: usize = 64;

impl ResponsesRequest {
    pub(crate) fn read(
        text: &str,
        reader: &Reader<'_>,
        context: &Context,
    ) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        let body = &mut body;
        reader.check_model(body)?;
        check_refused(body)?;
        let include = Include::read(body)?;
        let mut sampling = read_sampling(body)?;
        let top_logprobs = read_logprobs(body, reader, &include, &mut sampling)?;
        let most = integer(body, "max_output_tokens")?;
        let max_tool_calls = integer(body, "max_tool_calls")?;
        let several = body
            .get("parallel_tool_calls")
            .map_or(Ok(true), |field| field.boolean())?;
        let previous = echo::text(body, "previous_response_id")?;
        let instructions = echo::text(body, "instructions")?;
        let metadata = echo::metadata(body)?;
        let cuts = cuts(body)?;
        let ResponseTools {
            tools,
            names,
            told: told_tools,
            choice,
            left_out,
        } = tools::read(body, reader)?;
        let mut limits = Limits::default();
        let (mut form, told_text) = format::read(body, &mut limits)?;
        let effort = read_effort(body, reader)?;
        let turns = read_turns(body, instructions.clone(), previous.as_deref(), context)?;
        let mut conversation = Conversation {
            turns,
            tools: tools.told(),
            format: form.as_mut().and_then(|form| form.told.take()),
            system: System {
                effort,
                date: reader.date.clone(),
                ..System::default()
            },
        };
        let harmony = reader.harmony()?;
        let tokens = match cuts {
            true => truncation::render(harmony, &mut conversation, room(reader, most)),
            false => harmony.render(&conversation),
        };
        let budget = read_reasoning(body)?;
        let asked = Asked {
            tools: &tools,
            form,
            reasoning: budget,
            several,
            continues: false,
            words: WORDS,
        };
        let grammar = asked.tag(harmony, reader.hello, &conversation, limits)?;
        if grammar.is_some() {
            sampling.request.grammar = grammar;
            sampling.request.thinking_token_budget = budget;
        }
        let echo = Echo {
            background: false,
            instructions,
            max_output_tokens: most,
            max_tool_calls,
            metadata: noted(metadata, &left_out),
            model: reader.models[0].clone(),
            parallel_tool_calls: several,
            previous_response_id: previous.clone(),
            prompt_cache_key: echo::text(body, "prompt_cache_key")?,
            reasoning: Reasoning {
                effort: effort.as_str(),
                summary: None,
            },
            safety_identifier: echo::text(body, "safety_identifier")?,
            service_tier: "default",
            temperature: sampling.request.temperature,
            text: told_text,
            tool_choice: choice,
            tools: told_tools,
            top_logprobs,
            top_p: sampling.request.top_p,
            truncation: if cuts { "auto" } else { "disabled" },
            user: echo::text(body, "user")?,
        };
        let keeps = body
            .get("store")
            .map_or(Ok(true), |field| field.boolean())?;
        let kept = match keeps && context.has_store() {
            true => Some(Input::read(body, previous, context)?),
            false => None,
        };
        reader.unknown.tell(body);
        reader.check_length(tokens.len(), "input")?;
        sampling.request.max_tokens = reader.limit(most, tokens.len());
        let ends = harmony.special().ends();
        sampling.request.stop_token_ids.extend(ends);
        Ok(Self {
            chat: ChatRequest {
                sampling,
                prompt: ChatPrompt {
                    tokens,
                    opened: 0,
                    offered: tools.names(),
                    grammar: None,
                },
                reasoning: true,
                parallel_calls: several,
            },
            about: About {
                echo,
                names,
                seals: include.sealed,
                kept,
            },
        })
    }
}

fn check_refused(body: &mut Object<'_>) -> Result<(), ApiError> {
    body.ignore(WITHOUT_EFFECT);
    if let Some(field) = body.get("background")
        && field.boolean()?
    {
        return Err(field.refuse(
            "this server answers while the client waits, and not in the background; leave it out",
        ));
    }
    for (key, why) in REFUSED {
        if let Some(field) = body.get(key) {
            return Err(field.refuse(why));
        }
    }
    Ok(())
}

/// What comes beside the answer.
#[derive(Default)]
struct Include {
    sealed: bool,
    logprobs: bool,
}

impl Include {
    /// What only tools have that this server does not run is never there.
    fn read(body: &mut Object<'_>) -> Result<Self, ApiError> {
        let mut include = Self::default();
        if let Some(field) = body.get("include") {
            for each in field.array(MOST_INCLUDED)? {
                match each.string()?.as_str() {
                    "reasoning.encrypted_content" => include.sealed = true,
                    "message.output_text.logprobs" => include.logprobs = true,
                    _ => {}
                }
            }
        }
        Ok(include)
    }
}

fn read_sampling(body: &mut Object<'_>) -> Result<Sampling, ApiError> {
    let mut request = mxfp4_engine::Request::default();
    read_draw(body, &mut request)?;
    Ok(Sampling {
        request,
        choices: 1,
        stop: Vec::new(),
        keep_stop: false,
        token_ids: false,
        stream: flag(body, "stream")?.then(Streaming::default),
    })
}

fn read_logprobs(
    body: &mut Object<'_>,
    reader: &Reader<'_>,
    include: &Include,
    sampling: &mut Sampling,
) -> Result<u8, ApiError> {
    let top = match body.get("top_logprobs") {
        Some(field) if field.integer(0..=20)? > 0 => check_logprobs(&field, reader.hello)?,
        _ => 0,
    };
    if top > 0 || include.logprobs {
        if reader.hello.max_logprobs == 0 {
            return Err(ApiError::field(
                "include",
                "the engine was started without log-probabilities; leave `message.output_text.logprobs` out",
            ));
        }
        sampling.request.logprobs = Some(top);
    }
    Ok(top)
}

fn integer(body: &mut Object<'_>, key: &str) -> Result<Option<u32>, ApiError> {
    let Some(field) = body.get(key) else {
        return Ok(None);
    };
    Ok(Some(field.integer(1..=i128::from(u32::MAX))? as u32))
}

fn cuts(body: &mut Object<'_>) -> Result<bool, ApiError> {
    let Some(field) = body.get("truncation") else {
        return Ok(false);
    };
    match field.string()?.as_str() {
        "auto" => Ok(true),
        "disabled" => Ok(false),
        other => Err(field.refuse(format_args!(
            "{:?} is not known here; send \"auto\" or \"disabled\"",
            excerpt(other)
        ))),
    }
}

/// The most tokens of a prompt that leaves room for an answer.
fn room(reader: &Reader<'_>, most: Option<u32>) -> usize {
    let length = reader.hello.max_length;
    let answer = most.unwrap_or(length / 4).min(length / 2).max(1);
    length.saturating_sub(answer) as usize
}

fn read_effort(body: &mut Object<'_>, reader: &Reader<'_>) -> Result<Effort, ApiError> {
    let Some(field) = body.get("reasoning") else {
        return Ok(reader.effort);
    };
    let mut reasoning = field.object()?;
    for key in ["summary", "generate_summary"] {
        if let Some(field) = reasoning.get(key)
            && !["auto", "concise", "detailed", "none"].contains(&&*field.string()?)
        {
            return Err(
                field.refuse("is not known here; send \"auto\", \"concise\" or \"detailed\"")
            );
        }
    }
    match reasoning.get("effort") {
        Some(field) => field.string()?.parse().map_err(|error| field.refuse(error)),
        None => Ok(reader.effort),
    }
}

fn read_turns(
    body: &mut Object<'_>,
    instructions: Option<String>,
    previous: Option<&str>,
    context: &Context,
) -> Result<Vec<Turn>, ApiError> {
    let mut past = Past::new(context);
    if let Some(text) = instructions {
        past.instructions(text);
    }
    if let Some(id) = previous {
        for entry in context.chain("previous_response_id", id)? {
            for items in [&entry.input, &entry.output] {
                past.items(&Field::of("previous_response_id", items), From::Store)?;
            }
        }
    }
    match body.get("input") {
        Some(field) => past.input(&field)?,
        // What is there goes on.
        None if previous.is_some() => {}
        None => return Err(ApiError::field("input", "is missing")),
    }
    let turns = past.turns();
    if turns.is_empty() {
        return Err(ApiError::field("input", "must have at least one item"));
    }
    Ok(turns)
}

/// Metadata with a note of the tools that are left out.
fn noted(
    mut metadata: serde_json::Map<String, Value>,
    left_out: &[String],
) -> serde_json::Map<String, Value> {
    if !left_out.is_empty() {
        metadata.insert(LEFT_OUT.to_owned(), json!(left_out.join(", ")));
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_clients_names_every_field() {
        let page = include_str!("../../../../docs/reference/responses.md");
        let refused = REFUSED.iter().map(|(name, _)| name);
        for name in refused.chain(WITHOUT_EFFECT).chain([&LEFT_OUT]) {
            assert!(
                page.contains(&format!("`{name}`")),
                "docs/reference/responses.md lacks {name}"
            );
        }
    }
}
