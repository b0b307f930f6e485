//! Others that change PATH and bring it back: direnv, virtual environments, a login shell's start-up files.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::shells::place::{Place, Variables, assert_same, dumped};
use crate::shells::shell::Shell;
use crate::support::{Skip, quoted, run, tool};

/// A workspace that is allowed.
fn allowed() -> Place {
    let place = Place::new("work");
    assert_eq!(place.ran(&["allow"]).code, Some(0));
    place
}

fn at(place: &Place, name: &str) -> Variables {
    dumped(&place.base().join(name))
}

fn path(place: &Place, name: &str) -> String {
    let dump = at(place, name);
    let path = dump.get(OsStr::new("PATH")).unwrap();
    // Where the SDK's programs are.
    let sdk = place.root.join(".venv");
    let native = sdk.join("lib/python3.11/site-packages/modular/bin");
    let ours = format!("{}:{}", native.display(), sdk.join("bin").display());
    path.to_str().unwrap().replace(&ours, "OURS")
}

/// In a folder that is direnv's too, with the hooks in either order.
pub fn direnv(shell: &Shell) -> Result<(), Skip> {
    let direnv = tool("direnv")?;
    let hook = match shell.name {
        "fish" => "direnv hook fish | source\n".to_owned(),
        name => format!("eval \"$(direnv hook {name})\"\n"),
    };
    for ours_first in [true, false] {
        let place = allowed();
        let out = place.base();
        place.write(".envrc", "PATH_add tools\nexport MINE=1\n");
        place.write("sub/.envrc", "PATH_add more\n");
        let ambient = place.ambient(OsStr::new("/plain"));
        for folder in ["", "sub"] {
            let mut command = Command::new(&direnv);
            command.arg("allow").arg(place.root.join(folder));
            assert_eq!(run(command.env_clear().envs(&ambient)).code, Some(0));
        }
        let mut hooks = [shell.hook(&out), hook.clone().into_bytes()];
        if !ours_first {
            hooks.reverse();
        }
        let dump = |name: &str| [shell.prompt().to_vec(), shell.dump(&out.join(name))].concat();
        let code = [
            hooks.concat(),
            dump("before"),
            shell.cd(&place.root),
            dump("inside"),
            // Loaded anew, direnv begins with what was there before it.
            b"direnv reload\n".to_vec(),
            dump("reloaded"),
            shell.cd(&out),
            dump("after"),
            // direnv comes while the workspace is active, and goes with it or alone.
            shell.cd(&place.deep()),
            shell.prompt().into(),
            shell.cd(&place.root.join("sub")),
            shell.prompt().into(),
            shell.mxfp4("deny --quiet"),
            dump("denied"),
            shell.cd(&out),
            dump("after that"),
        ]
        .concat();
        let ran = shell.typed(&code, &out, &ambient);
        let what = format!("ours first: {ours_first}: {ran:?}");
        for name in ["inside", "reloaded"] {
            let path = path(&place, name);
            assert!(
                path.contains("OURS:") && path.contains("/tools:"),
                "{name}: {path}: {what}"
            );
        }
        assert!(!path(&place, "denied").contains("OURS"), "{what}");
        for name in ["after", "after that"] {
            let mut after = at(&place, name);
            // It tells direnv nothing any more.
            after.retain(|name, _| !name.to_string_lossy().starts_with("DIRENV_"));
            assert_same(&format!("{name}, {what}"), &after, &at(&place, "before"));
        }
    }
    Ok(())
}

/// A virtual environment keeps PATH as it was when it was activated, and brings that back.
pub fn virtual_environments(shell: &Shell) -> Result<(), Skip> {
    let place = allowed();
    let out = place.base();
    let (activate, deactivate) = match shell.name {
        "fish" => (
            "set -g old $PATH; set -gx PATH /venv/bin $PATH\n",
            "set -gx PATH $old; set -e old\n",
        ),
        "nu" => (
            "$env.old = $env.PATH; $env.PATH = ($env.PATH | prepend /venv/bin)\n",
            "$env.PATH = $env.old; hide-env old\n",
        ),
        _ => (
            "old=$PATH; PATH=/venv/bin:$PATH\n",
            "PATH=$old; unset old\n",
        ),
    };
    let dump = |name: &str| [shell.prompt().to_vec(), shell.dump(&out.join(name))].concat();
    let code = [
        shell.hook(&out),
        dump("before"),
        // Activated inside, deactivated outside.
        shell.cd(&place.root),
        shell.prompt().into(),
        activate.into(),
        dump("on top"),
        shell.cd(&place.deep()),
        dump("still on top"),
        shell.cd(&out),
        dump("kept"),
        deactivate.into(),
        dump("after"),
        // Before and inside.
        activate.into(),
        shell.cd(&place.root),
        dump("below"),
        deactivate.into(),
        dump("inside"),
        shell.cd(&out),
        dump("after that"),
        // Inside both times.
        shell.cd(&place.root),
        shell.prompt().into(),
        activate.into(),
        shell.prompt().into(),
        deactivate.into(),
        dump("inside again"),
        shell.cd(&out),
        dump("in the end"),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &place.ambient(OsStr::new("/plain")));
    let plain = path(&place, "before");
    for (name, expected) in [
        ("on top", format!("/venv/bin:OURS:{plain}")),
        // Where the user has put it, in other folders too.
        ("still on top", format!("/venv/bin:OURS:{plain}")),
        ("kept", format!("/venv/bin:{plain}")),
        ("below", format!("OURS:/venv/bin:{plain}")),
        ("inside", format!("OURS:{plain}")),
        ("inside again", format!("OURS:{plain}")),
    ] {
        assert_eq!(path(&place, name), expected, "{name}: {ran:?}");
    }
    for name in ["after", "after that", "in the end"] {
        assert_same(name, &at(&place, name), &at(&place, "before"));
    }
    Ok(())
}

/// What the user has on PATH already comes first where the workspace is entered.
pub fn listed_already(shell: &Shell) -> Result<(), Skip> {
    let place = allowed();
    let out = place.base();
    let sdk = place.root.join(".venv");
    let native = sdk.join("lib/python3.11/site-packages/modular/bin");
    let path = format!(
        "/usr/bin:/bin:{}:{}",
        native.display(),
        sdk.join("bin").display()
    );
    let mut ambient = place.ambient(OsStr::new("/plain"));
    ambient.insert("PATH".into(), path.into());
    let dump = |name: &str| [shell.prompt().to_vec(), shell.dump(&out.join(name))].concat();
    let code = [
        shell.hook(&out),
        dump("before"),
        shell.cd(&place.root),
        dump("inside"),
        shell.cd(&out),
        dump("after"),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &ambient);
    assert_eq!(
        self::path(&place, "inside"),
        "OURS:/usr/bin:/bin",
        "{ran:?}"
    );
    assert_same("after", &at(&place, "after"), &at(&place, "before"));
    Ok(())
}

/// As PATH grows where each shell adds to it.
pub fn long_path(shell: &Shell) -> Result<(), Skip> {
    let place = allowed();
    let out = place.base();
    let mut ambient = place.ambient(OsStr::new("/plain"));
    let entries: Vec<String> = (0..2400)
        .map(|number| format!("/opt/tools/{number:04}/a bin/of it"))
        .collect();
    let path = format!("/usr/local/bin:/usr/bin:/bin:{}", entries.join(":"));
    assert!(path.len() > 60_000);
    ambient.insert("PATH".into(), path.into());
    let dump = |name: &str| [shell.prompt().to_vec(), shell.dump(&out.join(name))].concat();
    let code = [
        shell.hook(&out),
        dump("before"),
        shell.cd(&place.root),
        dump("inside"),
        shell.cd(&out),
        dump("after"),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &ambient);
    let mut expected = place.activated(&at(&place, "before"));
    expected.insert("MXFP4_HOOK".into(), place.root.clone().into());
    assert_same(
        &format!("inside: {:?}", ran.stderr),
        &at(&place, "inside"),
        &expected,
    );
    assert_same("after", &at(&place, "after"), &at(&place, "before"));
    Ok(())
}

/// A login shell in `mxfp4 shell`, as tmux starts one, whose start-up files set PATH anew: with the hook the workspace's
/// programs are on it all the same, and only then.
pub fn login_shell(shell: &Shell) -> Result<(), Skip> {
    let place = Place::new("work");
    let out = place.base();
    let mut inside = place.activated(&place.ambient(OsStr::new("/plain")));
    inside.insert("MXFP4_SHELL".into(), place.root.clone().into());
    let anew = match shell.name {
        "fish" => "set -gx PATH /usr/local/bin /usr/bin /bin\n",
        "nu" => "$env.PATH = [/usr/local/bin /usr/bin /bin]\n",
        _ => "PATH=/usr/local/bin:/usr/bin:/bin\n",
    };
    let dump = |name: &str| [shell.prompt().to_vec(), shell.dump(&out.join(name))].concat();
    let code = [
        anew.into(),
        shell.hook(&out),
        dump("started"),
        shell.cd(&place.root),
        dump("there"),
        // What the user does himself stays.
        anew.into(),
        dump("by hand"),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &inside);
    let expected = "OURS:/usr/local/bin:/usr/bin:/bin";
    assert_eq!(path(&place, "started"), expected, "{ran:?}");
    assert_eq!(path(&place, "there"), expected, "{ran:?}");
    assert_eq!(
        path(&place, "by hand"),
        expected.replace("OURS:", ""),
        "{ran:?}"
    );
    let started = at(&place, "started");
    assert_eq!(started.get(OsStr::new("MXFP4_HOOK")), None);
    assert_eq!(
        started.get(OsStr::new("MXFP4_SHELL")),
        Some(&OsString::from(&place.root))
    );

    // A workspace that is gone brings nothing back.
    fs::remove_dir_all(&place.root).unwrap();
    let code = [anew.into(), shell.hook(&out), dump("gone")].concat();
    shell.typed(&code, &out, &inside);
    assert_eq!(path(&place, "gone"), "/usr/local/bin:/usr/bin:/bin");
    Ok(())
}

/// What a shell prints in `mxfp4 shell`, on a terminal, when it is left at once.
fn says(place: &Place, shell: &str, script: &Path) -> String {
    let mxfp4 = quoted(env!("CARGO_BIN_EXE_mxfp4"));
    let line = format!("exec env --default-signal=INT,QUIT,TERM {mxfp4} shell --shell {shell}");
    let mut child = Command::new(script)
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .envs(place.ambient(OsStr::new("/plain")))
        .env("SHELL", "/bin/sh")
        .env("TERM", "dumb")
        .current_dir(place.deep())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"exit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

/// tmux starts login shells, and theirs set PATH anew: with the hook `mojo` is there, and without it a line says how.
pub fn tmux() -> Result<(), Skip> {
    let (tmux, script) = (tool("tmux")?, tool("script")?);
    let bash = Shell::find("bash")?;
    let place = Place::new("work");
    let said = "shells that tmux starts in it, and other login shells, get the environment by `eval \"$(mxfp4 env)\"`, or \
                by the prompt hook (`mxfp4 help hook`)\n";
    assert!(says(&place, "bash", &script).contains(said));

    let hook = String::from_utf8(bash.hook(&place.base())).unwrap();
    fs::write(place.home().join(".bashrc"), hook).unwrap();
    let profile = "PATH=/usr/local/bin:/usr/bin:/bin\n. ~/.bashrc\n";
    fs::write(place.home().join(".bash_profile"), profile).unwrap();
    assert!(!says(&place, "bash", &script).contains("login shells"));

    let mut inside = place.activated(&place.ambient(OsStr::new("/plain")));
    inside.insert("MXFP4_SHELL".into(), place.root.clone().into());
    inside.insert("SHELL".into(), tool("bash")?.into());
    inside.insert("TERM".into(), "xterm".into());
    let socket = place.base().join("tmux");
    let run_tmux = |args: &[&OsStr]| {
        let mut command = Command::new(&tmux);
        command
            .arg("-S")
            .arg(&socket)
            .args(["-f", "/dev/null"])
            .args(args);
        run(command.env_clear().envs(&inside).current_dir(place.deep()))
    };
    let ran = run_tmux(&["new-session", "-d"].map(OsStr::new));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found = place.base().join("found");
    let line = format!(
        "shopt -q login_shell && command -v mojo > {}",
        quoted(&found)
    );
    let end = Instant::now() + Duration::from_secs(60);
    // What is typed before the shell is ready may be lost.
    while fs::read(&found).is_ok_and(|text| text.is_empty()) || !found.exists() {
        assert!(Instant::now() < end, "tmux's shell does nothing");
        run_tmux(&["send-keys", &line, "Enter"].map(OsStr::new));
        std::thread::sleep(Duration::from_millis(300));
    }
    run_tmux(&[OsStr::new("kill-server")]);
    let native = ".venv/lib/python3.11/site-packages/modular/bin/mojo";
    let expected = format!("{}\n", place.root.join(native).display());
    assert_eq!(fs::read_to_string(&found).unwrap(), expected);
    Ok(())
}
