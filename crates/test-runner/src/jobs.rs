//! How many jobs run at once where nobody says.

use std::num::NonZero;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Compiling takes most of the time and much memory: 3 GB for the largest of our jobs (pytest, and MAX in a process of
/// its own), with room for the next MAX.
const MEMORY: u64 = 4 << 30;
/// There are not many more tests that take long, and those on the GPU share its memory.
const MOST: u64 = 8;

/// As many as keep this machine busy and fit into its memory.
pub fn default() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    of(cores, available_memory())
}

/// The compiler has threads of its own now and then, and a test may be a server and its clients.
fn of(cores: usize, memory: u64) -> usize {
    let jobs = (cores as u64 / 2).min(memory / MEMORY).clamp(1, MOST);
    usize::try_from(jobs).unwrap_or(1)
}

/// What may still be taken, within this process's control group too; nothing where nobody can tell.
fn available_memory() -> u64 {
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let Ok(system) = System::new_with_specifics(what) else {
        return 0;
    };
    let limit = system.cgroup_limits().map(|limits| limits.free_memory);
    system.available_memory().min(limit.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_memory_both_limit_them() {
        const GIB: u64 = 1 << 30;
        for (cores, memory, jobs) in [
            (1, 64 * GIB, 1),
            (2, 24 * GIB, 1),
            (4, 24 * GIB, 2),
            (16, 128 * GIB, 8),
            (16, 13 * GIB, 3),
            (16, GIB, 1),
            (256, 2048 * GIB, 8),
        ] {
            assert_eq!(of(cores, memory), jobs, "{cores} cores, {memory} bytes");
        }
        assert!(available_memory() > 0);
    }
}
