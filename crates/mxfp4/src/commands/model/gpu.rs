//! The GPU of this machine.

use mxfp4_gpu::DeviceSelection;

use crate::context::Place;

/// The GPU that a server would take.
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// What of its memory is free.
    pub free: Option<u64>,
}

impl Gpu {
    /// The first of this machine, where it is a Hopper GPU.
    pub fn of(place: &Place) -> Option<Self> {
        let selected = mxfp4_launch::gpus(&DeviceSelection::First, &place.ambient).ok()?;
        let gpu = selected.gpus.into_iter().next()?;
        Some(Self {
            name: gpu.name,
            free: gpu.memory_free,
        })
    }
}
