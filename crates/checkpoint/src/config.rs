//! What `config.json` says, as far as the weights and the kernels depend on it.

use serde_json::Value;

use crate::fault::Fault;
use crate::sizes::{GROUP, Sizes};

/// What the kernel's router can choose from, and choose.
const EXPERTS: u64 = 256;
const CHOSEN: u64 = 8;

/// Where the kernel's SwiGLU clamps.
const SWIGLU_LIMIT: f64 = 7.0;

/// No size of a model is larger; products of a few of them are numbers.
const LARGEST: u64 = 1 << 24;

/// No model has more layers: each is looked at by name.
const LAYERS: u64 = 1024;

/// The architecture that a configuration names.
pub fn architecture(config: &Value) -> Option<&str> {
    config["architectures"][0]
        .as_str()
        .or_else(|| config["model_type"].as_str())
}

/// The quantization that it names.
pub fn quantization(config: &Value) -> Option<&str> {
    config["quantization_config"]["quant_method"].as_str()
}

/// Whether it is GPT-OSS's.
pub fn is_gpt_oss(config: &Value) -> bool {
    config["architectures"][0].as_str() == Some("GptOssForCausalLM")
        || config["model_type"].as_str() == Some("gpt_oss")
}

/// Reads the sizes. What is wrong with the configuration is added to `faults`; sizes that cannot be are none.
pub fn sizes(config: &Value, faults: &mut Vec<Fault>) -> Option<Sizes> {
    let mut reader = Reader { config, faults };
    let before = reader.faults.len();
    let sizes = Sizes {
        num_hidden_layers: reader.size("num_hidden_layers", LAYERS),
        hidden_size: reader.size("hidden_size", LARGEST),
        intermediate_size: reader.size("intermediate_size", LARGEST),
        num_local_experts: reader.size("num_local_experts", EXPERTS),
        num_experts_per_tok: reader.chosen(),
        num_attention_heads: reader.size("num_attention_heads", LARGEST),
        num_key_value_heads: reader.size("num_key_value_heads", LARGEST),
        head_dim: reader.size("head_dim", LARGEST),
        vocab_size: reader.size("vocab_size", LARGEST),
        tie_word_embeddings: reader.flag("tie_word_embeddings", false),
    };
    let known = reader.faults.len() == before;
    if known {
        reader.belongs_together(&sizes);
    }
    reader.fixed();
    known.then_some(sizes)
}

struct Reader<'a> {
    config: &'a Value,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, must: impl Into<String>) {
        let found = match self.config.get(key) {
            None => "not there".into(),
            Some(value) => {
                let text = value.to_string();
                text.chars().take(100).collect()
            }
        };
        self.faults.push(Fault::Config {
            key: key.to_owned(),
            found,
            must: must.into(),
        });
    }

    /// A size from 1 on; 0 where it is none, which is a fault then.
    fn size(&mut self, key: &str, largest: u64) -> u64 {
        match self.config[key].as_u64() {
            Some(size) if (1..=largest).contains(&size) => size,
            _ => {
                self.fault(key, format!("a number from 1 to {largest}"));
                0
            }
        }
    }

    /// Older configurations have it by another name.
    fn chosen(&mut self) -> u64 {
        let names = ["num_experts_per_tok", "experts_per_token"];
        let name = names
            .into_iter()
            .find(|name| self.config.get(name).is_some());
        self.size(name.unwrap_or(names[0]), CHOSEN)
    }

    fn flag(&mut self, key: &str, otherwise: bool) -> bool {
        match &self.config[key] {
            Value::Null => otherwise,
            Value::Bool(value) => *value,
            _ => {
                self.fault(key, "true or false");
                otherwise
            }
        }
    }

    fn belongs_together(&mut self, sizes: &Sizes) {
        if !sizes
            .num_attention_heads
            .is_multiple_of(sizes.num_key_value_heads)
        {
            let must = format!(
                "a multiple of num_key_value_heads, {}",
                sizes.num_key_value_heads
            );
            self.fault("num_attention_heads", must);
        }
        for (key, size) in [
            ("hidden_size", sizes.hidden_size),
            ("intermediate_size", sizes.intermediate_size),
        ] {
            if !size.is_multiple_of(GROUP) {
                self.fault(key, format!("a multiple of {GROUP}, which share a scale"));
            }
        }
        if sizes.num_experts_per_tok > sizes.num_local_experts {
            let must = format!("at most num_local_experts, {}", sizes.num_local_experts);
            self.fault("num_experts_per_tok", must);
        }
        self.layer_types(sizes.num_hidden_layers);
        for key in ["eos_token_id", "pad_token_id", "bos_token_id"] {
            self.token(key, sizes.vocab_size);
        }
    }

    fn layer_types(&mut self, layers: u64) {
        let Some(kinds) = self.config.get("layer_types") else {
            return;
        };
        let known = ["sliding_attention", "full_attention"];
        let right = kinds.as_array().is_some_and(|kinds| {
            kinds.len() as u64 == layers
                && kinds
                    .iter()
                    .all(|kind| kind.as_str().is_some_and(|kind| known.contains(&kind)))
        });
        if !right {
            let must = format!("sliding_attention or full_attention for each of {layers} layers");
            self.fault("layer_types", must);
        }
    }

    /// One id or several, each of them a row.
    fn token(&mut self, key: &str, rows: u64) {
        let row = |id: &Value| id.as_u64().is_some_and(|id| id < rows);
        let right = match &self.config[key] {
            Value::Null => true,
            Value::Array(ids) => ids.iter().all(row),
            id => row(id),
        };
        if !right {
            self.fault(key, format!("below vocab_size, {rows}"));
        }
    }

    /// What the model's code takes for granted.
    fn fixed(&mut self) {
        let config = self.config;
        if !matches!(config["attention_bias"], Value::Null | Value::Bool(true)) {
            self.fault("attention_bias", "true, as of every GPT-OSS");
        }
        if !matches!(config["hidden_act"].as_str(), None | Some("silu" | "swish")) {
            self.fault("hidden_act", "silu");
        }
        let limit = &config["swiglu_limit"];
        if !limit.is_null() && limit.as_f64() != Some(SWIGLU_LIMIT) {
            self.fault("swiglu_limit", "7.0, where the kernel clamps");
        }
        if config.get("sliding_window").is_some() {
            self.size("sliding_window", LARGEST);
        }
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(rope) = config.get(key) else {
                continue;
            };
            let kind = ["rope_type", "type"]
                .into_iter()
                .find_map(|kind| rope[kind].as_str());
            if kind != Some("yarn") {
                self.fault(key, "an object with rope_type yarn");
            }
        }
    }
}
