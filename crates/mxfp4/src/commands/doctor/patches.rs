//! What replaces functions of MAX.

use mxfp4_launch::{python, python_path};
use mxfp4_process::{Command, Output, Stream};
use mxfp4_toolchain::Error::Interrupted;
use serde::Deserialize;

use super::ask::PATIENCE;
use super::facts::Facts;
use super::finding::Finding;

/// The module that lists them.
const MODULE: &str = "mxfp4.max_patches";

/// What to do about one that this MAX does not get.
const FIX: &str = "take the SDK that uv.lock names (`mxfp4 setup`), or go on without";

/// What the module prints.
#[derive(Deserialize)]
struct Listed {
    max: String,
    patches: Vec<Patch>,
}

#[derive(Deserialize)]
struct Patch {
    name: String,
    state: String,
    /// The function, variable or other patch that the state is for.
    #[serde(rename = "where")]
    place: String,
    /// Whether nothing is served without it.
    needed: bool,
    /// What it costs to be without.
    without: String,
}

/// Whether this MAX gets each patch, and what it costs where it does not.
pub fn patches(facts: &Facts) -> anyhow::Result<Finding> {
    let (Some(sdk), Ok(environment)) = (facts.found_sdk(), &facts.environment) else {
        return Ok(Finding::not_applicable("there is no SDK to look at"));
    };
    let Ok(python) = python(sdk) else {
        return Ok(Finding::not_applicable("there is no Python to look with"));
    };
    let listed_by = "mxfp4/max_patches/__main__.py";
    if !python_path(environment)
        .iter()
        .any(|folder| folder.join(listed_by).is_file())
    {
        return Ok(Finding::not_applicable(
            "nothing on PYTHONPATH replaces functions of MAX",
        ));
    }
    let (mut text, mut complaint) = (String::new(), None);
    let outcome = Command::new(python)
        .environment(environment)
        .args(["-m", MODULE, "--json"])
        .output(Output::Lines)
        .timeout(PATIENCE)
        .run(&mut |line| match line.stream {
            Stream::Stdout => text += &line.text,
            Stream::Stderr if !line.text.trim().is_empty() => complaint = Some(line.text),
            Stream::Stderr => {}
        });
    let outcome = match outcome {
        Ok(outcome) if outcome.interrupted.is_some() => return Err(Interrupted(outcome).into()),
        Ok(outcome) => outcome.to_string(),
        Err(error) => crate::ui::error::message(&error.into()),
    };
    Ok(match serde_json::from_str(&text) {
        Ok(listed) => judge(&listed),
        Err(_) => Finding::warning(
            format!(
                "they cannot be listed: {}",
                complaint.as_deref().unwrap_or(&outcome)
            ),
            "make the SDK anew with `mxfp4 setup`",
        ),
    })
}

fn judge(listed: &Listed) -> Finding {
    let (applied, skipped): (Vec<_>, Vec<_>) = listed
        .patches
        .iter()
        .partition(|patch| patch.state == "applies");
    let names: Vec<&str> = applied.iter().map(|patch| patch.name.as_str()).collect();
    if skipped.is_empty() {
        return Finding::ok(format!(
            "all {} apply to MAX {}: {}",
            names.len(),
            listed.max,
            names.join(", ")
        ));
    }
    let told: Vec<String> = skipped.iter().map(|patch| patch.told()).collect();
    let found = format!(
        "{} of {} apply to MAX {}. {}",
        names.len(),
        listed.patches.len(),
        listed.max,
        told.join(". ")
    );
    match skipped.iter().any(|patch| patch.needed) {
        true => Finding::failing(found, "take the SDK that uv.lock names: `mxfp4 setup`"),
        false => Finding::warning(found, FIX),
    }
}

impl Patch {
    fn told(&self) -> String {
        let place = &self.place;
        let why = match self.state.as_str() {
            "off" => format!("{place} turns it off"),
            "version" => "it is for another MAX".to_owned(),
            "lacks" => format!("this MAX lacks {place}"),
            "source" => format!("the source of {place} is another"),
            "needs" => format!("it is of no use without {place}"),
            state => format!("{state} {place}"),
        };
        format!("{} does not: {why}; without it {}", self.name, self.without)
    }
}
