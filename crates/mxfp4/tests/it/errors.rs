//! What goes wrong is said in one clear message, with its documented exit code, without a panic and without a traceback.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::refusals::told;
use crate::support::{MODEL, Ran, folder, free_port, mxfp4, run, sdk, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|case| trial::test(module_path!(), case.name, || case.test()))
        .collect();
    trials.extend([
        trial::test(module_path!(), "a_busy_port", a_busy_port),
        trial::ignorable(
            module_path!(),
            "an_unreadable_model_folder",
            an_unreadable_model_folder,
        ),
        trial::ignorable(
            module_path!(),
            "a_glibc_that_is_too_old",
            a_glibc_that_is_too_old,
        ),
        trial::ignorable(
            module_path!(),
            "a_kernel_source_with_a_syntax_error",
            a_syntax_error,
        ),
        trial::ignorable(
            module_path!(),
            "an_sdk_without_a_usable_package",
            a_package_that_cannot_be_loaded,
        ),
    ]);
    trials
}

/// `mxfp4 ARGS` in a workspace whose `mxfp4.toml` is `config` and which holds a model in `model`. What it says and how it
/// ends are a snapshot.
struct Case {
    name: &'static str,
    config: &'static str,
    args: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "a_wrong_key_in_mxfp4_toml",
        config: "[serve]\nmodel = \"model\"\nprot = 8000\n",
        args: &["serve"],
    },
    Case {
        name: "a_misspelt_command",
        config: "",
        args: &["biuld"],
    },
    Case {
        name: "a_misspelt_flag",
        config: "",
        args: &["serve", "--modle", "x"],
    },
    Case {
        name: "a_wrong_value_in_mxfp4_toml",
        config: "[serve]\ndevices = \"tpu\"\n",
        args: &["serve", "--model", "model"],
    },
    Case {
        name: "no_sdk_and_no_setup_for_build",
        config: "",
        args: &["build", "--no-setup"],
    },
    Case {
        name: "no_sdk_and_no_setup_for_serve",
        config: "",
        args: &["serve", "--model", "model", "--no-setup"],
    },
    Case {
        name: "no_sdk_and_no_setup_for_warm",
        config: "",
        args: &["warm", "--model", "model", "--no-setup"],
    },
    Case {
        name: "a_model_to_compile_that_is_not_there",
        config: "",
        args: &["warm", "--model", "./missing"],
    },
    Case {
        name: "no_sdk_and_no_setup_for_demo",
        config: "",
        args: &["demo", "--no-setup"],
    },
    Case {
        name: "an_sdk_that_is_not_there",
        config: "[sdk]\npath = \"nowhere\"\n",
        args: &["serve", "--model", "model", "--dry-run"],
    },
    Case {
        // What stands before the driver of a machine that has one is no library.
        name: "no_gpu",
        config: "",
        args: &["serve", "--model", "model"],
    },
    Case {
        name: "the_cpu_instead_of_a_gpu",
        config: "",
        args: &["serve", "--model", "model", "--devices", "cpu"],
    },
    Case {
        name: "a_model_folder_that_is_not_there",
        config: "",
        args: &["serve", "--model", "./missing"],
    },
    Case {
        name: "a_model_that_is_a_file",
        config: "",
        args: &["serve", "--model", "model/config.json"],
    },
    Case {
        name: "a_model_folder_that_holds_no_model",
        config: "",
        args: &["serve", "--model", "."],
    },
    Case {
        name: "the_port_of_metrics",
        config: "",
        args: &["serve", "--model", "model", "--port", "8001"],
    },
    Case {
        name: "a_host_that_is_not_ours",
        config: "",
        args: &["serve", "--model", "model", "--host", "192.0.2.1"],
    },
    Case {
        name: "a_port_that_is_none",
        config: "",
        args: &["serve", "--port", "70000"],
    },
    Case {
        name: "devices_that_are_none",
        config: "",
        args: &["serve", "--devices", "gpu:one"],
    },
    Case {
        name: "devices_that_are_none_after_the_dashes",
        config: "",
        args: &["serve", "--model", "model", "--", "--devices", "gpu:one"],
    },
];

impl Case {
    fn test(&self) -> Result<(), Failed> {
        let workspace = workspace(self.config);
        let ran = run(mxfp4(workspace.path())
            .args(self.args)
            .envs([free_port()])
            .env("LD_LIBRARY_PATH", workspace.path().join("no-driver")));
        told(self.name, self.args, &ran, workspace.path());
        Ok(())
    }
}

fn workspace(config: &str) -> tempfile::TempDir {
    let model = MODEL.map(|(name, text)| (format!("model/{name}"), text));
    folder(model.into_iter().chain([
        ("mxfp4.toml".to_owned(), config),
        ("no-driver/libnvidia-ml.so.1".to_owned(), ""),
    ]))
}

/// The exit code, the message, and nothing that only a programmer can read.
fn expect(ran: &Ran, code: i32, says: &[&str]) -> Result<(), Failed> {
    let problem = if ran.code != Some(code) {
        Some(format!("exit code {:?} instead of {code}", ran.code))
    } else if let Some(missing) = says.iter().find(|part| !ran.stderr.contains(**part)) {
        Some(format!("`{missing}` is not said"))
    } else if let Some(noise) = ["panicked", "Traceback", "RUST_BACKTRACE"]
        .iter()
        .find(|noise| ran.stderr.contains(**noise))
    {
        Some(format!("`{noise}` is said"))
    } else if !ran.stdout.is_empty() {
        Some("something is printed on stdout".to_owned())
    } else if ran.stderr.matches("error: ").count() != 1 {
        Some("it is not one message".to_owned())
    } else {
        None
    };
    problem.map_or(Ok(()), |problem| Err(format!("{problem}: {ran:#?}").into()))
}

fn a_busy_port() -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let workspace = workspace("");
    for args in [&["--port", &port][..], &["--", "--port", &port]] {
        let ran = run(mxfp4(workspace.path())
            .args(["serve", "--model", "model"])
            .args(args));
        expect(&ran, 5, &[&format!("port {port} is busy"), "--port"])?;
    }
    Ok(())
}

/// Root reads what the permissions forbid, so as root the capabilities that allow it are dropped.
fn an_unreadable_model_folder() -> Tested {
    use std::os::unix::fs::PermissionsExt;
    let workspace = workspace("");
    let model = workspace.path().join("model");
    let mut command = mxfp4(workspace.path());
    if crate::support::is_root() {
        let setpriv = match tool("setpriv") {
            Ok(setpriv) => setpriv,
            Err(skip) => return Ok(Completion::ignored_with(skip)),
        };
        command = Command::new(setpriv);
        command
            .args([
                "--bounding-set=-dac_override,-dac_read_search",
                "--inh-caps=-all",
            ])
            .arg(env!("CARGO_BIN_EXE_mxfp4"))
            .env_clear()
            .env("HOME", workspace.path())
            .current_dir(workspace.path());
    }
    let set =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set(&model, 0o000)?;
    let ran = run(command.args(["serve", "--model", "model"]));
    set(&model, 0o755)?;
    expect(&ran, 5, &["model", "cannot be read", "Permission denied"])?;
    Ok(Completion::Completed)
}

/// Whatever takes MAX or Mojo ends at once; what takes neither still answers.
fn a_glibc_that_is_too_old() -> Tested {
    let workspace = workspace("");
    if let Err(skip) = crate::support::old_glibc(workspace.path()) {
        return Ok(Completion::ignored_with(skip));
    }
    let old = |args: &[&str]| {
        run(mxfp4(workspace.path())
            .args(args)
            .env("LD_LIBRARY_PATH", workspace.path()))
    };
    for args in [
        &["setup"][..],
        &["build"],
        &["test"],
        &["serve", "--model", "model"],
        &["warm", "--model", "model", "--target", "cuda:sm_90a"],
        &["bench", "kernel"],
        &["demo"],
    ] {
        let says = ["Linux on x86-64 with glibc 2.31", "glibc 2.34 or newer"];
        let ran = old(args);
        expect(&ran, 4, &says).map_err(|failed| format!("{args:?}: {failed:?}"))?;
    }
    for args in [
        &["env"][..],
        &["--version"],
        &["serve", "--model", "model", "--dry-run"],
    ] {
        let ran = old(args);
        if ran.code != Some(0) {
            return Err(format!("{args:?}: {ran:#?}").into());
        }
    }
    Ok(Completion::Completed)
}

fn a_syntax_error() -> Tested {
    let sdk = match sdk() {
        Ok(sdk) => sdk,
        Err(skip) => return Ok(Completion::ignored_with(skip)),
    };
    let workspace = folder([
        (
            "mxfp4.toml",
            "[[kernels]]\nname = \"broken\"\nsource = \"kernels/broken\"\n",
        ),
        (
            "kernels/broken/__init__.mojo",
            "def fine():\n    pass\n\n\ndef broken(:\n    pass\n",
        ),
    ]);
    let ran = run(mxfp4(workspace.path()).arg("build").env("MXFP4_SDK", sdk));
    let source = workspace.path().join("kernels/broken/__init__.mojo");
    let place = format!("\n --> {}:5:12\n", source.display());
    if ran.code != Some(1)
        || !ran.stderr.contains(&place)
        || !ran.stderr.contains('^')
        || !ran.stdout.is_empty()
    {
        return Err(format!("the compiler's message at {place} is not passed on: {ran:#?}").into());
    }
    if ran.stderr.contains("panicked") || workspace.path().join("build/broken.mojoc").exists() {
        return Err(format!("{ran:#?}").into());
    }
    Ok(Completion::Completed)
}

/// A package that compiles and does not hold the ops is refused before a server starts. `--no-check` gets past the GPU.
fn a_package_that_cannot_be_loaded() -> Tested {
    let sdk = match sdk() {
        Ok(sdk) => sdk,
        Err(skip) => return Ok(Completion::ignored_with(skip)),
    };
    let workspace = workspace("[[kernels]]\nname = \"empty\"\nsource = \"kernels/empty\"\n");
    let package = workspace.path().join("kernels/empty");
    std::fs::create_dir_all(&package)?;
    std::fs::write(package.join("__init__.mojo"), "")?;
    std::os::unix::fs::symlink(
        crate::support::repository().join("python"),
        workspace.path().join("python"),
    )?;
    let ran = run(mxfp4(workspace.path())
        .args(["serve", "--no-check", "--model", "model"])
        .envs([free_port()])
        .env("MXFP4_SDK", sdk)
        .env("CUDA_VISIBLE_DEVICES", ""));
    expect(
        &ran,
        5,
        &["cannot be loaded", "empty.mojoc", "does not register"],
    )?;
    Ok(Completion::Completed)
}
