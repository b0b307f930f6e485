//! A model that is ready.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mxfp4_engine::Engine;
use mxfp4_harmony::{Harmony, MissingToken, Vocabulary};

/// A model that is ready, and what answers say of it.
pub(crate) struct Serving {
    pub(crate) engine: Engine,
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) harmony: Result<Harmony, MissingToken>,
    /// At least one; the first is the answers'.
    pub(crate) models: Vec<String>,
    pub(crate) fingerprint: String,
    /// When it was ready, in seconds since 1970.
    pub(crate) since: u64,
}

impl Serving {
    pub(crate) fn new(engine: Engine, vocabulary: Arc<Vocabulary>, models: &[String]) -> Self {
        let harmony = Harmony::new(vocabulary.clone());
        if let Err(missing) = &harmony {
            tracing::warn!("{missing}");
        }
        let hello = engine.hello();
        let mut models = models.to_vec();
        if models.is_empty() {
            models.push(hello.model.clone());
        }
        Self {
            fingerprint: format!(
                "mxfp4-{}-max-{}",
                crate::version::VERSION,
                hello.max_version
            ),
            models,
            harmony,
            vocabulary,
            since: seconds(),
            engine,
        }
    }

    pub(crate) fn model(&self) -> &str {
        &self.models[0]
    }
}

/// Since 1970.
pub(crate) fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
