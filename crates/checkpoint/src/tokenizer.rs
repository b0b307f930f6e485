//! How many tokens a tokenizer has.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::fault::Fault;
use crate::read;

/// The largest id of `tokenizer.json` and one; `None` where there is no such file.
pub fn tokens(folder: &Path) -> Result<Option<u64>, Fault> {
    let path = folder.join("tokenizer.json");
    let Some(content) = read::content(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice::<File>(&content) {
        Ok(file) => Ok(Some(file.tokens())),
        Err(error) => Err(Fault::Json {
            path,
            why: error.to_string(),
        }),
    }
}

/// What of a `tokenizer.json` tells its size. The rest is skipped: merges are most of it.
#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Ids,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
}

impl File {
    fn tokens(&self) -> u64 {
        let added = self
            .added_tokens
            .iter()
            .map(|token| u64::from(token.id) + 1);
        added.fold(self.model.vocab.0, u64::max)
    }
}

/// The largest id of a vocabulary and one.
struct Ids(u64);

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Largest;
        impl<'de> Visitor<'de> for Largest {
            type Value = Ids;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ids, A::Error> {
                let mut tokens = 0;
                while let Some((_, id)) = map.next_entry::<IgnoredAny, u32>()? {
                    tokens = tokens.max(u64::from(id) + 1);
                }
                Ok(Ids(tokens))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ids, A::Error> {
                let mut tokens = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    tokens += 1;
                }
                Ok(Ids(tokens))
            }
        }
        deserializer.deserialize_any(Largest)
    }
}
