//! What is said of login shells in `mxfp4 shell`.

use std::fs;
use std::path::{Path, PathBuf};

use mxfp4_env::Ambient;

/// A line that says how a login shell in this one comes to the environment: tmux and screen start those, whose start-up
/// files may set PATH anew. `None` where they are not installed, or the prompt hook takes care of it.
pub fn advice(ambient: &Ambient, program: &Path) -> Option<String> {
    let path = ambient.get("PATH").unwrap_or_default();
    let multiplexer = ["tmux", "screen"]
        .into_iter()
        .find(|name| std::env::split_paths(path).any(|folder| folder.join(name).is_file()))?;
    let name = program.file_name()?.to_str()?;
    let (file, evaluate) = match name {
        "bash" => (in_home(ambient, ".bashrc"), "eval \"$(mxfp4 env)\""),
        "zsh" => (of_zsh(ambient), "eval \"$(mxfp4 env)\""),
        "fish" => (in_config(ambient, "fish/config.fish"), "mxfp4 env | source"),
        _ => return None,
    };
    let has_hook = file
        .and_then(|file| fs::read(file).ok())
        .is_some_and(|text| String::from_utf8_lossy(&text).contains("mxfp4"));
    (!has_hook).then(|| {
        format!(
            "shells that {multiplexer} starts in it, and other login shells, get the environment by `{evaluate}`, or by the \
             prompt hook (`mxfp4 help hook`)"
        )
    })
}

fn in_home(ambient: &Ambient, name: &str) -> Option<PathBuf> {
    Some(Path::new(ambient.get_nonempty("HOME")?).join(name))
}

fn of_zsh(ambient: &Ambient) -> Option<PathBuf> {
    match ambient.get_nonempty("ZDOTDIR") {
        Some(folder) => Some(Path::new(folder).join(".zshrc")),
        None => in_home(ambient, ".zshrc"),
    }
}

fn in_config(ambient: &Ambient, name: &str) -> Option<PathBuf> {
    match ambient.get_nonempty("XDG_CONFIG_HOME") {
        Some(folder) => Some(Path::new(folder).join(name)),
        None => in_home(ambient, ".config").map(|folder| folder.join(name)),
    }
}
