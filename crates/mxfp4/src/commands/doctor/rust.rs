//! The Rust toolchain, as far as building `mxfp4` from source needs it.

use std::fs;
use std::path::{Path, PathBuf};

use mxfp4_process::Command;

use super::ask::ask;
use super::facts::Facts;
use super::finding::Finding;

/// Whether `cargo build` works here, told without having rustup fetch anything.
pub fn rust(facts: &Facts) -> anyhow::Result<Finding> {
    let root = &facts.context.workspace.root;
    let Some(wanted) = channel(&root.join("rust-toolchain.toml")) else {
        return Ok(Finding::not_applicable(
            "mxfp4's source is not in this workspace",
        ));
    };
    let install = format!("install Rust {wanted}, with https://rustup.rs for example");
    let Some(cargo) = facts.program("cargo") else {
        return Ok(Finding::warning("cargo is not on PATH", install));
    };
    if is_rustup(&cargo) {
        return Ok(match toolchain(facts, &wanted) {
            Some(folder) => Finding::ok(format!("{wanted} at {}", folder.display())),
            None => Finding::warning(
                format!("rustup has no toolchain {wanted}"),
                format!("run `rustup toolchain install {wanted}`"),
            ),
        });
    }
    let Some(rustc) = facts.program("rustc") else {
        return Ok(Finding::warning("rustc is not on PATH", install));
    };
    let command = Command::new(&rustc).arg("--version").cwd("/");
    Ok(match ask(command)? {
        Ok(answer) if is_new_enough(&answer, &wanted) => Finding::ok(answer),
        Ok(answer) => Finding::warning(format!("{answer}, and {wanted} is needed"), install),
        Err(why) => Finding::warning(format!("{} does not run: {why}", rustc.display()), install),
    })
}

/// The toolchain that this repository names.
fn channel(file: &Path) -> Option<String> {
    let table: toml::Table = mxfp4_fs::read_text(file).ok()?.parse().ok()?;
    Some(table.get("toolchain")?.get("channel")?.as_str()?.to_owned())
}

/// rustup puts itself in the place of every program that it manages.
fn is_rustup(cargo: &Path) -> bool {
    let real = cargo.canonicalize().unwrap_or_else(|_| cargo.to_owned());
    real.file_name().is_some_and(|name| name == "rustup") || real.with_file_name("rustup").is_file()
}

fn toolchain(facts: &Facts, wanted: &str) -> Option<PathBuf> {
    let ambient = facts.ambient();
    let home = ambient.get_nonempty("RUSTUP_HOME").map_or_else(
        || Some(Path::new(ambient.get_nonempty("HOME")?).join(".rustup")),
        |home| Some(home.into()),
    )?;
    let entries = fs::read_dir(home.join("toolchains")).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(wanted);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            && folder.join("bin/rustc").is_file()
    })
}

/// Whether `rustc 1.95.0 (hash date)` is `wanted` or newer.
fn is_new_enough(answer: &str, wanted: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u32>> {
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    let found = answer.split_whitespace().nth(1).unwrap_or_default();
    let found = found.split('-').next().unwrap_or_default();
    match (numbers(found), numbers(wanted)) {
        (Some(found), Some(wanted)) => found >= wanted,
        // A channel such as `nightly` has no number to compare.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (answer, wanted, expect) in [
            ("rustc 1.95.0 (abc 2026-03-01)", "1.95.0", true),
            ("rustc 1.100.0", "1.95.0", true),
            ("rustc 2.0.0-nightly (x)", "1.95", true),
            ("rustc 1.94.1", "1.95.0", false),
            ("rustc", "1.95.0", false),
            ("something else", "1.95.0", false),
            ("rustc 1.95.0", "stable", false),
        ] {
            assert_eq!(is_new_enough(answer, wanted), expect, "{answer} {wanted}");
        }
    }
}
