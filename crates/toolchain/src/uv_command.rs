use std::path::Path;

use mxfp4_env::Context;
use mxfp4_process::Command;

/// Variables that would have uv work on something else, or refuse.
const UNWANTED: [&str; 12] = [
    "VIRTUAL_ENV",
    "UV_PROJECT",
    "UV_WORKING_DIR",
    "UV_WORKING_DIRECTORY",
    "UV_LOCKED",
    "UV_NO_SYNC",
    "UV_NO_DEV",
    "UV_NO_GROUP",
    "UV_NO_DEFAULT_GROUPS",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_VENV_SEED",
];

/// A command of uv, to which an argument is still to be added.
pub(crate) fn uv_command(context: &Context, uv: &Path) -> Command {
    let mut command = Command::new(uv).env("UV_PYTHON_DOWNLOADS", "never");
    for name in UNWANTED {
        if context.ambient.get(name).is_some() {
            command = command.env_remove(name);
        }
    }
    command
}
