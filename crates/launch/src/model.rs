//! The model that is to be served: a folder of this machine, or a repository of the hub.

use std::path::{Path, PathBuf};

use mxfp4_checkpoint::{Fault, Faults, inspect};
use mxfp4_env::Ambient;

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
    /// not here yet, or not whole: MAX fetches the rest.
    pub fn check(&self, ambient: &Ambient) -> Result<Option<u64>, ModelError> {
        let (inspection, refusal) = match self {
            Self::Folder(folder) => {
                let inspection = inspect(folder);
                let refusal = inspection.refusal();
                (inspection, refusal)
            }
            Self::Repository {
                cached: Some(folder),
                ..
            } => {
                let inspection = inspect(folder);
                let refusal = inspection.refusal_of_what_is_here();
                (inspection, refusal)
            }
            Self::Repository { name, cached: None } if is_offline(ambient) => {
                return Err(ModelError::NotCached(name.clone()));
            }
            Self::Repository { cached: None, .. } => return Ok(None),
        };
        match refusal {
            Some(faults) => Err(ModelError::Checkpoint(faults)),
            None => Ok(inspection
                .faults
                .is_empty()
                .then(|| inspection.weight_bytes())),
        }
    }

    /// The size of the weights that are here, whatever else is wrong with them.
    pub fn weight_bytes(&self) -> Option<u64> {
        mxfp4_checkpoint::weight_bytes(self.folder()?)
    }
}

/// What is wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It is a repository that is not here, and nothing may be fetched.
    #[error(
        "the model {0} is neither a folder nor in the local Hugging Face cache, and HF_HUB_OFFLINE is set"
    )]
    NotCached(String),
    /// Its files are not what can be served.
    #[error(transparent)]
    Checkpoint(#[from] Faults),
}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let Self::Checkpoint(faults) = self else {
            return Some(
                "unset it to fetch the model, or give --model a folder that holds it".into(),
            );
        };
        match faults.faults.as_slice() {
            [Fault::NoFolder { .. }] => Some(
                "check --model, or give it a repository's name such as openai/gpt-oss-20b".into(),
            ),
            [Fault::NotFolder { .. }] => {
                Some("--model wants the folder that holds config.json".into())
            }
            _ => faults.hint(),
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

    use mxfp4_checkpoint::testing::Small;

    use super::*;

    #[test]
    fn a_path_is_told_from_a_repository() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("here")).unwrap();
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
        Small::default().write(&snapshot).unwrap();
        let ambient: Ambient = [("HF_HUB_CACHE", hub.path())].into_iter().collect();
        let model = Model::resolve("openai/gpt-oss-20b", hub.path(), &ambient);
        assert_eq!(
            model,
            Model::Repository {
                name: "openai/gpt-oss-20b".into(),
                cached: Some(snapshot.clone()),
            }
        );
        let bytes = model.check(&ambient).unwrap();
        assert_eq!(bytes, model.weight_bytes());
        assert!(bytes > Some(100_000), "{bytes:?}");

        // MAX fetches what is not there, but does not mend what is.
        let shard = snapshot.join("model-00001-of-00002.safetensors");
        fs::remove_file(&shard).unwrap();
        assert_eq!(model.check(&ambient).unwrap(), None);
        fs::write(&shard, "half").unwrap();
        let error = model.check(&ambient).unwrap_err().to_string();
        assert!(error.contains("ends within its header"), "{error}");
    }

    #[test]
    fn offline_a_repository_must_be_cached() {
        let ambient: Ambient = [("HF_HUB_OFFLINE", "1")].into_iter().collect();
        let model = Model::resolve("openai/gpt-oss-20b", Path::new("/nowhere"), &ambient);
        let error = model.check(&ambient).unwrap_err().to_string();
        assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
        assert_eq!(model.check(&Ambient::default()).unwrap(), None);
    }
    #[test]
    fn a_path_that_is_no_folder_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, told, hint) in [
            ("missing", "does not exist", "check --model"),
            ("file", "is a file", "--model wants the folder"),
        ] {
            let model = Model::Folder(folder.path().join(name));
            let error = model.check(&Ambient::default()).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(error.hint().unwrap().contains(hint), "{error:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut small = Small::default();
        for name in small.names() {
            small.remove(&name);
        }
        small.write(folder.path()).unwrap();
        let model = Model::Folder(folder.path().to_owned());
        let error = model.check(&Ambient::default()).unwrap_err();
        assert_eq!(error.hint(), None);
        let told = error.to_string();
        assert_eq!(told.lines().count(), 12, "{told}");
        assert!(told.contains("for 22 reasons"), "{told}");
        assert!(
            told.contains("lm_head.weight is missing; save it with its head"),
            "{told}"
        );
        assert!(
            told.contains("and 12 more, which `mxfp4 model inspect` lists"),
            "{told}"
        );
    }
}
