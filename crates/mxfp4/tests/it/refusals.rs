//! The most common error of each subcommand, whole: what is said, and the exit code.
//!
//! `INSTA_UPDATE=always cargo test -p mxfp4 --test it refusals::` writes them anew.

use std::path::Path;

use libtest_mimic::Trial;

use crate::support::{Ran, folder, mxfp4, run, trial};

/// A command line, and the files of the folder that it is run in.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
}

/// No workspace.
const NOWHERE: &[(&str, &str)] = &[];
/// A workspace.
const HERE: &[(&str, &str)] = &[("mxfp4.toml", "[serve]\nmodel = \"./gone\"\n")];
/// A checkout of the Modular monorepo.
const MODULAR: &[(&str, &str)] = &[("bazelw", ""), ("max/kernels/src/", "")];

const fn case(
    name: &'static str,
    args: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
) -> Case {
    Case { name, args, files }
}

const CASES: &[Case] = &[
    case("setup", &["setup"], NOWHERE),
    case("env", &["env"], NOWHERE),
    case("env_shell_json", &["env", "--shell", "json"], HERE),
    case("run", &["run", "no-such-program"], HERE),
    case("shell", &["shell", "--strict"], HERE),
    case("hook", &["hook"], NOWHERE),
    case("allow", &["allow"], NOWHERE),
    case("deny", &["deny"], NOWHERE),
    case("build", &["build", "--no-setup"], HERE),
    case("test", &["test", "--no-setup"], HERE),
    case("test_expr", &["test", "/(/"], HERE),
    case("test_filter", &["test", "--filter", "it's"], HERE),
    case("serve", &["serve", "--dry-run", "--port", "0"], HERE),
    case("serve_model", &["serve"], SDK),
    case("serve_wait", &["serve", "--wait"], HERE),
    case("serve_devices", &["serve", "--", "--devices", "tpu"], HERE),
    case("serve_setting", &["serve", "--", "--headless"], HERE),
    case("warm", &["warm"], HERE),
    case("demo", &["demo"], MODULAR),
    case(
        "bench_kernel",
        &["bench", "kernel", "--from", "gone.json"],
        HERE,
    ),
    case(
        "bench_serve",
        &["bench", "serve", "--url", "127.0.0.1"],
        HERE,
    ),
    case("doctor", &["doctor", "everything"], HERE),
    case("vscode", &["vscode", "--check"], HERE),
    case("fmt", &["fmt", "gone.mojo"], HERE),
    case("clean", &["clean"], NOWHERE),
    case(
        "chat",
        &["chat", "--url", "http://127.0.0.1:9", "Hello"],
        NOWHERE,
    ),
    case("init", &["init", "full"], &[("full/notes.txt", "mine")]),
    case("completions", &["completions", "cmd"], NOWHERE),
    case("man", &["man", "--pages"], NOWHERE),
    case("man_page", &["man", "--page", "bench-kernel"], NOWHERE),
    case("bundle_create", &["bundle", "create"], MODULAR),
    case(
        "bundle_unpack",
        &["bundle", "unpack", "gone", "here"],
        NOWHERE,
    ),
    case(
        "a_wrong_key",
        &["env"],
        &[("mxfp4.toml", "[serve]\nprot = 1\n")],
    ),
    case("no_command", &["-v"], NOWHERE),
    case("json_env", &["env", "--json", "--strict"], HERE),
    case("json_doctor", &["doctor", "--json"], NOWHERE),
    case(
        "json_build",
        &["build", "--no-setup", "--message-format=json"],
        HERE,
    ),
    case(
        "json_test",
        &["test", "--no-setup", "--message-format=json"],
        HERE,
    ),
    case("json_serve", &["serve", "--json"], SDK),
    case(
        "json_chat",
        &["chat", "--json", "--url", "http://127.0.0.1:9", "Hello"],
        NOWHERE,
    ),
];

/// A workspace with an SDK, as far as its files tell.
const SDK: &[(&str, &str)] = &[
    (
        "mxfp4.toml",
        "[sdk]\npath = \"sdk\"\n[serve]\nmodel = \"./gone\"\n",
    ),
    ("sdk/modular/bin/mojo", ""),
    ("sdk/modular/lib/mojo/std.mojoc", ""),
];

/// The tests.
pub fn trials() -> Vec<Trial> {
    let trials = CASES.iter().map(|case| {
        trial::test(module_path!(), case.name, || {
            case.test();
            Ok(())
        })
    });
    trials
        .chain(trial::all(
            module_path!(),
            [("each_that_prints_json", each_that_prints_json)],
        ))
        .collect()
}

impl Case {
    fn test(&self) {
        let folder = folder(self.files.iter().copied());
        let root = folder.path().canonicalize().expect("it is there");
        let ran = run(mxfp4(&root).args(self.args));
        told(self.name, self.args, &ran, &root);
    }
}

/// Compares all that `mxfp4 ARGS` printed in the folder `root`, and its exit code, with the snapshot `name`.
pub fn told(name: &str, args: &[&str], ran: &Ran, root: &Path) {
    let root = root.canonicalize().expect("it is there");
    let said = format!(
        "$ mxfp4 {}\n{}{}exit code {}",
        args.join(" "),
        ran.stdout,
        ran.stderr,
        ran.code.expect("no signal ended it")
    );
    let said = said.replace(&root.display().to_string(), "ROOT");
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!(name, said);
    });
}

/// A command that prints JSON does so when it fails, too: `CASES` has each of them.
fn each_that_prints_json() {
    let listed = run(mxfp4(Path::new("/")).arg("help")).stdout;
    let commands = listed
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        // What goes on in the next line is indented further.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"serve"), "{listed}");
    let prints_json = |command: &&&str| {
        let help = run(mxfp4(Path::new("/")).args(["help", command])).stdout;
        help.lines().map(str::trim).any(|line| {
            line == "--json"
                || line.starts_with("--json ") && !line.contains('<')
                || line.starts_with("--message-format")
        })
    };
    let expected: Vec<String> = commands
        .iter()
        .filter(prints_json)
        .map(|command| format!("json_{command}"))
        .collect();
    let mut tested: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    tested.retain(|name| name.starts_with("json_"));
    tested.sort_unstable();
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(tested, expected);
}
