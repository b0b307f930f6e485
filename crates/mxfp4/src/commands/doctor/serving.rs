//! What `serve` would start with: the settings, the model, the ports.

use mxfp4_launch::{Model, gib, metrics_port, port};

use super::facts::Facts;
use super::finding::Finding;

/// What the other rows of serving are not known for.
const SEE_SETTINGS: &str = "it is not known, see settings";

/// Whether the configuration and the variables make sense together.
pub fn settings(facts: &Facts) -> anyhow::Result<Finding> {
    Ok(match &facts.launch {
        Ok(launch) => Finding::ok(format!(
            "{} on http://{}:{}, devices {}",
            launch.name, launch.host, launch.port, launch.devices
        )),
        Err(why) => Finding::failing(why, "correct what the message names"),
    })
}

/// Whether the model is there, and is one that is served here.
pub fn model(facts: &Facts) -> anyhow::Result<Finding> {
    let Ok(launch) = &facts.launch else {
        return Ok(Finding::not_applicable(SEE_SETTINGS));
    };
    let weights = match launch.model.check(facts.ambient()) {
        Ok(weights) => weights,
        Err(why) => {
            let otherwise = "give --model, or serve.model in mxfp4.toml, a folder or repository with GPT-OSS in MXFP4";
            let fix = why.hint().unwrap_or(otherwise.into());
            return Ok(Finding::failing(why.to_string(), fix));
        }
    };
    let size = weights.map_or(String::new(), |bytes| format!(", {}", gib(bytes)));
    Ok(match &launch.model {
        Model::Folder(folder) => Finding::ok(format!("{}{size}", folder.display())),
        Model::Repository {
            cached: Some(folder),
            ..
        } => Finding::ok(format!("{} in {}{size}", launch.name, folder.display())),
        Model::Repository { name, cached: None } => Finding::warning(
            format!("{name} is not in the local cache"),
            "nothing, where there is a network: MAX fetches it at the first start; else give --model a folder",
        ),
    })
}

/// Whether the ports are free.
pub fn ports(facts: &Facts) -> anyhow::Result<Finding> {
    let Ok(launch) = &facts.launch else {
        return Ok(Finding::not_applicable(SEE_SETTINGS));
    };
    let (host, number, metrics) = (&launch.host, launch.port, launch.metrics_port);
    Ok(match port(host, number, metrics) {
        Err(why) => Finding::failing(why.to_string(), why.hint()),
        Ok(()) => match metrics_port(host, metrics) {
            Some(why) => Finding::warning(why.to_string(), why.hint()),
            None => Finding::ok(format!("{number} and {metrics} are free on {host}")),
        },
    })
}
