//! What each of the files is to hold.

use jsonc_parser::cst::CstInputValue;
use jsonc_parser::json;
use mxfp4_env::Layout;

use super::merge::{Merge, Variable};
use super::place::{Place, in_workspace};

type Wanted = Vec<(String, Merge)>;

/// The files by their names.
pub fn all(place: &Place) -> [(&'static str, Wanted); 4] {
    [
        ("launch.json", launch(place)),
        ("tasks.json", tasks(place)),
        ("settings.json", settings(place)),
        ("extensions.json", extensions(place)),
    ]
}

fn launch(place: &Place) -> Wanted {
    let mut configurations = Vec::new();
    let test = place.test.as_ref().map(|test| in_workspace(test));
    if let Some(test) = &test {
        configurations.push((
            "Debug MXFP4 Mojo tests".to_owned(),
            debug(
                place,
                "mojo-lldb",
                test,
                "The kernel against its reference, the device running one operation at a time.",
            ),
        ));
    }
    configurations.push((
        "Debug the current Mojo file".to_owned(),
        debug(
            place,
            "mojo-lldb",
            "${file}",
            "As above, for the file in the editor.",
        ),
    ));
    if let Some(test) = &test {
        configurations.push((
            "Debug MXFP4 kernels on the GPU".to_owned(),
            debug(
                place,
                "mojo-cuda-gdb",
                test,
                "Breakpoints inside GPU kernels: needs cuda-gdb and the Nsight extension.",
            ),
        ));
    }
    vec![
        ("version".into(), something("0.2.0")),
        (
            "configurations".into(),
            Merge::Entries("name", configurations),
        ),
    ]
}

/// A configuration that builds a Mojo file and debugs it.
fn debug(place: &Place, kind: &str, file: &str, description: &str) -> Wanted {
    let sources = || place.sources.iter().map(|folder| in_workspace(folder));
    let includes = sources().flat_map(|folder| ["-I".to_owned(), folder]);
    let mut wanted = vec![
        ("description".into(), something(description)),
        ("type".into(), exactly(kind)),
        ("request".into(), exactly("launch")),
        ("mojoFile".into(), exactly(file)),
        ("buildArgs".into(), Merge::Sequence(includes.collect())),
        (
            "args".into(),
            Merge::Something(CstInputValue::Array(vec![])),
        ),
        ("cwd".into(), exactly("${workspaceFolder}")),
    ];
    // The order of the environment, in which what is built comes first.
    let built = place.built.as_ref();
    let python = built
        .map(|[_, python]| python)
        .into_iter()
        .chain(&place.python_path);
    let python = python.map(|folder| in_workspace(folder));
    let import = built
        .map(|[mojo, _]| in_workspace(mojo))
        .into_iter()
        .chain(sources())
        .chain(place.library.as_ref().map(|library| in_workspace(library)))
        .chain(["${env:MODULAR_MOJO_MAX_IMPORT_PATH}".to_owned()]);
    let variable = |name: &str, separator, entries| Variable {
        name: name.into(),
        separator,
        entries,
    };
    let mut variables = vec![
        variable("PYTHONPATH", ':', python.collect()),
        variable("MODULAR_MOJO_MAX_IMPORT_PATH", ',', import.collect()),
    ];
    for (name, value) in &place.synchronous {
        variables.push(variable(name, ',', vec![value.clone()]));
    }
    wanted.push(("env".into(), Merge::Variables(variables)));
    if kind == "mojo-lldb" {
        wanted.push(("runInTerminal".into(), exactly(true)));
    }
    wanted
}

fn tasks(place: &Place) -> Wanted {
    let task = |command: &[&str], detail: &str, more: Wanted| -> (String, Wanted) {
        let (program, start): (_, &[&str]) = match place.has_source {
            true => ("cargo", &["run", "--release", "--quiet", "--"]),
            false => ("mxfp4", &[]),
        };
        let args: Vec<&str> = start.iter().chain(command).copied().collect();
        let mut wanted = vec![
            ("detail".into(), something(detail)),
            ("type".into(), exactly("process")),
            ("command".into(), exactly(program)),
            ("args".into(), exactly(args)),
        ];
        wanted.extend(more);
        (format!("mxfp4: {}", command[0]), wanted)
    };
    let group = |kind: &str| {
        let group = json!({ "kind": kind, "isDefault": true });
        ("group".to_owned(), Merge::Something(group))
    };
    let matcher = |matcher| ("problemMatcher".to_owned(), Merge::Something(matcher));
    let none = || matcher(CstInputValue::Array(vec![]));
    let entries = vec![
        task(
            &["build"],
            "Build the kernel packages",
            vec![group("build"), matcher(diagnostics())],
        ),
        task(
            &["test"],
            "Build, then run the Mojo and Python tests",
            vec![group("test"), none()],
        ),
        task(
            &["serve"],
            "Serve the model that mxfp4.toml names",
            vec![
                ("isBackground".into(), Merge::Something(true.into())),
                none(),
            ],
        ),
        task(
            &["env", "--explain"],
            "Show the environment and why each variable has its value",
            vec![none()],
        ),
        task(
            &["doctor"],
            "Look at everything that build, test and serve need",
            vec![none()],
        ),
    ];
    vec![
        ("version".into(), something("2.0.0")),
        ("tasks".into(), Merge::Entries("label", entries)),
    ]
}

/// How the Mojo compiler writes `FILE:LINE:COLUMN: error: message`.
fn diagnostics() -> CstInputValue {
    json!({
        "owner": "mojo",
        "fileLocation": ["autoDetect", "${workspaceFolder}"],
        "pattern": {
            "regexp": "^(.+\\.mojo):(\\d+):(\\d+): (error|warning|note): (.*)$",
            "file": 1usize,
            "line": 2usize,
            "column": 3usize,
            "severity": 4usize,
            "message": 5usize
        }
    })
}

fn settings(place: &Place) -> Wanted {
    let mut wanted = vec![
        // The extension takes the SDK of the workspace's own environment before another interpreter's.
        ("mojo.preferWorkspaceEnv".to_owned(), something(true)),
        // The language server gets these as they are, without any variable replaced, and runs in the root.
        (
            "mojo.lsp.includeDirs".to_owned(),
            Merge::Among(place.sources.clone()),
        ),
    ];
    if let Some(interpreter) = &place.interpreter {
        let interpreter = CstInputValue::from(in_workspace(interpreter));
        let want = match place.sdk_is_elsewhere {
            // Its Python may be chosen by hand.
            true => Merge::Something(interpreter),
            false => Merge::Exactly(interpreter),
        };
        wanted.push(("python.defaultInterpreterPath".into(), want));
    }
    let paths = place.python_path.iter().map(|folder| in_workspace(folder));
    let unwatched: &[&str] = match place.layout {
        Layout::Standalone => &["**/.venv/**", "**/.mxfp4/**", "**/target/**"],
        Layout::Modular => &["**/.pixi/**", "**/.mxfp4/**", "**/bazel-*/**"],
    };
    let unwatched = unwatched
        .iter()
        .map(|pattern| ((*pattern).to_owned(), something(true)));
    wanted.extend([
        (
            "python.analysis.extraPaths".to_owned(),
            Merge::Among(paths.collect()),
        ),
        ("python.testing.pytestEnabled".to_owned(), something(true)),
        (
            "python.testing.pytestArgs".to_owned(),
            Merge::Something(place.python_tests.clone().into()),
        ),
        (
            "files.watcherExclude".to_owned(),
            Merge::Object(unwatched.collect()),
        ),
    ]);
    wanted
}

fn extensions(place: &Place) -> Wanted {
    let mut names = vec![
        "modular-mojotools.vscode-mojo",
        "ms-python.python",
        "charliermarsh.ruff",
    ];
    if place.has_source {
        names.extend(["rust-lang.rust-analyzer", "tamasfe.even-better-toml"]);
    }
    let names = names.into_iter().map(str::to_owned).collect();
    let want = Merge::AmongUnless("unwantedRecommendations", names);
    vec![("recommendations".into(), want)]
}

fn exactly(value: impl Into<CstInputValue>) -> Merge {
    Merge::Exactly(value.into())
}

fn something(value: impl Into<CstInputValue>) -> Merge {
    Merge::Something(value.into())
}
