//! What reading a request needs to know of the server.

use mxfp4_engine::Hello;
use mxfp4_harmony::{Effort, Harmony, MissingToken, Vocabulary};

use super::UnknownKeys;
use crate::api_error::ApiError;
use crate::json::{Field, Object};

/// What reading a request needs to know of the server.
pub(crate) struct Reader<'a> {
    pub(crate) hello: &'a Hello,
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) harmony: &'a Result<Harmony, MissingToken>,
    /// Names that this server answers to.
    pub(crate) models: &'a [String],
    /// Where a request asks for no effort.
    pub(crate) effort: Effort,
    /// What the system message says of today.
    pub(crate) date: Option<String>,
    pub(crate) unknown: &'a UnknownKeys,
}

impl Reader<'_> {
    /// Refuses another model. Without a name it is the served one.
    pub(crate) fn check_model(&self, body: &mut Object<'_>) -> Result<(), ApiError> {
        let Some(field) = body.get("model") else {
            return Ok(());
        };
        let model = field.string()?;
        if self.models.contains(&model) {
            return Ok(());
        }
        Err(ApiError::unknown_model(&model, self.models))
    }

    pub(crate) fn harmony(&self) -> Result<&Harmony, ApiError> {
        self.harmony
            .as_ref()
            .map_err(|missing| ApiError::invalid(missing.to_string()))
    }

    /// The most token ids that a field may have.
    pub(crate) fn most_tokens(&self) -> usize {
        self.hello.max_length as usize
    }

    /// Refuses ids that the model's head has no row for.
    pub(crate) fn check_tokens(&self, field: &Field<'_>, ids: &[u32]) -> Result<(), ApiError> {
        match ids.iter().find(|id| **id >= self.hello.vocabulary) {
            None => Ok(()),
            Some(id) => Err(field.refuse(format_args!(
                "{id} is no token of the model; its ids end at {}",
                self.hello.vocabulary.saturating_sub(1)
            ))),
        }
    }

    /// What an answer may have beside a prompt of so many tokens. None is what the
    /// model's length leaves.
    pub(crate) fn limit(&self, most: Option<u32>, prompt: usize) -> Option<u32> {
        let room = (self.hello.max_length as usize).saturating_sub(prompt);
        most.map(|most| most.min(u32::try_from(room).unwrap_or(u32::MAX)))
    }

    /// Refuses a prompt that leaves no room for an answer.
    pub(crate) fn check_length(&self, tokens: usize, path: &str) -> Result<(), ApiError> {
        let most = self.hello.max_length;
        if tokens < most as usize {
            return Ok(());
        }
        let message = format!(
            "the prompt has {tokens} tokens, but this model's maximum context length is {most} tokens, \
             prompt and answer together; send a shorter one"
        );
        Err(ApiError::invalid(message)
            .with_param(path)
            .with_code("context_length_exceeded"))
    }
}
