//! A Modular checkout, small but real: `bazelw`, `max/kernels/src`, and a Bazel that builds its packages.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::support::{Ran, TestWorkspace, mxfp4, run, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = [
        ("it_builds_through_bazelw", builds as fn()),
        ("a_newer_checkout_has_another_target", a_newer_checkout),
        ("a_failed_build", a_failed_build),
        ("its_outputs_are_where_bazel_says", outputs_elsewhere),
        ("what_was_built_is_what_is_printed", what_was_built),
    ]
    .map(|(name, test)| {
        trial::ignorable(module_path!(), name, move || -> Tested {
            match tool("bazel") {
                Err(why) => Ok(Completion::ignored_with(why)),
                Ok(_) => {
                    test();
                    Ok(Completion::Completed)
                }
            }
        })
    })
    .into();
    trials.extend([
        trial::test(module_path!(), "nothing_to_build", || {
            done(nothing_to_build)
        }),
        trial::test(module_path!(), "bazel_gets_its_flags", || {
            done(bazel_gets_its_flags)
        }),
        trial::test(module_path!(), "a_bazelw_that_does_not_run", || {
            done(bazelw_does_not_run)
        }),
        trial::test(module_path!(), "setup_makes_no_sdk", || {
            done(setup_makes_no_sdk)
        }),
        trial::test(module_path!(), "test_runs_what_the_checkout_has", || {
            done(tests)
        }),
        trial::test(module_path!(), "a_test_that_is_not_there_fails", || {
            done(a_test_that_is_not_there)
        }),
        trial::test(module_path!(), "tests_are_synchronous", || {
            done(tests_are_synchronous)
        }),
        trial::test(module_path!(), "serve_says_where_it_listens", || {
            done(serve_says_where)
        }),
    ]);
    trials
}

fn done(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}

/// Without a server, so that no process is left behind, and with its outputs beside the checkout.
const BAZELW: &str = "#!/bin/sh\nroot=$(cd \"$(dirname \"$0\")\" && pwd)\n\
                      exec bazel --batch --output_user_root=\"$root/../out\" \"$@\"\n";
const SDK: &str = "lib/python3.11/site-packages/modular";
const TEST: &str = "max/kernels/test/mxfp4_mojo/test_mxfp4.mojo";
const PYTHON_TEST: &str = "max/tests/integration/API/python/graph/test_mxfp4_moe_kernel.py";

fn target(name: &str, extension: &str) -> String {
    format!(
        "genrule(name = \"{name}\", srcs = glob([\"*.mojo\"]), outs = [\"{name}.{extension}\"], cmd = \"cat $(SRCS) > $@\")\n"
    )
}

struct Checkout(TestWorkspace);

impl Deref for Checkout {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.0
    }
}

impl Checkout {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("bazelw", BAZELW),
            ("WORKSPACE", ""),
            ("max/kernels/src/", ""),
        ];
        all.extend(files);
        let checkout = Self(TestWorkspace::named("checkout", all));
        checkout.make_executable("bazelw");
        checkout
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(&self.path("max/kernels/src"));
        command.env("HOME", self.folder()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.mxfp4(args))
    }

    /// What a shell has in MAX_CUSTOM_EXTENSIONS after `eval "$(mxfp4 env)"`.
    fn loaded(&self) -> Vec<String> {
        let environment = self.run(&["env"]).stdout;
        let script = format!("{environment}\nprintf %s \"$MAX_CUSTOM_EXTENSIONS\"");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split(':').map(str::to_owned).collect()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // Bazel takes the write permission from its outputs' folders.
        let _ = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(self.folder())
            .status();
    }
}

fn builds() {
    let api = target("MOGGKernelAPI", "mojopkg");
    let custom = target("mogg_mxfp4", "mojoc");
    let checkout = Checkout::new(&[
        ("max/kernels/src/Mogg/MOGGKernelAPI/BUILD.bazel", &api),
        ("max/kernels/src/Mogg/MOGGKernelAPI/api.mojo", "one"),
        ("max/kernels/src/custom/BUILD.bazel", &custom),
        ("max/kernels/src/custom/ops.mojo", "two"),
        (
            "mxfp4.toml",
            "[bazel]\ntargets = [\"//max/kernels/src/custom:mogg_mxfp4\"]\n",
        ),
    ]);
    let ran = checkout.run(&["build", "--no-setup"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let packages: Vec<&str> = ran.stdout.lines().collect();
    let expected = [
        "bazel-bin/max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg",
        "bazel-bin/max/kernels/src/custom/mogg_mxfp4.mojoc",
    ]
    .map(|path| checkout.path(path).display().to_string());
    assert_eq!(packages, expected);
    assert_eq!(checkout.loaded(), expected);
    assert_eq!(fs::read_to_string(packages[1]).unwrap(), "two");

    fs::write(checkout.path("max/kernels/src/custom/ops.mojo"), "three").unwrap();
    let ran = checkout.run(&["build"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fs::read_to_string(&expected[1]).unwrap(), "three");
}

fn a_newer_checkout() {
    let folder = "max/kernels/src/graph_compiler/builtin_kernels";
    let api = target("builtin_kernels", "mojoc");
    let checkout = Checkout::new(&[
        (&format!("{folder}/BUILD.bazel"), &api),
        (&format!("{folder}/kernels.mojo"), "one"),
    ]);
    let ran = checkout.run(&["build"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let package = checkout.path(&format!("bazel-bin/{folder}/builtin_kernels.mojoc"));
    assert_eq!(ran.stdout, format!("{}\n", package.display()));
}

/// A checkout with two targets, and these lines in its `.bazelrc`.
fn two_targets(bazelrc: &str) -> Checkout {
    let api = target("MOGGKernelAPI", "mojopkg");
    let custom = target("mogg_mxfp4", "mojoc");
    Checkout::new(&[
        ("max/kernels/src/Mogg/MOGGKernelAPI/BUILD.bazel", &api),
        ("max/kernels/src/Mogg/MOGGKernelAPI/api.mojo", "one"),
        ("max/kernels/src/custom/BUILD.bazel", &custom),
        ("max/kernels/src/custom/ops.mojo", "two"),
        (".bazelrc", bazelrc),
        (
            "mxfp4.toml",
            "[bazel]\ntargets = [\"//max/kernels/src/custom:mogg_mxfp4\"]\n",
        ),
    ])
}

fn outputs_elsewhere() {
    let names = [
        "max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg",
        "max/kernels/src/custom/mogg_mxfp4.mojoc",
    ];
    for bazelrc in [
        "build --symlink_prefix=made-\n",
        "build --experimental_convenience_symlinks=ignore\n",
    ] {
        let checkout = two_targets(bazelrc);
        // Of an earlier build, or of another checkout that this one was copied from.
        for name in names {
            let old = checkout.path("../old").join(name);
            fs::create_dir_all(old.parent().unwrap()).unwrap();
            fs::write(old, "old").unwrap();
        }
        symlink("../old", checkout.path("bazel-bin")).unwrap();
        let ran = checkout.run(&["build"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let packages: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        let contents = || -> Vec<String> {
            let read = packages.iter().map(fs::read_to_string);
            read.map(Result::unwrap).collect()
        };
        assert_eq!(contents(), ["one", "two"], "{bazelrc}: {packages:?}");
        assert_eq!(checkout.loaded(), packages, "{bazelrc}");
        // What is imported is built with them.
        let environment = checkout.run(&["env", "--json"]).stdout;
        let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
        let import_path = environment["MODULAR_MOJO_MAX_IMPORT_PATH"]
            .as_str()
            .unwrap();
        let built = import_path.split(',').next().unwrap();
        assert!(packages[0].starts_with(built), "{import_path}");

        if bazelrc.contains("made-") {
            continue;
        }
        fs::write(checkout.path("max/kernels/src/custom/ops.mojo"), "three").unwrap();
        let ran = checkout.run(&["build", "--debug"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let debug: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        assert_ne!(debug, packages);
        assert_eq!(fs::read_to_string(&debug[1]).unwrap(), "three");
        assert_eq!(checkout.loaded(), debug);
    }
}

/// The package that was loaded first is of an older state of the checkout, and so is its file.
fn what_was_built() {
    let checkout = two_targets("");
    assert_eq!(checkout.run(&["build"]).code, Some(0));
    let old = checkout.path("max/kernels/src/Mogg/MOGGKernelAPI/BUILD.bazel");
    fs::remove_file(old).unwrap();
    let folder = "max/kernels/src/graph_compiler/builtin_kernels";
    fs::create_dir_all(checkout.path(folder)).unwrap();
    let api = target("builtin_kernels", "mojoc");
    fs::write(checkout.path(&format!("{folder}/BUILD.bazel")), api).unwrap();
    fs::write(checkout.path(&format!("{folder}/kernels.mojo")), "new").unwrap();
    let ran = checkout.run(&["build"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let expected = [
        "bazel-bin/max/kernels/src/graph_compiler/builtin_kernels/builtin_kernels.mojoc",
        "bazel-bin/max/kernels/src/custom/mogg_mxfp4.mojoc",
    ]
    .map(|path| checkout.path(path).display().to_string());
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    assert_eq!(checkout.loaded(), expected);

    // The file of the build before is there still.
    let api = target("builtin_kernels", "txt");
    fs::write(checkout.path(&format!("{folder}/BUILD.bazel")), api).unwrap();
    let ran = checkout.run(&["build"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let message = "error: `bazelw build` succeeded, but //max/kernels/src/graph_compiler/builtin_kernels:builtin_kernels \
                   made no kernel package (a .mojoc or .mojopkg file); name a target that makes one, with \
                   `bazel.kernel-api` or `bazel.targets` in mxfp4.toml";
    assert!(ran.stderr.contains(message), "{ran:?}");
}

fn a_failed_build() {
    let fail = "cmd = \"echo $(SRCS):1:4: error: bad >&2; false ";
    let api = target("MOGGKernelAPI", "mojopkg").replace("cmd = \"cat ", fail);
    let checkout = Checkout::new(&[
        ("max/kernels/src/Mogg/MOGGKernelAPI/BUILD.bazel", &api),
        ("max/kernels/src/Mogg/MOGGKernelAPI/api.mojo", "one"),
    ]);
    let ran = checkout.run(&["build"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.stderr.contains("`bazelw build` failed (exit code 1)"),
        "{ran:?}"
    );
    // From the folder that this was started in, Bazel's own relative path opens nothing.
    let source = checkout.path("max/kernels/src/Mogg/MOGGKernelAPI/api.mojo");
    let diagnostic = format!("\n{}:1:4: error: bad\n", source.display());
    assert!(ran.stderr.contains(&diagnostic), "{ran:?}");
}

fn nothing_to_build() {
    let ran = Checkout::new(&[]).run(&["build"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("nothing to build"), "{ran:?}");
    assert!(ran.stderr.contains("bazel.targets"), "{ran:?}");
}

/// Writes down its arguments as they were before `mxfp4` asked for events, and tells that it made what is there.
const STAND_IN: &str = r#"#!/bin/sh
for flag; do
    case $flag in --build_event_json_file=*) events=${flag#*=} ;; esac
done
echo "bazelw $*" | sed 's/ --build_event_[^ ]*//g' >> "$LOG"
name=max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg
cat > "$events" <<END
{"id":{"namedSet":{"id":"0"}},"namedSetOfFiles":{"files":[{"name":"$name","uri":"file://$PWD/bazel-bin/$name","pathPrefix":["bazel-bin"]}]}}
{"id":{"targetCompleted":{"label":"//${name%/*}:MOGGKernelAPI"}},"completed":{"outputGroup":[{"name":"default","fileSets":[{"id":"0"}]}]}}
END
"#;

/// A checkout with an environment of its own that only pretends: its mojo and its python write down their arguments.
fn with_sdk(files: &[(&str, &str)]) -> Checkout {
    let log = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> \"$LOG\"\n";
    // pytest looks for tests.
    let python = format!(
        "{log}echo '{{\"event\":\"root\",\"path\":\"/\"}}' >> \"${{MXFP4_PYTEST_EVENTS-/dev/null}}\"\n"
    );
    let sdk = [
        (format!(".venv/{SDK}/bin/mojo"), log),
        (format!(".venv/{SDK}/lib/mojo/std.mojoc"), ""),
        (".venv/bin/python".to_owned(), &python),
        (".venv/pyvenv.cfg".to_owned(), "version_info = 3.11.7\n"),
    ];
    let api = "max/kernels/src/Mogg/MOGGKernelAPI/BUILD.bazel";
    let package = "bazel-bin/max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg";
    let mut all = vec![(api, ""), (package, ""), ("bazelw", STAND_IN)];
    all.extend(sdk.iter().map(|(name, text)| (name.as_str(), *text)));
    all.extend(files);
    let checkout = Checkout::new(&all);
    for name in [
        format!(".venv/{SDK}/bin/mojo"),
        ".venv/bin/python".to_owned(),
    ] {
        checkout.make_executable(&name);
    }
    checkout
}

fn bazel_gets_its_flags() {
    let config = "[bazel]\ncompilation-mode = \"opt\"\nstartup-flags = [\"--host_jvm_args=-Xmx4g\"]\n\
                  flags = [\"--remote_cache=grpc://cache:9092\"]\n";
    let api = "//max/kernels/src/Mogg/MOGGKernelAPI:MOGGKernelAPI";
    for (flag, mode) in [
        (None, "opt"),
        (Some("--release"), "opt"),
        (Some("--debug"), "dbg"),
    ] {
        let checkout = with_sdk(&[("mxfp4.toml", config)]);
        let log = checkout.path("log");
        let mut command = checkout.mxfp4(&["build"]);
        let ran = run(command.args(flag).env("LOG", &log));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let expected = format!(
            "bazelw --host_jvm_args=-Xmx4g build --compilation_mode={mode} \
             --remote_cache=grpc://cache:9092 {api}\n"
        );
        assert_eq!(fs::read_to_string(log).unwrap(), expected);
    }
    for flag in ["--clean", "--target-accelerator=sm_90a"] {
        let checkout = with_sdk(&[]);
        let ran = run(checkout.mxfp4(&["build", flag]).env("LOG", "/dev/null"));
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    let checkout = with_sdk(&[]);
    let mut command = checkout.mxfp4(&["build", "--message-format=json"]);
    let ran = run(command.env("LOG", "/dev/null"));
    let reasons: Vec<_> = ran
        .stdout
        .lines()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "{\"reason\":\"compiler-artifact\"",
            "{\"reason\":\"build-finished\""
        ]
    );
}

fn bazelw_does_not_run() {
    let checkout = with_sdk(&[]);
    let bazelw = checkout.path("bazelw");
    let shown = bazelw.display();
    let refused = |expected: String| {
        let ran = checkout.run(&["build"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(
            ran.stderr.lines().last(),
            Some(&*format!("error: {expected}"))
        );
        // The doctor says the same.
        let doctor = checkout.run(&["doctor", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let row = checks.iter().find(|check| check["id"] == "bazel").unwrap();
        let (found, fix) = (row["found"].as_str().unwrap(), row["fix"].as_str().unwrap());
        assert_eq!(format!("{found}; {fix}"), expected);
        assert_eq!(row["state"], "failing");
    };
    fs::write(&bazelw, "#!/bin/sh\r\nexec true\r\n").unwrap();
    refused(format!(
        "{shown} has the line ends of Windows (CRLF), and so no `/bin/sh` is found to run it; run `sed -i 's/\\r$//' \
         {shown}`, and have git leave line ends alone with `git config core.autocrlf input`"
    ));
    fs::set_permissions(&bazelw, fs::Permissions::from_mode(0o644)).unwrap();
    refused(format!("{shown} is not executable; run `chmod +x {shown}`"));
}

fn setup_makes_no_sdk() {
    let ran = Checkout::new(&[]).run(&["setup"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("no SDK is made in a Modular checkout"),
        "{ran:?}"
    );

    let checkout = with_sdk(&[]);
    let ran = checkout.run(&["setup"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let modular = checkout.path(&format!(".venv/{SDK}"));
    assert!(ran.stderr.contains(modular.to_str().unwrap()), "{ran:?}");
}

fn tests() {
    let checkout = with_sdk(&[(TEST, ""), (PYTHON_TEST, "")]);
    let log = checkout.path("log");
    let ran = run(checkout.mxfp4(&["test"]).env("LOG", &log));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = fs::read_to_string(log).unwrap();
    let commands: Vec<&str> = log.lines().collect();
    assert_eq!(commands.len(), 3, "{log}");
    assert_eq!(
        commands[0],
        "bazelw build //max/kernels/src/Mogg/MOGGKernelAPI:MOGGKernelAPI"
    );
    assert_eq!(commands[1], format!("mojo run -I max/kernels/src {TEST}"));
    let filter = "-k test_mxfp4_grouped_matmul_matches_dense";
    let pytest = format!("python -m pytest {PYTHON_TEST} {filter} ");
    assert!(commands[2].starts_with(&pytest), "{log}");
    assert!(
        ran.stdout.ends_with("\n1 passed, 0 failed, 0 skipped\n"),
        "{ran:?}"
    );
}

fn a_test_that_is_not_there() {
    let checkout = with_sdk(&[]);
    let ran = run(checkout.mxfp4(&["test"]).env("LOG", checkout.path("log")));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("there is no such file"), "{ran:?}");
    assert!(ran.stdout.contains("tests.mojo"), "{ran:?}");
    assert!(ran.stdout.contains(" test test_mxfp4\n"), "{ran:?}");
}

/// As the environment that the checkout's own tasks have, where nobody says otherwise. Whatever else is run is not.
fn tests_are_synchronous() {
    let mode = "MODULAR_DEVICE_CONTEXT_SYNC_MODE";
    let show = "#!/bin/sh\necho \"$(basename \"$0\") ${MODULAR_DEVICE_CONTEXT_SYNC_MODE-unset} ${MODULAR_DEBUG-unset}\" >> \"$LOG\"\n";
    let (mojo, python) = (
        format!(".venv/{SDK}/bin/mojo"),
        ".venv/bin/python".to_owned(),
    );
    for (args, set, expected) in [
        (&["test"][..], None, "true device-sync-mode"),
        (&["test"], Some("false"), "false unset"),
        (&["test", "--debug"], Some("false"), "true device-sync-mode"),
        (&["run", "--", "mojo"], None, "unset unset"),
        (
            &["run", "--debug", "--", "mojo"],
            None,
            "true device-sync-mode",
        ),
    ] {
        let checkout = with_sdk(&[
            (TEST, ""),
            (PYTHON_TEST, ""),
            (&mojo, show),
            (&python, show),
        ]);
        let log = checkout.path("log");
        let mut command = checkout.mxfp4(args);
        command
            .env("LOG", &log)
            .envs(set.map(|value| (mode, value)));
        run(&mut command);
        let log = fs::read_to_string(log).unwrap();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| !line.starts_with("bazelw "))
            .collect();
        let programs = if args[0] == "test" {
            &["mojo", "python"][..]
        } else {
            &["mojo"]
        };
        let expected: Vec<String> = programs
            .iter()
            .map(|program| format!("{program} {expected}"))
            .collect();
        assert_eq!(lines, expected, "{args:?} {set:?}");
    }
    let checkout = with_sdk(&[]);
    let explained = |set: Option<&str>| {
        let mut command = checkout.mxfp4(&["env", "--explain"]);
        run(command.envs(set.map(|value| (mode, value)))).stdout
    };
    let told = format!(
        "\n{mode} (not set)\n    not set: `mxfp4 test` sets it to true in a Modular checkout, as the checkout's own \
         environment does; for `run`, `shell` and `env` --debug does\n"
    );
    assert!(explained(None).contains(&told), "{}", explained(None));
    assert!(!explained(Some("false")).contains("`mxfp4 test` sets it"));
    // What is evaluated sets and unsets nothing of it.
    assert!(!checkout.run(&["env"]).stdout.contains(mode));
}

fn serve_says_where() {
    let entry_point = ".venv/lib/python3.11/site-packages/max/_entrypoints/pipelines.py";
    let checkout = with_sdk(&[(entry_point, "--host")]);
    let log = checkout.path("log");
    for (host, says) in [
        (
            None,
            "http://127.0.0.1:8000, this machine alone; the checkout's own default is all addresses: --host 0.0.0.0\n",
        ),
        (Some("0.0.0.0"), "http://0.0.0.0:8000\n"),
    ] {
        let mut command = checkout.mxfp4(&["serve", "--no-check", "--model", "gone/model"]);
        command.args(host.iter().flat_map(|host| ["--host", host]));
        let ran = run(command.env("LOG", &log));
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
}
