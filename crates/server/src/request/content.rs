//! A message's content: a text, or parts of one.

use crate::api_error::ApiError;
use crate::json::{Field, Object};

/// The most parts of a content.
const MOST_PARTS: usize = 16_384;

/// A content's text, and what of it was reasoning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) reasoning: String,
}

/// Reads a string, or an array of parts, which are one text.
pub(crate) fn read(field: &Field<'_>) -> Result<Content, ApiError> {
    let mut content = Content::default();
    if field.is_array() {
        for part in field.array(MOST_PARTS)? {
            read_part(&part, &mut content)?;
        }
        return Ok(content);
    }
    if !field.is_string() {
        return Err(field.refuse("must be a string or an array of parts"));
    }
    content.text = field.string()?;
    Ok(content)
}

pub(crate) fn read_part(field: &Field<'_>, content: &mut Content) -> Result<(), ApiError> {
    if field.is_string() {
        content.text.push_str(&field.string()?);
        return Ok(());
    }
    let mut part = field.object()?;
    let kind = match part.get("type") {
        Some(kind) => kind.string()?,
        None => "text".to_owned(),
    };
    match kind.as_str() {
        "text" | "input_text" | "output_text" => content.text.push_str(&member(&mut part, "text")?),
        "refusal" => content.text.push_str(&member(&mut part, "refusal")?),
        "thinking" => content.reasoning.push_str(&member(&mut part, "thinking")?),
        other => {
            return Err(field.refuse(format_args!(
                "is of type {:?}, but GPT-OSS reads text alone",
                crate::api_error::excerpt(other)
            )));
        }
    }
    Ok(())
}

fn member(part: &mut Object<'_>, key: &str) -> Result<String, ApiError> {
    match part.get(key) {
        Some(field) => field.string(),
        None => Err(ApiError::field(&part.path_of(key), "is missing")),
    }
}
