//! `mxfp4 env`, its opposite, and the other ways to the same environment.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::shells::place::{HOSTILE, Place, Variables, assert_same, dumped, not_text, variables};
use crate::shells::shell::Shell;
use crate::support::{Skip, run};

/// Activated twice, a program run, deactivated: the variables are those that JSON says, then byte for byte those of
/// before.
pub fn there_and_back(shell: &Shell) {
    let mut names = vec![OsString::from(HOSTILE)];
    if !shell.is_text_only() {
        names.push(not_text());
    }
    for name in names {
        let place = Place::new(&name);
        let out = place.base();
        let ambient = place.ambient(&name);
        let [before, once, twice, after, again] =
            ["before", "once", "twice", "after", "again"].map(|name| out.join(name));
        // A shell changes a few variables when it starts: what it passes on is what there is.
        let ran = shell.script(&shell.dump(&before), &place.deep(), &ambient);
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{ran:?}");
        let started_with = dumped(&before);
        let expected = place.activated(&started_with);

        let activate = evaluate(shell, &place, "env", &started_with);
        let deactivate = evaluate(shell, &place, "env --unset", &expected);
        let run = match shell.name {
            "nu" => "^mojo build 'a b'\n",
            _ => "mojo build 'a b'\n",
        };
        let code = [
            activate.clone(),
            shell.dump(&once),
            activate.clone(),
            shell.dump(&twice),
            run.into(),
            // Undoing needs nothing but the variables.
            shell.cd("/".as_ref()),
            deactivate.clone(),
            shell.dump(&after),
            shell.cd(&place.deep()),
            activate,
            shell.dump(&again),
            deactivate,
            shell.dump(&before),
        ]
        .concat();
        let ran = shell.script(&code, &place.deep(), &ambient);
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{ran:?}");
        assert_eq!(ran.stdout, "started build a b\n");
        assert_same("once", &dumped(&once), &expected);
        assert_same("twice", &dumped(&twice), &expected);
        assert_same("after", &dumped(&after), &started_with);
        assert_same("again", &dumped(&again), &expected);
        assert_same("before", &dumped(&before), &started_with);
        let mojo = ".venv/lib/python3.11/site-packages/modular/bin/mojo.started";
        fs::remove_file(place.root.join(mojo)).unwrap();
        place.assert_untouched();
    }
}

/// Code that evaluates what `mxfp4 ARGS` prints. nu reads it before anything runs, so that it is printed now, under the
/// variables that there will be.
fn evaluate(shell: &Shell, place: &Place, args: &str, variables: &Variables) -> Vec<u8> {
    match shell.name {
        "fish" => format!("$MXFP4 {args} | source\n").into(),
        "nu" => {
            let mut command = place.mxfp4();
            command.args(args.split(' ')).args(["--shell", "nu"]);
            let output = command.env_clear().envs(variables).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let file = place.base().join(format!("{args}.nu"));
            fs::write(&file, output.stdout).unwrap();
            [b"source ", &*shell.quote(file), b"\n"].concat()
        }
        _ => format!("eval \"$(\"$MXFP4\" {args})\"\n").into(),
    }
}

/// Without `--shell` the output is in the language of the shell that runs the program, whatever SHELL says.
pub fn is_told(shell: &Shell) {
    let place = Place::new("work");
    let mut ambient = place.ambient(OsStr::new("/plain"));
    for login_shell in ["/usr/bin/fish", "/bin/bash"] {
        ambient.insert("SHELL".into(), login_shell.into());
        let ran = shell.script(&shell.mxfp4("env"), &place.root, &ambient);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let first = match shell.name {
            "fish" => "set -gx MODULAR_MAX_PACKAGE_ROOT ",
            "nu" => "load-env {MODULAR_MAX_PACKAGE_ROOT: ",
            _ => "export MODULAR_MAX_PACKAGE_ROOT=",
        };
        assert!(ran.stdout.starts_with(first), "{ran:?}");
    }
}

/// `env`, `run`, `shell` and the hook give a program the same bytes; only the marks of the last two differ.
pub fn all_ways_agree() -> Result<(), Skip> {
    let bash = Shell::find("bash")?;
    let place = Place::new(not_text());
    place.write("build/mxfp4.mojoc", "");
    let ambient = place.ambient(&not_text());
    let expected = place.activated(&ambient);
    let with = |name: &str| {
        let mut variables = expected.clone();
        variables.insert(name.into(), place.root.clone().into());
        variables
    };

    let mut command = place.mxfp4();
    command.args(["run", "--", "/usr/bin/env", "-0"]);
    let output = command.env_clear().envs(&ambient).output().unwrap();
    assert_same("run", &variables(&output.stdout), &expected);

    let mut command = place.mxfp4();
    command.args(["shell", "--shell", "sh"]).env_clear();
    let mut child = command
        .envs(&ambient)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"/usr/bin/env -0\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_same("shell", &variables(&output.stdout), &with("MXFP4_SHELL"));

    let dump = place.base().join("dump");
    let code = [b"eval \"$(\"$MXFP4\" env)\"\n".to_vec(), bash.dump(&dump)].concat();
    bash.script(&code, &place.deep(), &ambient);
    assert_same("env", &dumped(&dump), &expected);

    let ran = run(place.mxfp4().arg("allow").env_clear().envs(&ambient));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let code = [bash.hook(&dump), bash.prompt().into(), bash.dump(&dump)].concat();
    bash.typed(&code, &place.deep(), &ambient);
    assert_same("hook", &dumped(&dump), &with("MXFP4_HOOK"));
    Ok(())
}

pub fn undoing_needs_no_workspace() {
    let place = Place::new("work");
    let active = place.activated(&place.ambient(OsStr::new("/plain")));
    fs::remove_dir_all(&place.root).unwrap();
    fs::create_dir_all(place.deep()).unwrap();
    let unset = |variables: &Variables| {
        let mut command = place.mxfp4();
        command.args(["env", "--unset"]);
        run(command.env_clear().envs(variables))
    };
    let ran = unset(&active);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{ran:?}");
    assert!(ran.stdout.contains("export PYTHONHOME=/plain\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("unset MXFP4_RESTORE\n"), "{ran:?}");

    let ran = unset(&place.ambient(OsStr::new("/plain")));
    assert_eq!((ran.code, &*ran.stdout), (Some(0), ""));
    assert!(ran.stderr.contains("nothing to restore"), "{ran:?}");

    let mut broken = active;
    broken.insert("MXFP4_RESTORE".into(), "1,/w,X;id,-,-".into());
    let ran = unset(&broken);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
    assert!(
        ran.stderr.contains("error: MXFP4_RESTORE holds no record"),
        "{ran:?}"
    );
}
