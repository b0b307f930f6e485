//! Keys that no route knows.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::api_error::excerpt;
use crate::json::Object;

/// Names of ignored keys that were logged. Each is logged once, and so many at most:
/// clients choose them.
#[derive(Default)]
pub(crate) struct UnknownKeys {
    named: Mutex<HashSet<String>>,
}

impl UnknownKeys {
    const MOST: usize = 256;

    /// Logs what nobody asked an object for.
    pub(crate) fn tell(&self, object: &Object<'_>) {
        for path in object.unknown() {
            self.tell_one(&excerpt(&path));
        }
    }

    fn tell_one(&self, path: &str) {
        if self.is_new(path) {
            tracing::warn!("field {path:?} of a request is unknown here and ignored");
        }
    }

    /// Logs that a kind of tool is left out, which only its maker's servers run.
    pub(crate) fn tell_tool(&self, kind: &str) {
        let kind = excerpt(kind);
        if self.is_new(&format!("tools: {kind}")) {
            tracing::warn!("this server runs no tool of type {kind:?}; it is left out");
        }
    }

    /// Whether it is to be named now.
    fn is_new(&self, name: &str) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() > Self::MOST || !named.insert(name.to_owned()) {
            return false;
        }
        let last = named.len() > Self::MOST;
        if last {
            tracing::warn!("more unknown fields come; they are ignored and not named any more");
        }
        !last
    }
}
