//! The tensors of a model in the published layout.

use std::collections::BTreeMap;

use crate::dtype::Dtype;
use crate::sizes::{GROUP, Sizes};

/// What a tensor must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Whether it may be left out.
    pub optional: bool,
}

/// The name of the embedding.
pub const EMBEDDING: &str = "model.embed_tokens.weight";

/// The name of the head.
pub const HEAD: &str = "lm_head.weight";

/// All tensors, by name.
pub fn tensors(sizes: &Sizes) -> BTreeMap<String, Expected> {
    let mut all = Tensors::default();
    let (rows, hidden) = (sizes.vocab_size, sizes.hidden_size);
    all.dense(EMBEDDING.into(), &[rows, hidden]);
    all.dense("model.norm.weight".into(), &[hidden]);
    all.dense(HEAD.into(), &[rows, hidden]);
    if sizes.tie_word_embeddings
        && let Some(head) = all.0.get_mut(HEAD)
    {
        head.optional = true;
    }
    for layer in 0..sizes.num_hidden_layers {
        all.layer(&format!("model.layers.{layer}."), sizes);
    }
    all.0
}

#[derive(Default)]
struct Tensors(BTreeMap<String, Expected>);

impl Tensors {
    fn add(&mut self, name: String, dtype: &str, shape: &[u64]) {
        let expected = Expected {
            dtype: Dtype::new(dtype),
            shape: shape.to_vec(),
            optional: false,
        };
        self.0.insert(name, expected);
    }

    fn dense(&mut self, name: String, shape: &[u64]) {
        self.add(name, "BF16", shape);
    }

    fn layer(&mut self, at: &str, sizes: &Sizes) {
        let (hidden, inner, experts) = (
            sizes.hidden_size,
            sizes.intermediate_size,
            sizes.num_local_experts,
        );
        let queries = sizes.num_attention_heads * sizes.head_dim;
        let keys = sizes.num_key_value_heads * sizes.head_dim;
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            self.dense(format!("{at}{norm}.weight"), &[hidden]);
        }
        for (name, output, input) in [
            ("self_attn.q_proj", queries, hidden),
            ("self_attn.k_proj", keys, hidden),
            ("self_attn.v_proj", keys, hidden),
            ("self_attn.o_proj", hidden, queries),
            ("mlp.router", experts, hidden),
        ] {
            self.dense(format!("{at}{name}.weight"), &[output, input]);
            self.dense(format!("{at}{name}.bias"), &[output]);
        }
        self.dense(format!("{at}self_attn.sinks"), &[sizes.num_attention_heads]);
        for (name, output, input) in [("gate_up", 2 * inner, hidden), ("down", hidden, inner)] {
            let groups = input / GROUP;
            let stem = format!("{at}mlp.experts.{name}_proj");
            self.add(
                format!("{stem}_blocks"),
                "U8",
                &[experts, output, groups, GROUP / 2],
            );
            self.add(format!("{stem}_scales"), "U8", &[experts, output, groups]);
            self.dense(format!("{stem}_bias"), &[experts, output]);
        }
    }
}
