//! The SDK's Python, and where it looks for MAX.

use std::path::PathBuf;

use mxfp4_env::{Environment, Sdk};

use crate::Error;

/// The interpreter of an SDK.
pub fn python(sdk: &Sdk) -> Result<PathBuf, Error> {
    let missing = || Error::NoPython(sdk.site.clone());
    sdk.python.clone().ok_or_else(missing)
}

/// Where Python will look for `max`: PYTHONPATH, then the SDK's packages.
pub fn search_path(sdk: &Sdk, environment: &Environment) -> Vec<PathBuf> {
    let mut folders = python_path(environment);
    folders.push(sdk.site.clone());
    folders
}

/// The folders of PYTHONPATH.
pub fn python_path(environment: &Environment) -> Vec<PathBuf> {
    environment
        .get("PYTHONPATH")
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default()
}

/// Whether our Python package, with what has a server start sooner, is on Python's path.
pub fn has_starter(environment: &Environment) -> bool {
    python_path(environment)
        .iter()
        .any(|folder| folder.join("mxfp4/start.py").is_file())
}
