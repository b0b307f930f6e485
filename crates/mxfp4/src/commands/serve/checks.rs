//! What must hold on this machine before a server is started.
//!
//! Each check returns one sentence that says what is missing and what to do about it.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use mxfp4_env::Ambient;
use mxfp4_gpu::{DeviceSelection, Gpu, Inventory};
use socket2::{Domain, Socket, Type};

/// What a server takes on each GPU beside the weights, at the least: the CUDA context, activations, a small KV cache.
const BESIDE_WEIGHTS: u64 = 2 << 30;

/// What a step of 8192 tokens holds, and a KV cache of little use.
const STEP: u64 = 6 << 30;

/// The port of MAX's `/metrics`, where MAX_SERVE_METRICS_ENDPOINT_PORT does not say otherwise.
pub const METRICS_PORT: u16 = 8001;

/// The variable that moves `/metrics`.
pub const METRICS_VARIABLE: &str = "MAX_SERVE_METRICS_ENDPOINT_PORT";

/// The port must be free on `host`, and on all addresses, as MAX itself wants it.
pub fn port(host: &str, port: u16, metrics_port: u16) -> Result<(), String> {
    if port == metrics_port {
        return Err(format!(
            "port {port} is where the server puts /metrics; choose another with --port, or move /metrics with \
             {METRICS_VARIABLE}"
        ));
    }
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        format!(
            "the host {host} cannot be listened on: {error}; give --host an address of this machine"
        )
    })?;
    let everywhere = (Ipv4Addr::UNSPECIFIED, port).into();
    let mut ours = false;
    for address in addresses.chain([everywhere]) {
        match try_bind(address) {
            Ok(()) => ours |= address != everywhere || host == "0.0.0.0",
            // `localhost` may have an address that this machine lacks, when it has another that is there.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(format!(
                    "port {port} is busy: something listens on it already; stop that, or choose another with --port"
                ));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(format!(
                    "port {port} may not be used: {error}; choose one above 1023 with --port"
                ));
            }
            Err(error) => {
                return Err(format!(
                    "cannot listen on {address}: {error}; choose another with --host or --port"
                ));
            }
        }
    }
    if !ours {
        return Err(format!(
            "{host} is not an address of this machine; choose another with --host"
        ));
    }
    Ok(())
}

/// A warning where `/metrics` will not be served because its port is taken.
pub fn metrics_port(host: &str, port: u16) -> Option<String> {
    let mut addresses = (host, port).to_socket_addrs().ok()?;
    let is_busy =
        |address| try_bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    addresses.any(is_busy).then(|| {
        format!("port {port} is busy, so /metrics will not be served; set {METRICS_VARIABLE} to a free port")
    })
}

/// Whether a server could listen there. The socket never listens itself: two checks at once do not see each other, and
/// no client connects to one.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // With this a port is busy only while a socket listens on it, as servers see it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// The GPUs to serve on, every one a Hopper.
pub fn gpus(devices: &DeviceSelection, ambient: &Ambient) -> Result<Vec<Gpu>, String> {
    if *devices == DeviceSelection::Cpu {
        return Err("the MXFP4 kernel runs on Hopper GPUs (sm_90) only; give --devices gpu".into());
    }
    let inventory = Inventory::probe().map_err(|error| {
        format!(
            "no Hopper GPU: {error}; serve on a machine with an H100, H200 or GH200 and its driver (--dry-run prints \
             the command to run there), or with --no-check if MAX finds the GPU all the same"
        )
    })?;
    let mask = ambient
        .get("CUDA_VISIBLE_DEVICES")
        .map(|value| value.to_string_lossy().into_owned());
    hopper(devices, &inventory, mask.as_deref())
}

fn hopper(
    devices: &DeviceSelection,
    inventory: &Inventory,
    mask: Option<&str>,
) -> Result<Vec<Gpu>, String> {
    let visible = inventory.visible(mask).map_err(|error| error.to_string())?;
    if visible.is_empty() {
        return Err(match mask {
            Some(mask) if !inventory.gpus.is_empty() => {
                format!(
                    "CUDA_VISIBLE_DEVICES={mask} hides every GPU of this machine; change or unset it"
                )
            }
            _ => format!(
                "no Hopper GPU: the NVIDIA driver {} is here, and no GPU",
                inventory.driver
            ),
        });
    }
    let chosen = devices
        .select(&visible)
        .map_err(|error| format!("--devices {devices}: {error}"))?;
    if let Some(gpu) = chosen.iter().find(|gpu| !gpu.is_hopper()) {
        let (major, minor) = gpu.capability;
        let others = visible.iter().position(Gpu::is_hopper);
        return Err(format!(
            "GPU {} is a {} (compute capability {major}.{minor}), and the MXFP4 kernel needs Hopper (sm_90); {}",
            gpu.index,
            gpu.name,
            match others {
                Some(number) => format!("choose the Hopper GPU with --devices gpu:{number}"),
                None => "serve on an H100, H200 or GH200".into(),
            }
        ));
    }
    Ok(chosen)
}

/// The weights and the least that goes with them must fit into what is free on each GPU.
pub fn memory(gpus: &[Gpu], weights: u64) -> Result<(), String> {
    let needed = weights / gpus.len().max(1) as u64 + BESIDE_WEIGHTS;
    for gpu in gpus {
        let (Some(free), Some(total)) = (gpu.memory_free, gpu.memory_total) else {
            continue;
        };
        if free < needed {
            return Err(format!(
                "GPU {} ({}) has {} of {} free, and the model needs at least {}; {}",
                gpu.index,
                gpu.name,
                gib(free),
                gib(total),
                gib(needed),
                if needed <= total {
                    "stop what uses the GPU, or choose another with --devices gpu:N"
                } else {
                    "serve a smaller model, or use a larger GPU"
                }
            ));
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
    use std::net::TcpListener;

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
        hopper(&devices.parse().unwrap(), &inventory, mask)
            .map(|gpus| gpus.iter().map(|gpu| gpu.index).collect())
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
        assert!(tight.contains("14.0 GiB of 80.0 GiB free"), "{tight}");
        assert!(tight.contains("at least 15.0 GiB"), "{tight}");
        assert!(tight.contains("stop what uses the GPU"), "{tight}");
        let large = memory(&one(80), 100 << 30).unwrap_err();
        assert!(large.contains("smaller model"), "{large}");
        let two = [gpu(0, (9, 0), 60 << 30), gpu(1, (9, 0), 60 << 30)];
        assert_eq!(memory(&two, 100 << 30), Ok(()));
        let uneven = [gpu(0, (9, 0), 60 << 30), gpu(1, (9, 0), 50 << 30)];
        let second = memory(&uneven, 100 << 30).unwrap_err();
        assert!(second.contains("GPU 1"), "{second}");
        assert!(second.contains("at least 52.0 GiB"), "{second}");
        let mut silent = gpu(0, (9, 0), 0);
        silent.memory_free = None;
        assert_eq!(memory(&[silent], 100 << 30), Ok(()));
    }

    #[test]
    fn two_checks_at_once_do_not_see_each_other() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let checking = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        checking.set_reuse_address(true).unwrap();
        checking.bind(&address.into()).unwrap();
        assert_eq!(port("127.0.0.1", address.port(), METRICS_PORT), Ok(()));
    }

    #[test]
    fn a_busy_port_is_found_on_any_address() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let taken = listener.local_addr().unwrap().port();
            let error = port("127.0.0.1", taken, METRICS_PORT).unwrap_err();
            assert!(error.contains(&format!("port {taken} is busy")), "{error}");
            assert!(
                metrics_port("127.0.0.1", taken)
                    .unwrap()
                    .contains(METRICS_VARIABLE)
            );
            drop(listener);
            assert_eq!(port("127.0.0.1", taken, METRICS_PORT), Ok(()));
            assert_eq!(metrics_port("127.0.0.1", taken), None);
        }
    }

    #[test]
    fn the_port_of_metrics_and_a_foreign_host_are_refused() {
        let error = port("127.0.0.1", 8001, 8001).unwrap_err();
        assert!(error.contains("/metrics"), "{error}");
        assert_eq!(port("0.0.0.0", 18080, METRICS_PORT), Ok(()));
        assert_eq!(port("localhost", 18080, METRICS_PORT), Ok(()));
        let error = port("192.0.2.1", 18080, METRICS_PORT).unwrap_err();
        assert!(error.contains("not an address of this machine"), "{error}");
    }
}
