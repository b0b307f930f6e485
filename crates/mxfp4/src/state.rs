//! Where this program keeps what is the user's, and no workspace's.

use std::path::PathBuf;

use mxfp4_env::Ambient;

/// `$XDG_STATE_HOME/mxfp4`, or the same below `~/.local/state`; nothing where neither is an absolute path.
pub fn folder(ambient: &Ambient) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = ambient.get_nonempty(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("mxfp4"))
}
