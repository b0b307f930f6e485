use std::os::unix::fs::symlink;

use super::*;
use crate::config::PythonVersion;
use crate::fixture::{Fixture, told, tree, write};

const DEBUGGING: Options = Options {
    debug: true,
    serving: false,
    reversible: false,
    testing: false,
};
const SERVING: Options = Options {
    debug: false,
    serving: true,
    reversible: false,
    testing: false,
};

/// `NAME=value` lines, for snapshots.
fn shown(fixture: &Fixture, environment: &Environment) -> String {
    let line = |variable: &Variable| match &variable.value {
        Some(value) => format!("{}={}", variable.name, value.display()),
        None => format!("{} unset", variable.name),
    };
    let lines: Vec<String> = environment.variables.iter().map(line).collect();
    fixture.shown(&lines.join("\n"))
}

fn value<'a>(environment: &'a Environment, name: &str) -> &'a str {
    environment.get(name).unwrap_or_default().to_str().unwrap()
}

/// The entries of a list variable.
fn listed<'a>(environment: &'a Environment, name: &str) -> Vec<&'a str> {
    let separator = if name == "MODULAR_MOJO_MAX_IMPORT_PATH" {
        ','
    } else {
        ':'
    };
    value(environment, name).split(separator).collect()
}

fn below(root: &Path, path: &str) -> String {
    root.join(path).to_str().unwrap().into()
}

#[test]
fn standalone() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    fixture.write("build/mxfp4.mojoc", "");
    let environment = fixture.compute();
    insta::assert_snapshot!(shown(&fixture, &environment), @"
    MODULAR_MAX_PACKAGE_ROOT=[BASE]/tree/.venv/lib/python3.11/site-packages/modular
    MODULAR_MOJO_MAX_PACKAGE_ROOT=[BASE]/tree/.venv/lib/python3.11/site-packages/modular
    MODULAR_MOJO_MAX_DRIVER_PATH=[BASE]/tree/.venv/lib/python3.11/site-packages/modular/bin/mojo
    MODULAR_MOJO_MAX_MBLACK_PATH=[BASE]/tree/.venv/bin/mblack
    MODULAR_TELEMETRY_ENABLED=0
    MODULAR_CRASH_REPORTING_ENABLED=false
    MODULAR_MOJO_MAX_IMPORT_PATH=[BASE]/tree/kernels,[BASE]/tree/.venv/lib/python3.11/site-packages/modular/lib/mojo
    PYTHONPATH=[BASE]/tree/python
    MAX_CUSTOM_EXTENSIONS=[BASE]/tree/build/mxfp4.mojoc
    MXFP4_KERNEL_PACKAGE=[BASE]/tree/build/mxfp4.mojoc
    MAX_ALLOW_UNSUPPORTED_ENCODING=1
    PATH=[BASE]/tree/.venv/lib/python3.11/site-packages/modular/bin:[BASE]/tree/.venv/bin:/usr/bin:/bin
    ");
    assert!(
        environment.warnings.is_empty(),
        "{:?}",
        environment.warnings
    );
}

#[test]
fn modular() {
    let fixture = Fixture::modular();
    let venv = fixture.venv("venv", "python3.12");
    let fixture = fixture.set("VIRTUAL_ENV", venv);
    fixture.write(
        "bazel-bin/max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg",
        "",
    );
    insta::assert_snapshot!(shown(&fixture, &fixture.compute()), @"
    MODULAR_MAX_PACKAGE_ROOT=[BASE]/venv/lib/python3.12/site-packages/modular
    MODULAR_MOJO_MAX_PACKAGE_ROOT=[BASE]/venv/lib/python3.12/site-packages/modular
    MODULAR_MOJO_MAX_DRIVER_PATH=[BASE]/venv/lib/python3.12/site-packages/modular/bin/mojo
    MODULAR_MOJO_MAX_MBLACK_PATH=[BASE]/venv/bin/mblack
    MODULAR_TELEMETRY_ENABLED=0
    MODULAR_CRASH_REPORTING_ENABLED=false
    MODULAR_MOJO_MAX_IMPORT_PATH=[BASE]/tree/bazel-bin/max/kernels/src,[BASE]/tree/max/kernels/src,[BASE]/venv/lib/python3.12/site-packages/modular/lib/mojo
    PYTHONPATH=[BASE]/tree/max/python:[BASE]/tree/mojo/python
    MAX_CUSTOM_EXTENSIONS=[BASE]/tree/bazel-bin/max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg
    MXFP4_KERNEL_PACKAGE=[BASE]/tree/bazel-bin/max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg
    MAX_ALLOW_UNSUPPORTED_ENCODING=1
    PATH=[BASE]/venv/lib/python3.12/site-packages/modular/bin:[BASE]/venv/bin:/usr/bin:/bin
    ");
}

#[test]
fn built_python_comes_before_its_sources() {
    let fixture = Fixture::modular();
    let built = fixture.folder("bazel-bin/max/python");
    let root = fixture.root.display();
    assert_eq!(
        value(&fixture.compute(), "PYTHONPATH"),
        format!("{}:{root}/max/python:{root}/mojo/python", built.display())
    );
}

#[test]
fn a_conda_environment_is_named() {
    let fixture = Fixture::standalone();
    let prefix = fixture.base.join("conda");
    for (name, text) in [
        ("bin/mojo", "\x7fELF"),
        ("lib/mojo/std.mojoc", ""),
        ("bin/python", ""),
    ] {
        write(&prefix.join(name), text);
    }
    let fixture = fixture.set("MXFP4_SDK", &prefix);
    assert_eq!(
        fixture.compute().get("CONDA_PREFIX"),
        None,
        "it is only laid out like one"
    );
    write(&prefix.join("conda-meta/history"), "");
    let fixture = fixture.set("CONDA_PREFIX", "/another");
    assert_eq!(
        value(&fixture.compute(), "CONDA_PREFIX"),
        prefix.to_str().unwrap()
    );
}

#[test]
fn without_bazel_outputs_only_the_sources_are_listed() {
    let environment = Fixture::modular().compute();
    assert!(!value(&environment, "PYTHONPATH").contains("bazel-bin"));
    assert!(!value(&environment, "MODULAR_MOJO_MAX_IMPORT_PATH").contains("bazel-bin"));
    assert_eq!(environment.get("MAX_CUSTOM_EXTENSIONS"), None);
}

#[test]
fn without_an_sdk_what_is_known_is_there_and_a_warning() {
    let fixture = Fixture::standalone();
    let environment = fixture.compute();
    insta::assert_snapshot!(shown(&fixture, &environment), @"
    MODULAR_MOJO_MAX_IMPORT_PATH=[BASE]/tree/kernels
    PYTHONPATH=[BASE]/tree/python
    MAX_CUSTOM_EXTENSIONS unset
    MXFP4_KERNEL_PACKAGE unset
    MAX_ALLOW_UNSUPPORTED_ENCODING=1
    ");
    let [warning] = environment.warnings.as_slice() else {
        panic!("{:?}", environment.warnings)
    };
    insta::assert_snapshot!(fixture.shown(&warning.to_string()), @"no MAX and Mojo SDK found for [BASE]/tree: the variables that name it are left out; run `mxfp4 setup`, or name one with MXFP4_SDK");
}

#[test]
fn the_users_values_come_after_ours_each_once() {
    let fixture = Fixture::standalone();
    let venv = fixture.venv("tree/.venv", "python3.11");
    let package = fixture.write("build/mxfp4.mojoc", "");
    let root = fixture.root.display().to_string();
    let fixture = fixture
        .set(
            "MODULAR_MOJO_MAX_IMPORT_PATH",
            format!("/u/mojo,{root}/kernels/,,/u/mojo"),
        )
        .set("PYTHONPATH", format!("/u/py:{root}/python:/u/py/"))
        .set(
            "MAX_CUSTOM_EXTENSIONS",
            format!("/u/a.mojoc:{}:rel.mojoc:/u/a.mojoc", package.display()),
        )
        .set(
            "PATH",
            format!("/usr/bin:{}/bin::/bin:/usr/bin", venv.display()),
        );
    let environment = fixture.compute();
    let sdk = fixture.sdk().unwrap();
    let (bin, lib) = (sdk.bin(), sdk.lib_mojo());
    assert_eq!(
        listed(&environment, "MODULAR_MOJO_MAX_IMPORT_PATH"),
        [
            &below(&fixture.root, "kernels"),
            lib.to_str().unwrap(),
            "/u/mojo"
        ]
    );
    assert_eq!(
        listed(&environment, "PYTHONPATH"),
        [&below(&fixture.root, "python"), "/u/py"]
    );
    assert_eq!(
        listed(&environment, "MAX_CUSTOM_EXTENSIONS"),
        [package.to_str().unwrap(), "/u/a.mojoc", "rel.mojoc"]
    );
    // An empty entry of PATH is the current folder: the user's business.
    assert_eq!(
        listed(&environment, "PATH"),
        [
            bin.to_str().unwrap(),
            &below(&venv, "bin"),
            "/usr/bin",
            "",
            "/bin"
        ]
    );
}

#[test]
fn evaluating_twice_changes_nothing() {
    let hostile = Fixture::bare("a b'\"$x`y\nz");
    hostile.write("mxfp4.toml", "");
    let carried = hostile.base.join("carried");
    tree(&carried);
    let python = write(&hostile.base.join("py/bin/python3.12"), "");
    symlink(&python, python.with_file_name("python")).unwrap();
    let hostile = hostile.set("MXFP4_SDK", carried).set(
        "PATH",
        format!("/usr/bin:{}::", python.parent().unwrap().display()),
    );

    let standalone = Fixture::standalone();
    standalone.venv("tree/.venv", "python3.11");
    standalone.write("build/mxfp4.mojoc", "");
    let standalone = standalone
        .set("PYTHONPATH", "/u:")
        .set("MODULAR_DEBUG", "nan-check,device-sync-mode")
        .set("MODULAR_MAX_PACKAGE_ROOT", "/other");

    let on_path = Fixture::standalone();
    let venv = on_path.venv("elsewhere", "python3.13");
    let on_path = on_path.set("PATH", venv.join("bin"));

    let modular = Fixture::modular();
    modular.write(
        "bazel-bin/max/kernels/src/custom_ops/mogg_mxfp4/mogg_mxfp4.mojopkg",
        "",
    );
    let no_path = Fixture::standalone().set("PATH", "");

    for fixture in [hostile, standalone, on_path, modular, no_path] {
        let reversible = Options {
            reversible: true,
            ..Options::default()
        };
        for options in [Options::default(), DEBUGGING, SERVING, reversible] {
            let workspace = fixture.workspace();
            let compute = |ambient: &Ambient| {
                let sdk = Sdk::find(&workspace, ambient).unwrap();
                Environment::compute(&workspace, sdk.as_ref(), ambient, options)
                    .unwrap()
                    .apply(ambient)
            };
            let once = compute(&fixture.ambient);
            assert_eq!(compute(&once), once);
            assert_eq!(compute(&compute(&once)), once);
        }
    }
}

#[test]
fn single_valued_variables_name_our_sdk_and_the_reason_says_what_they_named() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let names = [
        "MODULAR_MAX_PACKAGE_ROOT",
        "MODULAR_MOJO_MAX_PACKAGE_ROOT",
        "MODULAR_MOJO_MAX_DRIVER_PATH",
        "MODULAR_MOJO_MAX_MBLACK_PATH",
    ];
    let fixture = names
        .iter()
        .fold(fixture, |fixture, name| fixture.set(name, "/other/sdk"));
    let environment = fixture.compute();
    for name in names {
        let variable = environment
            .variables
            .iter()
            .find(|variable| variable.name == name)
            .unwrap();
        assert!(
            value(&environment, name).starts_with(fixture.root.to_str().unwrap()),
            "{variable:?}"
        );
        assert!(
            variable.reason.ends_with("; replaces /other/sdk"),
            "{variable:?}"
        );
    }
}

#[test]
fn without_an_sdk_the_ambient_one_is_left_alone() {
    let fixture = Fixture::standalone().set("MODULAR_MAX_PACKAGE_ROOT", "/other/sdk");
    let environment = fixture.compute();
    assert!(
        environment
            .variables
            .iter()
            .all(|variable| variable.name != "MODULAR_MAX_PACKAGE_ROOT")
    );
    assert!(
        environment
            .variables
            .iter()
            .all(|variable| variable.name != "PATH")
    );
}

#[test]
fn an_own_extension_whose_file_is_gone_is_dropped_and_a_users_one_is_kept() {
    let fixture = Fixture::standalone();
    let own = below(&fixture.root, "build/mxfp4.mojoc");
    let renamed = below(&fixture.root, "build/before.mojoc");
    let fixture = fixture
        .set(
            "MAX_CUSTOM_EXTENSIONS",
            format!("{own}:/gone/users.mojoc:{renamed}"),
        )
        .set("MXFP4_KERNEL_PACKAGE", &own);
    let environment = fixture.compute();
    assert_eq!(
        listed(&environment, "MAX_CUSTOM_EXTENSIONS"),
        ["/gone/users.mojoc"]
    );
    assert_eq!(
        environment
            .apply(&fixture.ambient)
            .get("MXFP4_KERNEL_PACKAGE"),
        None
    );
    let reason = &environment
        .variables
        .iter()
        .find(|variable| variable.name == "MAX_CUSTOM_EXTENSIONS")
        .unwrap()
        .reason;
    assert!(reason.contains(&format!("dropped {own}")), "{reason}");

    let fixture = Fixture::standalone();
    let own = below(&fixture.root, "build/mxfp4.mojoc");
    let fixture = fixture.set("MAX_CUSTOM_EXTENSIONS", own);
    assert_eq!(
        fixture
            .compute()
            .apply(&fixture.ambient)
            .get("MAX_CUSTOM_EXTENSIONS"),
        None
    );
}

#[test]
fn a_package_of_ours_in_another_format_is_not_loaded_beside_the_new_one() {
    let fixture = Fixture::standalone();
    let new = fixture.write("build/mxfp4.mojoc", "");
    let old = fixture.write("build/mxfp4.mojopkg", "");
    let users = fixture.write("build/users.mojoc", "");
    std::fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let fixture = fixture.set(
        "MAX_CUSTOM_EXTENSIONS",
        format!("{}:{}", old.display(), users.display()),
    );
    let environment = fixture.compute();
    assert_eq!(
        listed(&environment, "MAX_CUSTOM_EXTENSIONS"),
        [new.to_str().unwrap(), users.to_str().unwrap()]
    );
}

#[test]
fn the_packages_of_a_workspace_evaluated_before_are_replaced() {
    let before = Fixture::standalone();
    let theirs = before.write("build/mxfp4.mojoc", "");
    let fixture = Fixture::standalone();
    let ours = fixture.write("build/mxfp4.mojoc", "");
    let ambient = before.compute().apply(&fixture.ambient);
    let mut fixture = fixture;
    fixture.ambient = ambient;
    let environment = fixture.compute();
    assert_eq!(
        listed(&environment, "MAX_CUSTOM_EXTENSIONS"),
        [ours.to_str().unwrap()]
    );

    // Listed by hand, it is the user's.
    let fixture = fixture
        .set("MAX_CUSTOM_EXTENSIONS", &theirs)
        .set("MXFP4_KERNEL_PACKAGE", "");
    let environment = fixture.compute();
    assert_eq!(
        listed(&environment, "MAX_CUSTOM_EXTENSIONS"),
        [ours.to_str().unwrap(), theirs.to_str().unwrap()]
    );
}

#[test]
fn entries_of_our_root_that_are_gone_are_dropped() {
    let fixture = Fixture::modular();
    let root = fixture.root.display().to_string();
    let venv = fixture.venv("venv", "python3.11");
    let fixture = fixture
        .set("VIRTUAL_ENV", venv)
        .set(
            "MODULAR_MOJO_MAX_IMPORT_PATH",
            format!("{root}/bazel-bin/max/kernels/src,{root}/mine"),
        )
        .set("PATH", format!("{root}/.venv/bin:/usr/bin"));
    let environment = fixture.compute();
    let import_path = listed(&environment, "MODULAR_MOJO_MAX_IMPORT_PATH");
    assert!(
        import_path.iter().all(|entry| !entry.contains("bazel-bin")),
        "{import_path:?}"
    );
    assert_eq!(import_path.last(), Some(&&*below(&fixture.root, "mine")));
    assert!(!value(&environment, "PATH").contains(".venv"));
}

#[test]
fn the_same_folder_under_another_name_is_not_listed_again() {
    let fixture = Fixture::standalone();
    fixture.folder("python");
    let link = fixture.base.join("link");
    symlink(&fixture.root, &link).unwrap();
    let fixture = fixture.set("PYTHONPATH", link.join("python"));
    assert_eq!(
        value(&fixture.compute(), "PYTHONPATH"),
        below(&fixture.root, "python")
    );
}

#[test]
fn configured_kernels_and_their_includes_are_importable() {
    let fixture = Fixture::standalone();
    fixture.write(
        "mxfp4.toml",
        "[[kernels]]\nname = \"a\"\nsource = \"a\"\nincludes = [\"more\"]\n\
         [[kernels]]\nname = \"b\"\nsource = \"x/b\"\n[tests]\nmojo-includes = [\"x\", \"t\"]\n",
    );
    let root = &fixture.root;
    assert_eq!(
        listed(&fixture.compute(), "MODULAR_MOJO_MAX_IMPORT_PATH"),
        [
            root.to_str().unwrap(),
            &below(root, "more"),
            &below(root, "x"),
            &below(root, "t")
        ]
    );
}

#[test]
fn what_a_format_cannot_carry_is_refused_by_name() {
    let comma = Fixture::bare("a,b");
    comma.write("mxfp4.toml", "");
    let colon = Fixture::bare("a:b");
    colon.write("mxfp4.toml", "");
    for (fixture, character, variable) in [
        (&comma, "a comma", "MODULAR_MOJO_MAX_IMPORT_PATH"),
        (&colon, "a colon", "PYTHONPATH"),
    ] {
        let error = Environment::compute(
            &fixture.workspace(),
            None,
            &fixture.ambient,
            Options::default(),
        )
        .unwrap_err();
        let message = told(&error);
        assert!(
            message.contains(character) && message.contains(variable),
            "{message}"
        );
        assert!(
            message.contains(fixture.root.to_str().unwrap()) && message.contains("--root"),
            "{message}"
        );
        assert_eq!(error.exit().code(), 3);

        // The remedy that the message names.
        let link = fixture.base.join("plain");
        symlink(&fixture.root, &link).unwrap();
        let workspace = Workspace::find(Some(&link), Path::new("/")).unwrap();
        Environment::compute(&workspace, None, &fixture.ambient, Options::default()).unwrap();
    }

    for (name, character) in [("s,dk", "a comma"), ("s:dk", "a colon")] {
        let fixture = Fixture::standalone();
        let sdk = fixture.venv(name, "python3.11");
        let fixture = fixture.set("MXFP4_SDK", sdk);
        let sdk = fixture.sdk();
        let error = Environment::compute(
            &fixture.workspace(),
            sdk.as_ref(),
            &fixture.ambient,
            Options::default(),
        )
        .unwrap_err();
        let message = told(&error);
        assert!(
            message.contains(character) && message.contains("MXFP4_SDK"),
            "{message}"
        );
        assert_eq!(error.exit().code(), 4);
    }
}

#[test]
fn a_carried_tree_is_on_pythonpath_and_its_python_is_named() {
    let fixture = Fixture::standalone();
    let site = fixture.base.join("carried");
    tree(&site);
    let python = write(&fixture.base.join("py/bin/python3.12"), "");
    let fixture = fixture
        .set("MXFP4_SDK", &site)
        .set("PATH", python.parent().unwrap());

    // `python` is not there: what to use instead is said.
    let environment = fixture.compute();
    assert_eq!(
        listed(&environment, "PYTHONPATH"),
        [&below(&fixture.root, "python"), site.to_str().unwrap()]
    );
    assert_eq!(
        value(&environment, "MXFP4_PYTHON"),
        python.to_str().unwrap()
    );
    let site = fixture.sdk().unwrap().site;
    let version = Some(PythonVersion::new(3, 12));
    assert_eq!(
        environment.warnings,
        [
            Warning::NoFormatter(site.clone()),
            Warning::OtherPython {
                site: site.clone(),
                version,
                python,
            }
        ]
    );

    // With the workspace's own scripts it is.
    let shims = fixture.folder("scripts/shims");
    fixture.write("scripts/shims/mblack", "");
    let environment = fixture.compute();
    assert_eq!(listed(&environment, "PATH")[1], shims.to_str().unwrap());
    assert_eq!(
        value(&environment, "MODULAR_MOJO_MAX_MBLACK_PATH"),
        below(&shims, "mblack")
    );
    assert!(
        environment.warnings.is_empty(),
        "{:?}",
        environment.warnings
    );

    // No Python of that version at all.
    let fixture = fixture.set("PATH", "/nowhere");
    assert_eq!(
        fixture.compute().warnings,
        [
            Warning::NoFormatter(site.clone()),
            Warning::NoPython { site, version }
        ]
    );
}

#[test]
fn an_empty_path_still_finds_the_system() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let fixture = fixture.set("PATH", "");
    assert!(value(&fixture.compute(), "PATH").ends_with(":/usr/local/bin:/usr/bin:/bin"));
}

#[test]
fn pythonhome_would_break_the_sdks_python() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let fixture = fixture.set("PYTHONHOME", "/other");
    assert_eq!(
        fixture.compute().apply(&fixture.ambient).get("PYTHONHOME"),
        None
    );
}

#[test]
fn a_choice_about_crash_reports_is_kept() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let fixture = fixture.set("MODULAR_CRASH_REPORTING_ENABLED", "true");
    assert_eq!(
        value(&fixture.compute(), "MODULAR_CRASH_REPORTING_ENABLED"),
        "true"
    );
}

#[test]
fn the_device_is_synchronous_only_for_debugging() {
    let cases = [
        // ambient sync mode, ambient MODULAR_DEBUG, options, sync mode after, MODULAR_DEBUG after
        ("", "", Options::default(), None, None),
        ("", "", DEBUGGING, Some("true"), Some("device-sync-mode")),
        ("", "", SERVING, None, None),
        (
            "false",
            "nan-check,assert-level=all",
            DEBUGGING,
            Some("true"),
            Some("device-sync-mode,nan-check,assert-level=all"),
        ),
        (
            "",
            "nan-check, device-sync-mode",
            DEBUGGING,
            Some("true"),
            Some("device-sync-mode,nan-check"),
        ),
        (
            "true",
            "device-sync-mode",
            DEBUGGING,
            Some("true"),
            Some("device-sync-mode"),
        ),
        (
            "true",
            "device-sync-mode,nan-check",
            Options::default(),
            Some("true"),
            Some("device-sync-mode,nan-check"),
        ),
        (
            "true",
            "nan-check,device-sync-mode",
            SERVING,
            None,
            Some("nan-check"),
        ),
        ("1", "device-sync-mode", SERVING, None, None),
        ("false", "nan-check", SERVING, None, Some("nan-check")),
        (
            "",
            "sensible,pre-jit",
            SERVING,
            None,
            Some(
                "nan-check,assert-level=all,stack-trace-on-error,stack-trace-on-crash,source-tracebacks,pre-jit",
            ),
        ),
    ];
    for (mode, debug, options, mode_after, debug_after) in cases {
        let mut fixture = Fixture::standalone();
        for (name, value) in [(SYNC_MODE, mode), (DEBUG, debug)] {
            if !value.is_empty() {
                fixture = fixture.set(name, value);
            }
        }
        let after = fixture.compute_for(options).apply(&fixture.ambient);
        let case = format!("{mode:?} {debug:?} {options:?}");
        assert_eq!(after.get(SYNC_MODE), mode_after.map(OsStr::new), "{case}");
        assert_eq!(after.get(DEBUG), debug_after.map(OsStr::new), "{case}");
    }
}

#[test]
fn synchronous_execution_that_stays_or_goes_is_said() {
    let fixture = Fixture::standalone().set(SYNC_MODE, "true");
    let no_sdk = fixture.compute_for(DEBUGGING).warnings;
    assert!(matches!(no_sdk[..], [Warning::NoSdk { .. }]), "{no_sdk:?}");
    let more = |options| fixture.compute_for(options).warnings[1..].to_vec();
    assert_eq!(more(Options::default()), [Warning::Synchronous(SYNC_MODE)]);
    assert_eq!(more(SERVING), [Warning::SynchronousOff]);
    let fixture = Fixture::standalone().set(SYNC_MODE, "false");
    let warnings = fixture.compute().warnings;
    assert!(
        matches!(warnings[..], [Warning::NoSdk { .. }]),
        "{warnings:?}"
    );
}

#[test]
fn a_candidate_that_the_user_lists_is_kept_and_one_of_an_earlier_evaluation_is_not() {
    let fixture = Fixture::modular();
    let bin = "bazel-bin/max/kernels/src";
    let custom = fixture.write(
        format!("{bin}/custom_ops/mogg_mxfp4/mogg_mxfp4.mojopkg"),
        "",
    );
    let mut fixture = fixture;
    fixture.ambient = fixture.compute().apply(&fixture.ambient);
    let api = fixture.write(
        format!("{bin}/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg"),
        "",
    );
    let (custom, api) = (custom.to_str().unwrap(), api.to_str().unwrap());
    let listed_now = |fixture: &Fixture| {
        let environment = fixture.compute();
        value(&environment, "MAX_CUSTOM_EXTENSIONS").to_owned()
    };
    assert_eq!(listed_now(&fixture), api);
    fixture.ambient.remove("MXFP4_KERNEL_PACKAGE");
    assert_eq!(listed_now(&fixture), format!("{api}:{custom}"));
}

#[test]
fn another_sdks_configuration_is_kept_away_from_our_compiler() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let other = write(&fixture.base.join("other/modular.cfg"), "");
    let fixture = fixture.set("MODULAR_HOME", other.parent().unwrap());
    let home = |fixture: &Fixture| {
        let after = fixture.compute().apply(&fixture.ambient);
        after.get("MODULAR_HOME").map(ToOwned::to_owned)
    };
    assert_eq!(home(&fixture), None);

    // Without a configuration in it, it is only where caches go.
    let fixture = fixture.set("MODULAR_HOME", "/caches");
    assert_eq!(home(&fixture), Some("/caches".into()));

    // conda's own is used.
    let prefix = fixture.base.join("conda");
    write(&prefix.join("bin/mojo"), "");
    write(&prefix.join("lib/mojo/std.mojoc"), "");
    write(&prefix.join("share/max/modular.cfg"), "");
    let fixture = fixture.set("MXFP4_SDK", &prefix);
    assert_eq!(home(&fixture), Some(prefix.join("share/max").into()));
}

#[test]
fn another_version_than_the_pinned_one_is_said() {
    let fixture = Fixture::standalone();
    let venv = fixture.venv("tree/.venv", "python3.11");
    let site = venv.join("lib/python3.11/site-packages");
    let installed = |version: &str| {
        write(&site.join(format!("max-{version}.dist-info/METADATA")), "");
        fixture.compute().warnings
    };
    let other = Warning::OtherMax {
        site: site.clone(),
        found: "26.6.0".into(),
        pinned: "26.7.0".parse().unwrap(),
    };
    assert_eq!(installed("26.6.0"), [other]);
    assert_eq!(installed("26.7.0"), []);
}
