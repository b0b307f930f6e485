//! What reading a request needs beside the request: what the server and the client have kept.

use std::sync::Arc;

use crate::api_error::{ApiError, excerpt};
use crate::app::App;
use crate::record::Record;
use crate::seal::{Bound, Seal};
use crate::serving::Serving;
use crate::store::{Entry, Store, StoreError};

/// The most bytes of responses that a request may go on from, or refer to.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// What the server and the client have kept, for one request.
#[derive(Clone)]
pub(crate) struct Context {
    seal: Seal,
    store: Option<Store>,
    model: String,
    /// The name of the API key.
    owner: Option<String>,
    /// The response's id, without its prefix. The ids of its items begin with it.
    pub(crate) id: String,
}

impl Context {
    pub(crate) fn new(app: &App, serving: &Serving, record: &Record) -> Self {
        Self {
            seal: app.seal.clone(),
            store: app.config.store.clone(),
            model: serving.model().to_owned(),
            owner: record.key_name(),
            id: app.ids.next(""),
        }
    }

    fn bound(&self) -> Bound<'_> {
        Bound {
            purpose: "responses",
            model: &self.model,
            owner: self.owner.as_deref(),
        }
    }

    /// Seals reasoning for the client to keep.
    pub(crate) fn seal(&self, reasoning: &str) -> String {
        self.seal.seal(reasoning, &self.bound())
    }

    /// Opens reasoning that a client kept.
    pub(crate) fn open(&self, sealed: &str) -> Result<String, crate::seal::Unsealed> {
        self.seal.open(sealed, &self.bound())
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// A response that is kept, if it is this client's.
    pub(crate) fn find(&self, id: &str) -> Result<Option<Arc<Entry>>, ApiError> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        store.get(id, self.owner()).map_err(|error| failed(&error))
    }

    /// Keeps a response. Returns whether it is kept.
    pub(crate) fn keep(&self, entry: Entry) -> bool {
        let Some(store) = &self.store else {
            return false;
        };
        store.put(entry).unwrap_or_else(|error| {
            failed(&error);
            false
        })
    }

    /// Forgets a response; false where there is none.
    pub(crate) fn forget(&self, id: &str) -> Result<bool, ApiError> {
        let Some(store) = &self.store else {
            return Ok(false);
        };
        store
            .delete(id, self.owner())
            .map_err(|error| failed(&error))
    }

    /// A response, and those that it went on from, the first first.
    pub(crate) fn chain(&self, path: &str, id: &str) -> Result<Vec<Arc<Entry>>, ApiError> {
        if self.store.is_none() {
            return Err(ApiError::field(
                path,
                "this server keeps no responses; send the whole conversation as `input`, \
                 or start the server with `--store`",
            ));
        }
        let mut chain = Vec::new();
        let mut next = Some(id.to_owned());
        let mut bytes = 0;
        while let Some(id) = next {
            let entry = self.find(&id)?.ok_or_else(|| gone(path, &id))?;
            bytes += entry.input.len() + entry.output.len();
            if bytes > MOST_BYTES {
                return Err(ApiError::field(
                    path,
                    "the conversation that it names is longer than any model reads; begin a new one",
                ));
            }
            next = entry.previous.clone();
            chain.push(entry);
        }
        chain.reverse();
        Ok(chain)
    }
}

fn gone(path: &str, id: &str) -> ApiError {
    ApiError::not_found(format!(
        "`{path}`: there is no response {:?} here, or not any more; send the whole conversation as `input`",
        excerpt(id)
    ))
    .with_param(path)
    .with_code("previous_response_not_found")
}

fn failed(error: &StoreError) -> ApiError {
    let source = std::error::Error::source(error);
    let source = source.map_or(String::new(), |source| format!(": {source}"));
    tracing::error!("{error}{source}");
    ApiError::internal("the server's store of responses failed")
}
