//! Scales that are no numbers.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;

use crate::fault::Fault;
use crate::files::{unreadable, weight_files};
use crate::read;

/// A scale of E8M0 that is no number.
const NAN: u8 = 0xff;

/// The scales of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerScales {
    /// The layer.
    pub layer: u64,
    /// How many scales it has.
    pub scales: u64,
    /// How many of them are NaN. Each makes 32 weights NaN, and soon all that is computed.
    pub nan: u64,
}

/// Counts the NaN among the scales of each layer. Of the weights, the scales alone are read. Files that cannot be read
/// are passed over: [`inspect`](crate::inspect) says what is wrong with them.
pub fn count_nan_scales(folder: &Path) -> Result<Vec<LayerScales>, Fault> {
    let mut layers: BTreeMap<u64, LayerScales> = BTreeMap::new();
    for name in weight_files(folder)? {
        let Ok(opened) = read::weights(folder, &name) else {
            continue;
        };
        let path = folder.join(&name);
        for (tensor, place) in &opened.header.tensors {
            let Some(layer) = layer_of_scales(tensor) else {
                continue;
            };
            let begin = opened.start.saturating_add(place.begin);
            let counted = mxfp4_fs::open(&path).and_then(|mut file| {
                file.seek(SeekFrom::Start(begin))?;
                count(file.take(place.bytes()))
            });
            let (scales, nan) = counted.map_err(|error| unreadable(&path, &error))?;
            let total = layers.entry(layer).or_insert_with(|| LayerScales {
                layer,
                ..LayerScales::default()
            });
            total.scales += scales;
            total.nan += nan;
        }
    }
    Ok(layers.into_values().collect())
}

/// The layer whose scales a tensor of this name holds.
fn layer_of_scales(tensor: &str) -> Option<u64> {
    let rest = tensor.strip_suffix("_proj_scales")?;
    let (number, rest) = rest.strip_prefix("model.layers.")?.split_once('.')?;
    rest.starts_with("mlp.experts.").then_some(())?;
    number.parse().ok()
}

fn count(mut scales: impl Read) -> std::io::Result<(u64, u64)> {
    let mut buffer = vec![0; 1 << 20];
    let (mut all, mut nan) = (0, 0);
    loop {
        let read = scales.read(&mut buffer)?;
        if read == 0 {
            return Ok((all, nan));
        }
        all += read as u64;
        nan += buffer[..read].iter().filter(|&&scale| scale == NAN).count() as u64;
    }
}
