//! What GPUs this machine has, asked of the NVIDIA driver through NVML.
//!
//! No process is started and nothing is written. [`Inventory::probe`] and [`MemoryWatch`] alone touch the driver;
//! which of its devices a program may use ([`Inventory::visible`]) and which of those a command line asks for
//! ([`DeviceSelection`]) are computed from values alone.

mod inventory;
mod memory;
mod selection;

pub use inventory::{Error, Gpu, Inventory, SelectedMig};
pub use memory::MemoryWatch;
pub use selection::{DeviceSelection, SelectionError};
