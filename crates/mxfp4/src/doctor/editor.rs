//! VS Code's extension for Mojo.

use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::finding::Finding;

/// Where VS Code keeps extensions: on this machine, and for a window of another one.
const FOLDERS: [&str; 2] = [".vscode/extensions", ".vscode-server/extensions"];

/// The extension's publisher, and what its folder is called before the version.
const PUBLISHER: &str = "modular-mojotools.";
const NAME: &str = "vscode-mojo-";

/// Whether the extension is installed, where there is VS Code.
pub fn editor(facts: &Facts) -> anyhow::Result<Finding> {
    let home = facts.ambient().get_nonempty("HOME").map(PathBuf::from);
    let folders: Vec<PathBuf> = home
        .iter()
        .flat_map(|home| FOLDERS.map(|folder| home.join(folder)))
        .filter(|folder| folder.is_dir())
        .collect();
    if folders.is_empty() && facts.program("code").is_none() {
        return Ok(Finding::not_applicable("VS Code is not installed here"));
    }
    Ok(match folders.iter().find_map(|folder| installed(folder)) {
        Some(name) => Finding::ok(format!("the Mojo extension {name}")),
        None => Finding::warning(
            "VS Code has no Mojo extension",
            "run `code --install-extension modular-mojotools.vscode-mojo`",
        ),
    })
}

fn installed(folder: &Path) -> Option<String> {
    folder.read_dir().ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let rest = name.strip_prefix(PUBLISHER)?;
        Some(rest.strip_prefix(NAME).unwrap_or(rest).to_owned())
    })
}
