use std::fmt;
use std::sync::Arc;

/// What is done before a child is asked to end.
#[derive(Clone)]
pub(crate) struct Before(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Before")
    }
}
