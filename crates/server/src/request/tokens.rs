//! `/tokenize` and `/detokenize`, in vLLM's form.

use super::Reader;
use super::chat::prompt_of_messages;
use super::sampling::flag;
use crate::api_error::ApiError;
use crate::json::Field;

/// A text, or a chat, to turn into tokens.
pub(crate) struct TokenizeRequest {
    pub(crate) tokens: Vec<u32>,
    /// Whether the tokens' texts are wanted, too.
    pub(crate) texts: bool,
}

impl TokenizeRequest {
    pub(crate) fn read(text: &str, reader: &Reader<'_>) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        reader.check_model(&mut body)?;
        body.ignore(&["add_special_tokens"]);
        let texts = flag(&mut body, "return_token_strs")?;
        let tokens = match body.get("prompt") {
            Some(prompt) => reader.vocabulary.encode_with_special(&prompt.string()?),
            None if body.get("messages").is_some() => prompt_of_messages(&mut body, reader)?,
            None => {
                return Err(ApiError::field(
                    "prompt",
                    "is missing, and so is `messages`",
                ));
            }
        };
        reader.unknown.tell(&body);
        Ok(Self { tokens, texts })
    }
}

/// Tokens to turn into a text.
pub(crate) struct DetokenizeRequest {
    pub(crate) tokens: Vec<u32>,
}

impl DetokenizeRequest {
    /// The most tokens, where the model's length is small.
    const MOST: usize = 1 << 20;

    pub(crate) fn read(text: &str, reader: &Reader<'_>) -> Result<Self, ApiError> {
        let mut body = Field::body(text)?;
        reader.check_model(&mut body)?;
        let Some(field) = body.get("tokens") else {
            return Err(ApiError::field("tokens", "is missing"));
        };
        let tokens = field.tokens(reader.most_tokens().max(Self::MOST))?;
        reader.check_tokens(&field, &tokens)?;
        reader.unknown.tell(&body);
        Ok(Self { tokens })
    }
}
