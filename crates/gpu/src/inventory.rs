use nvml_wrapper::{Nvml, error::NvmlError};

/// One GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Number of the device in the driver's own order (PCI bus order).
    pub index: u32,
    /// The driver's permanent name for the device, `GPU-…`.
    pub uuid: String,
    /// Product name, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// CUDA compute capability, major and minor.
    pub capability: (u32, u32),
    /// Bytes of memory on the device, where the driver tells.
    pub memory_total: Option<u64>,
    /// Bytes of memory that nothing uses now, where the driver tells.
    pub memory_free: Option<u64>,
}

impl Gpu {
    /// Whether the kernels of this project can run here: Hopper is compute capability 9.0 and nothing else is.
    pub fn is_hopper(&self) -> bool {
        self.capability == (9, 0)
    }
}

/// The driver and its devices at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Version of the NVIDIA driver, such as `580.95.05`.
    pub driver: String,
    /// Every device, in the driver's order.
    pub gpus: Vec<Gpu>,
}

/// Why the devices could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver's management library is not installed, which means that the driver is not.
    #[error("no NVIDIA driver: {0}")]
    NoDriver(String),
    /// The library is there and refuses, as when the kernel module is not loaded or does not match it.
    #[error("the NVIDIA driver does not answer: {0}")]
    Driver(NvmlError),
}

impl Inventory {
    /// Ask the driver.
    pub fn probe() -> Result<Self, Error> {
        let nvml = Nvml::init().map_err(|error| match error {
            NvmlError::LibloadingError(why) => Error::NoDriver(why.to_string()),
            NvmlError::DriverNotLoaded => Error::NoDriver("its kernel module is not loaded".into()),
            error => Error::Driver(error),
        })?;
        let driver = nvml.sys_driver_version().map_err(Error::Driver)?;
        let mut gpus = Vec::new();
        for index in 0..nvml.device_count().map_err(Error::Driver)? {
            gpus.push(describe(&nvml, index).map_err(Error::Driver)?);
        }
        Ok(Self { driver, gpus })
    }

    /// The devices that a CUDA program started with this value of `CUDA_VISIBLE_DEVICES` sees, in its numbering.
    ///
    /// As CUDA reads it: entries are indices or beginnings of UUIDs, and the first entry that names no device ends the
    /// list, so an empty value or `-1` hides every device. A MIG instance is refused by name, since NVML describes the
    /// whole device and not the instance.
    ///
    /// CUDA numbers devices by speed unless `CUDA_DEVICE_ORDER=PCI_BUS_ID`; on a machine of equal devices, which is
    /// what Hopper servers are, that is the driver's order too.
    pub fn visible(&self, cuda_visible_devices: Option<&str>) -> Result<Vec<Gpu>, SelectedMig> {
        let Some(list) = cuda_visible_devices else {
            return Ok(self.gpus.clone());
        };
        let mut visible: Vec<Gpu> = Vec::new();
        for entry in list.split(',').map(str::trim) {
            if entry.starts_with("MIG-") {
                return Err(SelectedMig(entry.to_owned()));
            }
            let gpu = match entry.parse::<u32>() {
                Ok(index) => self.gpus.iter().find(|gpu| gpu.index == index),
                Err(_) => self.by_uuid_prefix(entry),
            };
            match gpu {
                Some(gpu) if !visible.contains(gpu) => visible.push(gpu.clone()),
                _ => break,
            }
        }
        Ok(visible)
    }

    fn by_uuid_prefix(&self, prefix: &str) -> Option<&Gpu> {
        if !prefix.starts_with("GPU-") {
            return None;
        }
        let mut matching = self.gpus.iter().filter(|gpu| gpu.uuid.starts_with(prefix));
        let first = matching.next()?;
        matching.next().is_none().then_some(first)
    }
}

/// `CUDA_VISIBLE_DEVICES` names a MIG instance, of which NVML's device list says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CUDA_VISIBLE_DEVICES names the MIG instance {0}; only whole GPUs are supported")]
pub struct SelectedMig(pub String);

fn describe(nvml: &Nvml, index: u32) -> Result<Gpu, NvmlError> {
    let device = nvml.device_by_index(index)?;
    let capability = device.cuda_compute_capability()?;
    // Systems whose GPU shares the host's memory answer "not supported" here, and that is no reason to hide the device.
    let memory = device.memory_info().ok();
    Ok(Gpu {
        index,
        uuid: device.uuid()?,
        name: device.name()?,
        capability: (
            capability.major.try_into().unwrap_or(0),
            capability.minor.try_into().unwrap_or(0),
        ),
        memory_total: memory.as_ref().map(|m| m.total),
        memory_free: memory.as_ref().map(|m| m.free),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let gpu = |index, uuid: &str| Gpu {
            index,
            uuid: uuid.into(),
            name: "NVIDIA H100 80GB HBM3".into(),
            capability: (9, 0),
            memory_total: Some(80 << 30),
            memory_free: Some(79 << 30),
        };
        Inventory {
            driver: "580.95.05".into(),
            gpus: vec![gpu(0, "GPU-aa00"), gpu(1, "GPU-aa11"), gpu(2, "GPU-bb22")],
        }
    }

    fn seen(value: Option<&str>) -> Vec<u32> {
        inventory()
            .visible(value)
            .unwrap()
            .iter()
            .map(|gpu| gpu.index)
            .collect()
    }

    #[test]
    fn cuda_visible_devices_is_read_as_cuda_reads_it() {
        for (value, expect) in [
            (None, vec![0, 1, 2]),
            (Some(""), vec![]),
            (Some("-1"), vec![]),
            (Some("2,0"), vec![2, 0]),
            (Some(" 1 , 2 "), vec![1, 2]),
            (Some("0,7,1"), vec![0]),
            (Some("0,-1,1"), vec![0]),
            (Some("1,1"), vec![1]),
            (Some("GPU-bb"), vec![2]),
            (Some("GPU-aa"), vec![]),
            (Some("GPU-aa11,0"), vec![1, 0]),
            (Some("NoDevFiles"), vec![]),
        ] {
            assert_eq!(seen(value), expect, "CUDA_VISIBLE_DEVICES={value:?}");
        }
    }

    #[test]
    fn a_mig_instance_is_refused_by_name() {
        let refused = inventory().visible(Some("MIG-1234")).unwrap_err();
        assert!(refused.to_string().contains("MIG-1234"), "{refused}");
    }

    #[test]
    fn only_compute_capability_9_0_is_hopper() {
        let mut gpu = inventory().gpus.remove(0);
        for (capability, expect) in [
            ((9, 0), true),
            ((8, 9), false),
            ((10, 0), false),
            ((9, 1), false),
        ] {
            gpu.capability = capability;
            assert_eq!(gpu.is_hopper(), expect, "{capability:?}");
        }
    }

    /// Whatever this machine is, the answer is devices or a reason, and a machine without a driver is told apart.
    #[test]
    fn probing_this_machine_answers() {
        match Inventory::probe() {
            Ok(inventory) => {
                assert!(!inventory.driver.is_empty());
                assert!(
                    inventory
                        .gpus
                        .iter()
                        .all(|gpu| gpu.uuid.starts_with("GPU-"))
                );
            }
            Err(Error::NoDriver(why)) => assert!(!why.is_empty()),
            Err(Error::Driver(why)) => assert!(!why.to_string().is_empty()),
        }
    }
}
