//! Where Hugging Face's library keeps models.

use std::fs;
use std::path::PathBuf;

use mxfp4_env::Ambient;

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
pub fn cached_snapshot(name: &str, ambient: &Ambient) -> Option<PathBuf> {
    let repository = hub_cache(ambient)?.join(hub_folder(name));
    let revision = fs::read_to_string(repository.join("refs/main")).ok()?;
    let snapshot = repository.join("snapshots").join(revision.trim());
    snapshot.join("config.json").is_file().then_some(snapshot)
}

/// The folder of a repository in Hugging Face's cache.
pub fn hub_folder(name: &str) -> String {
    format!("models--{}", name.replace('/', "--"))
}
