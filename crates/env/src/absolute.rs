use std::path::{Component, Path, PathBuf};

/// `path` seen from `base`, without `.` and, where it can be told, without `..`.
pub(crate) fn absolute(path: &Path, base: &Path) -> PathBuf {
    let joined = base.join(path);
    if joined.components().any(|part| part == Component::ParentDir) {
        // `link/..` is not the link's folder: only the file system can tell.
        return joined.canonicalize().unwrap_or(joined);
    }
    joined.components().collect()
}
