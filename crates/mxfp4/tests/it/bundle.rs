//! `mxfp4 bundle`: what is packed and what it unpacks to; what a kill leaves is seen in `faults`. The compiler and uv only pretend
//! here; the last test takes the real ones, where it is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::carry::{CONFIG, MOJO, Place};
use crate::support::{MODEL, folder, repository, run, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 9] = [
        ("what_is_carried", what_is_carried),
        (
            "the_host_builds_nothing_and_sets_nothing_up",
            the_host_builds_nothing,
        ),
        ("the_host_sees_a_change", the_host_sees_a_change),
        ("serve_takes_the_carried_sdk", serve_takes_the_carried_sdk),
        ("parts_and_their_damage", parts_and_their_damage),
        ("an_sdk_for_another_python", an_sdk_for_another_python),
        (
            "a_package_of_another_compiler_stays_behind",
            a_package_of_another_compiler,
        ),
        ("compiled_models_are_carried", compiled_models_are_carried),
        ("what_is_refused", what_is_refused),
    ];
    let mut trials: Vec<Trial> = tests
        .map(|(name, test)| {
            trial::test(module_path!(), name, move || {
                test();
                Ok(())
            })
        })
        .into();
    trials.push(trial::ignorable(
        module_path!(),
        "python_is_compiled",
        python_is_compiled,
    ));
    trials.push(trial::ignorable(module_path!(), "a_full_disk", a_full_disk));
    trials.push(trial::ignorable(
        module_path!(),
        "the_real_sdk",
        the_real_sdk,
    ));
    trials
}

/// One bundle for all tests that only read it: most of it is this program, which is large when built for debugging.
fn bundle() -> &'static (Place, PathBuf) {
    static BUNDLE: OnceLock<(Place, PathBuf)> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let place = Place::new();
        let output = place.path("here/dist/b");
        let ran = place.create(&["--sdk", "../sdk", "--split", "1M", "--output", "dist/b"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, format!("{}\n", output.display()));
        (place, output)
    })
}

/// A place with that bundle unpacked to `host`.
fn unpacked() -> Place {
    let (_, bundle) = bundle();
    let place = Place::new();
    let ran = place.unpack(bundle, "host");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, format!("{}\n", place.path("host").display()));
    assert!(!ran.stderr.contains("warning"), "{ran:?}");
    place
}

/// The files below `root`, with what is in them, but for the large program.
fn listing(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(path, target.into_os_string().into_encoded_bytes());
            } else if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "mxfp4") {
                found.insert(path, Vec::new());
            } else {
                let content = fs::read(&path).unwrap();
                found.insert(path, content);
            }
        }
    }
    let below = |(path, content): (PathBuf, _)| (path.strip_prefix(root).unwrap().into(), content);
    found.into_iter().map(below).collect()
}

fn what_is_carried() {
    let place = unpacked();
    let files = listing(&place.path("host"));
    let names: Vec<_> = files.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            ".gitignore",
            "build/.lock",
            "build/.tiny.json",
            "build/tiny.mojoc",
            "kernels/tiny/__init__.mojo",
            "mxfp4",
            "mxfp4.toml",
            "python/mxfp4/__init__.py",
            "python/mxfp4/start.py",
            "python/pyproject.toml",
            "python/uv.lock",
            "sdk/max/_core.cpython-312-x86_64-linux-gnu.so",
            "sdk/max/_entrypoints/pipelines.py",
            "sdk/max/_ops/__init__.py",
            // Compiled ahead, and named as MAX's importer looks for it.
            "sdk/max/_ops/__mojocache__/ops.hash-47f66043b1fc6d57.so",
            "sdk/max/_ops/ops.mojo",
            "sdk/max-26.7.0.dist-info/METADATA",
            "sdk/modular/bin/mojo",
            "sdk/modular/lib/mojo/std.mojoc",
            "sdk/mojo-1.2.0.dist-info/METADATA",
            "target/release/mxfp4",
        ]
    );
    let config = String::from_utf8(files[Path::new("mxfp4.toml")].clone()).unwrap();
    let expect = CONFIG.replace("\"26.7.0\"\n", "\"26.7.0\"\npath = \"sdk\"\n");
    assert_eq!(config, expect);

    let (_, bundle) = bundle();
    let readme = fs::read_to_string(bundle.join("README.txt")).unwrap();
    for part in [
        "MAX 26.7.0",
        "Mojo 1.2.0",
        "Python 3.12",
        "bundle unpack --into",
    ] {
        assert!(readme.contains(part), "{part} is not in {readme}");
    }
}

fn the_host_builds_nothing() {
    let place = unpacked();
    let ran = run(&mut place.in_workspace("host", &["build", "--no-setup"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let package = place.path("host/build/tiny.mojoc");
    assert_eq!(ran.stdout, format!("{}\n", package.display()));
    assert!(!ran.stderr.contains("compiling"), "{ran:?}");
    let ran = run(&mut place.in_workspace("host", &["setup"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("`sdk.path` of mxfp4.toml"), "{ran:?}");
    assert_eq!(place.log(), "", "uv was started");
}

fn the_host_sees_a_change() {
    let place = unpacked();
    for change in [
        "host/kernels/tiny/__init__.mojo",
        "host/sdk/modular/bin/mojo",
    ] {
        let text = fs::read_to_string(place.path(change)).unwrap();
        fs::write(place.path(change), text + "# two\n").unwrap();
        for compiles in [true, false] {
            let ran = run(&mut place.in_workspace("host", &["build"]));
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert_eq!(ran.stderr.contains("compiling tiny"), compiles, "{ran:?}");
        }
    }
}

/// So that no process of the host has to do it, at each start where it may write nothing.
fn python_is_compiled() -> Tested {
    let ask = "import os, sys; print(os.path.realpath(sys.executable))";
    let python = run(Command::new(tool("python3")?).args(["-c", ask]));
    let python = Path::new(python.stdout.trim());
    let (_, bundle) = bundle();
    let place = Place::new();
    // An interpreter is told by its name. As that of a virtual environment it finds its library all the same.
    let program = place.path("programs/python3.12");
    fs::copy(python, &program)?;
    let home = python.parent().expect("it is in a folder").display();
    place.write("programs/pyvenv.cfg", &format!("home = {home}\n"));
    let ran = place.unpack(bundle, "host");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("warning"), "{ran:?}");

    // As a process does that may write nothing: what is there is taken.
    let program = program.to_str().unwrap();
    for (folder, module) in [("sdk", "max._ops"), ("python", "mxfp4")] {
        let ask = format!(
            "import os, {module} as m; assert os.path.isfile(m.__cached__), m.__cached__; print(m.__file__)"
        );
        let ran = run(Command::new(program)
            .args(["-B", "-c", &ask])
            .env("PYTHONPATH", place.path("host").join(folder)));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.starts_with(place.path("host").to_str().unwrap()));
    }
    Ok(Completion::Completed)
}

fn serve_takes_the_carried_sdk() {
    let place = unpacked();
    let model = place.path("here/model");
    let args = ["serve", "--dry-run", "--model", model.to_str().unwrap()];
    let ran = run(&mut place.in_workspace("host", &args));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in [
        place.path("programs/python3.12"),
        place.path("host/sdk"),
        place.path("host/python"),
        place.path("host/build/tiny.mojoc"),
        place.path("host/.mxfp4/cache"),
    ] {
        let part = part.to_str().unwrap();
        assert!(ran.stdout.contains(part), "{part} is not in {ran:?}");
    }

    fs::remove_file(place.path("programs/python3.12")).unwrap();
    let ran = place.unpack(&bundle().1, "host2");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr.contains("there is no python3.12 on PATH"),
        "{ran:?}"
    );
}

fn parts_and_their_damage() {
    let (_, bundle) = bundle();
    let place = Place::new();
    let copy = place.path("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(bundle).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let second = copy.join("bundle.tar.zst.0002");
    let whole = fs::read(&second).unwrap();
    assert_eq!(whole.len(), 1 << 20);

    let refused = |says: &str| {
        let ran = place.unpack(&copy, "host");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(says), "{says} is not in {ran:?}");
        assert_eq!(ran.stdout, "");
        assert_eq!(place.leftovers(&["copy", "elsewhere"]), [""; 0], "{says}");
    };
    let mut bytes = whole.clone();
    bytes[1_000_000] ^= 1;
    fs::write(&second, &bytes).unwrap();
    refused("0002 is damaged");
    fs::write(&second, &whole[..1_000_000]).unwrap();
    refused("0002 is truncated: 1000000 of 1048576 bytes are there");
    fs::remove_file(&second).unwrap();
    refused("bundle.tar.zst.0002; copy what is missing");

    // It may lie in another folder, which is then named.
    let elsewhere = place.path("elsewhere/bundle.tar.zst.0002");
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::write(&elsewhere, &whole).unwrap();
    let ran = run(place
        .on(&copy.join("mxfp4"), &copy, &["bundle", "unpack"])
        .args(["--into", "../host", ".", "../elsewhere"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(place.path("host/sdk").is_dir());
}

fn an_sdk_for_another_python() {
    let place = Place::new();
    let create = |behaviour: &str, args: &[&str]| {
        let mut command = place.mxfp4(&["bundle", "create", "--output", "../b"]);
        run(command.env("BEHAVIOUR", behaviour).args(args))
    };
    let ran = create("fail", &["--python", "3.12"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("no such wheel"), "{ran:?}");
    assert!(ran.stderr.contains("`uv pip install` failed"), "{ran:?}");
    assert_eq!(place.leftovers(&[]), [""; 0]);

    let ran = create("", &["--python", "3.12"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = place.log();
    let last = log.lines().last().unwrap();
    for flags in [
        "pip install",
        "--no-deps",
        "--require-hashes",
        "--only-binary :all:",
        "--python-version 3.12",
        "--python-platform x86_64-manylinux_2_34",
    ] {
        assert!(last.contains(flags), "{flags} is not in {log}");
    }
    assert!(log.contains("export --quiet --frozen --no-dev"), "{log}");
    let ran = place.create(&["--python", "3.12", "--with-dev", "--output", "../c"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = place.log();
    let last = log.lines().rfind(|line| line.contains("export")).unwrap();
    assert!(!last.contains("--no-dev"), "{log}");

    // What was made for it is gone, and nothing of uv's is carried.
    let state = listing(&place.path("here/.mxfp4"));
    assert_eq!(
        state.keys().collect::<Vec<_>>(),
        [Path::new("carried.lock")]
    );
    let ran = place.unpack(&place.path("b"), "host");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(place.path("host/sdk/modular/bin/mojo").is_file());
    assert!(!place.path("host/sdk/.lock").exists());
    assert!(!place.path("host/sdk/requirements.txt").exists());
}

fn a_package_of_another_compiler() {
    let place = Place::new();
    // The workspace's own SDK; its library alone differs.
    for (name, text) in [
        ("bin/mojo", MOJO),
        ("lib/mojo/std.mojoc", "other std of the same age"),
    ] {
        place.write(
            &format!("here/.venv/lib/python3.11/site-packages/modular/{name}"),
            text,
        );
    }
    let mojo = "here/.venv/lib/python3.11/site-packages/modular/bin/mojo";
    fs::set_permissions(place.path(mojo), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = place.create(&["--sdk", "../sdk", "--output", "../b"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("by another compiler"), "{ran:?}");
    assert!(place.path("here/build/tiny.mojoc").is_file());

    let ran = place.unpack(&place.path("b"), "host");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!place.path("host/build/tiny.mojoc").exists());
    let ran = run(&mut place.in_workspace("host", &["build", "--no-setup"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("compiling tiny"), "{ran:?}");
}

fn compiled_models_are_carried() {
    let place = Place::new();
    let model = "cache/graphs/decoder.mef";
    place.write(&format!("here/.mxfp4/{model}.partial"), "half");
    let ran = place.create(&["--sdk", "../sdk", "--with-cache"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stderr.contains("run `mxfp4 warm` first"), "{ran:?}");

    place.write(&format!("here/.mxfp4/{model}"), "compiled");
    // What MAX finds on the same machine alone.
    place.write("here/.mxfp4/cache/.max_cache/mof/mef/26.7.0/model", "");
    let ran = place.create(&["--sdk", "../sdk", "--with-cache", "--output", "../b"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = place.unpack(&place.path("b"), "host");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let carried = place.path(&format!("host/.mxfp4/{model}"));
    assert_eq!(fs::read_to_string(carried).unwrap(), "compiled");
    let others = [format!("{model}.partial"), "cache/.max_cache".into()];
    for other in others {
        assert!(
            !place.path(&format!("host/.mxfp4/{other}")).exists(),
            "{other}"
        );
    }
}

fn what_is_refused() {
    let place = Place::new();
    place.write("full/file", "");
    place.write("checkout/bazelw", "");
    place.write("checkout/max/kernels/src/x", "");
    place.write("other/modular/bin/mojo", "");
    place.write("other/max/_core.cpython-311-x86_64-linux-gnu.so", "");
    let cases: [(&[&str], i32, &str); 12] = [
        (
            &["create", "--sdk", "../sdk", "--output", "../full"],
            1,
            "not an empty folder",
        ),
        (
            &["create", "--sdk", "../nowhere"],
            4,
            "holds no SDK that can be carried",
        ),
        (
            &["create", "--python", "3.12", "--sdk", "../other"],
            2,
            "--sdk is for Python 3.11",
        ),
        (
            &["create", "--sdk", "../sdk", "--with-dev"],
            2,
            "cannot be used with",
        ),
        (&["create", "--python", "2.7"], 2, "2.7"),
        (&["create", "--split", "5"], 2, "too small"),
        (&["create", "--split", "60X"], 2, "unit"),
        (&["--root", "../checkout", "create"], 3, "Modular checkout"),
        (&["unpack"], 2, "--into"),
        (&["unpack", "--into", "../full"], 1, "not an empty folder"),
        (
            &["unpack", "--into", "../new", "../full"],
            1,
            "manifest.json is not there",
        ),
        (&["unpack", "--into", "../new", "../nowhere"], 1, "nowhere"),
    ];
    for (args, code, says) in cases {
        let (root, args) = match args.strip_prefix(&["--root"]) {
            Some(args) => (args[0], &args[1..]),
            None => (".", args),
        };
        let ran = run(place.mxfp4(&["--root", root, "bundle"]).args(args));
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(
            ran.stderr.contains(says),
            "{args:?}: {says} is not in {ran:?}"
        );
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(!place.path("new").exists(), "{args:?}");
    }
    let config = fs::read_to_string(place.path("here/mxfp4.toml")).unwrap();
    place.write(
        "here/mxfp4.toml",
        &config.replace("[sdk]\n", "[sdk]\naccepted-pythons = [\"3.11\"]\n"),
    );
    let ran = place.create(&["--sdk", "../sdk"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("--python takes 3.11"), "{ran:?}");
}

/// A small file system of its own; only who may mount can have one.
fn a_full_disk() -> Tested {
    let (_, bundle) = bundle();
    let place = Place::new();
    fs::create_dir(place.path("small"))?;
    let small = |size: &str, program: &Path, args: &str| {
        let script = format!(
            "mount -t tmpfs -o size={size} none '{small}' || exit 77; '{program}' bundle {args}; code=$?; ls -A '{small}'; exit $code",
            small = place.path("small").display(),
            program = program.display(),
        );
        let unshare = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
        run(&mut place.on(Path::new("/usr/bin/unshare"), &place.path("here"), &unshare))
    };
    let ran = small("1m", &bundle.join("mxfp4"), "unpack --into ../small/host");
    if ran.code == Some(77) || ran.stderr.contains("unshare") {
        return Ok(Completion::ignored_with(
            "skipped: no file system may be mounted here",
        ));
    }
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.stderr.contains("MB are needed; free some space"),
        "{ran:?}"
    );

    let program = Path::new(env!("CARGO_BIN_EXE_mxfp4"));
    let ran = small("1m", program, "create --sdk ../sdk --output ../small/b");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("is full; free some space"), "{ran:?}");
    Ok(Completion::Completed)
}

/// The whole way with the packages of the lock file, which takes minutes.
fn the_real_sdk() -> Tested {
    const ASK: &str = "MXFP4_BUNDLE_REAL";
    let Some(version) = std::env::var_os(ASK) else {
        return Ok(Completion::ignored_with(format!(
            "skipped: takes minutes and the network; {ASK}=3.12 runs it, with a python3.12 on PATH"
        )));
    };
    let version = version.to_string_lossy().into_owned();
    let python = tool(&format!("python{version}"))?;
    let python = python.parent().expect("it is in a folder").to_owned();
    let place = folder([("model/", "")]);
    for (name, text) in *MODEL {
        fs::write(place.path().join("model").join(name), text)?;
    }
    let at = |name: &str| place.path().join(name);
    let mut create = Command::new(env!("CARGO_BIN_EXE_mxfp4"));
    let ran = run(create
        .args([
            "bundle", "create", "--split", "60M", "--python", &version, "--output",
        ])
        .arg(at("b"))
        .current_dir(repository()));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let offline = |program: PathBuf, args: &[&str], cwd: PathBuf| {
        let mut command = Command::new("unshare");
        run(command
            .args(["--user", "--map-root-user", "--net"])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", python.display()))
            .env("HOME", place.path())
            .current_dir(cwd))
    };
    let ran = offline(
        at("b/mxfp4"),
        &["bundle", "unpack", "--into", "../host"],
        at("b"),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("warning"), "{ran:?}");
    let ran = offline(at("host/mxfp4"), &["build", "--no-setup"], at("host"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("compiling"), "{ran:?}");
    let ran = offline(
        at("host/mxfp4"),
        &["serve", "--dry-run", "--model", "../model"],
        at("host"),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains(at("host/sdk").to_str().unwrap()),
        "{ran:?}"
    );
    Ok(Completion::Completed)
}
