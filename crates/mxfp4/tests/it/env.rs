//! `mxfp4 env`, evaluated by real shells in folders with hostile names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Ran, mxfp4, repository, run, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};
use mxfp4_env::render::posix_quote;
use serde_json::Value;
use tempfile::TempDir;

/// A name that means something to every part of a shell's syntax.
const HOSTILE: &str = "a b'c\"$HOME`id`\\\n;&|<>(){}[]*?!#~=%\té";

/// Each shell, and the flags that keep its user's configuration away.
const SHELLS: [(&str, &[&str]); 3] = [
    ("sh", &[]),
    ("bash", &["--norc", "--noprofile"]),
    ("zsh", &["-f"]),
];

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (shell, flags) in SHELLS {
        let mut trial = |name: &str, test: fn(&Shell) -> Result<(), Failed>| {
            trials.push(trial::ignorable(
                module_path!(),
                format!("{shell}_{name}"),
                move || match tool(shell) {
                    Ok(program) => test(&Shell { program, flags }).map(|()| Completion::Completed),
                    Err(reason) => Ok(Completion::ignored_with(format!("skipped: {reason}"))),
                },
            ));
        };
        trial("evaluates_to_what_json_says", evaluates_to_what_json_says);
        trial(
            "finds_the_workspaces_programs",
            finds_the_workspaces_programs,
        );
        trial("reads_every_quoted_word_back", reads_every_quoted_word_back);
        if shell != "sh" {
            trial("sources_the_script_from_anywhere", sources_the_script);
        }
    }
    let tests: [(&str, fn()); 15] = [
        ("a_modular_checkout", a_modular_checkout),
        ("a_root_that_is_not_text", a_root_that_is_not_text),
        (
            "debug_adds_synchronous_execution",
            debug_adds_synchronous_execution,
        ),
        ("explain_says_why", explain_says_why),
        ("no_program_is_started", no_program_is_started),
        ("no_sdk_is_a_warning_or_with_strict_an_error", no_sdk),
        ("no_workspace_is_an_error", no_workspace),
        ("the_root_can_be_named", the_root_can_be_named),
        (
            "what_the_format_cannot_carry_is_refused",
            what_the_format_cannot_carry,
        ),
        ("wrong_usage_exits_with_2", wrong_usage),
        ("a_closed_pipe_is_success", a_closed_pipe),
        ("a_full_disk_is_a_failure_that_is_said", a_full_disk),
        (
            "a_closed_stderr_does_not_hide_the_exit_code",
            a_closed_stderr,
        ),
        ("a_deleted_current_folder_is_said", a_deleted_current_folder),
        ("the_editor_is_given_the_same_environment", the_editor),
    ];
    for (name, test) in tests {
        trials.push(trial::test(module_path!(), name, move || {
            test();
            Ok(())
        }));
    }
    trials
}

/// A workspace and an SDK made of empty files, in a folder of this name.
struct Place {
    _folder: TempDir,
    root: PathBuf,
    site: PathBuf,
}

impl Place {
    fn new(name: impl AsRef<OsStr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join(name.as_ref());
        let site = root.join(".venv/lib/python3.11/site-packages");
        let place = Self {
            _folder: folder,
            root,
            site,
        };
        place.write("mxfp4.toml", "");
        place.write("kernels/test/deep/.keep", "");
        place.write("build/mxfp4.mojoc", "");
        for program in ["bin/python", "bin/max", "bin/mojo", "bin/mblack"] {
            place.program(&format!(".venv/{program}"));
        }
        place.program(".venv/lib/python3.11/site-packages/modular/bin/mojo");
        fs::create_dir_all(place.site.join("modular/lib/mojo")).unwrap();
        place
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A program that, when it is started, leaves a trace of that.
    fn program(&self, path: &str) {
        let file = self.write(path, "#!/bin/sh\n: > \"$0.started\"\necho started\n");
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn deep(&self) -> PathBuf {
        self.root.join("kernels/test/deep")
    }

    /// `mxfp4 env ARGS` in a folder deep in the workspace.
    fn env(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(&self.deep());
        command.arg("env").args(args);
        command
    }

    /// What `mxfp4 env --json` says under these variables.
    fn json(&self, variables: &Variables) -> BTreeMap<String, Option<OsString>> {
        let mut command = self.command(&["--json"]);
        let ran = run(command.env_clear().envs(variables));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        parse(&ran.stdout)
    }
}

type Variables = BTreeMap<OsString, OsString>;

fn parse(json: &str) -> BTreeMap<String, Option<OsString>> {
    let Value::Object(values) = serde_json::from_str(json).unwrap() else {
        panic!("not an object: {json}");
    };
    let value = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        Value::Object(bytes) => {
            let bytes = bytes["bytes"].as_array().unwrap();
            let bytes = bytes
                .iter()
                .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap());
            Some(OsString::from_vec(bytes.collect()))
        }
        other => panic!("not a value: {other}"),
    };
    values
        .into_iter()
        .map(|(name, json)| (name, value(json)))
        .collect()
}

struct Shell {
    program: PathBuf,
    flags: &'static [&'static str],
}

impl Shell {
    /// The standard output of `script`, run in `cwd` with just these variables.
    fn run(&self, script: &str, cwd: &Path, variables: &Variables) -> Result<Vec<u8>, Failed> {
        let output = Command::new(&self.program)
            .args(self.flags)
            .args(["-c", script])
            .env_clear()
            .envs(variables)
            .current_dir(cwd)
            .output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !stderr.is_empty() {
            return Err(format!("{}: {stderr}", output.status).into());
        }
        Ok(output.stdout)
    }
}

/// Variables of a user, none of which is easy to pass on.
fn ambient(place: &Place) -> Variables {
    let users = |separator: &str| OsString::from([HOSTILE, "/plain", "it's"].join(separator));
    let mut path = OsString::from("/usr/local/bin:/usr/bin:/bin:");
    path.push(users(":"));
    let mut extensions = place.root.join("build/mxfp4.mojoc").into_os_string();
    extensions.push(":");
    extensions.push(users(":"));
    [
        ("PATH", path),
        ("MXFP4", env!("CARGO_BIN_EXE_mxfp4").into()),
        ("HOME", "/".into()),
        ("LC_ALL", "C.UTF-8".into()),
        ("PYTHONPATH", users(":")),
        ("MODULAR_MOJO_MAX_IMPORT_PATH", users(",")),
        ("MAX_CUSTOM_EXTENSIONS", extensions),
        ("MODULAR_MOJO_MAX_DRIVER_PATH", HOSTILE.into()),
    ]
    .map(|(name, value)| (name.into(), value))
    .into()
}

/// The environment that `env -0` printed, without what a shell adds by itself.
fn printed(output: &[u8]) -> Variables {
    let shells_own = ["PWD", "OLDPWD", "SHLVL", "LOGNAME", "_"];
    output
        .split(|&byte| byte == 0)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let equals = entry.iter().position(|&byte| byte == b'=').unwrap();
            let (name, value) = (&entry[..equals], &entry[equals + 1..]);
            (
                OsString::from_vec(name.into()),
                OsString::from_vec(value.into()),
            )
        })
        .filter(|(name, _)| shells_own.iter().all(|own| name != own))
        .collect()
}

fn evaluates_to_what_json_says(shell: &Shell) -> Result<(), Failed> {
    for name in [
        OsStr::new(HOSTILE),
        OsStr::from_bytes(b"not \xff\xc3' text\xe3"),
    ] {
        let place = Place::new(name);
        let ambient = ambient(&place);
        let mut expected = ambient.clone();
        for (name, value) in place.json(&ambient) {
            match value {
                Some(value) => expected.insert(name.into(), value),
                None => expected.remove(OsStr::new(&name)),
            };
        }
        let once = "set -eu; eval \"$(\"$MXFP4\" env)\"; /usr/bin/env -0";
        let twice = format!("eval \"$(\"$MXFP4\" env)\"; {once}");
        for script in [once, &twice] {
            let got = printed(&shell.run(script, &place.deep(), &ambient)?);
            if got != expected {
                return Err(format!("{script}\n got {got:#?}\n expected {expected:#?}").into());
            }
        }
    }
    Ok(())
}

fn finds_the_workspaces_programs(shell: &Shell) -> Result<(), Failed> {
    let place = Place::new(HOSTILE);
    let script = "eval \"$(\"$MXFP4\" env)\"; cd /; \
                  for program in mojo max python mblack; do command -v $program; printf '\\0'; done";
    let output = shell.run(script, &place.deep(), &ambient(&place))?;
    let expected = [
        place.site.join("modular/bin/mojo"),
        place.root.join(".venv/bin/max"),
        place.root.join(".venv/bin/python"),
        place.root.join(".venv/bin/mblack"),
    ];
    let expected: Vec<u8> = expected
        .iter()
        .flat_map(|path| [path.as_os_str().as_bytes(), b"\n\0"].concat())
        .collect();
    if output != expected {
        return Err(String::from_utf8_lossy(&output).into_owned().into());
    }
    Ok(())
}

/// Words of bytes that mean something to a shell or to its locale, at random.
fn words() -> Vec<OsString> {
    let pieces: Vec<&[u8]> = vec![
        b"'",
        b"\"",
        b"$",
        b"`",
        b"\\",
        b"\n",
        b"\r",
        b"\t",
        b" ",
        b"!",
        b"=",
        b"~",
        b"*",
        b"?",
        b"[",
        b"]",
        b"{a,b}",
        b"$(id)",
        b"${x}",
        b"#",
        b"%",
        b"^",
        b"&",
        b"|",
        b";",
        b"<",
        b">",
        b"(",
        b")",
        b"-n",
        b"\\0",
        b"a",
        b"/",
        b":",
        b"\x01",
        b"\x7f",
        b"\x80",
        b"\x83",
        b"\x9d",
        b"\xa2",
        b"\xe3",
        b"\xe3\x81",
        b"\xff",
        "é".as_bytes(),
        "文".as_bytes(),
        b"'\\''",
        b"$'\\n'",
        b"\xc3'",
        b"\xe3\"",
    ];
    // A fixed sequence: a failure can be looked at again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut words: Vec<OsString> = (1..=255)
        .map(|byte| OsString::from_vec(vec![byte]))
        .collect();
    words.push(OsString::new());
    words.extend((0..600).map(|_| {
        let length = random(12);
        let word: Vec<u8> = (0..length)
            .flat_map(|_| pieces[random(pieces.len())])
            .copied()
            .collect();
        OsString::from_vec(word)
    }));
    words
}

fn reads_every_quoted_word_back(shell: &Shell) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let words = words();
    let mut code = Vec::new();
    for word in &words {
        code.extend_from_slice(b"export WORD=");
        code.extend(posix_quote(word));
        code.extend_from_slice(b"\nprintf '%s\\0' \"$WORD\"\n");
    }
    fs::write(folder.path().join("code"), &code)?;
    for locale in ["C", "C.UTF-8"] {
        let variables = Variables::from([("LC_ALL".into(), locale.into())]);
        let output = shell.run("eval \"$(/bin/cat code)\"", folder.path(), &variables)?;
        let read: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
        for (word, read) in words.iter().zip(&read) {
            if word.as_bytes() != *read {
                return Err(
                    format!("{locale}: {word:?} became {:?}", OsStr::from_bytes(read)).into(),
                );
            }
        }
        assert_eq!(read.len(), words.len() + 1, "each word and the end");
    }
    Ok(())
}

fn sources_the_script(shell: &Shell) -> Result<(), Failed> {
    let place = Place::new(HOSTILE);
    let script = fs::read_to_string(repository().join("scripts/mxfp4_env.sh"))?;
    place.write("scripts/mxfp4_env.sh", &script);
    let binary = place.root.join("target/release/mxfp4");
    fs::create_dir_all(binary.parent().unwrap())?;
    symlink(env!("CARGO_BIN_EXE_mxfp4"), &binary)?;
    let mut variables = ambient(&place);
    variables.insert("ROOT".into(), place.root.clone().into());
    let from = [
        ("/", ". \"$ROOT/scripts/mxfp4_env.sh\""),
        (".", ". scripts/mxfp4_env.sh"),
        (".", ". ./scripts/mxfp4_env.sh"),
        ("scripts", ". ./mxfp4_env.sh"),
        ("kernels/test", ". ../../scripts/mxfp4_env.sh"),
    ];
    let mut expected = place.root.join("python").into_os_string();
    expected.push("\n");
    for (folder, source) in from {
        let code =
            format!("set -eu -- unrelated; {source}; printf '%s\\n' \"${{PYTHONPATH%%:*}}\"");
        let output = shell.run(&code, &place.root.join(folder), &variables)?;
        if output != expected.as_bytes() {
            return Err(format!("{folder}: {source}: {}", String::from_utf8_lossy(&output)).into());
        }
        let code = format!("{source}; set | /bin/grep -a ^_mxfp4_ || :");
        let leftover = shell.run(&code, &place.root.join(folder), &variables)?;
        if !leftover.is_empty() {
            return Err(format!("left behind: {}", String::from_utf8_lossy(&leftover)).into());
        }
    }
    place.write("mxfp4.toml", "wrong = 1\n");
    let code = ". \"$ROOT/scripts/mxfp4_env.sh\" 2>/dev/null || printf failed";
    if shell.run(code, Path::new("/"), &variables)? != b"failed" {
        return Err("a failure must be the status of the script".into());
    }
    Ok(())
}

fn a_modular_checkout() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("max/kernels/src/nn")).unwrap();
    fs::create_dir_all(root.join("bazel-bin/max/kernels/src/custom_ops/mogg_mxfp4")).unwrap();
    let package = root.join("bazel-bin/max/kernels/src/custom_ops/mogg_mxfp4/mogg_mxfp4.mojopkg");
    fs::write(&package, "").unwrap();
    fs::write(root.join("bazelw"), "").unwrap();
    let ran = run(mxfp4(&root.join("max/kernels/src/nn")).args(["env", "--json"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let values = parse(&ran.stdout);
    let root = root.to_str().unwrap();
    let import_path = format!("{root}/bazel-bin/max/kernels/src,{root}/max/kernels/src");
    assert_eq!(
        values["MODULAR_MOJO_MAX_IMPORT_PATH"],
        Some(import_path.into())
    );
    let python_path = format!("{root}/max/python:{root}/mojo/python");
    assert_eq!(values["PYTHONPATH"], Some(python_path.into()));
    assert_eq!(
        values["MAX_CUSTOM_EXTENSIONS"],
        Some(package.clone().into())
    );
    assert_eq!(values["MXFP4_KERNEL_PACKAGE"], Some(package.into()));
    assert_eq!(values["MAX_ALLOW_UNSUPPORTED_ENCODING"], Some("1".into()));
}

fn a_root_that_is_not_text() {
    let place = Place::new(OsStr::from_bytes(b"not\xfftext"));
    let values = parse(&place.env(&["--json"]).stdout);
    let expected = place.root.join("build/mxfp4.mojoc").into_os_string();
    assert_eq!(values["MXFP4_KERNEL_PACKAGE"], Some(expected));
}

fn debug_adds_synchronous_execution() {
    let place = Place::new("work");
    let plain = parse(&place.env(&["--json"]).stdout);
    let debug = parse(&place.env(&["--json", "--debug"]).stdout);
    let added: Vec<_> = debug
        .iter()
        .filter(|(name, _)| !plain.contains_key(*name))
        .collect();
    let expected = [
        ("MODULAR_DEBUG", "device-sync-mode"),
        ("MODULAR_DEVICE_CONTEXT_SYNC_MODE", "true"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), Some(OsString::from(value))));
    assert_eq!(
        added,
        expected
            .iter()
            .map(|(name, value)| (name, value))
            .collect::<Vec<_>>()
    );
}

fn explain_says_why() {
    let place = Place::new("work");
    let mut command = place.command(&["--explain"]);
    let ran = run(command.env("MODULAR_MAX_PACKAGE_ROOT", "/another/sdk"));
    assert_eq!(ran.code, Some(0));
    let site = place.site.display();
    let expected = format!(
        "MODULAR_MAX_PACKAGE_ROOT={site}/modular\n    the SDK at {site} (the workspace's own); \
         replaces /another/sdk\n"
    );
    assert!(ran.stdout.contains(&expected), "{}", ran.stdout);

    let ran = place.env(&["--explain", "--json"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["root"], place.root.to_str().unwrap());
    assert!(
        json["variables"]
            .as_array()
            .unwrap()
            .iter()
            .all(|variable| {
                variable["reason"]
                    .as_str()
                    .is_some_and(|reason| !reason.is_empty())
            })
    );
}

fn no_program_is_started() {
    let place = Place::new("work");
    let traps = place.root.join("traps");
    for name in [
        "mojo",
        "python",
        "python3",
        "python3.11",
        "uv",
        "git",
        "nvidia-smi",
        "bazel",
        "sh",
    ] {
        place.program(&format!("traps/{name}"));
    }
    place.program("bazelw");
    for args in [&[][..], &["--explain"], &["--json", "--debug"]] {
        for sdk in [None, Some(&place.site)] {
            let mut command = place.command(args);
            command
                .env("PATH", &traps)
                .envs(sdk.map(|site| ("MXFP4_SDK", site)));
            let ran = run(&mut command);
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }
    let mut started = Vec::new();
    for folder in [
        "traps",
        ".venv/bin",
        ".",
        ".venv/lib/python3.11/site-packages/modular/bin",
    ] {
        let files = fs::read_dir(place.root.join(folder)).unwrap().flatten();
        started.extend(
            files
                .map(|file| file.path())
                .filter(|path| path.extension() == Some("started".as_ref())),
        );
    }
    assert!(started.is_empty(), "{started:?}");
}

fn no_sdk() {
    let place = Place::new("work");
    fs::remove_dir_all(place.root.join(".venv")).unwrap();
    let named = |path: &str, args: &[&str]| {
        let mut command = place.command(args);
        run(command.env("MXFP4_SDK", path))
    };
    let ran = place.env(&[]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.starts_with("warning: no MAX and Mojo SDK found"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("export PYTHONPATH="), "{}", ran.stdout);
    assert!(
        !ran.stdout.contains("MODULAR_MAX_PACKAGE_ROOT"),
        "{}",
        ran.stdout
    );
    let ran = named("/nowhere", &[]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr
            .contains("MXFP4_SDK names /nowhere, which does not exist"),
        "{}",
        ran.stderr
    );

    for ran in [place.env(&["--strict"]), named("/nowhere", &["--strict"])] {
        assert_eq!(ran.code, Some(4));
        assert_eq!(ran.stdout, "");
        assert_error(&ran, "mxfp4 setup");
    }
}

/// One message, no panic, no backtrace.
fn assert_error(ran: &Ran, says: &str) {
    assert!(
        ran.stderr.starts_with("error: ") && ran.stderr.contains(says),
        "{}",
        ran.stderr
    );
    for never in ["panicked", "backtrace", "Traceback", "src/"] {
        assert!(!ran.stderr.contains(never), "{}", ran.stderr);
    }
}

fn no_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(mxfp4(folder.path())
        .arg("env")
        .env("RUST_BACKTRACE", "full"));
    assert_eq!(ran.code, Some(3));
    assert_error(&ran, "no workspace here");
}

fn the_root_can_be_named() {
    let place = Place::new("work");
    let link = place.root.with_file_name("link");
    symlink(&place.root, &link).unwrap();
    let python_path = |ran: Ran| parse(&ran.stdout)["PYTHONPATH"].clone();
    let expected = |root: &Path| Some(root.join("python").into_os_string());

    let elsewhere = tempfile::tempdir().unwrap();
    let args = ["env", "--json", "--root"];
    let ran = run(mxfp4(elsewhere.path()).args(args).arg(&link));
    assert_eq!(
        python_path(ran),
        expected(&link),
        "--root after the subcommand"
    );
    let ran = run(mxfp4(elsewhere.path())
        .args(["env", "--json"])
        .env("MXFP4_ROOT", &link));
    assert_eq!(python_path(ran), expected(&link), "MXFP4_ROOT");
    let ran = run(mxfp4(elsewhere.path())
        .args(args)
        .arg(&place.root)
        .env("MXFP4_ROOT", "/nowhere"));
    assert_eq!(
        python_path(ran),
        expected(&place.root),
        "--root before MXFP4_ROOT"
    );
    let mut command = place.command(&["--json"]);
    assert_eq!(
        python_path(run(command.env("MXFP4_ROOT", ""))),
        expected(&place.root),
        "empty is unset"
    );
    let mut command = place.command(&["--json"]);
    let ran = run(command.env("PWD", link.join("kernels/test/deep")));
    assert_eq!(
        python_path(ran),
        expected(&link),
        "the folder's name in the shell"
    );

    let ran = run(mxfp4(elsewhere.path()).args(args).arg(place.deep()));
    assert_eq!(ran.code, Some(3));
    assert_error(&ran, "is not the root of a workspace");
}

fn what_the_format_cannot_carry() {
    for (name, character, variable) in [
        ("a,b", "a comma", "MODULAR_MOJO_MAX_IMPORT_PATH"),
        ("a:b", "a colon", "PYTHONPATH"),
    ] {
        let place = Place::new(name);
        let ran = place.env(&[]);
        assert_eq!((ran.code, &*ran.stdout), (Some(3), ""));
        assert_error(&ran, character);
        assert_error(&ran, variable);
        assert_error(&ran, place.root.to_str().unwrap());
        assert_error(&ran, "--root");
    }
}

fn wrong_usage() {
    let place = Place::new("work");
    for args in [
        &["--shell", "csh"][..],
        &["--json", "--shell", "bash"],
        &["--unset", "--debug"],
        &["--unset", "--shell", "dotenv"],
        &["--nope"],
        &["extra"],
    ] {
        let ran = place.env(args);
        assert_eq!(ran.code, Some(2), "{args:?}");
        assert_error(&ran, "");
    }
    let posix = place.env(&[]).stdout;
    for shell in ["sh", "bash", "zsh", "posix"] {
        assert_eq!(place.env(&["--shell", shell]).stdout, posix, "{shell}");
    }
}

fn a_closed_pipe() {
    let place = Place::new("work");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = place
        .command(&[])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

fn a_full_disk() {
    let place = Place::new("work");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place
        .command(&[])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(1));
    assert_error(&ran, "No space left");
}

fn a_closed_stderr() {
    let place = Place::new("a,b");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = place.command(&[]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(3));
}

fn a_deleted_current_folder() {
    let place = Place::new("work");
    let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$MXFP4\" env";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .current_dir(place.deep())
        .env("MXFP4", env!("CARGO_BIN_EXE_mxfp4"));
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(3));
    assert_error(&ran, "cannot tell the current folder");
}

/// The debug configuration sets what `mxfp4 env --debug` sets for this repository.
fn the_editor() {
    let root = repository();
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(root.join(".vscode").join(name)).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let launch = read("launch.json");
    let configurations = launch["configurations"].as_array().unwrap();
    let ours = configurations
        .iter()
        .find(|configuration| configuration["name"] == "Debug MXFP4 Mojo tests")
        .expect("the configuration that the documentation names");
    assert_eq!(
        (&ours["type"], &ours["request"]),
        (&"mojo-lldb".into(), &"launch".into())
    );
    assert_eq!(
        (&ours["cwd"], &ours["runInTerminal"]),
        (&"${workspaceFolder}".into(), &true.into())
    );
    let expand = |text: &str| text.replace("${workspaceFolder}", root.to_str().unwrap());
    let file = expand(ours["mojoFile"].as_str().unwrap());
    assert!(Path::new(&file).is_file(), "{file}");

    let entries = ours["env"].as_array().unwrap();
    let entries = entries.iter().map(|entry| expand(entry.as_str().unwrap()));
    let set: BTreeMap<String, String> = entries
        .map(|entry| {
            entry
                .split_once('=')
                .map(|(name, value)| (name.into(), value.into()))
                .unwrap()
        })
        .collect();
    let ran = run(mxfp4(&root)
        .args(["env", "--json", "--debug"])
        .env("MXFP4_SDK", "/nowhere"));
    let values = parse(&ran.stdout);
    for name in [
        "PYTHONPATH",
        "MODULAR_DEVICE_CONTEXT_SYNC_MODE",
        "MODULAR_DEBUG",
    ] {
        assert_eq!(Some(OsString::from(&set[name])), values[name], "{name}");
    }
    // Without an SDK this is the workspace's part of it, which the editor puts before the SDK's.
    let sources = values["MODULAR_MOJO_MAX_IMPORT_PATH"].clone().unwrap();
    assert!(
        OsString::from(&set["MODULAR_MOJO_MAX_IMPORT_PATH"])
            .as_bytes()
            .starts_with(sources.as_bytes())
    );
    let build = ours["buildArgs"].as_array().unwrap();
    assert!(build.windows(2).any(|pair| pair[0] == "-I"
        && expand(pair[1].as_str().unwrap()).as_bytes() == sources.as_bytes()));

    let tasks = read("tasks.json");
    for name in ["mxfp4: build", "mxfp4: test", "mxfp4: serve", "mxfp4: env"] {
        assert!(
            tasks["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .any(|task| task["label"] == name),
            "{name}"
        );
    }
    let extensions = read("extensions.json");
    for name in [
        "modular-mojotools.vscode-mojo",
        "ms-python.python",
        "rust-lang.rust-analyzer",
    ] {
        assert!(
            extensions["recommendations"]
                .as_array()
                .unwrap()
                .iter()
                .any(|id| id == name),
            "{name}"
        );
    }
    read("settings.json");
}
