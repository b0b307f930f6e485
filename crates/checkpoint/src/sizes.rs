//! The sizes of a model.

use serde::Serialize;

/// Weights that share a scale.
pub const GROUP: u64 = 32;

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Layers.
    pub num_hidden_layers: u64,
    /// Features between layers.
    pub hidden_size: u64,
    /// Features within an expert.
    pub intermediate_size: u64,
    /// Experts of a layer.
    pub num_local_experts: u64,
    /// Experts that a token goes to.
    pub num_experts_per_tok: u64,
    /// Query heads.
    pub num_attention_heads: u64,
    /// Key and value heads.
    pub num_key_value_heads: u64,
    /// Features of a head.
    pub head_dim: u64,
    /// Rows of the embedding and the head.
    pub vocab_size: u64,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
}
