//! VS Code's extension for Mojo.

use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::finding::Finding;

/// Where VS Code keeps extensions: on this machine, and for a window of another one.
const FOLDERS: [&str; 2] = [".vscode/extensions", ".vscode-server/extensions"];

/// The extension's publisher, and what its folder is called before the version.
const PUBLISHER: &str = "modular-mojotools.";
const NAME: &str = "vscode-mojo-";

/// The oldest one that takes the SDK of the workspace's `.venv` by itself.
const WANTED: (u32, u32) = (26, 6);

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
        Some(version) if version_of(&version).is_some_and(|version| version < WANTED) => {
            let (major, minor) = WANTED;
            Finding::warning(
                format!(
                    "the Mojo extension {version} is older than {major}.{minor} and may not find the SDK"
                ),
                "update it in VS Code",
            )
        }
        Some(version) => Finding::ok(format!("the Mojo extension {version}")),
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

fn version_of(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
