//! `mxfp4 completions` in real shells, and `mxfp4 man` through the real man.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{folder, mxfp4, run, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let trials = vec![
        trial::ignorable(module_path!(), "bash_completes", || with("bash", bash)),
        trial::ignorable(module_path!(), "zsh_completes", || with("zsh", zsh)),
        trial::ignorable(module_path!(), "fish_completes", || with("fish", fish)),
        trial::test(module_path!(), "every_shell_has_every_command", every_shell),
        trial::ignorable(module_path!(), "man_shows_every_page", || with("man", man)),
    ];
    trials
}

fn with(program: &str, test: fn(&Path) -> Result<(), Failed>) -> Tested {
    match tool(program) {
        Ok(program) => test(&program).map(|()| Completion::Completed),
        Err(why) => Ok(Completion::ignored_with(format!("skipped: {why}"))),
    }
}

/// What `mxfp4 completions SHELL` prints, in a folder that is no workspace.
fn completions(shell: &str) -> Result<String, Failed> {
    let nowhere = tempfile::tempdir()?;
    let ran = run(mxfp4(nowhere.path()).args(["completions", shell]));
    match (ran.code, ran.stderr.as_str()) {
        (Some(0), "") => Ok(ran.stdout),
        _ => Err(format!("{ran:#?}").into()),
    }
}

fn expect(found: &[&str], wanted: &[&str]) -> Result<(), Failed> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{found:?} instead of {wanted:?}").into()),
    }
}

const COMPLETIONS: [(&str, &[&str]); 4] = [
    ("se", &["setup", "serve"]),
    ("bench ke", &["kernel"]),
    ("env --sh", &["--shell"]),
    ("env --shell zs", &["zsh"]),
];

fn bash(program: &Path) -> Result<(), Failed> {
    let place = folder([("mxfp4.bash", completions("bash")?)]);
    for (line, wanted) in COMPLETIONS {
        let script = format!(
            "source ./mxfp4.bash; COMP_WORDS=(mxfp4 {line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _mxfp4 mxfp4 \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = run(Command::new(program)
            .args(["--norc", "--noprofile", "-c", &script])
            .current_dir(place.path()));
        expect(&ran.stdout.lines().collect::<Vec<_>>(), wanted)?;
    }
    Ok(())
}

fn fish(program: &Path) -> Result<(), Failed> {
    let place = folder([("mxfp4.fish", completions("fish")?)]);
    for (line, wanted) in COMPLETIONS {
        let script = format!("source ./mxfp4.fish; complete -C 'mxfp4 {line}'");
        let ran = run(Command::new(program)
            .args(["--no-config", "-c", &script])
            .env("HOME", place.path())
            .current_dir(place.path()));
        let mut found: Vec<_> = ran
            .stdout
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        let mut wanted = wanted.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        expect(&found, &wanted)?;
    }
    Ok(())
}

/// zsh completes in its line editor only: a second one types on a terminal of its own. The definition spells GOT in two
/// parts, for the terminal echoes it.
const TYPE: &str = r#"
zmodload zsh/zpty
zpty typed "TERM=dumb zsh -f -i"
zpty -w typed 'fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; mxfp4() { print -r G"OT<$*>" }'
zpty -n -w typed "mxfp4 $1"$'\t\n'
zpty -r typed text $'*GOT<*>*'
print -r -- "${${text##*GOT<}%%>*}"
zpty -d typed
"#;

fn zsh(program: &Path) -> Result<(), Failed> {
    let place = folder([("_mxfp4", completions("zsh")?)]);
    for (line, wanted) in [
        ("serv", "serve"),
        ("bench ke", "bench kernel"),
        ("env --sh", "env --shell"),
        ("env --shell zs", "env --shell zsh"),
    ] {
        // Should no completion come, the reading would wait for ever.
        let ran = run(Command::new("timeout")
            .arg("60")
            .arg(program)
            .args(["-f", "-c", TYPE, "zsh", line])
            .env("HOME", place.path())
            .current_dir(place.path()));
        if ran.stdout.trim() != wanted {
            return Err(format!("`{line}` became {ran:#?}").into());
        }
    }
    Ok(())
}

fn every_shell() -> Result<(), Failed> {
    for shell in ["bash", "zsh", "fish", "nu", "powershell", "elvish"] {
        let text = completions(shell)?;
        for command in ["setup", "build", "serve", "completions", "kernel"] {
            if !text.contains(command) {
                return Err(format!("{command} is not in that of {shell}").into());
            }
        }
    }
    let nowhere = tempfile::tempdir()?;
    let ran = run(mxfp4(nowhere.path()).args(["completions", "csh"]));
    match ran.code == Some(2) && ran.stderr.contains("elvish") {
        true => Ok(()),
        false => Err(format!("{ran:#?}").into()),
    }
}

fn man(program: &Path) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let ran = run(mxfp4(place.path()).args(["man", "man/man1"]));
    if ran.code != Some(0) || !ran.stdout.is_empty() {
        return Err(format!("{ran:#?}").into());
    }
    let mut shown = 0;
    for entry in fs::read_dir(place.path().join("man/man1"))? {
        let path = entry?.path();
        let page = run(Command::new(program)
            .args(["--warnings=w", "-l"])
            .arg(&path)
            .env("MANWIDTH", "120")
            .env("LC_ALL", "C.UTF-8"));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let command = name.replace('-', " ");
        // The lines are justified.
        let words: Vec<_> = page.stdout.split_whitespace().collect();
        let whole = [name.as_ref(), "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"];
        if page.code != Some(0)
            || !page.stderr.is_empty()
            || !words.join(" ").contains(&command)
            || !whole.iter().all(|part| page.stdout.contains(part))
        {
            return Err(format!("{name}: {page:#?}").into());
        }
        shown += 1;
    }
    let names = ["mxfp4.1", "mxfp4-serve.1", "mxfp4-bench-kernel.1"];
    let there = |name: &&str| place.path().join("man/man1").join(name).is_file();
    if shown < 10 || !names.iter().all(there) {
        return Err(format!("{shown} pages").into());
    }
    let printed = run(mxfp4(place.path()).arg("man"));
    let written = fs::read_to_string(place.path().join("man/man1/mxfp4.1"))?;
    match printed.stdout == written {
        true => Ok(()),
        false => Err(format!("{printed:#?}").into()),
    }
}
