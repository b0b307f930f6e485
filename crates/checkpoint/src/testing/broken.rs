//! Every way to break a checkpoint that is known.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::small::{Small, Stored, tokenizer, write_header};

/// A checkpoint that must be refused.
pub struct Broken {
    /// What is wrong with it.
    pub name: String,
    /// What the refusal names, and the remedy.
    pub says: Vec<String>,
    checkpoint: Small,
    after: Option<After>,
}

type After = Box<dyn Fn(&Path) -> io::Result<()>>;

impl Broken {
    /// Writes it.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        self.checkpoint.write(folder)?;
        match &self.after {
            Some(after) => after(folder),
            None => Ok(()),
        }
    }
}

/// All of them.
pub fn broken() -> Vec<Broken> {
    let mut all = Vec::new();
    for kinds in [tensors, layouts, configs, vocabularies] {
        kinds(&mut all);
    }
    for kinds in [files, headers, indexes] {
        kinds(&mut all);
    }
    all
}

const FIRST: &str = "model-00000-of-00002.safetensors";
const SECOND: &str = "model-00001-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const NORM: &str = "model.norm.weight";

fn changed(all: &mut Vec<Broken>, name: String, says: &[&str], change: impl FnOnce(&mut Small)) {
    let mut checkpoint = Small::default();
    change(&mut checkpoint);
    all.push(Broken {
        name,
        says: says.iter().map(|&part| part.to_owned()).collect(),
        checkpoint,
        after: None,
    });
}

fn written(
    all: &mut Vec<Broken>,
    name: &str,
    says: &[&str],
    after: impl Fn(&Path) -> io::Result<()> + 'static,
) {
    all.push(Broken {
        name: name.to_owned(),
        says: says.iter().map(|&part| part.to_owned()).collect(),
        checkpoint: Small::default(),
        after: Some(Box::new(after)),
    });
}

/// Each kind of tensor: missing, transposed, of another type, of another size.
fn tensors(all: &mut Vec<Broken>) {
    for name in Small::default().names() {
        let remedy = match name.as_str() {
            "lm_head.weight" => "tie_word_embeddings",
            name if name.ends_with("bias") => "with its biases",
            _ => "download or save the checkpoint again",
        };
        let says = [name.as_str(), "is missing", remedy];
        changed(all, format!("without {name}"), &says, |small| {
            small.remove(&name)
        });

        let bytes = Small::default().tensor(&name).dtype == "U8";
        let (other, remedy) = match bytes {
            true => ("BF16", "quantize the experts"),
            false => ("F32", "save it as BF16"),
        };
        let says = [name.as_str(), other, "and must be", remedy];
        changed(all, format!("{name} of another type"), &says, |small| {
            small.tensor(&name).dtype = other.into();
        });

        let vocabulary = ["model.embed_tokens.weight", "lm_head.weight"].contains(&name.as_str());
        let says = [name.as_str(), "by config.json it must be", "from one model"];
        changed(all, format!("{name} with another axis"), &says, |small| {
            small.tensor(&name).shape.push(1);
        });
        let says = match vocabulary {
            true => [name.as_str(), "the vocabularies differ", "from one model"],
            false => says,
        };
        changed(all, format!("{name} that is larger"), &says, |small| {
            small.tensor(&name).shape[0] += 32;
        });
        if Small::default().tensor(&name).shape.len() > 1 {
            let says = [name.as_str(), "it is transposed"];
            changed(all, format!("{name} transposed"), &says, |small| {
                small.tensor(&name).shape.reverse();
            });
        }
    }
    let says = [
        "model.layers.2.self_attn.sinks",
        SECOND,
        "belongs to no part",
    ];
    changed(all, "a tensor of no layer".into(), &says, |small| {
        let sinks = Stored::new(says[0], "BF16", &[4]);
        small
            .files
            .get_mut(SECOND)
            .into_iter()
            .for_each(|file| file.push(sinks.clone()));
    });
    let says = [
        NORM,
        FIRST,
        "other.safetensors",
        "keep the files of one save",
    ];
    changed(all, "a tensor in two files".into(), &says, |small| {
        let norm = small.tensor(NORM).clone();
        small.files.insert("other.safetensors".into(), vec![norm]);
    });
}

/// Weights that are laid out in another way.
fn layouts(all: &mut Vec<Broken>) {
    let dense = |shape: [u64; 3]| {
        move |small: &mut Small| {
            for file in small.files.values_mut() {
                file.retain(|stored| !stored.name.ends_with("_scales"));
                for stored in file {
                    if let Some(name) = stored.name.strip_suffix("gate_up_proj_blocks") {
                        *stored = Stored::new(format!("{name}gate_up_proj"), "BF16", &shape);
                    } else if let Some(name) = stored.name.strip_suffix("_blocks") {
                        *stored = Stored::new(name, "BF16", &[4, 64, 96]);
                    }
                }
            }
        }
    };
    let says = [
        "in BF16 and not in MXFP4",
        "[experts, in, out]",
        "does not quantize",
    ];
    changed(
        all,
        "experts of transformers".into(),
        &says,
        dense([4, 96, 128]),
    );
    let says = [
        "in BF16 and not in MXFP4",
        "[experts, out, in]",
        "does not quantize",
    ];
    changed(
        all,
        "experts with outputs first".into(),
        &says,
        dense([4, 128, 96]),
    );
    let says = ["gate_proj and up_proj apart", "interleave gate and up"];
    changed(all, "gate and up apart".into(), &says, |small| {
        rename(small, |name| {
            let name = name.replace("gate_up_proj_blocks", "gate_proj");
            name.replace("down_proj_blocks", "down_proj")
        });
    });
    for (prefix, told) in [
        (
            "language_model.model.",
            "begin with language_model.model.layers.",
        ),
        (
            "base_model.model.model.",
            "begin with base_model.model.model.layers.",
        ),
        ("", "without model."),
    ] {
        let says = [told, "rename the tensors"];
        changed(
            all,
            format!("names that begin with '{prefix}'"),
            &says,
            |small| {
                rename(small, |name| {
                    name.replace("model.", "")
                        .replace("layers.", &format!("{prefix}layers."))
                });
            },
        );
    }
    let says = ["layout of original/", "repository's root"];
    changed(all, "OpenAI's own layout alone".into(), &says, |small| {
        rename(small, |name| match name.strip_prefix("model.layers.") {
            Some(rest) => format!("block.{rest}"),
            None => "embedding.weight".into(),
        });
        for file in small.files.values_mut() {
            file.dedup_by(|a, b| a.name == b.name);
        }
    });
    let says = ["LoRA adapter", "merge it into its base model"];
    changed(all, "weights of an adapter".into(), &says, |small| {
        rename(small, |name| {
            format!("base_model.model.{name}.lora_A.weight")
        });
    });
    written(all, "the folder of an adapter", &says, |folder| {
        fs::rename(
            folder.join("config.json"),
            folder.join("adapter_config.json"),
        )
    });
}

fn rename(small: &mut Small, name: impl Fn(&str) -> String) {
    for stored in small.files.values_mut().flatten() {
        stored.name = name(&stored.name);
    }
}

/// Configurations that no model has.
fn configs(all: &mut Vec<Broken>) {
    let remedy = "take config.json from the model";
    let keys = [
        "num_hidden_layers",
        "hidden_size",
        "intermediate_size",
        "num_local_experts",
        "num_experts_per_tok",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
    ];
    for key in keys {
        for value in [
            Value::Null,
            json!(0),
            json!(-4),
            json!(1.5),
            json!(u64::MAX),
            json!("8"),
        ] {
            let says = [key, &value.to_string(), "must be a number from 1", remedy];
            changed(all, format!("{key} is {value}"), &says, |small| {
                small.config[key] = value.clone();
            });
        }
        let says = [key, "not there", remedy];
        changed(all, format!("no {key}"), &says, |small| {
            small
                .config
                .as_object_mut()
                .into_iter()
                .for_each(|config| drop(config.remove(key)));
        });
    }
    for (key, value, must) in [
        (
            "num_attention_heads",
            json!(5),
            "a multiple of num_key_value_heads",
        ),
        ("hidden_size", json!(100), "a multiple of 32"),
        ("intermediate_size", json!(48), "a multiple of 32"),
        ("num_experts_per_tok", json!(5), "at most num_local_experts"),
        ("num_local_experts", json!(512), "from 1 to 256"),
        (
            "layer_types",
            json!(["full_attention"]),
            "for each of 2 layers",
        ),
        (
            "layer_types",
            json!(["full_attention", "linear_attention"]),
            "for each of 2 layers",
        ),
        ("eos_token_id", json!(320), "below vocab_size"),
        ("eos_token_id", json!([0, -1]), "below vocab_size"),
        ("attention_bias", json!(false), "must be true"),
        ("hidden_act", json!("gelu"), "must be silu"),
        ("swiglu_limit", json!(10.0), "7.0"),
        ("rope_scaling", Value::Null, "rope_type yarn"),
        (
            "rope_scaling",
            json!({"rope_type": "linear"}),
            "rope_type yarn",
        ),
        ("tie_word_embeddings", json!("no"), "true or false"),
        ("sliding_window", json!(0), "from 1"),
    ] {
        let says = [key, must, remedy];
        changed(all, format!("{key} is {value}"), &says, |small| {
            small.config[key] = value.clone();
        });
    }
    let says = ["quant_method is \"bitsandbytes\"", "quantized checkpoint"];
    changed(all, "another quantization".into(), &says, |small| {
        small.config["quantization_config"]["quant_method"] = json!("bitsandbytes");
    });
    let says = ["quant_method is not there", "quantized checkpoint"];
    changed(all, "no quantization".into(), &says, |small| {
        small.config["quantization_config"] = Value::Null;
    });
    let says = ["LlamaForCausalLM", "GPT-OSS in MXFP4"];
    changed(all, "another architecture".into(), &says, |small| {
        small.config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama"});
    });
    let says = ["describes nothing", "GPT-OSS in MXFP4"];
    changed(
        all,
        "a configuration that is a list".into(),
        &says,
        |small| {
            small.config = json!([1, 2]);
        },
    );
    written(
        all,
        "no configuration",
        &["config.json does not exist"],
        |folder| fs::remove_file(folder.join("config.json")),
    );
    written(
        all,
        "half a configuration",
        &["config.json is not valid", "again"],
        |folder| fs::write(folder.join("config.json"), "{\"architectures\": [\"Gpt"),
    );
    written(
        all,
        "a nested configuration",
        &["config.json is not valid", "again"],
        |folder| fs::write(folder.join("config.json"), "[".repeat(100_000)),
    );
}

/// Tokenizer, configuration and weights of different models.
fn vocabularies(all: &mut Vec<Broken>) {
    let says = [
        "tokenizer.json has 321 tokens",
        "vocab_size of config.json is 320",
        "from one model",
    ];
    changed(
        all,
        "a tokenizer with more tokens than rows".into(),
        &says,
        |small| {
            small.tokenizer = Some(tokenizer(321));
        },
    );
    let says = [
        "tokenizer.json has 320 tokens",
        "vocab_size of config.json is 9000",
        "from one model",
    ];
    changed(
        all,
        "a tokenizer with far fewer tokens than rows".into(),
        &says,
        |small| {
            small.config["vocab_size"] = json!(9000);
            small.tensor("model.embed_tokens.weight").shape[0] = 9000;
            small.tensor("lm_head.weight").shape[0] = 9000;
        },
    );
    let says = [
        "vocab_size of config.json is 352",
        "embed_tokens.weight has 320 rows",
        "from one model",
    ];
    changed(
        all,
        "a configuration with another vocabulary".into(),
        &says,
        |small| {
            small.config["vocab_size"] = json!(352);
        },
    );
    let says = ["no tokenizer.json", "copy the tokenizer's files"];
    changed(all, "no tokenizer".into(), &says, |small| {
        small.tokenizer = None
    });
    let says = ["tokenizer.json is not valid", "again"];
    changed(all, "a tokenizer that is none".into(), &says, |small| {
        small.tokenizer = Some(json!({}))
    });
    changed(
        all,
        "a tokenizer with ids that are none".into(),
        &says,
        |small| {
            small.tokenizer = Some(json!({"model": {"vocab": {"a": -1}}}));
        },
    );
}

/// Files that are not what they should be.
fn files(all: &mut Vec<Broken>) {
    let cut = |folder: &Path, bytes: u64| {
        OpenOptions::new()
            .write(true)
            .open(folder.join(SECOND))?
            .set_len(bytes)
    };
    let says = [SECOND, "is cut", "download or save"];
    written(all, "a file without its last byte", &says, move |folder| {
        cut(folder, fs::metadata(folder.join(SECOND))?.len() - 1)
    });
    let says = [SECOND, "ends within its header", "download or save"];
    written(
        all,
        "a file that is cut in its header",
        &says,
        move |folder| cut(folder, 100),
    );
    written(
        all,
        "a file that is cut in its length",
        &says,
        move |folder| cut(folder, 5),
    );
    written(all, "an empty file", &says, move |folder| cut(folder, 0));
    let says = [SECOND, "its tensors end at", "download or save"];
    written(all, "a file that goes on", &says, move |folder| {
        cut(folder, fs::metadata(folder.join(SECOND))?.len() + 1)
    });
    written(
        all,
        "a file that is missing",
        &[SECOND, "is missing", "download model-"],
        |folder| fs::remove_file(folder.join(SECOND)),
    );
    written(
        all,
        "a pointer",
        &[SECOND, "Git LFS pointer", "git lfs pull"],
        |folder| {
            let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
            fs::write(folder.join(SECOND), pointer)
        },
    );
    written(
        all,
        "a folder in a file's place",
        &[SECOND, "it is a folder"],
        |folder| {
            fs::remove_file(folder.join(SECOND))?;
            fs::create_dir(folder.join(SECOND))
        },
    );
    written(
        all,
        "no weights",
        &["no .safetensors file", "download the model's weights"],
        |folder| {
            for file in [FIRST, SECOND, "model-00002-of-00002.safetensors", INDEX] {
                fs::remove_file(folder.join(file))?;
            }
            Ok(())
        },
    );
}

/// Headers that are none.
fn headers(all: &mut Vec<Broken>) {
    let mut header = |name: &str, says: &str, text: &'static str, data: u64| {
        let says = [FIRST, says, "download or save"];
        written(all, name, &says, move |folder| {
            write_header(&folder.join(FIRST), text, data)
        });
    };
    header("a header that is empty", "is not valid", "", 0);
    header(
        "a header that is no JSON",
        "is not valid",
        "pickle\u{1}\u{2}\u{3}",
        8,
    );
    header("a header that is a list", "is not valid", "[1, 2, 3]", 0);
    header(
        "a header that ends early",
        "is not valid",
        r#"{"model.norm.weight":{"dtype":"#,
        0,
    );
    let wrong = "describes model.norm.weight wrongly";
    for (name, text) in [
        (
            "negative offsets",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[-192,0]}}"#,
        ),
        (
            "offsets that are too large",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[0,99999999999999999999]}}"#,
        ),
        (
            "offsets that go back",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[192,0]}}"#,
        ),
        (
            "offsets that are not as far apart as the shape says",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[0,191]}}"#,
        ),
        (
            "one offset",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[0]}}"#,
        ),
        (
            "no offsets",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[96]}}"#,
        ),
        (
            "no shape",
            r#"{"model.norm.weight":{"dtype":"BF16","data_offsets":[0,192]}}"#,
        ),
        (
            "a negative dimension",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[-96],"data_offsets":[0,192]}}"#,
        ),
        (
            "a shape of more elements than there are numbers",
            r#"{"model.norm.weight":{"dtype":"BF16","shape":[9223372036854775808,4],"data_offsets":[0,192]}}"#,
        ),
        (
            "a type that is not known",
            r#"{"model.norm.weight":{"dtype":"BF17","shape":[96],"data_offsets":[0,192]}}"#,
        ),
        ("an entry that is a number", r#"{"model.norm.weight":7}"#),
    ] {
        header(name, wrong, text, 192);
    }
    header(
        "tensors that overlap",
        "b and a overlap",
        r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}}"#,
        12,
    );
    header(
        "bytes of no tensor",
        "4 bytes before b",
        r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[12,20]}}"#,
        20,
    );
    header(
        "a tensor behind the file's end",
        "b is the first tensor that is not whole",
        r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}"#,
        8,
    );
    let twice = r#"{"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[0,192]},"model.norm.weight":{"dtype":"BF16","shape":[96],"data_offsets":[192,384]}}"#;
    let says = [NORM, "and again in", FIRST];
    written(all, "a tensor twice in a header", &says, move |folder| {
        write_header(&folder.join(FIRST), twice, 384)
    });
    for length in [u64::MAX, 1 << 40, 100_000_001] {
        let says = [FIRST, "none has more than 100000000", "download or save"];
        written(
            all,
            &format!("a header of {length} bytes"),
            &says,
            move |folder| {
                fs::write(folder.join(FIRST), length.to_le_bytes())?;
                OpenOptions::new()
                    .append(true)
                    .open(folder.join(FIRST))?
                    .set_len(64)
            },
        );
    }
}

/// Indexes that tell what is not so.
fn indexes(all: &mut Vec<Broken>) {
    let mut index = |name: &str, says: &[&str], change: fn(&mut Value)| {
        written(all, name, says, move |folder| {
            let mut index = Small::default().index();
            change(&mut index);
            fs::write(folder.join(INDEX), index.to_string())
        });
    };
    let remedy = "take model.safetensors.index.json from the save";
    index(
        "an index that names a file that is not there",
        &["gone.safetensors is missing", "download gone"],
        |index| {
            index["weight_map"][NORM] = json!("gone.safetensors");
        },
    );
    index(
        "an index that names another file",
        &[NORM, "is in", SECOND, FIRST, remedy],
        |index| {
            index["weight_map"][NORM] = json!(SECOND);
        },
    );
    index(
        "an index that names a tensor that is nowhere",
        &["model.more", "and it is not", remedy],
        |index| {
            index["weight_map"]["model.more"] = json!(SECOND);
        },
    );
    index(
        "an index that lacks a tensor",
        &["does not list model.norm.weight", FIRST, remedy],
        |index| {
            index["weight_map"]
                .as_object_mut()
                .into_iter()
                .for_each(|map| drop(map.remove(NORM)));
        },
    );
    index(
        "an index that leaves the folder",
        &["names ../x.safetensors", remedy],
        |index| {
            index["weight_map"][NORM] = json!("../x.safetensors");
        },
    );
    index(
        "an index with an absolute path",
        &["names /etc/passwd", remedy],
        |index| {
            index["weight_map"][NORM] = json!("/etc/passwd");
        },
    );
    index(
        "an index with an empty path",
        &["which is no file of this folder", remedy],
        |index| {
            index["weight_map"][NORM] = json!("");
        },
    );
    index(
        "an index with a number for a file",
        &[INDEX, "the file of model.norm.weight is no text"],
        |index| {
            index["weight_map"][NORM] = json!(7);
        },
    );
    index(
        "an index without a map",
        &[INDEX, "no weight_map"],
        |index| *index = json!({}),
    );
    index(
        "an index that is a list",
        &[INDEX, "no weight_map"],
        |index| *index = json!([]),
    );
    written(
        all,
        "an index that is no JSON",
        &[INDEX, "is not valid", "again"],
        |folder| fs::write(folder.join(INDEX), "weight_map:"),
    );
    written(
        all,
        "an index that is a folder",
        &[INDEX, "cannot be read"],
        |folder| {
            fs::remove_file(folder.join(INDEX))?;
            fs::create_dir(folder.join(INDEX))
        },
    );
    written(
        all,
        "files of another save beside",
        &[
            NORM,
            FIRST,
            "model.safetensors",
            "keep the files of one save",
        ],
        |folder| {
            fs::copy(folder.join(FIRST), folder.join("model.safetensors"))?;
            File::open(folder).map(drop)
        },
    );
}
