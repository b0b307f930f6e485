//! A tensor of a file.

use crate::dtype::Dtype;

/// A tensor, as a header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Where its bytes begin, counted from the header's end.
    pub begin: u64,
    /// Where they end.
    pub end: u64,
}

impl Tensor {
    /// How many bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}
