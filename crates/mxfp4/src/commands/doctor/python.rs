//! Python, and uv that installs packages for it.

use std::path::PathBuf;

use mxfp4_env::config::PythonVersion;
use mxfp4_launch::python as python_of;
use mxfp4_process::Command;
use mxfp4_toolchain::{OLDEST_UV, Uv, look_at_uv};

use super::ask::ask;
use super::facts::Facts;
use super::finding::Finding;

/// What an interpreter is asked; `-I` keeps the surroundings out of the answer.
const VERSION: [&str; 3] = [
    "-I",
    "-c",
    "import sys; print('%d.%d' % sys.version_info[:2])",
];

/// The SDK's Python, or one that an SDK can be made for.
pub fn python(facts: &Facts) -> anyhow::Result<Finding> {
    if let Some(sdk) = facts.found_sdk() {
        let version = sdk.python_version;
        let version = version.map_or("Python".into(), |version| format!("Python {version}"));
        return Ok(match python_of(sdk) {
            Ok(python) => Finding::ok(format!("{version} at {}", python.display())),
            Err(missing) => {
                Finding::failing(missing.to_string(), missing.hint().unwrap_or_default())
            }
        });
    }
    if facts.is_modular() {
        return Ok(Finding::not_applicable(
            "the SDK of a Modular checkout brings its own",
        ));
    }
    let accepted = facts.context.workspace.config.sdk.pythons();
    Ok(match on_path(facts, &accepted)? {
        Some((version, python)) => Finding::ok(format!("Python {version} at {}", python.display())),
        None => {
            let versions: Vec<String> = accepted.iter().map(ToString::to_string).collect();
            Finding::failing(
                format!("none of Python {} is on PATH", versions.join(", ")),
                format!("install Python {}; none is downloaded", versions[0]),
            )
        }
    })
}

/// The first acceptable interpreter on PATH. Each is asked, for a version manager's stand-ins do not show what they
/// start.
fn on_path(
    facts: &Facts,
    accepted: &[PythonVersion],
) -> anyhow::Result<Option<(PythonVersion, PathBuf)>> {
    let names = accepted.iter().map(|version| format!("python{version}"));
    for name in names.chain(["python3".into(), "python".into()]) {
        let Some(python) = facts.program(&name) else {
            continue;
        };
        let answer = ask(Command::new(&python).args(VERSION))?;
        let version = answer.ok().and_then(|version| version.parse().ok());
        if let Some(version) = version.filter(|version| accepted.contains(version)) {
            return Ok(Some((version, python)));
        }
    }
    Ok(None)
}

/// The uv that `mxfp4 setup` would use.
pub fn uv(facts: &Facts) -> anyhow::Result<Finding> {
    if facts.is_modular() {
        return Ok(Finding::not_applicable(
            "no SDK is made in a Modular checkout",
        ));
    }
    // What is amiss matters where an SDK has to be made.
    let judge = |found: String, fix: String| match facts.found_sdk().is_some() {
        true => Finding::warning(found, fix),
        false => Finding::failing(found, fix),
    };
    Ok(match look_at_uv(facts.context)? {
        Uv::Works(uv) => Finding::ok(uv.display().to_string()),
        Uv::Refused(error) => judge(error.to_string(), error.hint()),
        Uv::TooOld(uv, version) => Finding::warning(
            format!(
                "{} is {version}, and {OLDEST_UV} or newer is needed",
                uv.display()
            ),
            "nothing, where there is a network: `mxfp4 setup` fetches another one; else update it \
             (https://docs.astral.sh/uv)",
        ),
        Uv::Missing if facts.found_sdk().is_some() => {
            Finding::not_applicable("there is none, and there is an SDK already")
        }
        Uv::Missing => Finding::warning(
            "uv is neither on PATH nor in .mxfp4/tools",
            "nothing, where there is a network: `mxfp4 setup` fetches it; else install uv \
             (https://docs.astral.sh/uv)",
        ),
    })
}
