//! Workspaces in places that do not let everything be done: without locks, read-only, moved, or made by somebody else.
//! The SDK only pretends.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::stub::Stub;
use crate::support::{Ran, Skip, failing, folder, is_root, run, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<(), Skip>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests = [
        (
            "a_file_system_without_locks",
            without_locks as fn() -> Tested,
        ),
        ("files_that_windows_wrote", windows),
        ("named_pipes_among_the_files", pipes),
        ("a_workspace_that_was_moved", moved),
        ("a_workspace_that_is_read_only", read_only),
        ("a_workspace_that_root_built", built_by_root),
    ];
    let trials = tests.map(|(name, test)| {
        trial::ignorable(
            module_path!(),
            name,
            move || -> Result<Completion, Failed> {
                Ok(match test() {
                    Ok(()) => Completion::Completed,
                    Err(why) => Completion::ignored_with(why),
                })
            },
        )
    });
    trials.into()
}

const PYTHON_FREE: &str = "[tests]\npython = []\n";

fn without_locks() -> Tested {
    for (error, said) in [
        ("ENOLCK", "No locks available (os error 37)"),
        ("EOPNOTSUPP", "Operation not supported (os error 95)"),
        ("ENOSYS", "Function not implemented (os error 38)"),
    ] {
        let place = folder([("x", "")]);
        let library = failing(place.path(), "flock", error);
        let stub = Stub::new(
            PYTHON_FREE,
            &[("build/mxfp4.mojoc.partial-1/mxfp4.mojoc", "")],
        );
        let run = |args: &[&str]| run(stub.mxfp4(args).env("LD_PRELOAD", &library));
        let warning = format!(
            "warning: this file system has no locks ({said}): do not run two builds or setups here at once\n"
        );
        let ran = run(&["build"]);
        let printed = format!("{}\n", stub.path("build/mxfp4.mojoc").display());
        assert_eq!((ran.code, &ran.stdout), (Some(0), &printed), "{ran:?}");
        assert_eq!(ran.stderr, format!("{warning}compiling mxfp4\n"));
        // Whoever makes it may be at it still.
        assert!(stub.path("build/mxfp4.mojoc.partial-1").exists());
        let ran = run(&["clean"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.starts_with(&warning), "{ran:?}");
        assert!(!stub.path("build").exists(), "{ran:?}");
    }
    Ok(())
}

/// Text with a byte order mark and CRLF, as editors on Windows write it.
fn windows() -> Tested {
    let text = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let stub = Stub::new("", &[]);
    let configuration = "[sdk]\npath = \"sdk\"\n[tests]\npython = []\n";
    stub.write("mxfp4.toml", &text(configuration));
    passes(&run(&mut stub.mxfp4(&["test"])));
    passes(&run(&mut stub.mxfp4(&["test", "test_a"])));
    // The place is the same as without.
    stub.write("mxfp4.toml", &text("[sdk]\npaht = \"sdk\"\n"));
    let ran = run(&mut stub.mxfp4(&["build"]));
    let expected = format!(
        "error: {}:2:1: unknown field `paht`, expected one of `max`, `mojo`, `python`, `accepted-pythons`, `path`; did you \
         mean `path`?\n  |\n2 | paht = \"sdk\"\n  | ^\n",
        stub.path("mxfp4.toml").display()
    );
    assert_eq!((ran.code, &ran.stderr), (Some(3), &expected), "{ran:?}");
    let mut utf_16 = b"\xff\xfe".to_vec();
    utf_16.extend(configuration.encode_utf16().flat_map(u16::to_le_bytes));
    fs::write(stub.path("mxfp4.toml"), utf_16).unwrap();
    let ran = run(&mut stub.mxfp4(&["build"]));
    let expected = format!(
        "error: cannot read {}: it is UTF-16; save it as UTF-8\n",
        stub.path("mxfp4.toml").display()
    );
    assert_eq!((ran.code, &ran.stderr), (Some(3), &expected), "{ran:?}");
    Ok(())
}

/// Each command ends, and says what is in its way where that is.
fn pipes() -> Tested {
    let stub = Stub::new(
        "[tests]\npython = [\"python\"]\n",
        &[("python/test_x.py", "")],
    );
    let pipe = |name: &str| {
        let path = stub.path(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        path
    };
    let run = |args: &[&str]| {
        let mut command = Command::new("timeout");
        let inner = stub.mxfp4(args);
        command
            .arg("20")
            .arg(inner.get_program())
            .args(inner.get_args());
        command.env_clear().current_dir(stub.root());
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        run(&mut command)
    };
    let kernel = pipe("kernels/mxfp4/pipe.mojo");
    let expected = format!(
        "error: {} is neither a file nor a folder, and reading it might never end; remove it, or give it another name\n",
        kernel.display()
    );
    let ran = run(&["build"]);
    assert_eq!((ran.code, &ran.stderr), (Some(3), &expected), "{ran:?}");
    let ran = run(&["doctor", "build"]);
    assert!(
        ran.stdout.contains("and reading it might never end"),
        "{ran:?}"
    );
    fs::remove_file(kernel).unwrap();
    assert_eq!(run(&["build"]).code, Some(0));

    // A Mojo test is one that fails; what only looks like a Python test is none; and looking for a name ends, too.
    pipe("kernels/test/test_pipe.mojo");
    pipe("python/test_pipe.py");
    let ran = run(&["test", "pipe"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let failed = "mojo: kernels/test/test_pipe.mojo: it is no file\n";
    assert!(ran.stdout.contains(failed), "{ran:?}");
    // Nor do links that lead back keep it looking.
    for name in ["a", "b"] {
        symlink("..", stub.path("python").join(name)).unwrap();
    }
    let ran = run(&["test", "no_such_test"]);
    let said = "error: no test has `no_such_test` in its name\n";
    assert_eq!((ran.code, &*ran.stderr), (Some(1), said), "{ran:?}");
    for args in [
        &["fmt", "--check", "--no-setup"][..],
        &["vscode", "--check"],
    ] {
        assert_ne!(run(args).code, Some(124), "{args:?}");
    }
    Ok(())
}

fn passes(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.ends_with("\n1 passed, 0 failed, 0 skipped\n"),
        "{ran:?}"
    );
}

fn moved() -> Tested {
    let stub = Stub::new(PYTHON_FREE, &[]);
    passes(&run(&mut stub.mxfp4(&["test"])));
    let elsewhere = folder([("x", "")]);
    let root = elsewhere.path().join("moved");
    let copied = run(Command::new("cp").arg("-a").args([stub.root(), &root]));
    assert_eq!(copied.code, Some(0), "{copied:?}");
    drop(stub);
    let mut command = crate::support::mxfp4(&root);
    let ran = run(command.env("CUDA_VISIBLE_DEVICES", "").arg("test"));
    passes(&ran);
    // What is in a package of its source's place is now right again.
    assert!(ran.stderr.contains("compiling mxfp4"), "{ran:?}");
    Ok(())
}

fn read_only() -> Tested {
    let unshare = tool("unshare")?;
    let ruff = "#!/bin/sh\ncase \" $* \" in *' --no-cache '*) ;; *) echo 'cannot write' >&2; exit 2 ;; esac\n";
    let stub = Stub::new(PYTHON_FREE, &[("sdk/bin/ruff", ruff), ("x.py", "")]);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(stub.path("sdk/bin/ruff"), executable).unwrap();
    let inside = |command: &Command| {
        let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 77; cd \"$0\" && exec \"$@\"";
        let mut outer = Command::new(&unshare);
        outer.args(["-rm", "sh", "-c", script]).arg(stub.root());
        outer.arg(command.get_program()).args(command.get_args());
        outer.env_clear();
        for (name, value) in command.get_envs() {
            outer.env(name, value.unwrap_or_default());
        }
        run(&mut outer)
    };
    let ran = inside(&stub.mxfp4(&["build"]));
    if ran.code == Some(77) || ran.stderr.starts_with("unshare:") {
        return Err(format!(
            "nothing can be mounted here: {}",
            ran.stderr.trim()
        ));
    }
    let lock = stub.path("build");
    let expected = format!(
        "error: cannot create {}: Read-only file system (os error 30); mount that so that it can be written, or do this \
         where it can be before it is mounted\n",
        lock.display()
    );
    assert_eq!((ran.code, &ran.stderr), (Some(1), &expected), "{ran:?}");
    // Built before, copied and then mounted, it needs no writing.
    assert_eq!(run(&mut stub.mxfp4(&["build"])).code, Some(0));
    let (package, copy) = (stub.path("build/mxfp4.mojoc"), stub.path("build/copy"));
    fs::copy(&package, &copy).unwrap();
    fs::rename(&copy, &package).unwrap();
    passes(&inside(&stub.mxfp4(&["test"])));
    let ran = inside(&stub.mxfp4(&["fmt", "--check", "x.py"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}

fn built_by_root() -> Tested {
    if !is_root() {
        return Err("only root can build as root".to_owned());
    }
    let stub = Stub::new(PYTHON_FREE, &[]);
    assert_eq!(run(&mut stub.mxfp4(&["build"])).code, Some(0));
    let somebody = 12345;
    for folder in [stub.root(), &stub.path("kernels/mxfp4")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(folder, Some(somebody), Some(somebody)).unwrap();
    }
    // The program may be where only root goes.
    let program = stub.path("program");
    fs::copy(env!("CARGO_BIN_EXE_mxfp4"), &program).unwrap();
    let theirs = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("CUDA_VISIBLE_DEVICES", "");
        let command = command.uid(somebody).gid(somebody).current_dir(stub.root());
        run(command.args(args))
    };
    passes(&theirs(&["test"]));
    stub.write("kernels/mxfp4/__init__.mojo", "two");
    let ran = theirs(&["test"]);
    let expected = format!(
        "error: cannot create {}: Permission denied (os error 13); it is root's: take it with `sudo chown -R {somebody} \
         {}`, or go on as root\n",
        stub.path("build/.lock").display(),
        stub.path("build").display()
    );
    assert_eq!((ran.code, &ran.stderr), (Some(1), &expected), "{ran:?}");
    Ok(())
}
