//! What a response repeats of its request.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::api_error::ApiError;
use crate::json::{Field, Object};

/// The most pairs of metadata, and the longest key and value, in characters.
const MOST_PAIRS: usize = 16;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 512;

/// What a response repeats of its request.
#[derive(Debug, Serialize)]
pub(crate) struct Echo {
    pub(super) background: bool,
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) max_tool_calls: Option<u32>,
    pub(super) metadata: Map<String, Value>,
    pub(super) model: String,
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: Option<String>,
    pub(super) prompt_cache_key: Option<String>,
    pub(super) reasoning: Reasoning,
    pub(super) safety_identifier: Option<String>,
    pub(super) service_tier: &'static str,
    pub(super) temperature: Option<f32>,
    pub(super) text: Value,
    pub(super) tool_choice: Value,
    pub(super) tools: Vec<Value>,
    pub(super) top_logprobs: u8,
    pub(super) top_p: Option<f32>,
    pub(super) truncation: &'static str,
    pub(super) user: Option<String>,
}

/// How much the model thinks. A summary of it there is none of.
#[derive(Debug, Serialize)]
pub(super) struct Reasoning {
    pub(super) effort: &'static str,
    pub(super) summary: Option<()>,
}

/// Reads `metadata`, which a client may keep with a response.
pub(super) fn metadata(body: &mut Object<'_>) -> Result<Map<String, Value>, ApiError> {
    let Some(field) = body.get("metadata") else {
        return Ok(Map::new());
    };
    if !field.is_object() {
        return Err(field.refuse("must be an object of strings"));
    }
    let pairs: Map<String, Value> = field.read()?;
    if pairs.len() > MOST_PAIRS {
        return Err(field.refuse(format_args!("must have at most {MOST_PAIRS} pairs")));
    }
    for (key, value) in &pairs {
        let fits = value
            .as_str()
            .is_some_and(|value| value.chars().count() <= LONGEST_VALUE);
        if !fits || key.chars().count() > LONGEST_KEY {
            return Err(field.refuse(format_args!(
                "its keys have at most {LONGEST_KEY} characters, its values are strings of at most {LONGEST_VALUE}"
            )));
        }
    }
    Ok(pairs)
}

/// A text that changes nothing here and is repeated.
pub(super) fn text(body: &mut Object<'_>, key: &str) -> Result<Option<String>, ApiError> {
    body.get(key)
        .map(|field: Field<'_>| field.string())
        .transpose()
}
