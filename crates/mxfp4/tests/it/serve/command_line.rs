//! What `--dry-run` prints is run by a shell, with a Python that only says what it was started with.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::support::{MODEL, folder, mxfp4, run, trial};

/// An SDK's files, as far as a dry run looks at them, and the Python that tells.
const SDK: [(&str, &str); 4] = [
    (
        "bin/python",
        "#!/bin/sh\nfor word; do printf 'argument %s\\n' \"$word\"; done\nenv | sed 's/^/variable /'\n",
    ),
    ("lib/python3.11/site-packages/modular/bin/mojo", ""),
    (
        "lib/python3.11/site-packages/max/_entrypoints/pipelines.py",
        "\"--host\"",
    ),
    (
        "lib/python3.11/site-packages/max/pipelines/modeling/config_enums.py",
        "\"float4_e2m1fnx2\"",
    ),
];

/// What an older MAX has in place of the last two.
const OLD_MAX: [(&str, &str); 2] = [
    (
        "lib/python3.11/site-packages/max/entrypoints/pipelines.py",
        "\"--port\"",
    ),
    (
        "lib/python3.11/site-packages/max/pipelines/lib/config_enums.py",
        "\"mxfp4\"",
    ),
];

/// Our Python package, as far as it is looked for.
const STARTER: (&str, &str) = ("python/mxfp4/start.py", "");

/// The folder's name holds what a shell would trip over.
const ROOT: &str = "it's a $HOME `pwd`";

pub fn trials() -> Vec<Trial> {
    vec![
        trial::test(
            module_path!(),
            "the_command_is_max_s_with_our_flags",
            the_command,
        ),
        trial::test(
            module_path!(),
            "an_older_max_is_started_in_its_own_way",
            an_older_max,
        ),
        trial::test(
            module_path!(),
            "flags_after_the_dashes_win_and_are_not_given_twice",
            the_users_flags,
        ),
        trial::test(
            module_path!(),
            "the_address_is_the_flag_s_then_the_variable_s_then_the_configuration_s",
            the_address,
        ),
        trial::test(
            module_path!(),
            "telemetry_is_off_unless_asked_for_and_metrics_stay",
            telemetry,
        ),
        trial::test(
            module_path!(),
            "the_cache_is_the_workspace_s_unless_the_user_has_one",
            the_cache,
        ),
        trial::test(
            module_path!(),
            "what_waits_is_limited_unless_the_user_says_how",
            queue_limits,
        ),
        trial::test(
            module_path!(),
            "tool_calls_are_left_unconstrained_where_max_can",
            tool_calls,
        ),
        trial::test(
            module_path!(),
            "samplers_take_masks_where_the_front_end_is_ours",
            grammars,
        ),
        trial::test(
            module_path!(),
            "the_kernels_check_can_be_left_out",
            self_check,
        ),
        trial::test(
            module_path!(),
            "synchronous_execution_is_taken_away",
            synchronous,
        ),
        trial::test(
            module_path!(),
            "without_an_sdk_the_command_is_printed_and_the_lack_said",
            without_an_sdk,
        ),
        trial::test(module_path!(), "a_model_is_compiled_ahead_for_hopper", warm),
        trial::test(
            module_path!(),
            "the_drain_is_the_flag_s_or_the_variable_s",
            drain,
        ),
        trial::test(
            module_path!(),
            "a_model_that_looks_like_a_flag_is_refused",
            a_model_like_a_flag,
        ),
        trial::test(
            module_path!(),
            "what_would_be_refused_is_said_on_stderr",
            what_would_be_refused,
        ),
    ]
}

/// What a program was started with.
#[derive(Debug)]
struct Started {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    /// What `mxfp4` itself said.
    said: String,
}

impl Started {
    fn has(&self, expected: &[&str]) -> Result<(), Failed> {
        if expected
            .windows(1)
            .all(|word| self.arguments.contains(&word[0].to_owned()))
            && self
                .arguments
                .windows(expected.len())
                .any(|words| words == expected)
        {
            return Ok(());
        }
        Err(format!("{expected:?} is not in {:?}", self.arguments).into())
    }

    fn lacks(&self, word: &str) -> Result<(), Failed> {
        match self.arguments.iter().any(|argument| argument == word) {
            false => Ok(()),
            true => Err(format!("{word} is in {:?}", self.arguments).into()),
        }
    }

    fn variable(&self, name: &str, expected: Option<&str>) -> Result<(), Failed> {
        let found = self.variables.get(name).map(String::as_str);
        match found == expected {
            true => Ok(()),
            false => Err(format!("{name} is {found:?} and not {expected:?}").into()),
        }
    }
}

/// A workspace with an SDK in it, in a folder that needs quoting.
fn workspace(sdk: &[(&str, &str)], config: &str) -> tempfile::TempDir {
    let model = MODEL.map(|(name, text)| (format!("{ROOT}/model/{name}"), text));
    let sdk = sdk
        .iter()
        .map(|(name, text)| (format!("{ROOT}/.venv/{name}"), *text));
    let workspace = folder(
        sdk.chain(model)
            .chain([(format!("{ROOT}/mxfp4.toml"), config)])
            .chain([(format!("{ROOT}/{}", STARTER.0), STARTER.1)]),
    );
    let python = workspace.path().join(ROOT).join(".venv/bin/python");
    if python.exists() {
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(python, executable).expect("permissions can be set");
    }
    workspace
}

/// What `mxfp4 serve` would start.
fn start(
    workspace: &Path,
    arguments: &[&str],
    ambient: &[(&str, &str)],
) -> Result<Started, Failed> {
    start_by("serve", workspace, arguments, ambient)
}

/// Prints the command with `--dry-run` and has a shell run it.
fn start_by(
    subcommand: &str,
    workspace: &Path,
    arguments: &[&str],
    ambient: &[(&str, &str)],
) -> Result<Started, Failed> {
    let root = workspace.join(ROOT);
    let mut dry_run = mxfp4(&root);
    dry_run
        .args([subcommand, "--dry-run"])
        .args(arguments)
        .envs(ambient.iter().copied());
    let printed = run(&mut dry_run);
    if printed.code != Some(0) {
        return Err(format!("{printed:#?}").into());
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &printed.stdout])
        .current_dir(&root)
        .env_clear()
        .envs(ambient.iter().copied());
    let ran = run(shell.env("PATH", "/usr/bin:/bin").env("HOME", &root));
    if ran.code != Some(0) {
        return Err(
            format!("a shell does not accept what is printed: {printed:#?} {ran:#?}").into(),
        );
    }
    let of = |kind: &str| -> Vec<String> {
        let lines = ran
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix(kind));
        lines.map(str::to_owned).collect()
    };
    let pairs = of("variable ");
    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
    Ok(Started {
        arguments: of("argument "),
        variables: pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        said: printed.stderr,
    })
}

fn the_command() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let started = start(workspace.path(), &["--model", "openai/gpt-oss-20b"], &[])?;
    let expected = "-m mxfp4.start max._entrypoints.pipelines serve --model openai/gpt-oss-20b --quantization-encoding \
                    float4_e2m1fnx2 --devices gpu --custom-architectures mxfp4.gpt_oss --host 127.0.0.1 --port 8000 \
                    --device-graph-capture --force";
    if started.arguments.join(" ") != expected {
        return Err(format!("{:?}", started.arguments).into());
    }
    let root = workspace.path().join(ROOT);
    started.variable("PYTHONPATH", root.join("python").to_str())?;
    started.variable("MAX_ALLOW_UNSUPPORTED_ENCODING", Some("1"))?;

    for against in ["--no-device-graph-capture", "--no-enable-overlap-scheduler"] {
        let started = start(workspace.path(), &["--model", "model", "--", against], &[])?;
        started.lacks("--device-graph-capture")?;
    }
    // Without our Python package there is no engine, and MAX's own server can be started all the same.
    fs::remove_file(root.join(STARTER.0))?;
    let refused = run(mxfp4(&root).args(["serve", "--dry-run", "--model", "model"]));
    if refused.code != Some(5) || !refused.stderr.contains("or with --frontend max") {
        return Err(format!("{refused:#?}").into());
    }
    let max = ["--model", "openai/gpt-oss-20b", "--frontend", "max"];
    let started = start(workspace.path(), &max, &[])?;
    if started.arguments.join(" ") != expected.replacen("-m mxfp4.start", "-m", 1) {
        return Err(format!("{:?}", started.arguments).into());
    }
    fs::write(root.join(STARTER.0), "")?;

    let several = ["--model", "model", "--devices", "gpu:0,1"];
    start(workspace.path(), &several, &[])?.has(&["--device-graph-capture"])?;
    let other = self::workspace(&SDK, "[serve]\ncustom-architectures = [\"other\"]\n");
    start(other.path(), &["--model", "model"], &[])?.lacks("--device-graph-capture")
}

fn an_older_max() -> Result<(), Failed> {
    let workspace = workspace(&[&SDK[..2], &OLD_MAX].concat(), "");
    let max = ["--model", "model", "--frontend", "max"];
    let started = start(workspace.path(), &max, &[])?;
    started.has(&[
        "-m",
        "mxfp4.start",
        "max.entrypoints.pipelines",
        "serve",
        "--model",
        "model",
    ])?;
    started.has(&["--quantization-encoding", "mxfp4"])?;
    started.lacks("--host")?;
    started.variable("MAX_SERVE_HOST", Some("127.0.0.1"))
}

fn the_users_flags() -> Result<(), Failed> {
    let config = "[serve]\nflags = [\"--max-length\", \"1024\", \"--max-batch-size\", \"8\"]\n";
    let workspace = workspace(&SDK, config);
    let users = [
        "--",
        "--model-path",
        "model",
        "--port=9000",
        "--max-length",
        "512",
        "--no-force",
    ];
    let started = start(workspace.path(), &users, &[])?;
    started.has(&[
        "--max-batch-size",
        "8",
        "--model-path",
        "model",
        "--max-length",
        "512",
        "--no-force",
    ])?;
    started.has(&["--port", "9000"])?;
    for ours in ["--model", "--port=9000", "--force", "1024"] {
        started.lacks(ours)?;
    }
    Ok(())
}

fn warm() -> Result<(), Failed> {
    let config = "[serve]\nflags = [\"--max-length\", \"1024\"]\n";
    let workspace = workspace(&SDK, config);
    let warm = |arguments: &[&str]| start_by("warm", workspace.path(), arguments, &[]);
    let module = ["-m", "mxfp4.run_module", "max._entrypoints.pipelines"];

    let started = warm(&["--model", "model", "--target", "cuda:sm_90"])?;
    started.has(&[&module[..], &["warm-cache"]].concat())?;
    started.has(&["--model", "model", "--quantization-encoding"])?;
    started.has(&["--target", "cuda:sm_90"])?;
    // What changes the compiled model is as for `serve`; it listens nowhere.
    started.has(&["--max-length", "1024"])?;
    started.has(&["--custom-architectures", "mxfp4.gpt_oss"])?;
    started.lacks("--port")?;

    // Where there is a Hopper GPU, the model is compiled for it.
    let started = warm(&["--model", "model", "--", "--max-length", "512"])?;
    if !Path::new("/dev/nvidiactl").exists() {
        started.has(&["--target", "cuda:sm_90a"])?;
    }
    started.has(&["--max-length", "512"])
}

fn the_address() -> Result<(), Failed> {
    let configured = "[serve]\nhost = \"127.0.0.2\"\nport = 8100\n";
    let variables = [("MAX_SERVE_HOST", "127.0.0.3"), ("MAX_SERVE_PORT", "8200")];
    let flags = ["--model", "model", "--host", "127.0.0.4", "--port", "8300"];
    for (config, arguments, ambient, host, port) in [
        ("", &flags[..2], &[][..], "127.0.0.1", "8000"),
        (configured, &flags[..2], &[], "127.0.0.2", "8100"),
        (configured, &flags[..2], &variables[..], "127.0.0.3", "8200"),
        (configured, &flags, &variables, "127.0.0.4", "8300"),
    ] {
        let workspace = workspace(&SDK, config);
        // MAX itself opens no port then.
        let started = start(workspace.path(), arguments, ambient)?;
        started.has(&["--host", "127.0.0.1", "--port", port])?;
        let here = format!("mxfp4 answers HTTP itself on http://{host}:{port};");
        if !started.said.contains(&here) {
            return Err(started.said.into());
        }
        let max = [arguments, &["--frontend", "max"]].concat();
        let started = start(workspace.path(), &max, ambient)?;
        started.has(&["--host", host, "--port", port])?;
    }
    Ok(())
}

fn telemetry() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let asked = ["--model", "model", "--telemetry"];
    let silent = start(
        workspace.path(),
        &asked[..2],
        &[("OTEL_SDK_DISABLED", "false")],
    )?;
    let talking = start(workspace.path(), &asked, &[])?;
    for (name, off, on) in [
        ("MODULAR_TELEMETRY_ENABLED", "0", Some("1")),
        ("OTEL_SDK_DISABLED", "true", None),
        ("HF_HUB_DISABLE_TELEMETRY", "1", None),
    ] {
        silent.variable(name, Some(off))?;
        talking.variable(name, on)?;
    }
    silent.variable("MAX_SERVE_DISABLE_TELEMETRY", None)
}

fn the_cache() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let ours = workspace.path().join(ROOT).join(".mxfp4/cache");
    let arguments = ["--model", "model"];
    start(workspace.path(), &arguments, &[])?.variable("MODULAR_CACHE_DIR", ours.to_str())?;
    let users = [("MODULAR_CACHE_DIR", "/users/own")];
    start(workspace.path(), &arguments, &users)?.variable("MODULAR_CACHE_DIR", Some("/users/own"))
}

fn queue_limits() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let arguments = ["--model", "model"];
    let started = start(workspace.path(), &arguments, &[])?;
    started.variable("MAX_SERVE_MAX_PENDING_REQUESTS", Some("1024"))?;
    started.variable("MAX_SERVE_MAX_QUEUE_SIZE", Some("512"))?;
    let users = [("MAX_SERVE_MAX_PENDING_REQUESTS", "7")];
    let started = start(workspace.path(), &arguments, &users)?;
    started.variable("MAX_SERVE_MAX_PENDING_REQUESTS", Some("7"))
}

const SAMPLING: &str = "lib/python3.11/site-packages/max/pipelines/sampling/sampling_config.py";

fn tool_calls() -> Result<(), Failed> {
    let policy = [(SAMPLING, "tool_call_policy: ToolCallPolicy")];
    let workspace = workspace(&[&SDK[..], &policy].concat(), "");
    let ours = ["--tool-call-policy", "force_unconstrained"];
    start(workspace.path(), &["--model", "model"], &[])?.has(&ours)?;
    start_by("warm", workspace.path(), &["--model", "model"], &[])?.has(&ours)
}

fn grammars() -> Result<(), Failed> {
    let sampling = [(SAMPLING, "enable_structured_output: bool")];
    let workspace = workspace(&[&SDK[..], &sampling].concat(), "");
    let ours = ["--enable-structured-output"];
    let model = ["--model", "model"];
    // What is compiled ahead is what a start needs.
    start(workspace.path(), &model, &[])?.has(&ours)?;
    start_by("warm", workspace.path(), &model, &[])?.has(&ours)?;
    let without = ["--model", "model", "--", "--no-enable-structured-output"];
    start(workspace.path(), &without, &[])?.lacks(ours[0])?;
    let theirs = ["--model", "model", "--frontend", "max"];
    start(workspace.path(), &theirs, &[])?.lacks(ours[0])
}

fn self_check() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let without = ["--model", "model", "--no-self-check"];
    start(workspace.path(), &without[..2], &[])?.variable("MXFP4_SELF_CHECK", None)?;
    start(workspace.path(), &without, &[])?.variable("MXFP4_SELF_CHECK", Some("0"))
}

fn synchronous() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let ambient = [("MODULAR_DEVICE_CONTEXT_SYNC_MODE", "true")];
    let started = start(workspace.path(), &["--model", "model"], &ambient)?;
    started.variable("MODULAR_DEVICE_CONTEXT_SYNC_MODE", None)
}

fn without_an_sdk() -> Result<(), Failed> {
    let workspace = workspace(&[], "");
    let ran =
        run(mxfp4(&workspace.path().join(ROOT)).args(["serve", "--dry-run", "--model", "model"]));
    let says = |part: &str| ran.stderr.contains(part);
    if ran.code != Some(0)
        || !ran
            .stdout
            .contains("-m mxfp4.start max._entrypoints.pipelines serve --model model")
        || !says("there is no SDK yet")
        || !says("no kernel package is built yet")
    {
        return Err(format!("{ran:#?}").into());
    }
    Ok(())
}

fn what_would_be_refused() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let root = workspace.path().join(ROOT);
    let ran = run(mxfp4(&root)
        .args([
            "serve",
            "--dry-run",
            "--model",
            "./missing",
            "--port",
            "8001",
        ])
        .env("CUDA_VISIBLE_DEVICES", ""));
    let refusals: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("would be refused here"))
        .collect();
    let expected = ["./missing does not exist", "/metrics", "GPU"];
    let all = refusals.len() == 3
        && refusals
            .iter()
            .zip(expected)
            .all(|(line, part)| line.contains(part));
    match ran.code == Some(0) && all {
        true => Ok(()),
        false => Err(format!("{ran:#?}").into()),
    }
}

fn drain() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let name = "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S";
    let flags = ["--model", "model", "--drain", "60"];
    start(workspace.path(), &flags[..2], &[])?.variable(name, None)?;
    start(workspace.path(), &flags[..2], &[(name, "7")])?.variable(name, Some("7"))?;
    start(workspace.path(), &flags, &[(name, "7")])?.variable(name, Some("60"))
}

fn a_model_like_a_flag() -> Result<(), Failed> {
    let workspace = workspace(&SDK, "");
    let root = workspace.path().join(ROOT);
    for (arguments, model) in [
        (&["--model=--help"][..], "--help"),
        (&["--model", "-x"], "-x"),
        (&["--model="], ""),
        (&["--", "--model=-x"], "-x"),
    ] {
        let ran = run(mxfp4(&root).args(["serve", "--dry-run"]).args(arguments));
        // clap refuses the second itself.
        let says =
            ran.stderr.contains(&format!("'{model}'")) || ran.stderr.contains("'--model <MODEL>'");
        if ran.code != Some(2) || !says || !ran.stdout.is_empty() {
            return Err(format!("{arguments:?}: {ran:#?}").into());
        }
    }
    Ok(())
}
