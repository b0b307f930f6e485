//! Blocks of content, by their types.

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// The most blocks of a content.
const MOST_BLOCKS: usize = 16_384;

/// A block, and what its type is.
pub(super) struct Block<'a> {
    pub(super) object: Object<'a>,
    kind: Field<'a>,
    pub(super) name: String,
}

impl<'a> Block<'a> {
    /// The blocks of an array.
    pub(super) fn all(field: &Field<'a>) -> Result<Vec<Self>, ApiError> {
        field.array(MOST_BLOCKS)?.iter().map(Self::read).collect()
    }

    fn read(field: &Field<'a>) -> Result<Self, ApiError> {
        let mut object = field.object()?;
        let Some(kind) = object.get("type") else {
            return Err(ApiError::field(&object.path_of("type"), "is missing"));
        };
        Ok(Self {
            name: kind.string()?,
            object,
            kind,
        })
    }

    /// A text that has to be there.
    pub(super) fn text(&mut self, key: &str) -> Result<String, ApiError> {
        match self.object.get(key) {
            Some(field) => field.string(),
            None => Err(ApiError::field(&self.object.path_of(key), "is missing")),
        }
    }

    /// A 400 that names the type. `known` says which ones are read here.
    pub(super) fn refuse(&self, known: &str) -> ApiError {
        let name = excerpt(&self.name);
        self.kind.refuse(match self.name.as_str() {
            "image" | "document" | "search_result" | "container_upload" => {
                format!("GPT-OSS reads text alone, and no {name:?} block; send {known}")
            }
            _ => format!("{name:?} is no block that is read here; send {known}"),
        })
    }
}

/// A text, or an array of text blocks, which are one text.
pub(super) fn joined(field: &Field<'_>) -> Result<String, ApiError> {
    Ok(texts(field)?.concat())
}

/// A text, or an array of text blocks.
pub(super) fn texts(field: &Field<'_>) -> Result<Vec<String>, ApiError> {
    if field.is_string() {
        return Ok(vec![field.string()?]);
    }
    if !field.is_array() {
        return Err(field.refuse("must be a string or an array of blocks"));
    }
    let mut texts = Vec::new();
    for mut block in Block::all(field)? {
        match block.name.as_str() {
            "text" => texts.push(block.text("text")?),
            _ => return Err(block.refuse("text")),
        }
    }
    Ok(texts)
}
