//! The GPUs that would be served on.

use mxfp4_gpu::{Gpu, Inventory};

use super::facts::Facts;
use super::finding::Finding;
use crate::commands::serve::checks;

/// Whether there are Hopper GPUs with room for the model, as `serve` checks it.
pub fn gpu(facts: &Facts) -> anyhow::Result<Finding> {
    let Ok(launch) = &facts.launch else {
        return Ok(Finding::not_applicable(
            "it is not known which to look for, see settings",
        ));
    };
    let gpus = match checks::gpus(&launch.devices, facts.ambient()) {
        Ok(gpus) => gpus,
        Err(why) => return Ok(Finding::refused(&why, "serve on an H100, H200 or GH200")),
    };
    if let Ok(Some(weights)) = launch.model.check(facts.ambient())
        && let Err(why) = checks::memory(&gpus, weights)
    {
        return Ok(Finding::refused(&why, "serve a smaller model"));
    }
    let driver = Inventory::probe().map_or("unknown".into(), |inventory| inventory.driver);
    let gpus: Vec<String> = gpus.iter().map(describe).collect();
    Ok(Finding::ok(format!("{}; driver {driver}", gpus.join("; "))))
}

fn describe(gpu: &Gpu) -> String {
    let (major, minor) = gpu.capability;
    let memory = match (gpu.memory_free, gpu.memory_total) {
        (Some(free), Some(total)) => {
            format!(", {} of {} free", checks::gib(free), checks::gib(total))
        }
        _ => String::new(),
    };
    let (index, name) = (gpu.index, &gpu.name);
    format!("GPU {index}: {name}, compute capability {major}.{minor}{memory}")
}
