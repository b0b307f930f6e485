//! How the weights of a checkpoint are named and laid out.

use std::fmt;

use serde::Serialize;

use crate::dtype::Dtype;
use crate::sizes::Sizes;
use crate::tensor::Tensor;

/// A way to lay out GPT-OSS's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Layout {
    /// The published one, with experts in MXFP4: the one that is served.
    Published,
    /// Experts that are not quantized.
    Dense {
        /// The type of their elements.
        dtype: Dtype,
        /// In which order their axes stand.
        axes: Axes,
    },
    /// Experts with gate and up apart.
    Apart {
        /// The type of their elements.
        dtype: Dtype,
    },
    /// Names that begin with more, or less, than the published ones.
    Prefixed {
        /// What stands before `layers.`, where `model.` should.
        prefix: String,
    },
    /// OpenAI's own, which the published repository holds below `original/`.
    Original,
    /// A LoRA adapter, which is no model by itself.
    Adapter,
    /// Another one.
    Unknown,
}

/// The order of an expert's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axes {
    /// `[experts, in, out]`, as transformers saves them.
    InOut,
    /// `[experts, out, in]`.
    OutIn,
    /// Neither, by the configuration.
    Unknown,
}

impl Layout {
    /// What would have to be done before such weights can be served.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Published => "nothing",
            Self::Dense { .. } => {
                "quantize the experts to MXFP4 and save them in the published layout, or serve the published checkpoint; mxfp4 \
                 itself does not quantize"
            }
            Self::Apart { .. } => {
                "interleave gate and up to gate_up_proj, quantize it to MXFP4 and save it in the published layout; mxfp4 itself \
                 does not quantize"
            }
            Self::Prefixed { .. } => {
                "rename the tensors to the published names, which begin with model.layers."
            }
            Self::Original => {
                "take the files of the repository's root (model-*.safetensors), not those of original/"
            }
            Self::Adapter => {
                "merge it into its base model, quantize the experts to MXFP4 and save the whole; adapters by themselves are not \
                 served"
            }
            Self::Unknown => "save it in the published layout",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published => f.write_str("the published layout, experts in MXFP4"),
            Self::Dense { dtype, axes } => {
                write!(f, "the experts are in {dtype} and not in MXFP4")?;
                match axes {
                    Axes::InOut => f.write_str(" (mlp.experts.gate_up_proj, [experts, in, out])"),
                    Axes::OutIn => f.write_str(" (mlp.experts.gate_up_proj, [experts, out, in])"),
                    Axes::Unknown => f.write_str(" (mlp.experts.gate_up_proj)"),
                }
            }
            Self::Apart { dtype } => write!(
                f,
                "the experts are in {dtype}, with gate_proj and up_proj apart"
            ),
            Self::Prefixed { prefix } if prefix.is_empty() => {
                f.write_str("the names of the tensors begin with layers., without model.")
            }
            Self::Prefixed { prefix } => {
                let short: String = prefix.chars().take(100).collect();
                write!(f, "the names of the tensors begin with {short}layers.")
            }
            Self::Original => f.write_str(
                "the weights are in the layout of original/ (block.0.mlp.mlp1_weight.blocks and so on)",
            ),
            Self::Adapter => f.write_str("this is a LoRA adapter and no model"),
            Self::Unknown => f.write_str("another layout"),
        }
    }
}

/// Whether a tensor is one of OpenAI's own layout, which MAX skips where it lies beside the published one.
pub fn is_original(name: &str) -> bool {
    const NAMES: [&str; 3] = ["embedding.weight", "unembedding.weight", "norm.scale"];
    name.starts_with("block.") || NAMES.contains(&name)
}

/// The layout of weights with these names.
pub fn detect<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a Tensor)> + Clone,
    sizes: Option<&Sizes>,
) -> Layout {
    let any = |part: &str| tensors.clone().any(|(name, _)| name.contains(part));
    if any(".lora_A.") || any(".lora_B.") {
        return Layout::Adapter;
    }
    let mut ours = tensors.clone().filter(|(name, _)| !is_original(name));
    if ours.clone().next().is_none() {
        return match tensors.clone().next() {
            Some(_) => Layout::Original,
            None => Layout::Unknown,
        };
    }
    let published = |name: &str| name.starts_with("model.layers.");
    let blocks = |name: &str| published(name) && name.ends_with("_proj_blocks");
    if ours.clone().any(|(name, _)| blocks(name)) {
        return Layout::Published;
    }
    if !ours.clone().any(|(name, _)| published(name))
        && let Some(prefix) = ours.clone().find_map(|(name, _)| prefix(name))
    {
        return Layout::Prefixed {
            prefix: prefix.to_owned(),
        };
    }
    let joined = |name: &str| {
        let name = name.strip_suffix(".weight").unwrap_or(name);
        published(name) && name.ends_with(".mlp.experts.gate_up_proj")
    };
    if let Some((_, tensor)) = ours.clone().find(|(name, _)| joined(name)) {
        return Layout::Dense {
            dtype: tensor.dtype.clone(),
            axes: axes(&tensor.shape, sizes),
        };
    }
    let apart = |name: &str| {
        let expert = name.split_once(".mlp.experts.").map(|(_, rest)| rest);
        published(name)
            && expert.is_some_and(|rest| rest.contains("gate_proj") || rest.contains("up_proj"))
            && !name.contains("gate_up_proj")
    };
    match ours.find(|(name, _)| apart(name)) {
        Some((_, tensor)) => Layout::Apart {
            dtype: tensor.dtype.clone(),
        },
        None => Layout::Unknown,
    }
}

/// What stands before `layers.N.`, where that is a name's beginning but for a prefix.
fn prefix(name: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(found) = name[from..].find("layers.") {
        let at = from + found;
        let after = &name[at + "layers.".len()..];
        let whole = at == 0 || name[..at].ends_with('.');
        if whole && after.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(&name[..at]);
        }
        from = at + 1;
    }
    None
}

fn axes(shape: &[u64], sizes: Option<&Sizes>) -> Axes {
    let (Some(sizes), &[_, first, second]) = (sizes, shape) else {
        return Axes::Unknown;
    };
    let (input, output) = (sizes.hidden_size, 2 * sizes.intermediate_size);
    match (first, second) {
        _ if input == output => Axes::Unknown,
        (a, b) if (a, b) == (input, output) => Axes::InOut,
        (a, b) if (a, b) == (output, input) => Axes::OutIn,
        _ => Axes::Unknown,
    }
}
