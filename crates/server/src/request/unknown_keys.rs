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
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() > Self::MOST || !named.insert(path.to_owned()) {
            return;
        }
        if named.len() > Self::MOST {
            tracing::warn!("more unknown fields come; they are ignored and not named any more");
        } else {
            tracing::warn!("field {path:?} of a request is unknown here and ignored");
        }
    }
}
