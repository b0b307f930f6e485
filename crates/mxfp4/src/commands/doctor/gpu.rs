//! The GPUs that would be served on.

use mxfp4_gpu::Gpu;
use mxfp4_launch::{gib, gpus, memory};

use super::facts::Facts;
use super::finding::Finding;

/// Whether there are Hopper GPUs with room for the model, as `serve` checks it.
pub fn gpu(facts: &Facts) -> anyhow::Result<Finding> {
    let Ok(launch) = &facts.launch else {
        return Ok(Finding::not_applicable(
            "it is not known which to look for, see settings",
        ));
    };
    let selected = match gpus(&launch.devices, facts.ambient()) {
        Ok(selected) => selected,
        Err(why) => {
            let otherwise = || "serve on an H100, H200 or GH200".into();
            let fix = why.hint().unwrap_or_else(otherwise);
            return Ok(Finding::failing(why.to_string(), fix));
        }
    };
    if let Ok(Some(weights)) = launch.model.check(facts.ambient())
        && let Err(why) = memory(&selected.gpus, weights)
    {
        return Ok(Finding::failing(why.to_string(), why.hint()));
    }
    let driver = selected.driver;
    let gpus: Vec<String> = selected.gpus.iter().map(describe).collect();
    Ok(Finding::ok(format!("{}; driver {driver}", gpus.join("; "))))
}

fn describe(gpu: &Gpu) -> String {
    let (major, minor) = gpu.capability;
    let memory = match (gpu.memory_free, gpu.memory_total) {
        (Some(free), Some(total)) => {
            format!(", {} of {} free", gib(free), gib(total))
        }
        _ => String::new(),
    };
    let (index, name) = (gpu.index, &gpu.name);
    format!("GPU {index}: {name}, compute capability {major}.{minor}{memory}")
}
