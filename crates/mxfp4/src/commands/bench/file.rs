//! Files that are there whole or not at all, and the runs in them.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The page's name.
pub const INDEX: &str = "index.html";

/// Whether what `--json` and `--report` name can be written: found out before minutes of measuring.
pub fn check_outputs(json: Option<&Path>, report: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = json {
        check(path)?;
    }
    if let Some(folder) = report {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        check(&folder.join(INDEX))?;
    }
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        anyhow::bail!("cannot write {}: it is a folder", path.display());
    }
    mxfp4_fs::can_write(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a run that [`write_run`] wrote, which is `what`; `is_empty` tells one that measured nothing.
pub fn read_run<R: DeserializeOwned>(
    path: &Path,
    what: &str,
    is_empty: impl FnOnce(&R) -> bool,
) -> anyhow::Result<R> {
    let cannot_read = || format!("cannot read {}", path.display());
    // A pipe will do, too.
    let content = fs::read(path).with_context(cannot_read)?;
    let content = mxfp4_fs::text(content).with_context(cannot_read)?;
    let run: R = serde_json::from_str(&content)
        .with_context(|| format!("{} is no {what}", path.display()))?;
    if is_empty(&run) {
        anyhow::bail!("{} holds no measurement", path.display());
    }
    Ok(run)
}

/// Writes a run as JSON.
pub fn write_run(run: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    let mut content = serde_json::to_vec_pretty(run)?;
    content.push(b'\n');
    write(path, &content)
}

/// Writes the file at `path`.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    mxfp4_fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
