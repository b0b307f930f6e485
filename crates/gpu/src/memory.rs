use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nvml_wrapper::Nvml;

use crate::Gpu;

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Watches how much memory of some GPUs is in use, by whatever process.
#[derive(Debug)]
pub struct MemoryWatch {
    peak: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Watches `gpus` together, until it is dropped. Where the driver does not tell, nothing is seen.
    pub fn start(gpus: &[Gpu]) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let uuids: Vec<String> = gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
        let thread = {
            let (peak, over) = (Arc::clone(&peak), Arc::clone(&over));
            thread::spawn(move || {
                let Ok(nvml) = Nvml::init() else { return };
                while !over.load(Ordering::Relaxed) {
                    if let Some(used) = used(&nvml, &uuids) {
                        peak.fetch_max(used, Ordering::Relaxed);
                    }
                    thread::sleep(PAUSE);
                }
            })
        };
        Self {
            peak,
            over,
            thread: Some(thread),
        }
    }

    /// The most bytes in use since the last call; `None` where nothing was seen.
    pub fn peak(&self) -> Option<u64> {
        let peak = self.peak.swap(0, Ordering::Relaxed);
        (peak > 0).then_some(peak)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn used(nvml: &Nvml, uuids: &[String]) -> Option<u64> {
    let used = uuids.iter().map(|uuid| {
        let device = nvml.device_by_uuid(uuid.as_str()).ok()?;
        Some(device.memory_info().ok()?.used)
    });
    used.sum::<Option<u64>>().filter(|_| !uuids.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_gpus_nothing_is_seen() {
        let watch = MemoryWatch::start(&[]);
        thread::sleep(PAUSE);
        assert_eq!(watch.peak(), None);
    }
}
