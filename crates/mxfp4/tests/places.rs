//! Workspaces in places that do not let everything be done: without locks, read-only, moved, or made by somebody else.
//! The SDK only pretends.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use support::stub::Stub;
use support::{Ran, Skip, failing, folder, is_root, run, tool};

type Tested = Result<(), Skip>;

fn main() -> ExitCode {
    let tests: [(&str, fn() -> Tested); 4] = [
        ("a_file_system_without_locks", without_locks),
        ("a_workspace_that_was_moved", moved),
        ("a_workspace_that_is_read_only", read_only),
        ("a_workspace_that_root_built", built_by_root),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
            Ok(match test() {
                Ok(()) => Completion::Completed,
                Err(why) => Completion::ignored_with(why),
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
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
    let mut command = support::mxfp4(&root);
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
