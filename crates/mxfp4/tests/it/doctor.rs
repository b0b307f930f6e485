//! `mxfp4 doctor`: every row in every state that it has, provoked.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use crate::support::{HOPPER, MODEL, Ran, Skip, driver, folder, mxfp4, run, sdk, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

type Tested = Result<Completion, Failed>;

/// A test that is no row of the table.
type Named = (&'static str, fn() -> Tested);

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|case| {
            let name = format!("{} is {}: {}", case.row, case.state, case.when);
            trial::ignorable(module_path!(), name, || case.test())
        })
        .collect();
    let tests: [Named; 8] = [
        ("every_row_has_its_cases", every_row_has_its_cases),
        ("a_machine_that_has_everything", everything),
        ("a_machine_without_a_gpu_builds_and_tests", no_gpu),
        ("a_bare_machine", bare),
        ("the_rows_for_people", for_people),
        ("no_connection_is_made", no_connection),
        ("the_sdk_of_this_repository", the_real_sdk),
        ("ctrl_c_ends_it", ctrl_c),
    ];
    for (name, test) in tests {
        trials.push(trial::ignorable(module_path!(), name, test));
    }
    trials
}

/// When a machine is so, the row says this.
struct Case {
    row: &'static str,
    state: &'static str,
    /// What is unlike the machine that has everything but a GPU, in words and in deeds.
    when: &'static str,
    make: fn(&mut Machine) -> Result<(), Skip>,
    /// What is found.
    says: &'static [&'static str],
    /// What to do about it; empty where nothing is wrong.
    fix: &'static str,
}

const CASES: &[Case] = &[
    case(
        "platform",
        "ok",
        "this machine",
        |_| Ok(()),
        &["Linux on x86-64"],
        "",
    ),
    case(
        "platform",
        "failing",
        "its glibc is too old",
        |m| {
            fs::create_dir(m.path("old")).expect("folders can be made");
            crate::support::old_glibc(&m.path("old"))?;
            m.set("LD_LIBRARY_PATH", m.path("old"));
            Ok(())
        },
        &["Linux on x86-64 with glibc 2.31"],
        "a machine or a container",
    ),
    case(
        "rust",
        "not-applicable",
        "no source",
        |_| Ok(()),
        &["source"],
        "",
    ),
    case(
        "rust",
        "warning",
        "no cargo",
        |m| m.source(),
        &["cargo is not on PATH"],
        "rustup.rs",
    ),
    case(
        "rust",
        "warning",
        "rustup lacks the toolchain",
        |m| {
            m.source()?;
            m.rustup("1.90.0")
        },
        &["no toolchain 1.95.0"],
        "rustup toolchain install 1.95.0",
    ),
    case(
        "rust",
        "ok",
        "rustup has the toolchain",
        |m| {
            m.source()?;
            m.rustup("1.95.0-x86_64-unknown-linux-gnu")
        },
        &["1.95.0 at ", "/toolchains/"],
        "",
    ),
    case(
        "rust",
        "warning",
        "a distribution's Rust is old",
        |m| {
            m.source()?;
            m.program("bin/cargo", "");
            m.program("bin/rustc", "echo 'rustc 1.63.0 (Debian)'");
            Ok(())
        },
        &["rustc 1.63.0", "1.95.0 is needed"],
        "install Rust 1.95.0",
    ),
    case(
        "rust",
        "ok",
        "a distribution's Rust is new",
        |m| {
            m.source()?;
            m.program("bin/cargo", "");
            m.program("bin/rustc", "echo 'rustc 1.96.1 (Debian)'");
            Ok(())
        },
        &["rustc 1.96.1"],
        "",
    ),
    case(
        "rust",
        "warning",
        "cargo without rustc",
        |m| {
            m.source()?;
            m.program("bin/cargo", "");
            Ok(())
        },
        &["rustc is not on PATH"],
        "install Rust 1.95.0",
    ),
    case(
        "rust",
        "warning",
        "rustc does not run",
        |m| {
            m.source()?;
            m.program("bin/cargo", "");
            m.program("bin/rustc", "echo broken >&2; exit 1");
            Ok(())
        },
        &["does not run", "broken"],
        "install Rust 1.95.0",
    ),
    case("linker", "ok", "cc is there", |_| Ok(()), &["/bin/cc"], ""),
    case(
        "linker",
        "failing",
        "no cc",
        |m| m.remove("bin/cc"),
        &["cc is not on PATH"],
        "install a C compiler",
    ),
    case(
        "python",
        "ok",
        "the SDK has one",
        |_| Ok(()),
        &["Python 3.11 at ", ".venv/bin/python"],
        "",
    ),
    case(
        "python",
        "failing",
        "no SDK, and none on PATH",
        |m| m.remove("tree/.venv"),
        &["none of Python 3.11, 3.10", "on PATH"],
        "install Python 3.11",
    ),
    case(
        "python",
        "failing",
        "no SDK, and a stand-in that starts none",
        |m| {
            m.program("bin/python3.11", "exit 127");
            m.program("bin/python3", "echo 3.8");
            m.remove("tree/.venv")
        },
        &["none of Python 3.11"],
        "install Python 3.11",
    ),
    case(
        "python",
        "ok",
        "no SDK, and another accepted one on PATH",
        |m| {
            m.program("bin/python3", "echo 3.12");
            m.remove("tree/.venv")
        },
        &["Python 3.12 at ", "/bin/python3"],
        "",
    ),
    case(
        "python",
        "failing",
        "a carried SDK for a Python that is not here",
        |m| {
            m.carried("carried", "312");
            m.set("MXFP4_SDK", m.path("carried"));
            Ok(())
        },
        &["no Python interpreter matches", "carried"],
        "install the Python",
    ),
    case(
        "python",
        "not-applicable",
        "a checkout without an SDK",
        |m| m.checkout(),
        &["Modular checkout"],
        "",
    ),
    case(
        "uv",
        "not-applicable",
        "an SDK is there",
        |_| Ok(()),
        &["SDK already"],
        "",
    ),
    case(
        "uv",
        "warning",
        "no SDK",
        |m| m.remove("tree/.venv"),
        &["neither on PATH nor in .mxfp4/tools"],
        "fetches it",
    ),
    case(
        "uv",
        "warning",
        "a uv that does not run",
        |m| {
            m.program("bin/uv", "exit 1");
            m.remove("tree/.venv")
        },
        &["neither on PATH"],
        "fetches it",
    ),
    case(
        "uv",
        "ok",
        "one on PATH",
        |m| {
            m.program("bin/uv", "");
            Ok(())
        },
        &["/bin/uv"],
        "",
    ),
    case(
        "uv",
        "ok",
        "the workspace's own",
        |m| {
            m.program("tree/.mxfp4/tools/bin/uv", "");
            Ok(())
        },
        &[".mxfp4/tools/bin/uv"],
        "",
    ),
    case(
        "sdk",
        "ok",
        "the workspace's own",
        |_| Ok(()),
        &["the workspace's own"],
        "",
    ),
    case(
        "sdk",
        "failing",
        "there is none",
        |m| m.remove("tree/.venv"),
        &["no MAX and Mojo SDK"],
        "mxfp4 setup",
    ),
    case(
        "sdk",
        "failing",
        "MXFP4_SDK names nothing",
        |m| {
            m.set("MXFP4_SDK", "/nowhere");
            Ok(())
        },
        &["/nowhere", "does not exist"],
        "correct it",
    ),
    case(
        "sdk",
        "warning",
        "the lock file is newer",
        |m| {
            m.write("tree/.venv/mxfp4-setup.json", r#"{"inputs":"old"}"#);
            m.write("tree/python/pyproject.toml", "");
            m.write("tree/python/uv.lock", "");
            Ok(())
        },
        &["older than python/uv.lock"],
        "mxfp4 setup",
    ),
    case(
        "sdk",
        "failing",
        "a checkout without one",
        |m| m.checkout(),
        &["no MAX and Mojo SDK"],
        "activate the checkout's environment",
    ),
    case(
        "versions",
        "ok",
        "those of mxfp4.toml",
        |_| Ok(()),
        &["MAX 26.7.0, Mojo 1.2.0"],
        "",
    ),
    case(
        "versions",
        "warning",
        "another MAX",
        |m| m.rename("max-26.7.0.dist-info", "max-26.6.0.dist-info"),
        &["MAX 26.6.0", "asks for MAX 26.7.0"],
        "mxfp4 setup",
    ),
    case(
        "versions",
        "warning",
        "another Mojo",
        |m| m.rename("mojo-1.2.0.dist-info", "mojo-1.1.0.dist-info"),
        &["Mojo 1.1.0", "asks for Mojo 1.2.0"],
        "sdk.mojo",
    ),
    case(
        "versions",
        "warning",
        "it cannot be told",
        |m| m.rename("max-26.7.0.dist-info", "gone"),
        &["does not say which MAX"],
        "mxfp4 setup",
    ),
    case(
        "versions",
        "not-applicable",
        "no SDK",
        |m| m.remove("tree/.venv"),
        &["no SDK"],
        "",
    ),
    case(
        "environment",
        "ok",
        "nothing is odd",
        |_| Ok(()),
        &["variables"],
        "",
    ),
    case(
        "environment",
        "warning",
        "the device is synchronous",
        |m| {
            m.set("MODULAR_DEVICE_CONTEXT_SYNC_MODE", "true");
            Ok(())
        },
        &["MODULAR_DEVICE_CONTEXT_SYNC_MODE"],
        "mxfp4 env --explain",
    ),
    case(
        "environment",
        "failing",
        "a comma in the workspace's path",
        |m| {
            fs::rename(m.path("tree"), m.path("a,b")).expect("it can be renamed");
            m.root = m.path("a,b");
            Ok(())
        },
        &["a,b", "a comma"],
        "rename the folder",
    ),
    case(
        "mojo",
        "ok",
        "it starts",
        |_| Ok(()),
        &["Mojo 1.2.0 (made up), ", " ms"],
        "",
    ),
    case(
        "mojo",
        "failing",
        "it may not be run",
        |m| m.mode("modular/bin/mojo", 0o644),
        &["modular/bin/mojo does not start", "Permission denied"],
        "mxfp4 setup",
    ),
    case(
        "mojo",
        "failing",
        "it fails",
        |m| {
            m.program(
                &format!("{SITE}/modular/bin/mojo"),
                "echo 'lost a library' >&2; exit 127",
            );
            Ok(())
        },
        &["exit code 127", "lost a library"],
        "mxfp4 setup",
    ),
    case(
        "mojo",
        "not-applicable",
        "no SDK",
        |m| m.remove("tree/.venv"),
        &["no SDK"],
        "",
    ),
    case(
        "bazel",
        "not-applicable",
        "a standalone workspace",
        |_| Ok(()),
        &["no Modular checkout"],
        "",
    ),
    case(
        "bazel",
        "ok",
        "a checkout",
        |m| m.checkout(),
        &["/bazelw"],
        "",
    ),
    case(
        "bazel",
        "failing",
        "bazelw is not executable",
        |m| {
            m.checkout()?;
            m.mode("../../../../../checkout/bazelw", 0o644)
        },
        &["bazelw is not executable"],
        "chmod +x",
    ),
    case(
        "kernels",
        "ok",
        "built",
        |m| m.build(),
        &["build/mxfp4.mojoc"],
        "",
    ),
    case(
        "kernels",
        "warning",
        "never built",
        |_| Ok(()),
        &["no kernel package"],
        "mxfp4 build",
    ),
    case(
        "kernels",
        "warning",
        "a source has changed",
        |m| {
            m.build()?;
            m.write("tree/kernels/mxfp4/__init__.mojo", "# changed\n");
            Ok(())
        },
        &["mxfp4 have changed"],
        "mxfp4 build",
    ),
    case(
        "kernels",
        "failing",
        "the sources are gone",
        |m| m.remove("tree/kernels"),
        &["kernel package `mxfp4` is not there"],
        "[[kernels]]",
    ),
    case(
        "kernels",
        "not-applicable",
        "no SDK",
        |m| m.remove("tree/.venv"),
        &["no SDK"],
        "",
    ),
    case(
        "kernels",
        "warning",
        "a checkout, not built",
        |m| m.checkout(),
        &["no kernel"],
        "mxfp4 build",
    ),
    case(
        "loads",
        "ok",
        "the ops are in it",
        |m| m.build(),
        &["MAX loads them"],
        "",
    ),
    case(
        "loads",
        "failing",
        "they are not",
        |m| {
            m.set("CHECK_SAYS", "does not register mo.moe");
            m.build()
        },
        &["cannot be loaded", "does not register mo.moe"],
        "mxfp4 build",
    ),
    case(
        "loads",
        "failing",
        "Python does not start",
        |m| {
            m.build()?;
            m.mode("../../../bin/python", 0o644)
        },
        &["Permission denied"],
        "mxfp4 setup",
    ),
    case(
        "loads",
        "not-applicable",
        "not built",
        |_| Ok(()),
        &["built first"],
        "",
    ),
    case(
        "loads",
        "not-applicable",
        "no SDK",
        |m| m.remove("tree/.venv"),
        &["no SDK"],
        "",
    ),
    case(
        "patches",
        "ok",
        "MAX is the one they are for",
        |_| Ok(()),
        &["all 1 apply to MAX 26.7.0: pages"],
        "",
    ),
    case(
        "patches",
        "warning",
        "the source of one has changed",
        |m| {
            m.set("PATCHES", skipped(false));
            Ok(())
        },
        &[
            "0 of 1 apply to MAX 27.1.0",
            "pages does not: the source of a.b is another; without it steps are slow",
        ],
        "mxfp4 setup",
    ),
    case(
        "patches",
        "failing",
        "answers need one that has none",
        |m| {
            m.set("PATCHES", skipped(true));
            Ok(())
        },
        &["0 of 1 apply to MAX 27.1.0"],
        "mxfp4 setup",
    ),
    case(
        "patches",
        "warning",
        "they cannot be listed",
        |m| {
            m.set("PATCHES", "nonsense");
            Ok(())
        },
        &["they cannot be listed"],
        "mxfp4 setup",
    ),
    case(
        "patches",
        "not-applicable",
        "a workspace that replaces nothing",
        |m| m.remove("tree/python/mxfp4/max_patches"),
        &["nothing on PYTHONPATH"],
        "",
    ),
    case(
        "patches",
        "not-applicable",
        "no SDK",
        |m| m.remove("tree/.venv"),
        &["no SDK"],
        "",
    ),
    case(
        "workspace",
        "ok",
        "a large disk",
        |m| m.build(),
        &["/tree, ", " GB free"],
        "",
    ),
    case(
        "workspace",
        "failing",
        "no room for the SDK",
        |m| m.small_disk(true, ""),
        &["0.0 GB free, and 2.0 GB are needed"],
        "free some",
    ),
    case(
        "workspace",
        "failing",
        "it cannot be written",
        |m| m.small_disk(true, "mount -o remount,ro none small"),
        &["small cannot be written"],
        "the right to write",
    ),
    case(
        "cache",
        "ok",
        "not there yet",
        |_| Ok(()),
        &[".mxfp4/cache, ", " GB free"],
        "",
    ),
    case(
        "cache",
        "warning",
        "no room",
        |m| {
            m.set("MODULAR_CACHE_DIR", m.path("small/deep/er"));
            m.small_disk(false, "")
        },
        &["small/deep/er has 0.0 GB free"],
        "MODULAR_CACHE_DIR",
    ),
    case(
        "cache",
        "warning",
        "it cannot be written",
        |m| {
            m.set("MODULAR_CACHE_DIR", m.path("small"));
            m.small_disk(false, "mount -o remount,ro none small")
        },
        &["small cannot be written"],
        "MODULAR_CACHE_DIR",
    ),
    case(
        "cache",
        "warning",
        "a file is in its way",
        |m| {
            m.set("MODULAR_CACHE_DIR", m.path("tree/mxfp4.toml/cache"));
            Ok(())
        },
        &["a file is in its way"],
        "remove the file",
    ),
    case(
        "settings",
        "ok",
        "the defaults",
        |_| Ok(()),
        &["model on http://127.0.0.1:", "devices gpu"],
        "",
    ),
    case(
        "settings",
        "failing",
        "devices that are none",
        |m| {
            m.write("tree/mxfp4.toml", "[serve]\ndevices = \"tpu\"\n");
            Ok(())
        },
        &["serve.devices", "tpu"],
        "correct",
    ),
    case(
        "settings",
        "failing",
        "a port that is none",
        |m| {
            m.set("MAX_SERVE_METRICS_ENDPOINT_PORT", "none");
            Ok(())
        },
        &["MAX_SERVE_METRICS_ENDPOINT_PORT=none"],
        "correct",
    ),
    case(
        "gpu",
        "ok",
        "a Hopper",
        |m| m.gpu(HOPPER),
        &[
            "NVIDIA H100 80GB HBM3",
            "compute capability 9.0",
            "79.0 GiB of 80.0 GiB free",
            "driver 580.0",
        ],
        "",
    ),
    case(
        "gpu",
        "failing",
        "no driver",
        // Where there is one, it shows no GPU.
        |m| {
            m.set("CUDA_VISIBLE_DEVICES", "");
            Ok(())
        },
        &["GPU"],
        "",
    ),
    case(
        "gpu",
        "failing",
        "another GPU",
        |m| m.gpu("NVIDIA A100-SXM4-80GB,8,0,79"),
        &["NVIDIA A100-SXM4-80GB", "compute capability 8.0"],
        "H100",
    ),
    case(
        "gpu",
        "failing",
        "it is hidden",
        |m| {
            m.set("CUDA_VISIBLE_DEVICES", "-1");
            m.gpu(HOPPER)
        },
        &["CUDA_VISIBLE_DEVICES=-1 hides"],
        "change or unset it",
    ),
    case(
        "gpu",
        "failing",
        "no room for the model",
        |m| m.gpu("NVIDIA H100 80GB HBM3,9,0,1"),
        &["1.0 GiB of 80.0 GiB free"],
        "stop what uses the GPU",
    ),
    case(
        "gpu",
        "failing",
        "the driver does not answer",
        |m| m.gpu("nonsense"),
        &["driver"],
        "",
    ),
    case(
        "gpu",
        "not-applicable",
        "the settings are wrong",
        |m| {
            m.write("tree/mxfp4.toml", "[serve]\ndevices = \"tpu\"\n");
            Ok(())
        },
        &["see settings"],
        "",
    ),
    case(
        "model",
        "ok",
        "a folder",
        |_| Ok(()),
        &["tree/model, 0.0 GiB"],
        "",
    ),
    case(
        "model",
        "failing",
        "a folder that is not there",
        |m| m.serve("./missing"),
        &["missing does not exist"],
        "check --model",
    ),
    case(
        "model",
        "failing",
        "another architecture",
        |m| {
            m.write(
                "tree/model/config.json",
                r#"{"architectures":["LlamaForCausalLM"]}"#,
            );
            Ok(())
        },
        &["LlamaForCausalLM"],
        "GPT-OSS in MXFP4",
    ),
    case(
        "model",
        "warning",
        "of the hub, not fetched yet",
        |m| m.serve("openai/gpt-oss-20b"),
        &["openai/gpt-oss-20b is not in the local cache"],
        "MAX fetches it",
    ),
    case(
        "model",
        "failing",
        "of the hub, and offline",
        |m| {
            m.set("HF_HUB_OFFLINE", "1");
            m.serve("openai/gpt-oss-20b")
        },
        &["HF_HUB_OFFLINE is set"],
        "unset it",
    ),
    case(
        "model",
        "ok",
        "of the hub, in the cache",
        |m| m.cached(),
        &["owner/name in ", "snapshots/1"],
        "",
    ),
    case(
        "ports",
        "ok",
        "both are free",
        |_| Ok(()),
        &["are free on 127.0.0.1"],
        "",
    ),
    case(
        "ports",
        "failing",
        "the server's is busy",
        |m| {
            let port = m.listen(200).to_string();
            m.set("MAX_SERVE_PORT", port);
            Ok(())
        },
        &["is busy"],
        "--port",
    ),
    case(
        "ports",
        "failing",
        "that of serve.flags is busy",
        |m| {
            let port = m.listen(200);
            let flags = format!("[serve]\nmodel = \"model\"\nflags = [\"--port\", \"{port}\"]\n");
            m.write("tree/mxfp4.toml", &flags);
            Ok(())
        },
        &["is busy"],
        "--port",
    ),
    case(
        "ports",
        "warning",
        "that of /metrics is busy",
        |m| {
            let port = m.listen(200).to_string();
            m.set("MAX_SERVE_METRICS_ENDPOINT_PORT", port);
            Ok(())
        },
        &["is busy, so /metrics will not be served"],
        "to a free port",
    ),
    case(
        "huggingface",
        "ok",
        "no token",
        |_| Ok(()),
        &[".cache/huggingface/hub, no token"],
        "",
    ),
    case(
        "huggingface",
        "ok",
        "a token in a variable, offline",
        |m| {
            m.set("HF_TOKEN", SECRET);
            m.set("HF_HUB_OFFLINE", "1");
            Ok(())
        },
        &["a token in HF_TOKEN", "HF_HUB_OFFLINE is set"],
        "",
    ),
    case(
        "huggingface",
        "ok",
        "a token in a file",
        |m| {
            m.set("HF_HOME", m.path("hf"));
            m.write("hf/token", SECRET);
            Ok(())
        },
        &["/hf/hub, a token in ", "/hf/token"],
        "",
    ),
    case(
        "huggingface",
        "warning",
        "a token that cannot be read",
        |m| {
            m.set("HF_TOKEN_PATH", m.path("tree/mxfp4.toml/token"));
            Ok(())
        },
        &["mxfp4.toml/token cannot be read"],
        "HF_TOKEN",
    ),
    case(
        "huggingface",
        "warning",
        "a cache that cannot be",
        |m| {
            m.set("HF_HUB_CACHE", m.path("tree/mxfp4.toml/hub"));
            Ok(())
        },
        &["mxfp4.toml/hub cannot be written"],
        "HF_HUB_CACHE",
    ),
    case(
        "huggingface",
        "warning",
        "no home",
        |m| {
            m.set("HOME", "");
            Ok(())
        },
        &["HOME is not set"],
        "set HOME",
    ),
    case(
        "hub",
        "not-applicable",
        "not asked",
        |m| m.serve("a/b"),
        &["--online"],
        "",
    ),
    case(
        "hub",
        "not-applicable",
        "the model is a folder",
        |m| {
            m.args.push("--online");
            Ok(())
        },
        &["the model is a folder"],
        "",
    ),
    case(
        "hub",
        "ok",
        "it has the model",
        |m| m.hub(200),
        &["has owner/absent"],
        "",
    ),
    case(
        "hub",
        "failing",
        "it does not have the model",
        |m| m.hub(404),
        &["does not have owner/absent", "404"],
        "check --model",
    ),
    case(
        "hub",
        "failing",
        "it does not let us have the model",
        |m| m.hub(401),
        &["does not give us owner/absent", "401"],
        "HF_TOKEN",
    ),
    case(
        "hub",
        "failing",
        "it does not answer",
        |m| {
            m.hub(200)?;
            m.set("HF_ENDPOINT", "http://127.0.0.1:1");
            Ok(())
        },
        &["http://127.0.0.1:1 does not answer"],
        "HTTPS_PROXY",
    ),
    case(
        "hub",
        "warning",
        "it does not answer, and the model is here",
        |m| {
            m.hub(200)?;
            m.cached()?;
            m.set("HF_ENDPOINT", "http://127.0.0.1:1");
            Ok(())
        },
        &["does not answer"],
        "HTTPS_PROXY",
    ),
    case(
        "hub",
        "not-applicable",
        "offline",
        |m| {
            m.hub(200)?;
            m.set("HF_HUB_OFFLINE", "1");
            Ok(())
        },
        &["HF_HUB_OFFLINE"],
        "",
    ),
    case(
        "editor",
        "not-applicable",
        "no VS Code",
        |_| Ok(()),
        &["not installed here"],
        "",
    ),
    case(
        "editor",
        "warning",
        "code on PATH, without the extension",
        |m| {
            m.program("bin/code", "");
            Ok(())
        },
        &["no Mojo extension"],
        "code --install-extension modular-mojotools.vscode-mojo",
    ),
    case(
        "editor",
        "warning",
        "a server with other extensions",
        |m| {
            m.write(
                "home/.vscode-server/extensions/ms-python.python-1/package.json",
                "",
            );
            Ok(())
        },
        &["no Mojo extension"],
        "code --install-extension",
    ),
    case(
        "editor",
        "warning",
        "an old extension",
        |m| {
            m.write(
                "home/.vscode-server/extensions/modular-mojotools.vscode-mojo-26.5.1/package.json",
                "",
            );
            Ok(())
        },
        &["extension 26.5.1 is older than 26.6"],
        "update it",
    ),
    case(
        "editor",
        "ok",
        "it is installed",
        |m| {
            m.write(
                "home/.vscode/extensions/modular-mojotools.vscode-mojo-26.6.0/package.json",
                "",
            );
            Ok(())
        },
        &["extension 26.6.0"],
        "",
    ),
];

const fn case(
    row: &'static str,
    state: &'static str,
    when: &'static str,
    make: fn(&mut Machine) -> Result<(), Skip>,
    says: &'static [&'static str],
    fix: &'static str,
) -> Case {
    Case {
        row,
        state,
        when,
        make,
        says,
        fix,
    }
}

impl Case {
    fn test(&self) -> Tested {
        let mut machine = Machine::new();
        if let Err(skip) = (self.make)(&mut machine) {
            return Ok(Completion::ignored_with(skip));
        }
        let (ran, report) = machine.examine(&[])?;
        let wrong = |what: &str| Err(format!("{what}: {ran:#?}").into());
        let row = row(&report, self.row);
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        if text("state") != self.state {
            return wrong(&format!("it is {}", text("state")));
        }
        if let Some(missing) = self
            .says
            .iter()
            .find(|says| !text("found").contains(**says))
        {
            return wrong(&format!("`{missing}` is not found"));
        }
        if !text("fix").contains(self.fix) {
            return wrong(&format!("`{}` is not the fix", self.fix));
        }
        sound(&ran, &report)?;
        Ok(Completion::Completed)
    }
}

/// What holds for every report.
fn sound(ran: &Ran, report: &Value) -> Result<(), Failed> {
    let rows = report["checks"].as_array().expect("there are rows");
    for row in rows {
        let state = row["state"].as_str().unwrap_or_default();
        let is_wrong = ["warning", "failing"].contains(&state);
        let texts = ["found", "why"].map(|key| row[key].as_str().unwrap_or_default());
        if texts.iter().any(|text| text.is_empty())
            || row["fix"].as_str().is_some_and(str::is_empty)
            || row["fix"].is_string() != is_wrong
            || !(is_wrong || ["ok", "not-applicable"].contains(&state))
        {
            return Err(format!("an incomplete row: {row:#}").into());
        }
    }
    for (job, verdict) in report["jobs"].as_object().expect("there are verdicts") {
        let because: Vec<&Value> = rows
            .iter()
            .filter(|row| row["state"] == "failing")
            .filter(|row| {
                row["needed_by"]
                    .as_array()
                    .unwrap()
                    .contains(&Value::from(&**job))
            })
            .map(|row| &row["id"])
            .collect();
        let told: Vec<&Value> = verdict["because"].as_array().unwrap().iter().collect();
        if because != told || verdict["works"] != because.is_empty() {
            return Err(format!("{job} does not follow from the rows: {report:#}").into());
        }
    }
    let works = report["jobs"]
        .as_object()
        .unwrap()
        .values()
        .all(|job| job["works"] == true);
    let code = if works { 0 } else { 5 };
    let quiet = ran.stderr.is_empty() && !ran.stdout.contains(SECRET);
    match ran.code == Some(code) && quiet {
        true => Ok(()),
        false => Err(format!("exit code {code} is due, and nothing on stderr: {ran:#?}").into()),
    }
}

fn row<'a>(report: &'a Value, id: &str) -> &'a Value {
    let rows = report["checks"].as_array().expect("there are rows");
    let row = rows.iter().find(|row| row["id"] == id);
    row.unwrap_or_else(|| panic!("no row {id}: {report:#}"))
}

/// A token that must not be printed.
const SECRET: &str = "hf_thisIsNobodysBusiness";

/// Where the made-up SDK is.
const SITE: &str = "tree/.venv/lib/python3.11/site-packages";

/// A made-up machine: a workspace in `tree`, with a made-up SDK and a model, and programs in `bin`, which is all of PATH.
struct Machine {
    folder: TempDir,
    root: PathBuf,
    variables: Vec<(String, String)>,
    args: Vec<&'static str>,
    /// The shell's commands that mount a small disk on `small` first.
    mounts: Option<String>,
}

impl Machine {
    /// One that has everything but a GPU, VS Code and a built kernel package.
    fn new() -> Self {
        let folder = folder(MODEL.map(|(name, text)| (format!("tree/model/{name}"), text)));
        let root = folder.path().join("tree");
        let mut machine = Self {
            folder,
            root,
            variables: Vec::new(),
            args: Vec::new(),
            mounts: None,
        };
        machine.write("tree/mxfp4.toml", "[serve]\nmodel = \"model\"\n");
        machine.write("tree/kernels/mxfp4/__init__.mojo", "");
        machine.write(&format!("{SITE}/modular/lib/mojo/std.mojoc"), "");
        machine.program(
            &format!("{SITE}/modular/bin/mojo"),
            "case $1 in\n--version) echo 'Mojo 1.2.0 (made up)' ;;\n*) for last; do :; done; echo made > \"$last\" ;;\nesac",
        );
        for package in ["max-26.7.0", "mojo-1.2.0", "mojo_compiler-1.2.0"] {
            machine.write(&format!("{SITE}/{package}.dist-info/METADATA"), "");
        }
        machine.program(
            "tree/.venv/bin/python",
            "case $2 in mxfp4.max_patches)
                [ -n \"$PATCHES\" ] && echo \"$PATCHES\" ||
                echo '{\"max\": \"26.7.0\", \"patches\": [{\"name\": \"pages\", \"state\": \"applies\", \"where\": \"\", \"needed\": false, \"without\": \"\"}]}'
                exit;;
             esac
             [ -z \"$CHECK_SAYS\" ] || { echo \"error: $CHECK_SAYS\" >&2; exit 1; }",
        );
        machine.write("tree/python/mxfp4/max_patches/__main__.py", "");
        machine.program("tree/.venv/bin/mblack", "");
        machine.program("bin/cc", "");
        machine.write("home/.keep", "");
        for name in ["MAX_SERVE_PORT", "MAX_SERVE_METRICS_ENDPOINT_PORT"] {
            let port = crate::support::free_port().1;
            machine.set(name, port);
        }
        machine.set("HOME", machine.path("home"));
        machine.set("PATH", machine.path("bin"));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn remove(&mut self, name: &str) -> Result<(), Skip> {
        let path = self.path(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
        Ok(())
    }

    /// Renames something in the SDK.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Skip> {
        let site = self.path(SITE);
        fs::rename(site.join(from), site.join(to)).unwrap();
        Ok(())
    }

    /// Sets the permissions of something in the SDK.
    fn mode(&mut self, name: &str, mode: u32) -> Result<(), Skip> {
        let path = self.path(SITE).join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        Ok(())
    }

    fn set(&mut self, name: &str, value: impl AsRef<Path>) {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.variables.push((name.to_owned(), value));
    }

    fn serve(&mut self, model: &str) -> Result<(), Skip> {
        self.write(
            "tree/mxfp4.toml",
            &format!("[serve]\nmodel = \"{model}\"\n"),
        );
        Ok(())
    }

    /// Makes the workspace one that mxfp4 can be built in.
    fn source(&mut self) -> Result<(), Skip> {
        self.write(
            "tree/rust-toolchain.toml",
            "[toolchain]\nchannel = \"1.95.0\"\n",
        );
        Ok(())
    }

    /// rustup, with this toolchain.
    fn rustup(&mut self, toolchain: &str) -> Result<(), Skip> {
        self.program("cargo/bin/rustup", "exit 1");
        symlink(self.path("cargo/bin/rustup"), self.path("bin/cargo")).unwrap();
        self.program(
            &format!("home/.rustup/toolchains/{toolchain}/bin/rustc"),
            "",
        );
        Ok(())
    }

    /// A tree of packages for this Python, without an interpreter.
    fn carried(&mut self, name: &str, python: &str) {
        self.program(&format!("{name}/modular/bin/mojo"), "echo 'Mojo 1.2.0'");
        self.write(&format!("{name}/modular/lib/mojo/std.mojoc"), "");
        self.write(
            &format!("{name}/max/_core.cpython-{python}-x86_64-linux-gnu.so"),
            "",
        );
    }

    /// Makes the workspace a checkout of the Modular monorepo, without an SDK.
    fn checkout(&mut self) -> Result<(), Skip> {
        self.program("checkout/bazelw", "");
        self.write("checkout/max/kernels/src/.keep", "");
        self.root = self.path("checkout");
        Ok(())
    }

    fn build(&mut self) -> Result<(), Skip> {
        let ran = run(self.command().arg("build"));
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        Ok(())
    }

    /// A model in the cache of the hub's library.
    fn cached(&mut self) -> Result<(), Skip> {
        let model = "home/.cache/huggingface/hub/models--owner--name";
        self.write(&format!("{model}/refs/main"), "1");
        for (name, text) in *MODEL {
            self.write(&format!("{model}/snapshots/1/{name}"), text);
        }
        self.serve("owner/name")
    }

    fn gpu(&mut self, gpu: &str) -> Result<(), Skip> {
        static DRIVER: OnceLock<Result<TempDir, Skip>> = OnceLock::new();
        let driver = DRIVER.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            driver(folder.path()).map(|()| folder)
        });
        let folder = driver.as_ref().map_err(Clone::clone)?;
        self.set("LD_LIBRARY_PATH", folder.path());
        self.set("FAKE_GPU", gpu);
        Ok(())
    }

    /// A server that answers every request with `status`; its port.
    fn listen(&mut self, status: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let _ = stream.read(&mut [0; 4096]);
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes());
            }
        });
        port
    }

    /// A hub that answers with `status`, asked by a real Python.
    fn hub(&mut self, status: u16) -> Result<(), Skip> {
        let python = ["/usr/bin/python3".into(), sdk()?.join("bin/python")]
            .into_iter()
            .find(|python: &PathBuf| python.is_file())
            .ok_or("there is no Python")?;
        self.remove("tree/.venv/bin/python")?;
        symlink(
            python.canonicalize().unwrap(),
            self.path("tree/.venv/bin/python"),
        )
        .unwrap();
        let port = self.listen(status);
        self.set("HF_ENDPOINT", format!("http://127.0.0.1:{port}/"));
        self.args.push("--online");
        self.serve("owner/absent")
    }

    /// Mounts a disk of one megabyte on `small`, and runs `then`; `workspace` puts an empty workspace there.
    fn small_disk(&mut self, workspace: bool, then: &str) -> Result<(), Skip> {
        fs::create_dir(self.path("small")).unwrap();
        let mut mounts = "mount -t tmpfs -o size=1m none small".to_owned();
        let works = run(Command::new(tool("unshare")?)
            .args(["-rm", "sh", "-c", &mounts])
            .current_dir(self.folder.path()));
        if works.code != Some(0) {
            return Err(format!(
                "nothing can be mounted here: {}",
                works.stderr.trim()
            ));
        }
        for more in [
            if workspace {
                ": > small/mxfp4.toml"
            } else {
                ""
            },
            then,
        ] {
            if !more.is_empty() {
                mounts = format!("{mounts} && {more}");
            }
        }
        self.mounts = Some(mounts);
        if workspace {
            self.root = self.path("small");
        }
        Ok(())
    }

    /// `mxfp4` in the workspace.
    fn command(&self) -> Command {
        let mut command = match &self.mounts {
            None => mxfp4(self.folder.path()),
            Some(mounts) => {
                let mut command = Command::new(tool("unshare").expect("it was there"));
                let script = format!("{mounts} && PATH=$1 && shift && exec \"$@\"");
                command.args(["-rm", "sh", "-c", &script, "sh"]);
                command
                    .arg(self.path("bin"))
                    .arg(env!("CARGO_BIN_EXE_mxfp4"));
                command.env_clear().current_dir(self.folder.path());
                command
            }
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.mounts.is_some() {
            // The shell mounts with the system's programs; PATH is set after that.
            command.env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        }
        command.arg("--root").arg(&self.root);
        command
    }

    /// Runs the doctor, and reads what it says.
    fn examine(&self, args: &[&str]) -> Result<(Ran, Value), Failed> {
        let mut command = self.command();
        let ran = run(command
            .args(["doctor", "--json"])
            .args(&self.args)
            .args(args));
        match serde_json::from_str(&ran.stdout) {
            Ok(report) => Ok((ran, report)),
            Err(error) => Err(format!("no JSON ({error}): {ran:#?}").into()),
        }
    }
}

/// A check that is added gets its cases.
/// What lists patches says of one that MAX does not get.
fn skipped(needed: bool) -> String {
    serde_json::json!({"max": "27.1.0", "patches": [{
        "name": "pages", "state": "source", "where": "a.b", "needed": needed, "without": "steps are slow",
    }]})
    .to_string()
}

fn every_row_has_its_cases() -> Tested {
    let (_, report) = Machine::new().examine(&[])?;
    let rows = report["checks"].as_array().unwrap();
    let told: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let provoked: BTreeSet<&str> = CASES
        .iter()
        .filter(|case| ["warning", "failing"].contains(&case.state))
        .map(|case| case.row)
        .collect();
    assert_eq!(told, provoked);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["layout"], "standalone");
    Ok(Completion::Completed)
}

fn everything() -> Tested {
    let mut machine = Machine::new();
    if let Err(skip) = machine.gpu(HOPPER) {
        return Ok(Completion::ignored_with(skip));
    }
    machine.build()?;
    for jobs in [&[][..], &["build"], &["test", "serve"]] {
        let (ran, report) = machine.examine(jobs)?;
        sound(&ran, &report)?;
        assert_eq!(ran.code, Some(0), "{ran:#?}");
    }
    let text = run(machine.command().arg("doctor"));
    assert!(
        text.stdout
            .ends_with("\nbuild: yes\ntest: yes\nserve: yes\n"),
        "{text:#?}"
    );
    let quiet = run(machine.command().args(["doctor", "--quiet"]));
    assert_eq!(quiet.stdout, "build: yes\ntest: yes\nserve: yes\n");
    Ok(Completion::Completed)
}

fn no_gpu() -> Tested {
    let mut machine = Machine::new();
    machine.set("CUDA_VISIBLE_DEVICES", "");
    for (jobs, code) in [
        (&[][..], 5),
        (&["serve"], 5),
        (&["build", "serve"], 5),
        (&["build", "test"], 0),
        (&["test"], 0),
    ] {
        let (ran, report) = machine.examine(jobs)?;
        assert_eq!(ran.code, Some(code), "{jobs:?}: {ran:#?}");
        assert_eq!(
            report["jobs"]["serve"]["because"],
            serde_json::json!(["gpu"])
        );
    }
    let ran = run(machine.command().args(["doctor", "run"]));
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    Ok(Completion::Completed)
}

/// A checkout without an SDK builds with Bazel; a workspace without one does not.
fn bare() -> Tested {
    let mut machine = Machine::new();
    machine.remove("tree/.venv")?;
    machine.remove("bin/cc")?;
    let (ran, report) = machine.examine(&["build"])?;
    assert_eq!(ran.code, Some(5), "{ran:#?}");
    assert_eq!(
        report["jobs"]["build"]["because"],
        serde_json::json!(["sdk"])
    );
    assert_eq!(
        report["jobs"]["test"]["because"],
        serde_json::json!(["linker", "python", "sdk"])
    );
    machine.checkout()?;
    let (ran, report) = machine.examine(&["build"])?;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(report["layout"], "modular");
    assert_eq!(report["jobs"]["test"]["works"], false);
    Ok(Completion::Completed)
}

fn for_people() -> Tested {
    let mut machine = Machine::new();
    machine.set("CUDA_VISIBLE_DEVICES", "");
    let ran = run(machine.command().arg("doctor"));
    assert_eq!(ran.code, Some(5), "{ran:#?}");
    let text = &ran.stdout;
    for line in [
        "ok       platform     Linux on x86-64",
        "-        rust         mxfp4's source is not in this workspace",
        "warning  kernels      no kernel package is built\n",
        "why: MAX runs the experts with the kernel package\n",
        "fix: run `mxfp4 build`",
        "failing  gpu          ",
        "\n\nbuild: yes\ntest: yes\nserve: no, because of gpu\n",
    ] {
        assert!(text.contains(line), "{line}: {ran:#?}");
    }
    assert!(!text.contains("why: MAX is served by Python"), "{ran:#?}");
    let more = run(machine.command().args(["doctor", "-v"]));
    assert!(
        more.stdout.contains("why: MAX is served by Python"),
        "{more:#?}"
    );
    Ok(Completion::Completed)
}

fn no_connection() -> Tested {
    let strace = match tool("strace") {
        Ok(strace) => strace,
        Err(skip) => return Ok(Completion::ignored_with(skip)),
    };
    let mut machine = Machine::new();
    machine.serve("openai/gpt-oss-20b")?;
    let trace = machine.path("trace");
    let ran = run(Command::new(strace)
        .args(["-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_mxfp4"))
        .arg("--root")
        .arg(&machine.root)
        .arg("doctor")
        .env_clear()
        .envs(machine.variables.iter().map(|(name, value)| (name, value))));
    assert!(ran.stdout.contains("build: yes"), "{ran:#?}");
    let trace = fs::read_to_string(trace)?;
    assert!(!trace.contains("AF_INET"), "{trace}");
    Ok(Completion::Completed)
}

/// What is made up elsewhere is real here: the compiler, the package, and MAX that loads it.
fn the_real_sdk() -> Tested {
    let sdk = match sdk() {
        Ok(sdk) => sdk,
        Err(skip) => return Ok(Completion::ignored_with(skip)),
    };
    let root = crate::support::repository();
    let doctor = |root: &Path| {
        let mut command = mxfp4(root);
        command
            .args(["doctor", "--json", "build"])
            .env("MXFP4_SDK", &sdk);
        run(&mut command)
    };
    let ran = doctor(&root);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let report: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(row(&report, "versions")["state"], "ok", "{ran:#?}");
    let mojo = row(&report, "mojo");
    assert!(
        mojo["found"].as_str().unwrap().starts_with("Mojo 1."),
        "{mojo:#}"
    );

    let empty = folder([
        (
            "mxfp4.toml",
            "[[kernels]]\nname = \"empty\"\nsource = \"kernels/empty\"\n",
        ),
        ("kernels/empty/__init__.mojo", ""),
    ]);
    symlink(root.join("python"), empty.path().join("python"))?;
    let built = run(mxfp4(empty.path()).arg("build").env("MXFP4_SDK", &sdk));
    assert_eq!(built.code, Some(0), "{built:#?}");
    let report: Value = serde_json::from_str(&doctor(empty.path()).stdout)?;
    assert_eq!(row(&report, "kernels")["state"], "ok", "{report:#}");
    let loads = row(&report, "loads");
    assert_eq!(loads["state"], "failing", "{loads:#}");
    assert!(
        loads["found"]
            .as_str()
            .unwrap()
            .contains("does not register"),
        "{loads:#}"
    );
    Ok(Completion::Completed)
}

/// A compiler that hangs does not keep the doctor from being sent away.
fn ctrl_c() -> Tested {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let machine = Machine::new();
    let started = machine.path("started");
    machine.program(
        &format!("{SITE}/modular/bin/mojo"),
        &format!(": > '{}'; exec /bin/sleep 600", started.display()),
    );
    let child = machine
        .command()
        .arg("doctor")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    while !started.exists() {
        thread::sleep(std::time::Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().try_into()?), Signal::SIGINT)?;
    let ran = Ran::from(child.wait_with_output()?);
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    Ok(Completion::Completed)
}
