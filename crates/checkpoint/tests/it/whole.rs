//! Checkpoints that are whole are found so.

use std::fs;

use mxfp4_checkpoint::testing::{Small, Stored};
use mxfp4_checkpoint::{Inspection, Layout, inspect, weight_bytes};
use serde_json::{Value, json};

fn inspected(small: &Small) -> Inspection {
    let folder = tempfile::tempdir().unwrap();
    small.write(folder.path()).unwrap();
    let inspection = inspect(folder.path());
    assert_eq!(inspection.faults, []);
    assert_eq!(inspection.refusal(), None);
    assert_eq!(weight_bytes(folder.path()), Some(inspection.weight_bytes()));
    inspection
}

#[test]
fn a_small_checkpoint_is_whole() {
    let inspection = inspected(&Small::default());
    assert_eq!(inspection.layout, Some(Layout::Published));
    assert_eq!(inspection.files.len(), 3);
    assert_eq!(inspection.total().tensors, 3 + 2 * 19);
    assert_eq!(inspection.dtypes["U8"].tensors, 8);
    assert_eq!(inspection.tokenizer.unwrap().tokens, Some(320));
}

#[test]
fn an_index_is_not_needed_and_one_file_neither() {
    let mut small = Small {
        indexed: false,
        ..Small::default()
    };
    inspected(&small);
    let all = small.files.values().flatten().cloned().collect();
    small.files = [("any.safetensors".to_owned(), all)].into();
    inspected(&small);
}

#[test]
fn a_tied_head_may_be_left_out() {
    let mut small = Small::default();
    small.config["tie_word_embeddings"] = json!(true);
    inspected(&small);
    small.remove("lm_head.weight");
    inspected(&small);
}

#[test]
fn what_max_passes_over_is_passed_over() {
    let mut small = Small::default();
    let layer = small.files["model-00001-of-00002.safetensors"].clone();
    for copy in [
        "checkpoint-500/model.safetensors",
        "consolidated.safetensors",
        ".cache/model.safetensors",
    ] {
        small.files.insert(copy.into(), layer.clone());
    }
    let own = ["embedding.weight", "block.0.mlp.mlp1_weight.blocks"];
    let own = own.map(|name| Stored::new(name, "U8", &[4])).to_vec();
    small.files.insert("original/model.safetensors".into(), own);
    let folder = tempfile::tempdir().unwrap();
    for file in ["checkpoint-500", ".cache", "original"] {
        fs::create_dir(folder.path().join(file)).unwrap();
    }
    let indexed = Small::default();
    small.indexed = false;
    small.write(folder.path()).unwrap();
    fs::write(
        folder.path().join("model.safetensors.index.json"),
        indexed.index().to_string(),
    )
    .unwrap();
    let inspection = inspect(folder.path());
    assert_eq!(inspection.faults, []);
    assert_eq!(inspection.skipped, 2);
    assert_eq!(inspection.total().tensors, 41);
}

#[test]
fn a_configuration_may_be_that_of_a_newer_transformers() {
    let mut small = Small::default();
    let config = small.config.as_object_mut().unwrap();
    let rope = config.remove("rope_scaling").unwrap();
    config.insert("rope_parameters".into(), rope);
    config.insert("pad_token_id".into(), Value::Null);
    config.insert("eos_token_id".into(), json!([1, 2]));
    inspected(&small);
}

#[test]
fn of_a_repository_that_is_being_fetched_what_is_here_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    Small::default().write(folder.path()).unwrap();
    fs::remove_file(folder.path().join("model-00001-of-00002.safetensors")).unwrap();
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let inspection = inspect(folder.path());
    assert_eq!(inspection.faults.len(), 2);
    assert_eq!(inspection.refusal_of_what_is_here(), None);
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    assert_eq!(inspect(folder.path()).refusal_of_what_is_here(), None);
    fs::write(
        folder.path().join("model-00002-of-00002.safetensors"),
        "cut",
    )
    .unwrap();
    assert!(inspect(folder.path()).refusal_of_what_is_here().is_some());
}

/// Headers of the published shapes over holes.
#[test]
fn the_published_shapes_are_whole() {
    for (layers, experts, bytes) in [(24u64, 32, 13_761_264_768u64), (36, 128, 65_248_815_744)] {
        let mut small = Small {
            files: [("model.safetensors".to_owned(), of_shapes(layers, experts))].into(),
            ..Small::default()
        };
        let kinds = ["sliding_attention", "full_attention"];
        let kinds = (0..layers).map(|layer| kinds[usize::from(layer % 2 == 1)]);
        small.config["layer_types"] = kinds.collect();
        for (key, size) in [
            ("num_hidden_layers", layers),
            ("num_local_experts", experts),
            ("num_experts_per_tok", 4),
            ("hidden_size", 2880),
            ("intermediate_size", 2880),
            ("num_attention_heads", 64),
            ("num_key_value_heads", 8),
            ("head_dim", 64),
            ("vocab_size", 201_088),
            ("eos_token_id", 200_002),
        ] {
            small.config[key] = json!(size);
        }
        small.tokenizer = Some(json!({
            "model": {"vocab": {"a": 199_997}},
            "added_tokens": [{"id": 200_018}],
        }));
        assert_eq!(inspected(&small).total().bytes, bytes);
    }
}

fn of_shapes(layers: u64, experts: u64) -> Vec<Stored> {
    let mut all = vec![
        Stored::new("model.embed_tokens.weight", "BF16", &[201_088, 2880]),
        Stored::new("model.norm.weight", "BF16", &[2880]),
        Stored::new("lm_head.weight", "BF16", &[201_088, 2880]),
    ];
    let small = Small::default().files["model-00001-of-00002.safetensors"].clone();
    let large = |name: &str| -> Vec<u64> {
        match name
            .split_once("mlp.experts.")
            .map_or(name, |(_, name)| name)
        {
            "gate_up_proj_blocks" => vec![experts, 5760, 90, 16],
            "gate_up_proj_scales" => vec![experts, 5760, 90],
            "gate_up_proj_bias" => vec![experts, 5760],
            "down_proj_blocks" => vec![experts, 2880, 90, 16],
            "down_proj_scales" => vec![experts, 2880, 90],
            "down_proj_bias" => vec![experts, 2880],
            name if name.ends_with("router.weight") => vec![experts, 2880],
            name if name.ends_with("router.bias") => vec![experts],
            name if name.ends_with("q_proj.weight") => vec![4096, 2880],
            name if name.ends_with("q_proj.bias") => vec![4096],
            name if name.ends_with("k_proj.weight") || name.ends_with("v_proj.weight") => {
                vec![512, 2880]
            }
            name if name.ends_with("k_proj.bias") || name.ends_with("v_proj.bias") => vec![512],
            name if name.ends_with("o_proj.weight") => vec![2880, 4096],
            name if name.ends_with("sinks") => vec![64],
            _ => vec![2880],
        }
    };
    for layer in 0..layers {
        for stored in &small {
            let name = stored
                .name
                .replace("layers.0.", &format!("layers.{layer}."));
            let shape = large(&stored.name);
            all.push(Stored {
                name,
                shape,
                ..stored.clone()
            });
        }
    }
    all
}
