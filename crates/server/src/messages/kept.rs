//! Thinking that clients keep for the server: its text, and a signature that has it sealed.

use super::block::Block;
use crate::api_error::ApiError;
use crate::record::Record;
use crate::seal::{Bound, Seal, Unsealed};
use crate::serving::Serving;

/// Seals thinking for a client, and opens it.
#[derive(Clone)]
pub(crate) struct Keeper {
    seal: Seal,
    model: String,
    /// The name of the client's key.
    owner: Option<String>,
}

impl Keeper {
    pub(crate) fn new(seal: &Seal, serving: &Serving, record: &Record) -> Self {
        Self {
            seal: seal.clone(),
            model: serving.model().to_owned(),
            owner: record.key_name(),
        }
    }

    fn bound(&self) -> Bound<'_> {
        Bound {
            purpose: "messages",
            model: &self.model,
            owner: self.owner.as_deref(),
        }
    }

    /// A thinking block's signature.
    pub(crate) fn sign(&self, thinking: &str) -> String {
        self.seal.seal(thinking, &self.bound())
    }

    fn open(&self, sealed: &str) -> Result<String, Unsealed> {
        self.seal.open(sealed, &self.bound())
    }

    /// The text of a thinking block. One without a signature is another model's, and is taken as
    /// a chat's reasoning is, which has none.
    pub(super) fn thinking(&self, block: &mut Block<'_>) -> Result<String, ApiError> {
        let text = block.text("thinking")?;
        let Some(field) = block.object.get("signature") else {
            return Ok(text);
        };
        let signature = field.string()?;
        if signature.is_empty() {
            return Ok(text);
        }
        let opened = match self.open(&signature) {
            // It was not shown.
            Ok(opened) if text.is_empty() || text == opened => return Ok(opened),
            Ok(_) => Unsealed::Altered,
            Err(why) => why,
        };
        // Clients look for these words, to leave the block out.
        Err(field.refuse(format_args!(
            "Invalid `signature` in `thinking` block: it {opened}"
        )))
    }

    /// The text of a redacted_thinking block.
    pub(super) fn redacted(&self, block: &mut Block<'_>) -> Result<String, ApiError> {
        let Some(field) = block.object.get("data") else {
            return Err(ApiError::field(&block.object.path_of("data"), "is missing"));
        };
        let opened = self.open(&field.string()?);
        opened.map_err(|why| {
            field.refuse(format_args!(
                "Invalid `data` in `redacted_thinking` block: it {why}"
            ))
        })
    }
}
