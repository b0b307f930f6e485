//! What happens on a machine with a GPU, with a stand-in for the driver's library that describes one.

use std::process::Command;

use libtest_mimic::Trial;
use mxfp4_checkpoint::testing::Small;

use crate::serve::real_server::{Stop, VIRTUAL_GPU, fail, skipping};
use crate::support::{HOPPER, Ran, driver, folder, free_port, mxfp4, repository, run, sdk, trial};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), Stop>| {
        trial::ignorable(module_path!(), name, move || skipping(test()))
    };
    vec![
        trial("a_gpu_that_is_no_hopper_is_refused_by_name", no_hopper),
        trial(
            "a_gpu_with_too_little_free_memory_is_refused_with_figures",
            too_little_memory,
        ),
        trial("a_hopper_gpu_that_is_hidden_is_refused", hidden),
        trial("a_device_that_does_not_exist_is_refused", missing_device),
        trial(
            "the_demo_serves_asks_and_stops_where_there_is_a_hopper_gpu",
            demo,
        ),
    ]
}

fn no_hopper() -> Result<(), Stop> {
    let ran = serve("NVIDIA A100-SXM4-80GB,8,0,79", &[], 1)?;
    refused(
        &ran,
        &[
            "NVIDIA A100-SXM4-80GB",
            "compute capability 8.0",
            "needs Hopper (sm_90)",
        ],
    )
}

fn too_little_memory() -> Result<(), Stop> {
    let ran = serve("NVIDIA H100 80GB HBM3,9,0,14", &[], 13)?;
    refused(
        &ran,
        &[
            "NVIDIA H100 80GB HBM3",
            "14.0 GiB of 80.0 GiB free",
            "at least 15.0 GiB",
        ],
    )
}

fn hidden() -> Result<(), Stop> {
    let ran = serve(HOPPER, &[("CUDA_VISIBLE_DEVICES", "-1")], 1)?;
    refused(&ran, &["CUDA_VISIBLE_DEVICES=-1 hides"])
}

fn missing_device() -> Result<(), Stop> {
    let ran = serve(HOPPER, &[("DEVICES", "gpu:1")], 1)?;
    refused(&ran, &["gpu:1", "one GPU is visible, number 0"])
}

/// `mxfp4 serve` of a model of this size, which takes no room on the disk.
fn serve(gpu: &str, ambient: &[(&str, &str)], weights_gib: u64) -> Result<Ran, Stop> {
    let workspace = folder([("mxfp4.toml", "")]);
    let model = Small::default().of_bytes(weights_gib << 30);
    model.write(&workspace.path().join("model"))?;
    driver(workspace.path())?;
    let devices = ambient
        .iter()
        .find(|(name, _)| *name == "DEVICES")
        .map_or("gpu", |(_, value)| value);
    Ok(run(mxfp4(workspace.path())
        .args(["serve", "--model", "model", "--devices", devices])
        .envs([free_port()])
        .env("LD_LIBRARY_PATH", workspace.path())
        .env("FAKE_GPU", gpu)
        .envs(ambient.iter().copied())))
}

fn refused(ran: &Ran, says: &[&str]) -> Result<(), Stop> {
    match ran.code == Some(5)
        && says.iter().all(|part| ran.stderr.contains(part))
        && ran.stdout.is_empty()
    {
        true => Ok(()),
        false => fail(format!("{ran:#?}")),
    }
}

/// The demo's way on a GPU, with MAX's real processes. The model repeats its prompt, whose first tokens are no answer of
/// an assistant's, so that its text is empty.
fn demo() -> Result<(), Stop> {
    let sdk = sdk()?;
    let home = folder([("python/sitecustomize.py", VIRTUAL_GPU)]);
    driver(home.path())?;
    let ran = run(Command::new(env!("CARGO_BIN_EXE_mxfp4"))
        .arg("--root")
        .arg(repository())
        .arg("demo")
        .env_remove("CUDA_VISIBLE_DEVICES")
        .env("MXFP4_SDK", sdk)
        .env("LD_LIBRARY_PATH", home.path())
        .env("FAKE_GPU", HOPPER)
        .env("PYTHONPATH", home.path().join("python"))
        .env("MAX_SERVE_DUMMY_MODEL", "1")
        .env("MODULAR_CACHE_DIR", home.path().join("cache"))
        .env("HOME", home.path()));
    let answer = ran.stdout.starts_with("\n64 tokens in ") && ran.stdout.contains(" tokens/s\n");
    let steps = [
        "[1/6]",
        "[5/6] Serve it on NVIDIA H100",
        "ready on http://127.0.0.1:",
        "[6/6]",
    ];
    if ran.code == Some(0)
        && answer
        && ran
            .stdout
            .contains("one chat request answered, the server stopped")
        && steps.iter().all(|step| ran.stderr.contains(step))
    {
        return Ok(());
    }
    fail(format!("{ran:#?}"))
}
