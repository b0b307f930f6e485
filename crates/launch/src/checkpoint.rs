//! The files of a checkpoint: are they there, are they GPT-OSS in MXFP4, how large are they.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It is a repository that is not here, and nothing may be fetched.
    #[error(
        "the model {0} is neither a folder nor in the local Hugging Face cache, and HF_HUB_OFFLINE is set"
    )]
    NotCached(String),
    /// There is no such folder.
    #[error("the model folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// It is a file.
    #[error("the model {} is a file", .0.display())]
    NotFolder(PathBuf),
    /// The folder has no `config.json`.
    #[error("{} does not exist", .0.display())]
    NoConfig(PathBuf),
    /// The folder has no tokenizer.
    #[error("the model folder {} has no tokenizer.json", .0.display())]
    NoTokenizer(PathBuf),
    /// The folder has no weights.
    #[error("the model folder {} holds no .safetensors file", .0.display())]
    NoWeights(PathBuf),
    /// What should be weights stands for them.
    #[error("{} is a Git LFS pointer and not the weights", .0.display())]
    Pointer(PathBuf),
    /// What should be weights is something else.
    #[error("{} is not a file", .0.display())]
    NotFile(PathBuf),
    /// The index names files that are not there.
    #[error(
        "the model folder {} is incomplete: {first} is missing ({missing} of {files} weight files are)",
        folder.display()
    )]
    Incomplete {
        /// The model's folder.
        folder: PathBuf,
        /// The first file that is missing.
        first: String,
        /// How many are.
        missing: usize,
        /// How many there should be.
        files: usize,
    },
    /// A file is not JSON.
    #[error("{} is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The index of weights lacks its map.
    #[error("{} has no weight_map", .0.display())]
    NoWeightMap(PathBuf),
    /// It is not GPT-OSS.
    #[error(
        "{} describes {found}, not GPT-OSS (GptOssForCausalLM), the one architecture that is served here",
        config.display()
    )]
    OtherArchitecture {
        /// The file that says so.
        config: PathBuf,
        /// What it is.
        found: String,
    },
    /// Its weights are not in MXFP4.
    #[error(
        "{} does not say that the weights are in MXFP4 (quantization_config.quant_method is not \"mxfp4\")",
        .0.display()
    )]
    NotMxfp4(PathBuf),
    /// A file or folder cannot be read.
    #[error("the {what} {} cannot be read: {source}", path.display())]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotCached(_) => {
                "unset it to fetch the model, or give --model a folder that holds it"
            }
            Self::NoFolder(_) => {
                "check --model, or give it a repository's name such as openai/gpt-oss-20b"
            }
            Self::NotFolder(_) => "--model wants the folder that holds config.json",
            Self::NoConfig(_) => "--model wants the folder of a checkpoint, with config.json",
            Self::NoTokenizer(_) => "copy the tokenizer's files of the model into it",
            Self::NoWeights(_) => "download the model's weights into it",
            Self::Pointer(_) => "run `git lfs pull` in the folder",
            Self::Incomplete { .. } => "download the rest",
            Self::NotMxfp4(_) => "use the published, quantized checkpoint",
            Self::Unreadable { .. } => "check its permissions",
            Self::NotFile(_)
            | Self::Json { .. }
            | Self::NoWeightMap(_)
            | Self::OtherArchitecture { .. } => return None,
        })
    }
}

/// Checks the files of a checkpoint and returns the size of its weights in bytes.
pub fn check_folder(folder: &Path) -> Result<u64, ModelError> {
    match fs::read_dir(folder) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ModelError::NoFolder(folder.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(ModelError::NotFolder(folder.to_owned()));
        }
        Err(error) => return Err(unreadable("model folder", folder, error)),
    }
    check_config(&folder.join("config.json"))?;
    if !["tokenizer.json", "tokenizer_config.json"]
        .iter()
        .any(|name| folder.join(name).is_file())
    {
        return Err(ModelError::NoTokenizer(folder.to_owned()));
    }
    weights(folder)
}

fn unreadable(what: &'static str, path: &Path, source: io::Error) -> ModelError {
    ModelError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    }
}

fn check_config(path: &Path) -> Result<(), ModelError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ModelError::NoConfig(path.to_owned()));
        }
        Err(error) => return Err(unreadable("model's configuration", path, error)),
    };
    let config = json(path, &text)?;
    let architecture = config["architectures"][0].as_str();
    let kind = config["model_type"].as_str();
    if architecture != Some("GptOssForCausalLM") && kind != Some("gpt_oss") {
        return Err(ModelError::OtherArchitecture {
            config: path.to_owned(),
            found: architecture.or(kind).unwrap_or("nothing").to_owned(),
        });
    }
    if config["quantization_config"]["quant_method"].as_str() != Some("mxfp4") {
        return Err(ModelError::NotMxfp4(path.to_owned()));
    }
    Ok(())
}

fn json(path: &Path, text: &str) -> Result<Value, ModelError> {
    serde_json::from_str(text).map_err(|source| ModelError::Json {
        path: path.to_owned(),
        source,
    })
}

/// The size of all weight files, each of which must be there whole.
pub fn weights(folder: &Path) -> Result<u64, ModelError> {
    let files = match indexed(&folder.join("model.safetensors.index.json"))? {
        Some(files) => files,
        None => safetensors(folder).map_err(|error| unreadable("model folder", folder, error))?,
    };
    if files.is_empty() {
        return Err(ModelError::NoWeights(folder.to_owned()));
    }
    let mut total = 0;
    let mut missing = Vec::new();
    for name in &files {
        match fs::File::open(folder.join(name)).and_then(|file| Ok((file.metadata()?, file))) {
            Ok((metadata, file)) if metadata.is_file() => {
                if is_pointer(file) {
                    return Err(ModelError::Pointer(folder.join(name)));
                }
                total += metadata.len();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name.as_str()),
            Err(error) => return Err(unreadable("weight file", &folder.join(name), error)),
            Ok(_) => return Err(ModelError::NotFile(folder.join(name))),
        }
    }
    if let Some(first) = missing.first() {
        return Err(ModelError::Incomplete {
            folder: folder.to_owned(),
            first: (*first).to_owned(),
            missing: missing.len(),
            files: files.len(),
        });
    }
    Ok(total)
}

/// The files that an index names, or `None` where there is no index.
fn indexed(path: &Path) -> Result<Option<BTreeSet<String>>, ModelError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable("index of weights", path, error)),
    };
    let index = json(path, &text)?;
    let map = index["weight_map"]
        .as_object()
        .ok_or_else(|| ModelError::NoWeightMap(path.to_owned()))?;
    Ok(Some(
        map.values()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    ))
}

fn safetensors(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(".safetensors")
        {
            names.insert(name);
        }
    }
    Ok(names)
}

fn is_pointer(file: fs::File) -> bool {
    const POINTER: &[u8] = b"version https://git-lfs";
    let mut start = Vec::new();
    let read = file.take(POINTER.len() as u64).read_to_end(&mut start);
    read.is_ok() && start == POINTER
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        r#"{"architectures":["GptOssForCausalLM"],"quantization_config":{"quant_method":"mxfp4"}}"#;

    /// A folder with these files; a name that ends in `/` is a folder.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            match name.strip_suffix('/') {
                Some(_) => fs::create_dir(path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        folder
    }

    #[test]
    fn a_whole_checkpoint_has_the_size_of_its_weights() {
        let index =
            r#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"1.safetensors"}}"#;
        let with_index = folder(&[
            ("config.json", CONFIG),
            ("tokenizer.json", "{}"),
            ("1.safetensors", "12345"),
            ("2.safetensors", "123"),
            ("unlisted.safetensors", "1234567"),
            ("model.safetensors.index.json", index),
        ]);
        assert_eq!(check_folder(with_index.path()).unwrap(), 8);
        let single = folder(&[
            ("config.json", CONFIG),
            ("tokenizer.json", "{}"),
            ("model.safetensors", "12345"),
        ]);
        assert_eq!(check_folder(single.path()).unwrap(), 5);
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_said() {
        let other = r#"{"architectures":["LlamaForCausalLM"]}"#;
        let plain = r#"{"architectures":["GptOssForCausalLM"]}"#;
        let tokenizer = ("tokenizer.json", "{}");
        let index = r#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#;
        for (files, expect) in [
            (&[][..], "config.json does not exist"),
            (&[("config.json/", "")], "cannot be read"),
            (&[("config.json", "{")], "not valid JSON"),
            (&[("config.json", other)], "LlamaForCausalLM, not GPT-OSS"),
            (&[("config.json", "{}")], "describes nothing"),
            (
                &[("config.json", plain)],
                "not say that the weights are in MXFP4",
            ),
            (&[("config.json", CONFIG)], "no tokenizer.json"),
            (
                &[("config.json", CONFIG), tokenizer],
                "no .safetensors file",
            ),
            (
                &[
                    ("config.json", CONFIG),
                    tokenizer,
                    ("model.safetensors.index.json", index),
                    ("1.safetensors", "x"),
                ],
                "2.safetensors is missing (1 of 2",
            ),
            (
                &[
                    ("config.json", CONFIG),
                    tokenizer,
                    (
                        "model.safetensors",
                        "version https://git-lfs.github.com/spec/v1\n",
                    ),
                ],
                "Git LFS pointer",
            ),
        ] {
            let folder = folder(files);
            let error = check_folder(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expect), "{files:?}: {error}");
        }
    }

    #[test]
    fn a_path_that_is_no_folder_is_told_apart() {
        let folder = folder(&[("file", "")]);
        let missing = check_folder(&folder.path().join("missing"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("does not exist"), "{missing}");
        let file = check_folder(&folder.path().join("file"))
            .unwrap_err()
            .to_string();
        assert!(file.contains("is a file"), "{file}");
    }
}
