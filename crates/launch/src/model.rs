//! The model that is to be served: a folder of this machine, or a repository of the hub.

use std::path::{Path, PathBuf};

use mxfp4_env::Ambient;

use crate::checkpoint::{ModelError, check_folder, weights};
use crate::hub::{cached_snapshot, hub_cache, hub_folder, is_offline};

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
    pub fn check(&self, ambient: &Ambient) -> Result<Option<u64>, ModelError> {
        match self {
            Self::Folder(folder) => check_folder(folder).map(Some),
            Self::Repository {
                cached: Some(folder),
                ..
            } => Ok(weights(folder).ok()),
            Self::Repository { name, cached: None } => {
                if is_offline(ambient) {
                    return Err(ModelError::NotCached(name.clone()));
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

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert_eq!(model.check(&ambient).unwrap(), Some(4));
    }

    #[test]
    fn offline_a_repository_must_be_cached() {
        let ambient: Ambient = [("HF_HUB_OFFLINE", "1")].into_iter().collect();
        let model = Model::resolve("openai/gpt-oss-20b", Path::new("/nowhere"), &ambient);
        let error = model.check(&ambient).unwrap_err().to_string();
        assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
        assert_eq!(model.check(&Ambient::default()).unwrap(), None);
    }
}
