//! A checkpoint that is whole and small.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

/// What is written to a folder as a checkpoint, and may be changed before.
#[derive(Clone, Debug)]
pub struct Small {
    /// `config.json`.
    pub config: Value,
    /// `tokenizer.json`.
    pub tokenizer: Option<Value>,
    /// The weight files, each with its tensors.
    pub files: BTreeMap<String, Vec<Stored>>,
    /// Whether an index is written.
    pub indexed: bool,
}

/// A tensor of zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
}

impl Stored {
    /// A tensor of zeros.
    pub fn new(name: impl Into<String>, dtype: &str, shape: &[u64]) -> Self {
        Self {
            name: name.into(),
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
        }
    }

    fn bytes(&self) -> u64 {
        let element = match self.dtype.as_str() {
            "U8" | "I8" | "F8_E8M0" => 1,
            "F32" => 4,
            _ => 2,
        };
        self.shape.iter().product::<u64>() * element
    }
}

/// No two of its sizes that meet in a tensor are equal, so that a transposed tensor is another.
const HIDDEN: u64 = 96;
const INNER: u64 = 64;
const EXPERTS: u64 = 4;
const HEADS: u64 = 4;
const KEYS: u64 = 2;
const DIM: u64 = 16;
const ROWS: u64 = 320;
const LAYERS: u64 = 2;

impl Default for Small {
    fn default() -> Self {
        let first = "model-00000-of-00002.safetensors";
        let mut files = BTreeMap::from([(
            first.to_owned(),
            vec![
                Stored::new("model.embed_tokens.weight", "BF16", &[ROWS, HIDDEN]),
                Stored::new("model.norm.weight", "BF16", &[HIDDEN]),
                Stored::new("lm_head.weight", "BF16", &[ROWS, HIDDEN]),
            ],
        )]);
        for layer in 0..LAYERS {
            let file = format!("model-{:05}-of-{LAYERS:05}.safetensors", layer + 1);
            files.insert(file, self::layer(&format!("model.layers.{layer}.")));
        }
        Self {
            config: config(),
            tokenizer: Some(tokenizer(ROWS)),
            files,
            indexed: true,
        }
    }
}

fn layer(at: &str) -> Vec<Stored> {
    let (queries, keys) = (HEADS * DIM, KEYS * DIM);
    let rows: [(&str, &str, &[u64]); 19] = [
        ("input_layernorm.weight", "BF16", &[HIDDEN]),
        ("post_attention_layernorm.weight", "BF16", &[HIDDEN]),
        ("self_attn.q_proj.weight", "BF16", &[queries, HIDDEN]),
        ("self_attn.q_proj.bias", "BF16", &[queries]),
        ("self_attn.k_proj.weight", "BF16", &[keys, HIDDEN]),
        ("self_attn.k_proj.bias", "BF16", &[keys]),
        ("self_attn.v_proj.weight", "BF16", &[keys, HIDDEN]),
        ("self_attn.v_proj.bias", "BF16", &[keys]),
        ("self_attn.o_proj.weight", "BF16", &[HIDDEN, queries]),
        ("self_attn.o_proj.bias", "BF16", &[HIDDEN]),
        ("self_attn.sinks", "BF16", &[HEADS]),
        ("mlp.router.weight", "BF16", &[EXPERTS, HIDDEN]),
        ("mlp.router.bias", "BF16", &[EXPERTS]),
        (
            "mlp.experts.gate_up_proj_blocks",
            "U8",
            &[EXPERTS, 2 * INNER, HIDDEN / 32, 16],
        ),
        (
            "mlp.experts.gate_up_proj_scales",
            "U8",
            &[EXPERTS, 2 * INNER, HIDDEN / 32],
        ),
        (
            "mlp.experts.gate_up_proj_bias",
            "BF16",
            &[EXPERTS, 2 * INNER],
        ),
        (
            "mlp.experts.down_proj_blocks",
            "U8",
            &[EXPERTS, HIDDEN, INNER / 32, 16],
        ),
        (
            "mlp.experts.down_proj_scales",
            "U8",
            &[EXPERTS, HIDDEN, INNER / 32],
        ),
        ("mlp.experts.down_proj_bias", "BF16", &[EXPERTS, HIDDEN]),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, dtype, shape)| Stored::new(format!("{at}{name}"), dtype, shape))
        .collect()
}

fn config() -> Value {
    json!({
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "vocab_size": ROWS,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEYS,
        "head_dim": DIM,
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": 2,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 128,
        "attention_bias": true,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "rope_theta": 150000,
        "rope_scaling": {"rope_type": "yarn", "factor": 32.0},
        "tie_word_embeddings": false,
        "eos_token_id": ROWS - 1,
        "quantization_config": {"quant_method": "mxfp4"},
    })
}

/// A tokenizer of so many tokens, as far as its size goes.
pub(super) fn tokenizer(tokens: u64) -> Value {
    let vocab: Map<String, Value> = (0..tokens - 2)
        .map(|id| (format!("t{id}"), id.into()))
        .collect();
    json!({
        "model": {"type": "BPE", "vocab": vocab, "merges": [["t0", "t1"]]},
        "added_tokens": [
            {"id": tokens - 2, "content": "<|endoftext|>"},
            {"id": tokens - 1, "content": "<|return|>"},
        ],
    })
}

impl Small {
    /// The tensor of this name.
    ///
    /// # Panics
    ///
    /// Where there is none: a test named it wrongly.
    pub fn tensor(&mut self, name: &str) -> &mut Stored {
        let mut all = self.files.values_mut().flatten();
        let found = all.find(|stored| stored.name == name);
        found.unwrap_or_else(|| panic!("the small checkpoint has no {name}"))
    }

    /// The same with all tensors in one file, without an index.
    pub fn in_one_file(mut self) -> Self {
        let all = self.files.into_values().flatten().collect();
        self.files = [("model.safetensors".to_owned(), all)].into();
        self.indexed = false;
        self
    }

    /// The same with heads so large that the weights take about so many bytes, which are holes.
    pub fn of_bytes(mut self, bytes: u64) -> Self {
        let features = HEADS + 2 * KEYS;
        let of_each = LAYERS * 2 * (HIDDEN * (features + HEADS) + features);
        let dim = bytes / of_each;
        self.config["head_dim"] = dim.into();
        for stored in self.files.values_mut().flatten() {
            let (of_rows, heads) = match stored.name.rsplit_once("self_attn.") {
                Some((_, name)) if name.starts_with("q_proj") => (true, HEADS),
                Some((_, name)) if name.starts_with(['k', 'v']) => (true, KEYS),
                Some((_, "o_proj.weight")) => (false, HEADS),
                _ => continue,
            };
            stored.shape[usize::from(!of_rows)] = heads * dim;
        }
        self
    }

    /// Takes a tensor away.
    pub fn remove(&mut self, name: &str) {
        for stored in self.files.values_mut() {
            stored.retain(|stored| stored.name != name);
        }
    }

    /// Names of all tensors of the first layer, and of those that belong to none.
    pub fn names(&self) -> Vec<String> {
        let all = self.files.values().flatten();
        all.map(|stored| stored.name.clone())
            .filter(|name| !name.starts_with("model.layers.1."))
            .collect()
    }

    /// The index of the files.
    pub fn index(&self) -> Value {
        let pairs = self.files.iter().flat_map(|(file, stored)| {
            let names = stored.iter();
            names.map(|stored| (stored.name.clone(), Value::from(file.as_str())))
        });
        json!({"metadata": {}, "weight_map": pairs.collect::<Map<_, _>>()})
    }

    /// Writes it.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("config.json"), self.config.to_string())?;
        if let Some(tokenizer) = &self.tokenizer {
            fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
        }
        for (file, stored) in &self.files {
            write_file(&folder.join(file), stored)?;
        }
        if self.indexed {
            let index = self.index().to_string();
            fs::write(folder.join("model.safetensors.index.json"), index)?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, tensors: &[Stored]) -> io::Result<()> {
    let mut header = Map::new();
    let mut end = 0;
    for stored in tensors {
        let begin = end;
        end += stored.bytes();
        let entry =
            json!({"dtype": stored.dtype, "shape": stored.shape, "data_offsets": [begin, end]});
        header.insert(stored.name.clone(), entry);
    }
    // Such a length has bytes of ASCII alone, and zeros are text: who writes text can write the file.
    let mut header = Value::Object(header).to_string();
    let whole = header.len().next_multiple_of(256);
    header.extend(std::iter::repeat_n(' ', whole - header.len()));
    write_header(path, &header, end)
}

/// Writes a weight file with this text as its header and so many bytes of zeros behind it.
pub fn write_header(path: &Path, header: &str, data: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let length = header.len() as u64;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    file.set_len(8 + length + data)
}
