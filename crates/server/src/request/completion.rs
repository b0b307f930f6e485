//! `/v1/completions`: raw texts to continue.

use mxfp4_harmony::grammar::{Limits, text_tag};

use super::grammar::{check_ends, check_engine};
use super::sampling::{check_logprobs, flag, read_max_tokens};
use super::{Reader, Sampling, form, refused};
use crate::api_error::ApiError;
use crate::json::Field;

/// The most answers of one request, of all its prompts together.
const MOST_ANSWERS: usize = 1024;

/// Raw texts to continue.
pub(crate) struct CompletionRequest {
    pub(crate) sampling: Sampling,
    pub(crate) prompts: Vec<CompletionPrompt>,
    /// Whether answers begin with their prompts.
    pub(crate) echo: bool,
    /// Whether names of special tokens are part of the text.
    pub(crate) show_special: bool,
}

/// A text to continue.
pub(crate) struct CompletionPrompt {
    pub(crate) tokens: Vec<u32>,
    /// None: what the model's length leaves.
    pub(crate) max_tokens: Option<u32>,
}

impl CompletionRequest {
    pub(crate) fn read(text: &str, reader: &Reader<'_>) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        reader.check_model(&mut body)?;
        refused::check_completion(&mut body)?;
        let mut sampling = Sampling::read(&mut body, reader)?;
        let echo = flag(&mut body, "echo")?;
        if let Some(field) = body.get("logprobs") {
            sampling.request.logprobs = Some(check_logprobs(&field, reader.hello)?);
            if echo {
                return Err(field.refuse(
                    "the engine has log-probabilities of the answer alone; leave `echo` out",
                ));
            }
        }
        let max_tokens = read_max_tokens(&mut body, &["max_tokens"], i128::from(!echo))?;
        let show_special = body
            .get("skip_special_tokens")
            .map_or(Ok(true), |field| field.boolean())
            .map(|skip| !skip)?;
        if let Some(form) = form::read(&mut body, &mut Limits::default())? {
            check_engine(reader.hello, &form.path)?;
            check_ends(&mut body)?;
            let tag = text_tag(&form.text, reader.vocabulary.special_ids());
            sampling.request.grammar = Some(tag);
        }
        let Some(field) = body.get("prompt") else {
            return Err(ApiError::field("prompt", "is missing"));
        };
        let prompts = read_prompts(&field, reader)?;
        if prompts.len() * sampling.choices as usize > MOST_ANSWERS {
            return Err(field.refuse(format_args!(
                "{} prompts and `n` of {} make more than {MOST_ANSWERS} answers; send several requests",
                prompts.len(),
                sampling.choices
            )));
        }
        reader.unknown.tell(&body);
        if !sampling.request.ignore_eos
            && let Ok(harmony) = reader.harmony
        {
            sampling
                .request
                .stop_token_ids
                .extend(harmony.special().ends());
        }
        let limited = |tokens: Vec<u32>| CompletionPrompt {
            max_tokens: reader.limit(max_tokens, tokens.len()),
            tokens,
        };
        Ok(Self {
            sampling,
            prompts: prompts.into_iter().map(limited).collect(),
            echo,
            show_special,
        })
    }
}

/// A text, texts, token ids, or arrays of token ids.
fn read_prompts(field: &Field<'_>, reader: &Reader<'_>) -> Result<Vec<Vec<u32>>, ApiError> {
    if !field.is_array() {
        return Ok(vec![read_prompt(field, reader)?]);
    }
    if is_tokens(field) {
        return Ok(vec![read_prompt(field, reader)?]);
    }
    let elements = field.array(MOST_ANSWERS)?;
    if elements.is_empty() {
        return Err(field.refuse("must have at least one prompt"));
    }
    elements
        .iter()
        .map(|element| read_prompt(element, reader))
        .collect()
}

/// Whether the first element of an array is a number.
fn is_tokens(field: &Field<'_>) -> bool {
    let inside = field.text()[1..].trim_start();
    inside.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

fn read_prompt(field: &Field<'_>, reader: &Reader<'_>) -> Result<Vec<u32>, ApiError> {
    let tokens = if field.is_string() {
        reader.vocabulary.encode_with_special(&field.string()?)
    } else if field.is_array() {
        // One more is too many, which is said in numbers.
        let tokens = field.tokens(reader.most_tokens() + 1)?;
        reader.check_tokens(field, &tokens)?;
        tokens
    } else {
        return Err(field.refuse("must be a text or an array of token ids"));
    };
    if tokens.is_empty() {
        return Err(field.refuse("has no tokens"));
    }
    reader.check_length(tokens.len(), field.path())?;
    Ok(tokens)
}
