//! `mxfp4 setup` with a uv that only pretends: what is made, what is believed, and what an interruption leaves. That the
//! real uv makes a real SDK, and what a kill leaves of it, is seen in `faults`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, folder, mxfp4, run, trial};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The tests.
pub fn trials() -> Vec<Trial> {
    trial::all(
        module_path!(),
        [
            (
                "the_second_time_nothing_is_done",
                the_second_time_nothing_is_done as fn(),
            ),
            (
                "uv_is_told_to_keep_to_the_lock_file_and_this_machine",
                uv_is_told_to_keep_to_the_lock_file_and_this_machine,
            ),
            (
                "the_preferred_python_comes_first_then_another",
                the_preferred_python_comes_first_then_another,
            ),
            (
                "what_keeps_uv_from_working_is_said_in_its_words",
                what_keeps_uv_from_working_is_said_in_its_words,
            ),
            ("an_old_uv_is_passed_over", an_old_uv_is_passed_over),
            (
                "what_a_setup_killed_in_its_last_step_left_goes",
                what_a_setup_killed_in_its_last_step_left_goes,
            ),
            ("ctrl_c_ends_uv_and_the_setup", ctrl_c_ends_uv_and_the_setup),
            (
                "a_failed_setup_says_so_and_keeps_the_old_sdk",
                a_failed_setup_says_so_and_keeps_the_old_sdk,
            ),
            (
                "a_changed_lock_file_makes_it_anew",
                a_changed_lock_file_makes_it_anew,
            ),
            ("a_damaged_sdk_is_made_anew", a_damaged_sdk_is_made_anew),
            ("two_at_once_install_once", two_at_once_install_once),
            (
                "what_setup_did_not_make_it_does_not_replace",
                what_setup_did_not_make_it_does_not_replace,
            ),
            ("an_sdk_that_is_named_is_used", an_sdk_that_is_named_is_used),
            (
                "pins_that_the_lock_file_does_not_hold_are_refused",
                pins_that_the_lock_file_does_not_hold_are_refused,
            ),
            (
                "without_uv_it_is_fetched_as_the_lock_file_names_it",
                without_uv_it_is_fetched_as_the_lock_file_names_it,
            ),
            (
                "without_uv_and_python_it_says_what_is_missing",
                without_uv_and_python_it_says_what_is_missing,
            ),
        ],
    )
}

/// Does what uv would do to a file system, as `$BEHAVIOUR` asks, and keeps a log.
const UV: &str = r#"#!/bin/sh
echo "$*" >> "$LOG"
case "$1" in
--version) echo "uv ${VERSION-0.13.9} (x86_64-unknown-linux-gnu)" ;;
python)
    case "$BEHAVIOUR,$5" in
    refuse,*) printf "$WORDS" >&2; exit 2 ;;
    nopython,* | no311,cpython-3.11) exit 2 ;;
    *) command -v sh ;;
    esac ;;
venv)
    for folder; do :; done
    mkdir -p "$folder/bin" && ln -s "$(command -v sh)" "$folder/bin/python"
    printf 'version_info = 3.11.7\n' > "$folder/pyvenv.cfg" ;;
sync)
    modular="$UV_PROJECT_ENVIRONMENT/lib/python3.11/site-packages/modular"
    mkdir -p "$modular/bin" "$modular/lib/mojo"
    printf '#!/bin/sh\n' > "$modular/bin/mojo" && chmod +x "$modular/bin/mojo"
    echo "installing" >&2
    case "$BEHAVIOUR" in
    hang)
        # A shell that waits for a program in the foreground may swallow a SIGINT.
        trap 'kill $!; exit 1' INT TERM
        sleep 100 &
        sleep 0.2 # until that is no longer this shell, with its trap
        echo > "$LOG.hangs"
        wait ;;
    slow) sleep 1 ;;
    fail) echo "no such wheel" >&2; exit 2 ;;
    esac ;;
esac
"#;

const LOCK: &str = "version = 1\n[[package]]\nname = \"max\"\nversion = \"26.7.0\"\n\
                    [[package]]\nname = \"mojo\"\nversion = \"1.2.0\"\n";

struct Place {
    root: tempfile::TempDir,
    programs: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = folder([
            ("mxfp4.toml", ""),
            ("python/pyproject.toml", ""),
            ("python/uv.lock", LOCK),
        ]);
        let programs = folder([("uv", UV)]);
        let program = programs.path().join("uv");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { root, programs }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, behaviour: &str, args: &[&str]) -> Command {
        let mut command = mxfp4(self.root.path());
        command
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.programs.path().display()),
            )
            .env("BEHAVIOUR", behaviour)
            .env("LOG", self.log_path())
            .args(args);
        command
    }

    fn run(&self, behaviour: &str, args: &[&str]) -> Ran {
        run(&mut self.command(behaviour, args))
    }

    /// Starts a setup that hangs when half of the SDK is there.
    fn hanging(&self) -> Child {
        let child = self
            .command("hang", &["setup"])
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let hangs = self.programs.path().join("log.hangs");
        let end = Instant::now() + Duration::from_secs(20);
        while !hangs.exists() {
            assert!(Instant::now() < end, "it never came to hang");
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::remove_file(hangs).unwrap();
        child
    }

    fn log_path(&self) -> PathBuf {
        self.programs.path().join("log")
    }

    /// How often uv was asked to install.
    fn syncs(&self) -> usize {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("sync")).count()
    }

    /// The names at the root that begin like the virtual environment's.
    fn environments(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(".venv"))
            .collect();
        names.sort();
        names
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

fn the_second_time_nothing_is_done() {
    let place = Place::new();
    let first = place.run("", &["setup"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stderr.contains("installing"), "{first:?}");
    assert_eq!(first.stdout, "");
    assert_eq!(place.environments(), [".venv"]);
    let log = fs::read(place.log_path()).unwrap();
    let second = place.run("", &["setup"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(
        fs::read(place.log_path()).unwrap(),
        log,
        "uv was started again"
    );
}

fn uv_is_told_to_keep_to_the_lock_file_and_this_machine() {
    let place = Place::new();
    let report = "env | sort > \"$LOG.env\"\n";
    let script = UV.replacen("sync)\n", &format!("sync)\n{report}"), 1);
    fs::write(place.programs.path().join("uv"), script).unwrap();
    let mut command = place.command("", &["setup"]);
    let ran = run(command
        .env("UV_LOCKED", "1")
        .env("VIRTUAL_ENV", "/elsewhere"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let variables = fs::read_to_string(place.programs.path().join("log.env")).unwrap();
    assert!(
        variables.contains("UV_PYTHON_DOWNLOADS=never\n"),
        "{variables}"
    );
    assert!(!variables.contains("UV_LOCKED") && !variables.contains("VIRTUAL_ENV"));
    let log = fs::read_to_string(place.log_path()).unwrap();
    assert!(
        log.contains("\nsync --frozen --compile-bytecode --project "),
        "{log}"
    );
    assert!(log.contains("--relocatable"), "{log}");
}

fn the_preferred_python_comes_first_then_another() {
    let place = Place::new();
    let ran = place.run("no311", &["setup"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = fs::read_to_string(place.log_path()).unwrap();
    let asked: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("python find --system --no-project cpython-"))
        .collect();
    assert_eq!(asked, ["3.11", "3.10"]);

    let place = Place::new();
    let ran = place.run("nopython", &["setup"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("no Python") && ran.stderr.contains("3.14"),
        "{ran:?}"
    );
}

fn what_keeps_uv_from_working_is_said_in_its_words() {
    let pythons = "3.11, 3.10, 3.12, 3.13, 3.14";
    let own = "No interpreter found for cpython-3.11-any-any-any in managed installations";
    let broken = "Failed to parse: uv.toml";
    let cache = "Failed to initialize cache at `/proc/nope`";
    let version = "Required uv version `>=99` does not match the running version `0.13.9`";
    let uv = "UV does not work here:";
    let cases = [
        (
            own.to_owned(),
            Some(("UV_PYTHON_PREFERENCE", "only-managed")),
            format!(
                "no Python that the SDK runs on was found (one of {pythons}), because uv looks among its own only: \
                 {own}; unset UV_PYTHON_PREFERENCE, which is only-managed, or run `uv python install 3.11`"
            ),
        ),
        (
            own.to_owned(),
            None,
            format!(
                "no Python that the SDK runs on was found (one of {pythons}), because uv looks among its own only: \
                 {own}; take `python-preference` out of uv's configuration (uv.toml), or run `uv python install 3.11`"
            ),
        ),
        (
            format!(
                "{broken}\\n  cause: TOML parse error at line 1, column 2\\n    |\\n  1 | x\\n"
            ),
            None,
            format!(
                "{uv} {broken}: TOML parse error at line 1, column 2; correct that file, or remove it"
            ),
        ),
        (
            format!("{cache}\\n  cause: failed to create directory\\n"),
            None,
            format!(
                "{uv} {cache}: failed to create directory; see to the folder, or name another one with UV_CACHE_DIR"
            ),
        ),
        (
            format!("{version}. Update `uv`.\\n"),
            None,
            format!(
                "{uv} {version}. Update `uv`; install the uv that is asked for, or change `required-version` where uv \
                 reads its configuration (uv.toml, python/pyproject.toml)"
            ),
        ),
    ];
    for (words, variable, expected) in cases {
        let place = Place::new();
        let program = place.programs.path().join("uv");
        let expected = expected.replace("UV does", &format!("{} does", program.display()));
        let command = |args: &[&str]| {
            let mut command = place.command("refuse", args);
            command.env("WORDS", format!("error: {words}"));
            command.envs(variable);
            command
        };
        let ran = run(&mut command(&["setup"]));
        assert_eq!(ran.code, Some(4), "{ran:?}");
        let last = ran.stderr.lines().last().unwrap();
        assert_eq!(last, format!("error: {expected}"));
        assert_eq!(place.environments(), [""; 0]);

        // The doctor sees it before.
        let doctor = run(&mut command(&["doctor", "--json"]));
        let report: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let row = checks.iter().find(|check| check["id"] == "uv").unwrap();
        assert_eq!(row["state"], "failing", "{row}");
        let (found, fix) = (row["found"].as_str().unwrap(), row["fix"].as_str().unwrap());
        assert_eq!(format!("{found}; {fix}"), expected);
    }
}

fn an_old_uv_is_passed_over() {
    // A newer one behind it on PATH is taken.
    let place = Place::new();
    let newer = folder([("uv", UV.replace("${VERSION-0.13.9}", "0.4.27"))]);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(newer.path().join("uv"), executable).unwrap();
    let path = |folders: &[&Path]| {
        let folders = folders
            .iter()
            .copied()
            .chain(["/usr/bin", "/bin"].map(Path::new));
        std::env::join_paths(folders).unwrap()
    };
    let mut command = place.command("", &["-v", "setup"]);
    command.env("VERSION", "0.2.0");
    let ran = run(command.env("PATH", path(&[place.programs.path(), newer.path()])));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let used = format!("{}/uv sync", newer.path().display());
    assert!(ran.stderr.contains(&used), "{ran:?}");

    // Without one the lock file's is fetched.
    let place = Place::new();
    let mut command = place.command("", &["setup"]);
    let ran = run(command.env("VERSION", "0.2.0"));
    let program = place.programs.path().join("uv");
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let last = ran.stderr.lines().last().unwrap();
    let expected = format!(
        "error: uv on PATH is too old ({} is 0.2.0, and 0.4.27 is needed), and {} has none for this machine; install \
         uv 0.4.27 or newer",
        program.display(),
        place.path("python/uv.lock").display()
    );
    assert_eq!(last, expected);

    // It is not what the configuration asks for, or too old: the lock file's own is fetched, and used.
    let fixed = UV
        .replace("${VERSION-0.13.9}", "0.13.9")
        .replace("refuse,*)", "unused)");
    let wanted =
        "error: Required uv version `==0.13.9` does not match the running version `0.5.0`\n";
    for (behaviour, version, why) in [
        ("", "0.2.0", "uv on PATH is too old ("),
        (
            "refuse",
            "0.5.0",
            "uv's configuration asks for another one than is on PATH",
        ),
    ] {
        let place = Place::new();
        let program = folder([("uv", &fixed)]);
        let wheel = Wheel::new(&place, &program.path().join("uv"));
        fs::write(place.path("python/uv.lock"), wheel.lock(&wheel.hash)).unwrap();
        let mut command = place.command(behaviour, &["setup"]);
        let ran = run(command.env("VERSION", version).env("WORDS", wanted));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
        let own = place.path(".mxfp4/tools/bin/uv");
        assert!(own.is_file(), "{ran:?}");
    }
}

fn what_a_setup_killed_in_its_last_step_left_goes() {
    let place = Place::new();
    assert_eq!(place.run("", &["setup"]).code, Some(0));
    let syncs = place.syncs();
    fs::create_dir_all(place.path(".venv.partial-1/lib")).unwrap();
    let ran = place.run("", &["setup"]);
    assert_eq!((ran.code, place.syncs()), (Some(0), syncs), "{ran:?}");
    assert_eq!(place.environments(), [".venv"]);
}

fn ctrl_c_ends_uv_and_the_setup() {
    let place = Place::new();
    let mut child = place.hanging();
    let start = Instant::now();
    signal(&child, Signal::SIGINT);
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    assert!(start.elapsed() < Duration::from_secs(8));
    assert_eq!(place.environments(), [""; 0]);
}

fn a_failed_setup_says_so_and_keeps_the_old_sdk() {
    let place = Place::new();
    assert_eq!(place.run("", &["setup"]).code, Some(0));
    fs::write(place.path(".venv/mark"), "old").unwrap();
    fs::write(place.path("python/pyproject.toml"), "# changed\n").unwrap();

    let ran = place.run("fail", &["setup"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("no such wheel"), "{ran:?}");
    assert!(ran.stderr.contains("`uv sync` failed"), "{ran:?}");
    assert!(place.path(".venv/mark").exists());
    assert_eq!(place.environments(), [".venv"]);

    let ran = place.run("", &["setup"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!place.path(".venv/mark").exists());
    assert_eq!(place.environments(), [".venv"]);
}

fn a_changed_lock_file_makes_it_anew() {
    let place = Place::new();
    assert_eq!(place.run("", &["setup"]).code, Some(0));
    fs::write(place.path("python/uv.lock"), format!("{LOCK}# changed\n")).unwrap();
    let ran = place.run("", &["setup"]);
    assert_eq!((ran.code, place.syncs()), (Some(0), 2), "{ran:?}");
    let ran = place.run("", &["setup"]);
    assert_eq!((ran.code, place.syncs()), (Some(0), 2), "{ran:?}");
}

fn a_damaged_sdk_is_made_anew() {
    let place = Place::new();
    assert_eq!(place.run("", &["setup"]).code, Some(0));
    fs::remove_file(place.path(".venv/lib/python3.11/site-packages/modular/bin/mojo")).unwrap();
    let ran = place.run("", &["setup"]);
    assert_eq!((ran.code, place.syncs()), (Some(0), 2), "{ran:?}");
}

fn two_at_once_install_once() {
    let place = Place::new();
    let start = || {
        let mut command = place.command("slow", &["setup"]);
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    for mut child in [start(), start()] {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(place.syncs(), 1);
    assert_eq!(place.environments(), [".venv"]);
}

fn what_setup_did_not_make_it_does_not_replace() {
    let place = Place::new();
    fs::create_dir(place.path(".venv")).unwrap();
    fs::write(place.path(".venv/mine"), "").unwrap();
    let ran = place.run("", &["setup"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("was not made by `mxfp4 setup`"),
        "{ran:?}"
    );
    assert!(place.path(".venv/mine").exists());
}

fn an_sdk_that_is_named_is_used() {
    let place = Place::new();
    let carried = folder([("modular/bin/mojo", ""), ("modular/lib/mojo/std.mojoc", "")]);
    let mut command = place.command("", &["setup"]);
    let ran = run(command.env("MXFP4_SDK", carried.path()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("MXFP4_SDK"), "{ran:?}");
    assert_eq!(place.environments(), [""; 0]);
}

fn pins_that_the_lock_file_does_not_hold_are_refused() {
    let place = Place::new();
    fs::write(place.path("mxfp4.toml"), "[sdk]\nmax = \"26.6.0\"\n").unwrap();
    let ran = place.run("", &["setup"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for part in ["max 26.6.0", "holds 26.7.0", "uv lock"] {
        assert!(ran.stderr.contains(part), "{part} is not in {ran:?}");
    }
    fs::remove_file(place.path("python/uv.lock")).unwrap();
    let ran = place.run("", &["setup"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("uv.lock is missing"), "{ran:?}");
}

/// Makes a wheel that holds the pretended uv and prints its hash.
const MAKE_WHEEL: &str = r#"
import hashlib, sys, zipfile
path, program = sys.argv[1:]
with zipfile.ZipFile(path, "w") as wheel:
    wheel.writestr("uv-1.data/scripts/uvx", "")
    wheel.write(program, "uv-1.data/scripts/uv")
print(hashlib.sha256(open(path, "rb").read()).hexdigest(), end="")
"#;

/// A wheel of uv, in the place of an index.
struct Wheel {
    path: PathBuf,
    hash: String,
}

impl Wheel {
    /// One that holds `program`.
    fn new(place: &Place, program: &Path) -> Self {
        let arch = std::env::consts::ARCH;
        let path = place.path(&format!("uv-1-py3-none-manylinux_2_17_{arch}.whl"));
        let made = Command::new("python3")
            .args(["-c", MAKE_WHEEL])
            .args([&path, program])
            .output()
            .unwrap();
        let hash = String::from_utf8(made.stdout).unwrap();
        Self { path, hash }
    }

    /// A lock file that names it, with this hash.
    fn lock(&self, hash: &str) -> String {
        let url = format!("file://{}", self.path.display());
        format!(
            "{LOCK}[[package]]\nname = \"uv\"\nversion = \"1\"\n\
             wheels = [{{ url = \"{url}\", hash = \"sha256:{hash}\" }}]\n"
        )
    }
}

fn without_uv_it_is_fetched_as_the_lock_file_names_it() {
    let place = Place::new();
    let wheel = Wheel::new(&place, &place.programs.path().join("uv"));
    let lock = |hash: &str| wheel.lock(hash);
    let setup = |lock: &str| {
        fs::write(place.path("python/uv.lock"), lock).unwrap();
        let mut command = place.command("", &["setup"]);
        run(command.env("PATH", tools(&place, true)))
    };

    let ran = setup(LOCK);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("has none for this machine; install uv"),
        "{ran:?}"
    );

    let ran = setup(&lock("00"));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr
            .contains("is not the file that the lock file means"),
        "{ran:?}"
    );
    assert!(!place.path(".mxfp4/tools").exists());

    let ran = setup(&lock(&wheel.hash));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("fetching uv into "), "{ran:?}");
    assert!(place.path(".mxfp4/tools/bin/uv").is_file());
    assert_eq!(place.environments(), [".venv"]);

    // The one that was fetched serves again.
    fs::remove_file(&wheel.path).unwrap();
    let ran = setup(&format!("{}# changed\n", lock(&wheel.hash)));
    assert_eq!((ran.code, place.syncs()), (Some(0), 2), "{ran:?}");
    fs::remove_dir_all(place.path(".mxfp4/tools")).unwrap();
    let ran = setup(&format!("{}# again\n", lock(&wheel.hash)));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("cannot fetch file://"), "{ran:?}");
    assert!(!ran.stderr.contains("Traceback"), "{ran:?}");
}

fn without_uv_and_python_it_says_what_is_missing() {
    let place = Place::new();
    let ran = run(place
        .command("", &["setup"])
        .env("PATH", tools(&place, false)));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("neither uv nor python3"), "{ran:?}");
}

/// A folder of links to the few programs that the pretended ones start, and to python3 where that is wanted.
fn tools(place: &Place, with_python: bool) -> PathBuf {
    let folder = place.path("tools");
    if fs::create_dir(&folder).is_err() {
        return folder;
    }
    let link = |program: &Path, name: &str| {
        std::os::unix::fs::symlink(program, folder.join(name)).unwrap();
    };
    for name in ["sh", "mkdir", "ln", "chmod", "sleep", "env", "sort"] {
        let places = ["/usr/bin", "/bin"].map(|bin| Path::new(bin).join(name));
        link(
            places.iter().find(|program| program.exists()).unwrap(),
            name,
        );
    }
    if with_python {
        // Not a version manager's stand-in.
        let script = "import sys; print(sys.executable, end='')";
        let output = Command::new("python3")
            .args(["-c", script])
            .output()
            .unwrap();
        link(
            Path::new(&String::from_utf8(output.stdout).unwrap()),
            "python3",
        );
    }
    folder
}
