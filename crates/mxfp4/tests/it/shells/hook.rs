//! The prompt hook, and the workspaces that it may activate.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::shells::place::{HOSTILE, Place, assert_same, dumped, not_text};
use crate::shells::shell::Shell;
use crate::support::{Ran, mxfp4, run};

/// The lines that the hook wrote to stderr, where an interactive shell writes its prompt as well.
fn told(ran: &Ran) -> Vec<&str> {
    let lines = ran.stderr.lines();
    lines
        .filter_map(|line| Some(line.split_once("mxfp4: ")?.1))
        .collect()
}

pub fn enters_and_leaves(shell: &Shell) {
    let name = match shell.is_text_only() {
        true => OsString::from(HOSTILE),
        false => not_text(),
    };
    let place = Place::new(&name);
    let out = place.base();
    let ambient = place.ambient(&name);
    let dump = |name: &str| [shell.prompt().to_vec(), shell.dump(&out.join(name))].concat();
    let touch = |file: &str, text: &str| {
        let script = format!("printf '%s' '{text}' > \"$0\"");
        let run: &[u8] = if shell.name == "nu" { b"^" } else { b"" };
        let words = ["/bin/sh", "-c", &script].map(|word| [&*shell.quote(word), b" "].concat());
        let mut code = [run, &*words.concat()].concat();
        code.extend(shell.quote(place.root.join(file)));
        code.push(b'\n');
        code
    };
    fs::create_dir_all(place.root.join("build")).unwrap();
    let code = [
        shell.hook(&out),
        dump("outside"),
        shell.cd(&place.root),
        dump("not allowed"),
        shell.cd(&place.deep()),
        dump("still not allowed"),
        shell.mxfp4("allow --quiet"),
        dump("allowed"),
        shell.cd(&place.root),
        dump("in another folder"),
        // Nothing of it has changed, so that a prompt changes nothing.
        shell.export("MODULAR_TELEMETRY_ENABLED", "1"),
        dump("the user's change"),
        touch("build/mxfp4.mojoc", ""),
        dump("built"),
        shell.cd("/".as_ref()),
        dump("left"),
        shell.cd(&place.root),
        dump("entered again"),
        touch("mxfp4.toml", "# changed"),
        dump("changed"),
        shell.cd(&place.deep()),
        dump("still changed"),
        shell.mxfp4("allow --quiet"),
        dump("allowed again"),
        touch("mxfp4.toml", ""),
        dump("changed back"),
        shell.mxfp4("deny --quiet"),
        dump("denied"),
        shell.mxfp4("allow --quiet"),
        dump("allowed a third time"),
        evaluate_unset(shell),
        dump("by hand"),
        shell.cd(&out),
        dump("outside again"),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &ambient);
    let at = |name: &str| dumped(&out.join(name));
    let outside = at("outside");
    let get = |dump: &str, name: &str| at(dump).get(OsStr::new(name)).cloned();
    for name in ["not allowed", "still not allowed"] {
        assert_same(name, &at(name), &outside);
    }
    let package = place.root.join("build/mxfp4.mojoc");
    let built = Some(package.clone().into_os_string());
    assert_eq!(get("built", "MAX_CUSTOM_EXTENSIONS"), built, "{ran:?}");
    assert_eq!(get("built", "MODULAR_TELEMETRY_ENABLED"), Some("1".into()));
    assert_eq!(get("in another folder", "MAX_CUSTOM_EXTENSIONS"), None);
    assert_same("folder", &at("in another folder"), &at("allowed"));
    // What is set by hand is the user's, inside and outside.
    let mut left = outside.clone();
    left.insert("MODULAR_TELEMETRY_ENABLED".into(), "1".into());
    for name in [
        "left",
        "changed",
        "still changed",
        "denied",
        "outside again",
    ] {
        assert_same(name, &at(name), &left);
    }
    let mut hooked = place.activated(&left);
    hooked.insert("MXFP4_HOOK".into(), place.root.clone().into());
    for name in [
        "entered again",
        "allowed again",
        "changed back",
        "allowed a third time",
    ] {
        assert_same(name, &at(name), &hooked);
    }
    if shell.name != "nu" {
        assert_same("by hand", &at("by hand"), &left);
    }
    fs::remove_file(package).unwrap();
    let mut hooked = place.activated(&outside);
    hooked.insert("MXFP4_HOOK".into(), place.root.clone().into());
    assert_same("allowed", &at("allowed"), &hooked);

    let path = format!("{:?}", place.root);
    let told = told(&ran);
    let expected = [
        format!("{path} is not allowed to change this shell; if you trust it, run `mxfp4 allow`"),
        format!("{path} has changed since it was allowed; if you trust it, run `mxfp4 allow`"),
        format!("{path} is not allowed to change this shell; if you trust it, run `mxfp4 allow`"),
    ];
    assert_eq!(told, expected, "{ran:?}");
    place.assert_untouched();
}

/// Where nothing has changed the hook starts no program: not before a workspace is allowed, not in it, not outside.
pub fn asks_once(shell: &Shell) {
    let place = Place::new(HOSTILE);
    place.write(
        "mxfp4.toml",
        "# it's \"a\" $x `y` \\ é %\n\n[serve]\n\tport = 9000\n\n",
    );
    let out = place.base();
    let says = |name: &str| {
        let file = shell.quote(out.join(name));
        let code: [&[u8]; 3] = match shell.name {
            "fish" => [b"_mxfp4_unchanged; and echo > ", &file, b"\n"],
            "nu" => [b"if (_mxfp4_unchanged) { \"\" | save ", &file, b" }\n"],
            _ => [b"_mxfp4_unchanged && echo > ", &file, b"\n"],
        };
        [shell.prompt(), &code.concat()].concat()
    };
    let code = [
        shell.hook(&out),
        says("outside"),
        shell.cd(&place.deep()),
        says("not allowed"),
        shell.mxfp4("allow --quiet"),
        says("allowed"),
        shell.cd("/".as_ref()),
        says("left"),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &place.ambient("/plain".as_ref()));
    for name in ["outside", "not allowed", "allowed", "left"] {
        assert!(out.join(name).is_file(), "{name}: {ran:?}");
    }
}

/// Takes the activation back by hand; nu cannot evaluate.
fn evaluate_unset(shell: &Shell) -> Vec<u8> {
    match shell.name {
        "fish" => b"$MXFP4 env --unset | source\n".into(),
        "nu" => Vec::new(),
        _ => b"eval \"$(\"$MXFP4\" env --unset)\"\n".into(),
    }
}

/// Before it is allowed, a workspace runs and changes nothing, though the user's PATH begins in the current folder.
pub fn strangers(shell: &Shell) {
    let place = Place::new(HOSTILE);
    place.write(
        "mxfp4.toml",
        "'\"$(touch TRACE)`touch TRACE`\n; touch TRACE; #'\\'' ]] || touch TRACE\n",
    );
    for program in [
        "mxfp4", "ls", "test", "cat", "env", "source", "from", "load-env",
    ] {
        place.program(program);
        place.program(&format!("bin/{program}"));
    }
    let mut ambient = place.ambient("/plain".as_ref());
    ambient.insert("PATH".into(), ".:bin:.venv/bin:/usr/bin:/bin".into());
    let out = place.base();
    let [before, inside] = ["before", "inside"].map(|name| out.join(name));
    let code = [
        shell.hook(&out),
        shell.prompt().into(),
        shell.dump(&before),
        shell.cd(&place.root),
        shell.prompt().into(),
        shell.prompt().into(),
        shell.dump(&inside),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &ambient);
    assert_same("inside", &dumped(&inside), &dumped(&before));
    assert_eq!(told(&ran).len(), 1, "{ran:?}");
    place.assert_untouched();
}

/// An activation by hand, and a shell of `mxfp4 shell`, are the user's: the hook neither ends nor replaces them.
pub fn leaves_alone(shell: &Shell) {
    let (mine, other) = (Place::new("mine"), Place::new("other"));
    let ran = run(other.mxfp4().arg("allow").env("HOME", mine.home()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let out = mine.base();
    let mut by_hand = mine.activated(&mine.ambient("/plain".as_ref()));
    for mark in [None, Some("MXFP4_SHELL")] {
        by_hand.extend(mark.map(|name| (name.into(), "/anywhere".into())));
        let [before, after] = ["before", "after"].map(|name| out.join(name));
        let code = [
            shell.dump(&before),
            shell.hook(&out),
            shell.prompt().into(),
            shell.cd(&other.root),
            shell.prompt().into(),
            shell.cd(&out),
            shell.prompt().into(),
            shell.dump(&after),
        ]
        .concat();
        let ran = shell.typed(&code, &mine.deep(), &by_hand);
        assert_same("after", &dumped(&after), &dumped(&before));
        assert!(told(&ran).is_empty(), "{ran:?}");
    }
}

/// `mxfp4 hook-env` as the hook runs it.
fn ask(cwd: &Path, change: impl FnOnce(&mut Command)) -> Ran {
    let mut command = mxfp4(cwd);
    command.args(["hook-env", "bash", ""]);
    change(&mut command);
    run(&mut command)
}

pub fn terminal() {
    let place = Place::new("\x1b]0;title\x07\r\nmxfp4: trusted");
    let ran = ask(&place.root, |_| {});
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(!ran.stderr.contains(['\x1b', '\x07', '\r']), "{ran:?}");
}

pub fn pipe() {
    let place = Place::new("work");
    place.write("bazelw", "");
    fs::create_dir_all(place.root.join("max/kernels/src")).unwrap();
    fs::remove_file(place.root.join("mxfp4.toml")).unwrap();
    let made = Command::new("mkfifo")
        .arg(place.root.join("mxfp4.toml"))
        .status()
        .unwrap();
    assert!(made.success());
    let ran = ask(&place.root, |_| {});
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("it is not a file"), "{ran:?}");
}

pub fn no_home() {
    let place = Place::new("work");
    let says = "neither XDG_STATE_HOME nor HOME is set";
    for home in [None, Some(""), Some("relative")] {
        let change = |command: &mut Command| {
            command.env_remove("HOME");
            command.envs(home.map(|home| ("HOME", home)));
        };
        let ran = ask(&place.root, change);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            ran.stderr.contains(says) && ran.stderr.lines().count() == 1,
            "{ran:?}"
        );
        for verb in ["allow", "deny"] {
            let mut command = place.mxfp4();
            change(&mut command);
            let ran = run(command.arg(verb));
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert!(ran.stderr.contains(says), "{ran:?}");
        }
        let ran = ask(Path::new("/"), change);
        assert_eq!(
            (ran.code, &*ran.stderr),
            (Some(0), ""),
            "elsewhere it is not missed"
        );
    }
}

pub fn allow_and_deny() {
    let place = Place::new("work");
    let is_active = |root: &Path| {
        let ran = ask(root, |command| {
            command.env("HOME", place.home());
        });
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout.contains("export PYTHONPATH=")
    };
    assert!(!is_active(&place.root));
    let ran = place.ran(&["allow"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("allowed: "), "{ran:?}");
    assert!(is_active(&place.root));

    // The same folder by another name is the same; the same content elsewhere is not.
    let link = place.base().join("link");
    symlink(&place.root, &link).unwrap();
    assert!(is_active(&link));
    let moved = place.base().join("moved");
    fs::rename(&place.root, &moved).unwrap();
    assert!(!is_active(&moved));
    fs::rename(&moved, &place.root).unwrap();

    // A configuration that is wrong cannot be allowed, and can be denied.
    let config = place.write("mxfp4.toml", "wrong = 1\n");
    assert_eq!(place.ran(&["allow"]).code, Some(3));
    assert_eq!(place.ran(&["deny"]).code, Some(0));
    fs::write(config, "").unwrap();
    assert!(!is_active(&place.root));
    let ran = place.ran(&["deny"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.ends_with("was not allowed\n"), "{ran:?}");

    // Where it is kept.
    let state = place.base().join("state");
    let ran = run(place.mxfp4().arg("allow").env("XDG_STATE_HOME", &state));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(state.join("mxfp4/allowed").is_dir());
    assert!(!is_active(&place.root));
}
