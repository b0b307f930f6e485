//! The model that is to be served: is it there, is it GPT-OSS in MXFP4, how large is it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mxfp4_env::Ambient;
use serde_json::Value;

/// What `--model` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A repository of the Hugging Face hub, which MAX fetches.
    Repository {
        /// Its name, `owner/name`.
        name: String,
        /// The folder of the local cache that holds it, where one does.
        cached: Option<PathBuf>,
    },
}

impl Model {
    /// Tells a folder from a repository, as MAX does: what exists is a folder. So is what cannot be a repository's
    /// name, which lets a mistyped path fail as a path.
    pub fn resolve(text: &str, folder: &Path, ambient: &Ambient) -> Self {
        let path = folder.join(text);
        if path.symlink_metadata().is_ok() || !is_repository_name(text) {
            return Self::Folder(path);
        }
        Self::Repository {
            name: text.to_owned(),
            cached: cached_snapshot(text, ambient),
        }
    }

    /// The folder that holds its files; `None` for what is not here yet.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => folder.is_dir().then_some(folder),
            Self::Repository { cached, .. } => cached.as_deref(),
        }
    }

    /// Where the files of a repository arrive while they are fetched; `None` for what is here.
    pub fn arrivals(&self, ambient: &Ambient) -> Option<PathBuf> {
        match self {
            Self::Repository { name, cached: None } => {
                Some(hub_cache(ambient)?.join(hub_folder(name)).join("blobs"))
            }
            _ => None,
        }
    }

    /// Checks the files of the model and returns the size of its weights in bytes. `None` for a repository that is
    /// not here yet.
    pub fn check(&self, ambient: &Ambient) -> Result<Option<u64>, String> {
        match self {
            Self::Folder(folder) => check_folder(folder).map(Some),
            Self::Repository {
                cached: Some(folder),
                ..
            } => Ok(weights(folder).ok()),
            Self::Repository { name, cached: None } => {
                if is_offline(ambient) {
                    return Err(format!(
                        "the model {name} is neither a folder nor in the local Hugging Face cache, and HF_HUB_OFFLINE is \
                         set; unset it to fetch the model, or give --model a folder that holds it"
                    ));
                }
                Ok(None)
            }
        }
    }
}

/// `name` or `owner/name`, of letters, digits, `-`, `_` and `.`, not beginning with a dot.
fn is_repository_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2
        && parts.iter().all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        })
}

/// Whether HF_HUB_OFFLINE forbids Hugging Face's library the network.
pub fn is_offline(ambient: &Ambient) -> bool {
    let value = ambient
        .get_nonempty("HF_HUB_OFFLINE")
        .and_then(|value| value.to_str());
    value.is_some_and(|v| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

/// The folder of everything that Hugging Face's library keeps.
pub fn hub_home(ambient: &Ambient) -> Option<PathBuf> {
    let folder = |variable: &str| ambient.get_nonempty(variable).map(PathBuf::from);
    folder("HF_HOME")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface")))
}

/// Where Hugging Face's library keeps models.
pub fn hub_cache(ambient: &Ambient) -> Option<PathBuf> {
    let named = ambient.get_nonempty("HF_HUB_CACHE").map(PathBuf::from);
    named.or_else(|| hub_home(ambient).map(|home| home.join("hub")))
}

/// Where Hugging Face's own library keeps the newest revision of `name`.
fn cached_snapshot(name: &str, ambient: &Ambient) -> Option<PathBuf> {
    let repository = hub_cache(ambient)?.join(hub_folder(name));
    let revision = fs::read_to_string(repository.join("refs/main")).ok()?;
    let snapshot = repository.join("snapshots").join(revision.trim());
    snapshot.join("config.json").is_file().then_some(snapshot)
}

/// The folder of a repository in Hugging Face's cache.
fn hub_folder(name: &str) -> String {
    format!("models--{}", name.replace('/', "--"))
}

fn check_folder(folder: &Path) -> Result<u64, String> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "the model folder {shown} does not exist; check --model, or give it a repository's name such as \
                 openai/gpt-oss-20b"
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(format!(
                "the model {shown} is a file; --model wants the folder that holds config.json"
            ));
        }
        Err(error) => return Err(unreadable("model folder", folder, &error)),
    }
    check_config(&folder.join("config.json"))?;
    if !["tokenizer.json", "tokenizer_config.json"]
        .iter()
        .any(|name| folder.join(name).is_file())
    {
        return Err(format!(
            "the model folder {shown} has no tokenizer.json; copy the tokenizer's files of the model into it"
        ));
    }
    weights(folder)
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "the {what} {} cannot be read: {error}; check its permissions",
        path.display()
    )
}

fn check_config(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "{shown} does not exist; --model wants the folder of a checkpoint, with config.json"
            ));
        }
        Err(error) => return Err(unreadable("model's configuration", path, &error)),
    };
    let config: Value = serde_json::from_str(&text)
        .map_err(|error| format!("{shown} is not valid JSON: {error}"))?;
    let architecture = config["architectures"][0].as_str();
    let kind = config["model_type"].as_str();
    if architecture != Some("GptOssForCausalLM") && kind != Some("gpt_oss") {
        let found = architecture.or(kind).unwrap_or("nothing");
        return Err(format!(
            "{shown} describes {found}, not GPT-OSS (GptOssForCausalLM), the one architecture that is served here"
        ));
    }
    if config["quantization_config"]["quant_method"].as_str() != Some("mxfp4") {
        return Err(format!(
            "{shown} does not say that the weights are in MXFP4 (quantization_config.quant_method is not \"mxfp4\"); \
             use the published, quantized checkpoint"
        ));
    }
    Ok(())
}

/// The size of all weight files, each of which must be there whole.
fn weights(folder: &Path) -> Result<u64, String> {
    let shown = folder.display();
    let files = match indexed(&folder.join("model.safetensors.index.json"))? {
        Some(files) => files,
        None => safetensors(folder).map_err(|error| unreadable("model folder", folder, &error))?,
    };
    if files.is_empty() {
        return Err(format!(
            "the model folder {shown} holds no .safetensors file; download the model's weights into it"
        ));
    }
    let mut total = 0;
    let mut missing = Vec::new();
    for name in &files {
        match fs::File::open(folder.join(name)).and_then(|file| Ok((file.metadata()?, file))) {
            Ok((metadata, file)) if metadata.is_file() => {
                if is_pointer(file) {
                    return Err(format!(
                        "{shown}/{name} is a Git LFS pointer and not the weights; run `git lfs pull` in the folder"
                    ));
                }
                total += metadata.len();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name.as_str()),
            Err(error) => return Err(unreadable("weight file", &folder.join(name), &error)),
            Ok(_) => return Err(format!("{shown}/{name} is not a file")),
        }
    }
    if let Some(first) = missing.first() {
        return Err(format!(
            "the model folder {shown} is incomplete: {first} is missing ({} of {} weight files are); download the rest",
            missing.len(),
            files.len()
        ));
    }
    Ok(total)
}

/// The files that an index names, or `None` where there is no index.
fn indexed(path: &Path) -> Result<Option<BTreeSet<String>>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable("index of weights", path, &error)),
    };
    let index: Value = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not valid JSON: {error}", path.display()))?;
    let map = index["weight_map"]
        .as_object()
        .ok_or_else(|| format!("{} has no weight_map", path.display()))?;
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
        assert_eq!(check_folder(with_index.path()), Ok(8));
        let single = folder(&[
            ("config.json", CONFIG),
            ("tokenizer.json", "{}"),
            ("model.safetensors", "12345"),
        ]);
        assert_eq!(check_folder(single.path()), Ok(5));
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
            let error = check_folder(folder.path()).unwrap_err();
            assert!(error.contains(expect), "{files:?}: {error}");
        }
    }

    #[test]
    fn a_path_that_is_no_folder_is_told_apart() {
        let folder = folder(&[("file", "")]);
        let missing = check_folder(&folder.path().join("missing")).unwrap_err();
        assert!(missing.contains("does not exist"), "{missing}");
        let file = check_folder(&folder.path().join("file")).unwrap_err();
        assert!(file.contains("is a file"), "{file}");
    }

    #[test]
    fn a_path_is_told_from_a_repository() {
        let folder = folder(&[("here/", "")]);
        let resolve = |text: &str| Model::resolve(text, folder.path(), &Ambient::default());
        let path = |text: &str| Model::Folder(folder.path().join(text));
        let repository = |name: &str| Model::Repository {
            name: name.into(),
            cached: None,
        };
        assert_eq!(
            resolve("openai/gpt-oss-20b"),
            repository("openai/gpt-oss-20b")
        );
        assert_eq!(resolve("gpt-oss"), repository("gpt-oss"));
        assert_eq!(resolve("here"), path("here"));
        assert_eq!(resolve("./gone"), path("./gone"));
        assert_eq!(resolve("../gone"), path("../gone"));
        assert_eq!(resolve("a/b/c"), path("a/b/c"));
        assert_eq!(resolve("with space"), path("with space"));
        assert_eq!(resolve("~/here"), path("~/here"));
        assert_eq!(resolve("/gone"), Model::Folder("/gone".into()));
    }

    #[test]
    fn a_cached_repository_is_found_and_measured() {
        let hub = tempfile::tempdir().unwrap();
        let repository = hub.path().join("models--openai--gpt-oss-20b");
        let snapshot = repository.join("snapshots/abc");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::write(repository.join("refs/main"), "abc").unwrap();
        fs::write(snapshot.join("config.json"), CONFIG).unwrap();
        fs::write(snapshot.join("model.safetensors"), "1234").unwrap();
        let ambient: Ambient = [("HF_HUB_CACHE", hub.path())].into_iter().collect();
        let model = Model::resolve("openai/gpt-oss-20b", hub.path(), &ambient);
        assert_eq!(
            model,
            Model::Repository {
                name: "openai/gpt-oss-20b".into(),
                cached: Some(snapshot),
            }
        );
        assert_eq!(model.check(&ambient), Ok(Some(4)));
    }

    #[test]
    fn offline_a_repository_must_be_cached() {
        let ambient: Ambient = [("HF_HUB_OFFLINE", "1")].into_iter().collect();
        let model = Model::resolve("openai/gpt-oss-20b", Path::new("/nowhere"), &ambient);
        let error = model.check(&ambient).unwrap_err();
        assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
        assert_eq!(model.check(&Ambient::default()), Ok(None));
    }
}
