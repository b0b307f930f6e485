//! What of a workspace travels: the files that serving, building, testing and measuring read. Nothing else that a user
//! keeps in the folder does, a model for instance.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ignore::WalkBuilder;
use mxfp4_bundle::Tree;
use mxfp4_env::Workspace;
use mxfp4_env::config::{FILE, RelativePath};
use toml_edit::DocumentMut;

/// Where the SDK is in a bundle, and so in what it unpacks to.
pub const SDK: &str = "sdk";

/// What every workspace made like this repository has.
const KNOWN: [&str; 8] = [
    ".gitignore",
    ".vscode",
    "LICENSE",
    "README.md",
    "docs",
    "kernels",
    "python",
    "scripts",
];

/// What is never a source, at the root.
const MADE: [&str; 7] = [".git", ".mxfp4", ".venv", "build", "dist", SDK, "target"];

/// Adds the workspace's sources to `tree`; what `.gitignore` names is none.
pub fn add(tree: &mut Tree, workspace: &Workspace) -> anyhow::Result<()> {
    let root = &workspace.root;
    let wanted = wanted(workspace);
    let chosen = root.clone();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .filter_entry(move |entry| {
            let path = entry.path().strip_prefix(&chosen).unwrap_or(entry.path());
            is_source(path, &wanted)
        })
        .build();
    for entry in walk {
        let entry = entry.with_context(|| format!("cannot look through {}", root.display()))?;
        if let Ok(path) = entry.path().strip_prefix(root) {
            tree.one(root, path, "")?;
        }
    }
    tree.text(FILE, configuration(workspace)?)?;
    Ok(())
}

/// The files and folders that the workspace's own settings name, and those that it has anyway.
fn wanted(workspace: &Workspace) -> BTreeSet<PathBuf> {
    let config = &workspace.config;
    let tests = &config.tests;
    let kernels = config.kernels.iter();
    let paths = kernels
        .flat_map(|kernel| std::iter::once(&kernel.source).chain(&kernel.includes))
        .chain(&tests.mojo)
        .chain(&tests.mojo_includes)
        .chain(&tests.python)
        .map(|path: &RelativePath| path.as_ref().to_owned());
    // `FOLDER:MODULE`; a module alone is below `python`.
    let architectures = config.serve.custom_architectures.iter();
    let folders = architectures.filter_map(|architecture| architecture.split_once(':'));
    paths
        .chain(folders.map(|(folder, _)| folder.into()))
        .chain(KNOWN.map(PathBuf::from))
        .collect()
}

/// Whether the walk is to go to `path`: it is wanted, in something that is, or on the way there.
fn is_source(path: &Path, wanted: &BTreeSet<PathBuf>) -> bool {
    if MADE.iter().any(|made| path.starts_with(made)) || path.ends_with("__pycache__") {
        return false;
    }
    wanted
        .iter()
        .any(|wanted| path.starts_with(wanted) || wanted.starts_with(path))
}

/// The text of `mxfp4.toml` with the carried SDK as the one to use, so that no other is looked for and none is made.
fn configuration(workspace: &Workspace) -> anyhow::Result<String> {
    let path = workspace.root.join(FILE);
    let text =
        mxfp4_fs::read_text(&path).with_context(|| format!("cannot read {}", path.display()))?;
    with_sdk(&text).with_context(|| format!("cannot change {}", path.display()))
}

fn with_sdk(text: &str) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse()?;
    document
        .entry("sdk")
        .or_insert(toml_edit::table())
        .as_table_like_mut()
        .context("`sdk` is no table")?
        .insert("path", toml_edit::value(SDK));
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_carried_sdk_and_stays_as_it_is() {
        let mine = "# mine\n[sdk]\nmax = \"1\" # exactly\n\n[serve]\nport = 1\n";
        let theirs = "# mine\n[sdk]\nmax = \"1\" # exactly\npath = \"sdk\"\n\n[serve]\nport = 1\n";
        for (text, expect) in [
            (mine, theirs),
            ("", "[sdk]\npath = \"sdk\"\n"),
            ("[sdk]\npath = \"/elsewhere\"\n", "[sdk]\npath = \"sdk\"\n"),
            (
                "sdk = { max = \"1\" }\n",
                "sdk = { max = \"1\" , path = \"sdk\" }\n",
            ),
            ("sdk.max = \"1\"\n", "sdk.max = \"1\"\nsdk.path = \"sdk\"\n"),
        ] {
            assert_eq!(with_sdk(text).unwrap(), expect);
        }
    }

    #[test]
    fn a_path_is_a_source_in_what_is_wanted_or_on_the_way() {
        let wanted: BTreeSet<PathBuf> = ["python", "a/b"].map(PathBuf::from).into();
        for (path, expect) in [
            ("", true),
            ("python", true),
            ("python/mxfp4/kernels/ops.py", true),
            ("python/mxfp4/__pycache__", false),
            ("a", true),
            ("a/b/c", true),
            ("a/c", false),
            ("pythons", false),
            ("model", false),
            (".git", false),
            ("build/python", false),
        ] {
            assert_eq!(is_source(Path::new(path), &wanted), expect, "{path}");
        }
    }
}
