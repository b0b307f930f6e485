//! The kernel packages.

use mxfp4_launch::{Error, check_packages};
use mxfp4_toolchain::Error::Interrupted;

use super::facts::Facts;
use super::finding::Finding;
use crate::ui::error::message;

/// What makes them.
const BUILD: &str = "run `mxfp4 build`; `test` and `serve` do it by themselves";

/// Whether they are built, from the sources as they are.
pub fn built(facts: &Facts) -> anyhow::Result<Finding> {
    let packages = facts.context.workspace.kernel_packages();
    let shown: Vec<_> = packages
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let shown = shown.join(", ");
    if facts.is_modular() {
        // Whether they are fresh only Bazel knows.
        return Ok(match packages.is_empty() {
            true => Finding::warning("no kernel package is built", BUILD),
            false => Finding::ok(shown),
        });
    }
    let outdated = match &facts.outdated {
        None => return Ok(Finding::not_applicable("there is no SDK to build with")),
        Some(Err(why)) => {
            let fix = "see to what it names: [[kernels]] in mxfp4.toml, the sources, or the SDK";
            return Ok(Finding::failing(why, fix));
        }
        Some(Ok(outdated)) => outdated.join(", "),
    };
    Ok(if packages.is_empty() {
        Finding::warning("no kernel package is built", BUILD)
    } else if !outdated.is_empty() {
        Finding::warning(
            format!("sources or compiler of {outdated} have changed since"),
            BUILD,
        )
    } else {
        Finding::ok(shown)
    })
}

/// Whether MAX can load them and finds our ops in them.
pub fn loads(facts: &Facts) -> anyhow::Result<Finding> {
    if facts.is_modular() {
        return Ok(Finding::not_applicable(
            "a Modular checkout has ops of its own",
        ));
    }
    let (Some(sdk), Ok(environment)) = (facts.found_sdk(), &facts.environment) else {
        return Ok(Finding::not_applicable("there is no SDK to load them with"));
    };
    if sdk.python.is_none() {
        return Ok(Finding::not_applicable(
            "there is no Python to load them with",
        ));
    }
    if !matches!(&facts.outdated, Some(Ok(outdated)) if outdated.is_empty()) {
        return Ok(Finding::not_applicable("they have to be built first"));
    }
    match check_packages(facts.context, sdk, environment) {
        Ok(()) => Ok(Finding::ok("MAX loads them, and finds the ops in them")),
        Err(error @ Error::Toolchain(Interrupted(_))) => Err(error.into()),
        Err(error @ (Error::NoPackage | Error::Package(_))) => Ok(Finding::failing(
            error.to_string(),
            "remove build/ and run `mxfp4 build`",
        )),
        Err(error) => Ok(Finding::failing(
            message(&error.into()),
            "make the SDK anew with `mxfp4 setup`",
        )),
    }
}
