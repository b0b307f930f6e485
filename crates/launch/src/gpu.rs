//! The GPUs to serve on, and whether a model fits into them.

use mxfp4_env::Ambient;
use mxfp4_gpu::{DeviceSelection, Gpu, Inventory, SelectedMig, SelectionError};

/// What a server takes on each GPU beside the weights, at the least: the CUDA context, activations, a small KV cache.
const BESIDE_WEIGHTS: u64 = 2 << 30;

/// What a step of 8192 tokens holds, and a KV cache of little use.
const STEP: u64 = 6 << 30;

/// Why there is no GPU to run on.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// None is asked for.
    #[error("the MXFP4 kernel runs on Hopper GPUs (sm_90) only")]
    Cpu,
    /// The driver does not list any.
    #[error("no Hopper GPU: {0}")]
    Driver(#[from] mxfp4_gpu::Error),
    /// A part of one is asked for.
    #[error(transparent)]
    Mig(#[from] SelectedMig),
    /// A variable hides them all.
    #[error("CUDA_VISIBLE_DEVICES={0} hides every GPU of this machine")]
    Hidden(String),
    /// The driver lists none.
    #[error("no Hopper GPU: the NVIDIA driver {driver} is here, and no GPU")]
    None {
        /// Its version.
        driver: String,
    },
    /// Those that are asked for are not there.
    #[error("--devices {devices}: {source}")]
    Selection {
        /// What is asked for.
        devices: DeviceSelection,
        /// What is wrong with it.
        source: SelectionError,
    },
    /// It is another kind of GPU.
    #[error(
        "GPU {} is a {} (compute capability {}.{}), and the MXFP4 kernel needs Hopper (sm_90)",
        gpu.index, gpu.name, gpu.capability.0, gpu.capability.1
    )]
    NotHopper {
        /// The GPU.
        gpu: Gpu,
        /// The number of one that would do.
        other: Option<usize>,
    },
}

impl GpuError {
    /// What to do about it, so as to serve.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cpu => Some("give --devices gpu".into()),
            Self::Driver(_) => Some(
                "serve on a machine with an H100, H200 or GH200 and its driver (--dry-run prints the command to run \
                 there), or with --no-check if MAX finds the GPU all the same"
                    .into(),
            ),
            Self::Hidden(_) => Some("change or unset it".into()),
            Self::NotHopper {
                other: Some(number),
                ..
            } => Some(format!(
                "choose the Hopper GPU with --devices gpu:{number}"
            )),
            Self::NotHopper { other: None, .. } => Some("serve on an H100, H200 or GH200".into()),
            Self::Mig(_) | Self::None { .. } | Self::Selection { .. } => None,
        }
    }
}

/// GPUs, every one a Hopper, and the driver that runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    /// The driver's version.
    pub driver: String,
}

/// The GPUs to run on, every one a Hopper.
pub fn gpus(devices: &DeviceSelection, ambient: &Ambient) -> Result<Selected, GpuError> {
    if *devices == DeviceSelection::Cpu {
        return Err(GpuError::Cpu);
    }
    let inventory = Inventory::probe()?;
    let mask = ambient
        .get("CUDA_VISIBLE_DEVICES")
        .map(|value| value.to_string_lossy().into_owned());
    Ok(Selected {
        gpus: hopper(devices, &inventory, mask.as_deref())?,
        driver: inventory.driver,
    })
}

/// Whether a program started from here sees a GPU that the kernels run on.
pub fn has_hopper(ambient: &Ambient) -> bool {
    let mask = ambient.get("CUDA_VISIBLE_DEVICES");
    let mask = mask.map(|devices| devices.to_string_lossy());
    Inventory::probe().is_ok_and(|inventory| {
        let visible = inventory.visible(mask.as_deref());
        visible.is_ok_and(|gpus| gpus.iter().any(Gpu::is_hopper))
    })
}

fn hopper(
    devices: &DeviceSelection,
    inventory: &Inventory,
    mask: Option<&str>,
) -> Result<Vec<Gpu>, GpuError> {
    let visible = inventory.visible(mask)?;
    if visible.is_empty() {
        return Err(match mask {
            Some(mask) if !inventory.gpus.is_empty() => GpuError::Hidden(mask.to_owned()),
            _ => GpuError::None {
                driver: inventory.driver.clone(),
            },
        });
    }
    let chosen = devices
        .select(&visible)
        .map_err(|source| GpuError::Selection {
            devices: devices.clone(),
            source,
        })?;
    match chosen.iter().find(|gpu| !gpu.is_hopper()) {
        Some(gpu) => Err(GpuError::NotHopper {
            gpu: gpu.clone(),
            other: visible.iter().position(Gpu::is_hopper),
        }),
        None => Ok(chosen),
    }
}

/// A GPU has too little memory free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "GPU {index} ({name}) has {} of {} free, and the model needs at least {}",
    gib(*free), gib(*total), gib(*needed)
)]
pub struct MemoryError {
    index: u32,
    name: String,
    free: u64,
    total: u64,
    needed: u64,
}

impl MemoryError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.needed <= self.total {
            true => "stop what uses the GPU, or choose another with --devices gpu:N",
            false => "serve a smaller model, or use a larger GPU",
        }
    }
}

/// What weights of so many bytes, and the least that goes with them, take on each of `gpus` GPUs.
pub fn needed(weights: u64, gpus: usize) -> u64 {
    weights / gpus.max(1) as u64 + BESIDE_WEIGHTS
}

/// The weights and the least that goes with them must fit into what is free on each GPU.
pub fn memory(gpus: &[Gpu], weights: u64) -> Result<(), MemoryError> {
    let needed = needed(weights, gpus.len());
    for gpu in gpus {
        let (Some(free), Some(total)) = (gpu.memory_free, gpu.memory_total) else {
            continue;
        };
        if free < needed {
            return Err(MemoryError {
                index: gpu.index,
                name: gpu.name.clone(),
                free,
                total,
                needed,
            });
        }
    }
    Ok(())
}

/// Whether weights of so many bytes leave no room for a KV cache in what MAX takes by itself: 90% of what is free on a
/// GPU, of which 90% are for weights, what a step holds and the KV cache.
pub fn crowded(gpus: &[Gpu], weights: u64) -> bool {
    let needed = weights / gpus.len().max(1) as u64 + STEP;
    gpus.iter()
        .filter_map(|gpu| gpu.memory_free)
        .any(|free| needed > free / 100 * 81)
}

/// Bytes for people.
pub fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: u32, capability: (u32, u32), free: u64) -> Gpu {
        Gpu {
            index,
            uuid: format!("GPU-{index}"),
            name: if capability == (9, 0) {
                "NVIDIA H100"
            } else {
                "NVIDIA A100"
            }
            .into(),
            capability,
            memory_total: Some(80 << 30),
            memory_free: Some(free),
        }
    }

    fn choose(devices: &str, gpus: Vec<Gpu>, mask: Option<&str>) -> Result<Vec<u32>, String> {
        let inventory = Inventory {
            driver: "580.1".into(),
            gpus,
        };
        match hopper(&devices.parse().unwrap(), &inventory, mask) {
            Ok(gpus) => Ok(gpus.iter().map(|gpu| gpu.index).collect()),
            Err(error) => Err(format!("{error}; {}", error.hint().unwrap_or_default())),
        }
    }

    #[test]
    fn only_hopper_gpus_are_served_on() {
        let mixed = || vec![gpu(0, (8, 0), 0), gpu(1, (9, 0), 0)];
        assert_eq!(choose("gpu:1", mixed(), None), Ok(vec![1]));
        assert_eq!(choose("gpu", mixed(), Some("1")), Ok(vec![1]));
        let two = || vec![gpu(0, (9, 0), 0), gpu(1, (9, 0), 0)];
        assert_eq!(choose("gpu:0,1", two(), None), Ok(vec![0, 1]));
        for (devices, gpus, mask, expect) in [
            ("gpu", mixed(), None, "--devices gpu:1"),
            ("gpu:all", mixed(), None, "compute capability 8.0"),
            ("gpu:1,0", mixed(), None, "compute capability 8.0"),
            (
                "gpu",
                vec![gpu(0, (10, 0), 0)],
                None,
                "compute capability 10.0",
            ),
            ("gpu", vec![], None, "and no GPU"),
            ("gpu", mixed(), Some(""), "CUDA_VISIBLE_DEVICES= hides"),
            ("gpu:2", mixed(), None, "numbers 0 to 1"),
            ("gpu", mixed(), Some("MIG-7"), "MIG-7"),
        ] {
            let error = choose(devices, gpus, mask).unwrap_err();
            assert!(error.contains(expect), "{devices} {mask:?}: {error}");
        }
    }

    #[test]
    fn large_weights_crowd_a_gpu() {
        let free = [gpu(0, (9, 0), 79 << 30)];
        // The 20B and the 120B model.
        assert!(!crowded(&free, 13_760_000_000));
        assert!(crowded(&free, 65_250_000_000));
        let two = [gpu(0, (9, 0), 79 << 30), gpu(1, (9, 0), 79 << 30)];
        assert!(!crowded(&two, 65_250_000_000));
        assert!(!crowded(&[gpu(0, (9, 0), 139 << 30)], 65_250_000_000));
        let mut silent = gpu(0, (9, 0), 0);
        silent.memory_free = None;
        assert!(!crowded(&[silent], 65_250_000_000));
    }

    #[test]
    fn the_weights_must_fit() {
        let one = |free_gib: u64| [gpu(0, (9, 0), free_gib << 30)];
        assert_eq!(memory(&one(16), 13 << 30), Ok(()));
        let tight = memory(&one(14), 13 << 30).unwrap_err();
        let says = "GPU 0 (NVIDIA H100) has 14.0 GiB of 80.0 GiB free, and the model needs at least 15.0 GiB";
        assert_eq!(tight.to_string(), says);
        assert!(tight.hint().starts_with("stop what uses the GPU"));
        let large = memory(&one(80), 100 << 30).unwrap_err();
        assert!(large.hint().starts_with("serve a smaller model"));
        let two = [gpu(0, (9, 0), 60 << 30), gpu(1, (9, 0), 60 << 30)];
        assert_eq!(memory(&two, 100 << 30), Ok(()));
        let uneven = [gpu(0, (9, 0), 60 << 30), gpu(1, (9, 0), 50 << 30)];
        let second = memory(&uneven, 100 << 30).unwrap_err().to_string();
        assert!(second.contains("GPU 1"), "{second}");
        assert!(second.contains("at least 52.0 GiB"), "{second}");
        let mut silent = gpu(0, (9, 0), 0);
        silent.memory_free = None;
        assert_eq!(memory(&[silent], 100 << 30), Ok(()));
    }
}
