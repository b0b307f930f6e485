//! MAX and Mojo, and the environment that follows from them.

use std::time::Instant;

use mxfp4_env::Warning;
use mxfp4_env::sdk::SdkSource;
use mxfp4_process::Command;
use mxfp4_toolchain::setup::{self, State};

use super::ask::ask;
use super::facts::Facts;
use super::finding::Finding;

/// What to do about an SDK that is named and is not one.
const CORRECT: &str = "correct MXFP4_SDK or `sdk.path`, or remove it and run `mxfp4 setup`";

const NO_SDK: &str = "there is no SDK";

/// Whether there is an SDK, and where it is from.
pub fn sdk(facts: &Facts) -> anyhow::Result<Finding> {
    let workspace = &facts.context.workspace;
    let sdk = match &facts.sdk {
        Ok(Some(sdk)) => sdk,
        Ok(None) => {
            let fix = match facts.is_modular() {
                true => {
                    "activate the checkout's environment, or name an SDK with MXFP4_SDK or `sdk.path`"
                }
                false => "run `mxfp4 setup`, or name an SDK with MXFP4_SDK or `sdk.path`",
            };
            return Ok(Finding::failing("no MAX and Mojo SDK found", fix));
        }
        Err(why) => return Ok(Finding::refused(why, CORRECT)),
    };
    let found = format!("{} ({})", sdk.modular.display(), sdk.source);
    if sdk.source == SdkSource::Workspace && !facts.is_modular() {
        match setup::state(workspace) {
            Ok(State::Outdated) => {
                return Ok(Finding::warning(
                    format!("{found} is older than python/uv.lock"),
                    "run `mxfp4 setup`; without --no-setup the other commands do it by themselves",
                ));
            }
            Err(error) => {
                return Ok(Finding::warning(
                    format!("{found}: {}", crate::ui::error::message(&error.into())),
                    "see to the file, then run `mxfp4 setup`",
                ));
            }
            Ok(State::Missing | State::Fresh | State::Foreign) => {}
        }
    }
    Ok(Finding::ok(found))
}

/// The installed versions, as the names of the folders of their metadata have them, against the pins.
pub fn versions(facts: &Facts) -> anyhow::Result<Finding> {
    let Some(sdk) = facts.found_sdk() else {
        return Ok(Finding::not_applicable(NO_SDK));
    };
    let pins = &facts.context.workspace.config.sdk;
    let packages = [("MAX", "max", &pins.max), ("Mojo", "mojo", &pins.mojo)];
    let (mut found, mut unknown, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (title, package, pinned) in packages {
        match sdk.version(package) {
            Some(version) => {
                if version != pinned.as_str() {
                    wrong.push(format!("{title} {pinned}"));
                }
                found.push(format!("{title} {version}"));
            }
            None => unknown.push(title),
        }
    }
    // A Modular checkout is pinned by its own environment, and conda keeps its metadata elsewhere.
    if facts.is_modular() {
        return Ok(match found.is_empty() {
            true => Finding::not_applicable("the checkout's environment decides"),
            false => Finding::ok(found.join(", ")),
        });
    }
    let fix = "run `mxfp4 setup`, or change `sdk.max` and `sdk.mojo` in mxfp4.toml";
    Ok(if !unknown.is_empty() {
        let place = sdk.site.display();
        let unknown = unknown.join(" and ");
        Finding::warning(
            format!("{place} does not say which {unknown} it holds"),
            fix,
        )
    } else if !wrong.is_empty() {
        let (found, wrong) = (found.join(", "), wrong.join(" and "));
        Finding::warning(format!("{found}, and mxfp4.toml asks for {wrong}"), fix)
    } else {
        Finding::ok(found.join(", "))
    })
}

/// Whether the environment can be computed, and what it warns of.
pub fn environment(facts: &Facts) -> anyhow::Result<Finding> {
    let environment = match &facts.environment {
        Ok(environment) => environment,
        Err(why) => {
            return Ok(Finding::refused(why, "see `mxfp4 env --explain`"));
        }
    };
    // By the checks of the SDK and of its version.
    let is_said_elsewhere =
        |warning: &Warning| matches!(warning, Warning::NoSdk { .. } | Warning::OtherMax { .. });
    let warnings: Vec<String> = environment
        .warnings
        .iter()
        .filter(|warning| !is_said_elsewhere(warning))
        .map(ToString::to_string)
        .collect();
    Ok(match warnings.as_slice() {
        [] => Finding::ok(format!("{} variables", environment.variables.len())),
        warnings => Finding::warning(
            warnings.join("; "),
            "see `mxfp4 env --explain`, which gives the reason of each variable",
        ),
    })
}

/// Whether the native compiler starts, and how fast.
pub fn mojo(facts: &Facts) -> anyhow::Result<Finding> {
    let (Some(sdk), Ok(environment)) = (facts.found_sdk(), &facts.environment) else {
        return Ok(Finding::not_applicable(NO_SDK));
    };
    let start = Instant::now();
    let command = Command::new(sdk.mojo())
        .environment(environment)
        .arg("--version");
    Ok(match ask(command)? {
        Ok(version) => Finding::ok(format!("{version}, {} ms", start.elapsed().as_millis())),
        Err(why) => Finding::failing(
            format!("{} does not start: {why}", sdk.mojo().display()),
            "make the SDK anew: remove it and run `mxfp4 setup`",
        ),
    })
}
