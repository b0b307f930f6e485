//! The kernel packages among what a build made.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mxfp4_env::config::Label;
use mxfp4_env::{BazelOutputs, Workspace};

use super::events::{Made, Outputs};
use crate::{BuildError, Error, files};

/// Finds the packages that a build made, and keeps them in mind for those who do not ask Bazel. Each target must have
/// made one: what lies there from an earlier build is not what was asked for.
pub(super) fn keep(workspace: &Workspace, outputs: &Outputs) -> Result<Vec<PathBuf>, Error> {
    let mut by_label = Vec::new();
    for label in workspace.bazel_labels() {
        by_label.push((label, packages_of(label, outputs)?));
    }
    let chosen = choose(workspace, &by_label);
    let link = workspace.bazel_link();
    let bin = chosen.first().and_then(|made| bin_of(made));
    let bin = bin
        .filter(|bin| !is_same(bin, &link))
        .unwrap_or_else(|| link.clone());
    let mut packages: Vec<PathBuf> = Vec::new();
    for made in chosen {
        let by_link = link.join(&made.name);
        let path = match is_same(&by_link, &made.path) {
            true => by_link,
            false => made.path.clone(),
        };
        if !packages.contains(&path) {
            packages.push(path);
        }
    }
    remember(workspace, bin, packages)
}

/// The packages that a target made.
fn packages_of(label: &Label, outputs: &Outputs) -> Result<Vec<Made>, Error> {
    let label = label.as_str();
    let mut made = outputs.of(label);
    made.retain(|made| {
        let extension = made.path.extension();
        extension.is_some_and(|extension| extension == "mojoc" || extension == "mojopkg")
    });
    if made.is_empty() {
        return Err(BuildError::NoPackage(label.to_owned()).into());
    }
    if let Some(missing) = made.iter().find(|made| !made.path.is_file()) {
        let (label, path) = (label.to_owned(), missing.path.clone());
        return Err(BuildError::NotHere { label, path }.into());
    }
    Ok(made)
}

/// Those that are loaded: the first of `bazel.packages` that was made, or without one what the target of MAX's own
/// kernels made; then, of each of `bazel.targets`, the one of its name, or all that it made.
fn choose<'a>(workspace: &Workspace, by_label: &'a [(&Label, Vec<Made>)]) -> Vec<&'a Made> {
    let config = &workspace.config.bazel;
    let made = || by_label.iter().flat_map(|(_, made)| made);
    let stem = |path: &Path| path.with_extension("");
    let known = config
        .packages
        .iter()
        .find_map(|known| made().find(|made| stem(&made.name) == stem(known.as_ref())));
    let mut chosen: Vec<&Made> = known.into_iter().collect();
    for (label, made) in by_label {
        let is_custom = config.targets.iter().any(|target| target == *label);
        if !is_custom && known.is_some() {
            continue;
        }
        let named = made.iter().filter(|made| {
            made.path
                .file_stem()
                .is_some_and(|stem| stem == label.name())
        });
        let named: Vec<&Made> = named.collect();
        match named.is_empty() {
            true => chosen.extend(made),
            false => chosen.extend(named),
        }
    }
    chosen
}

/// The folder of outputs that a file is in.
fn bin_of(made: &Made) -> Option<PathBuf> {
    let mut bin = made.path.clone();
    for _ in made.name.components() {
        bin.pop();
    }
    (bin.join(&made.name) == made.path).then_some(bin)
}

/// Whether both are there, and one and the same.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

fn remember(
    workspace: &Workspace,
    bin: PathBuf,
    packages: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, Error> {
    let outputs = BazelOutputs::new(
        &workspace.root,
        &workspace.bazel_labels(),
        bin,
        packages.clone(),
    );
    if workspace.bazel_outputs().as_ref() == Some(&outputs) {
        return Ok(packages);
    }
    let folder = workspace.bazel_outputs_folder();
    // A checkout that cannot be written is built all the same, where Bazel's own link says the same.
    match write(&folder, &outputs) {
        Err(error) if workspace.kernel_packages() != packages => Err(error),
        _ => Ok(packages),
    }
}

/// Keeps `outputs` in `folder`, and what was kept there no longer.
fn write(folder: &Path, outputs: &BazelOutputs) -> Result<(), Error> {
    let text =
        serde_json::to_vec(outputs).map_err(|_| BuildError::NotUtf8(outputs.packages.clone()))?;
    files::create_dir(folder)?;
    let name = format!("{}.json", blake3::hash(&text).to_hex());
    files::write(&folder.join(&name), &text)?;
    // What another build is writing has no such name yet.
    let kept = |other: &OsString| other.as_encoded_bytes().ends_with(b".json");
    for other in files::names(folder)?.into_iter().filter(kept) {
        if *other != *name {
            files::remove(&folder.join(other))?;
        }
    }
    Ok(())
}
