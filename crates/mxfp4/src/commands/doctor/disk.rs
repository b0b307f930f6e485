//! Room, and the right to write.

use std::path::Path;

use mxfp4_launch::CompileCache;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::facts::Facts;
use super::finding::Finding;

/// What the SDK takes: MAX, Mojo and what they need, unpacked.
const SDK: u64 = 2_000_000_000;

/// Below this a disk is as good as full: a kernel package, or a compiled model, is some megabytes.
const LITTLE: u64 = 200_000_000;

/// The workspace's own folder.
pub fn workspace(facts: &Facts) -> anyhow::Result<Finding> {
    let root = &facts.context.workspace.root;
    let makes_sdk = matches!(facts.sdk, Ok(None)) && !facts.is_modular();
    let builds = !matches!(&facts.outdated, Some(Ok(outdated)) if outdated.is_empty());
    let place = Place::look(root);
    let finding = place.judge(if makes_sdk { SDK } else { LITTLE }, "the workspace");
    // Where nothing is left to be made, nothing has to be written.
    Ok(match makes_sdk || builds {
        true => finding,
        false => finding.into_warning(),
    })
}

/// The folder of compiled models.
pub fn cache(facts: &Facts) -> anyhow::Result<Finding> {
    let cache = CompileCache::of(facts.context);
    // What is not there yet is made inside the nearest folder that is.
    let there = cache.folder().ancestors().find(|folder| folder.exists());
    let mut place = Place::look(there.unwrap_or(Path::new("/")));
    place.shown = cache.folder().display().to_string();
    place.is_folder = there.is_some_and(Path::is_dir);
    Ok(place
        .judge(LITTLE, "the folder that MODULAR_CACHE_DIR names")
        .into_warning())
}

/// A folder, as far as its disk goes.
struct Place {
    shown: String,
    is_folder: bool,
    writable: bool,
    free: Option<u64>,
}

impl Place {
    fn look(folder: &Path) -> Self {
        Self {
            shown: folder.display().to_string(),
            is_folder: folder.is_dir(),
            writable: access(folder, AccessFlags::W_OK).is_ok(),
            free: statvfs(folder)
                .ok()
                .map(|disk| disk.blocks_available() * disk.fragment_size()),
        }
    }

    fn judge(&self, needed: u64, what: &str) -> Finding {
        let shown = &self.shown;
        if !self.is_folder {
            return Finding::failing(
                format!("{shown} cannot be a folder: a file is in its way"),
                format!("remove the file, or move {what}"),
            );
        }
        if !self.writable {
            return Finding::failing(
                format!("{shown} cannot be written"),
                format!("give yourself the right to write there, or move {what}"),
            );
        }
        match self.free {
            Some(free) if free < needed => Finding::failing(
                format!(
                    "{shown} has {} free, and {} are needed",
                    gb(free),
                    gb(needed)
                ),
                format!("free some on that disk, or move {what}"),
            ),
            Some(free) => Finding::ok(format!("{shown}, {} free", gb(free))),
            None => Finding::ok(format!("{shown}, free space unknown")),
        }
    }
}

fn gb(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
