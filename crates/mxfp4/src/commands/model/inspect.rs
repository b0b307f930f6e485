//! `mxfp4 model inspect`

use std::io::{self, Write};
use std::path::PathBuf;

use mxfp4_checkpoint::{Fault, Inspection, LayerScales, count_nan_scales};
use mxfp4_launch::{Model, needed};
use mxfp4_toolchain::visible::visible_lines;
use serde_json::{Value, json};

use super::gpu::Gpu;
use super::table;
use crate::context::Place;
use crate::exit::{Exit, Failure};

/// Say what a model is, from its headers alone, and all that keeps it from being served.
///
/// Looks at a folder, or at a repository in the local Hugging Face cache; nothing is fetched. Exits with 5 where the model
/// cannot be served.
#[derive(clap::Args)]
pub struct Args {
    /// A folder, or a repository of the Hugging Face hub that is in the local cache
    #[arg(value_name = "PATH|REPO")]
    model: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Count the scales that are NaN, by layer; reads all scales
    #[arg(long)]
    scales: bool,
}

/// The version of the JSON. It grows when something that was there changes or goes; a new field is no change.
const SCHEMA: u32 = 1;

/// Runs the command.
pub fn run(place: &Place, args: &Args) -> anyhow::Result<i32> {
    let folder = folder(place, &args.model)?;
    let inspection = mxfp4_checkpoint::inspect(&folder);
    let scales = match args.scales {
        true => Some(count_nan_scales(&folder).map_err(|fault| {
            Failure::new(Exit::Precondition, fault.to_string()).with_hint(fault.hint())
        })?),
        false => None,
    };
    let gpu = Gpu::of(place);
    let text = match args.json {
        true => format!(
            "{:#}\n",
            object(&inspection, scales.as_deref(), gpu.as_ref())
        ),
        false => {
            visible_lines(&table::text(&inspection, scales.as_deref(), gpu.as_ref())).into_owned()
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(match inspection.faults.is_empty() {
        true => 0,
        false => i32::from(Exit::Precondition.code()),
    })
}

fn folder(place: &Place, model: &str) -> anyhow::Result<PathBuf> {
    match Model::resolve(model, &place.cwd, &place.ambient) {
        Model::Folder(folder) => Ok(folder),
        Model::Repository {
            cached: Some(folder),
            ..
        } => Ok(folder),
        Model::Repository { name, cached: None } => {
            let message = format!(
                "{name} is neither a folder nor in the local Hugging Face cache, and nothing is fetched to look at it"
            );
            let hint = "download it with `hf download`, or give a folder";
            Err(Failure::new(Exit::Precondition, message)
                .with_hint(hint)
                .into())
        }
    }
}

fn object(inspection: &Inspection, scales: Option<&[LayerScales]>, gpu: Option<&Gpu>) -> Value {
    let mut object = json!(inspection);
    let needed = needed(inspection.weight_bytes(), 1);
    object["schema"] = SCHEMA.into();
    object["servable"] = inspection.faults.is_empty().into();
    object["loads"] = json!(inspection.total());
    object["memory"] = json!({
        "needed_bytes": needed,
        "gpu": gpu.map(|gpu| json!({
            "name": gpu.name,
            "free_bytes": gpu.free,
            "fits": gpu.free.map(|free| free >= needed),
        })),
    });
    object["scales"] = json!(scales);
    object["faults"] = inspection.faults.iter().map(fault).collect();
    object
}

fn fault(fault: &Fault) -> Value {
    let mut object = json!(fault);
    object["what"] = fault.to_string().into();
    object["hint"] = fault.hint().into();
    object
}
