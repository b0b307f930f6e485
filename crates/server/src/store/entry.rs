//! What a store holds.

/// A response, and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As `resp_...`.
    pub(crate) id: String,
    /// The name of the API key that it was asked with; [`None`] where there are no keys.
    pub(crate) owner: Option<String>,
    /// The response that it went on from.
    pub(crate) previous: Option<String>,
    /// The response's own input: a JSON array of items.
    pub(crate) input: String,
    /// What it put out: a JSON array of items.
    pub(crate) output: String,
    /// The response as JSON.
    pub(crate) response: String,
}

impl Entry {
    /// What it counts for, with what a map or a table needs for it.
    pub(super) fn bytes(&self) -> usize {
        const AROUND: usize = 256;
        let texts = [&self.id, &self.input, &self.output, &self.response];
        AROUND + texts.map(String::len).iter().sum::<usize>()
    }

    pub(super) fn is_of(&self, owner: Option<&str>) -> bool {
        self.owner.as_deref() == owner
    }
}
