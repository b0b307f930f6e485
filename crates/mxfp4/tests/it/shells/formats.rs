//! What is printed for programs that are no shells.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use crate::shells::place::{HOSTILE, Place, Variables, assert_same, not_text, parse, variables};
use crate::support::{Skip, run, sdk};

/// `mxfp4 env --shell LANGUAGE` under these variables.
fn printed(place: &Place, language: &str, variables: &Variables) -> crate::support::Ran {
    let mut command = place.mxfp4();
    command.arg("env");
    match language {
        "json" => command.arg("--json"),
        shell => command.args(["--shell", shell]),
    };
    run(command.env_clear().envs(variables))
}

pub fn refused() {
    let place = Place::new(not_text());
    let ambient = place.ambient(OsStr::new("/plain"));
    for language in ["nu", "powershell", "dotenv", "github-actions"] {
        let ran = printed(&place, language, &ambient);
        assert_eq!((ran.code, &*ran.stdout), (Some(3), ""), "{language}");
        for part in ["MODULAR_MAX_PACKAGE_ROOT", "not UTF-8", "--shell"] {
            assert!(ran.stderr.contains(part), "{language}: {ran:?}");
        }
    }
    let place = Place::new(HOSTILE);
    let ran = printed(&place, "dotenv", &ambient);
    assert_eq!((ran.code, &*ran.stdout), (Some(3), ""));
    assert!(ran.stderr.contains("a .env file cannot express"), "{ran:?}");
}

/// Read as the runner of GitHub Actions reads the file: `NAME<<WORD`, lines, `WORD`.
pub fn github_actions() {
    let place = Place::new(HOSTILE);
    let mut ambient = place.ambient(HOSTILE.as_ref());
    ambient.insert(
        "PYTHONPATH".into(),
        "/a\nMXFP4_END\nX<<MXFP4_END_\n/b".into(),
    );
    let ran = printed(&place, "github-actions", &ambient);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut read = BTreeMap::new();
    let mut lines = ran.stdout.lines();
    while let Some(line) = lines.next() {
        let (name, word) = line.split_once("<<").unwrap();
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != word).collect();
        read.insert(name.into(), value.join("\n").into());
    }
    let json = printed(&place, "json", &ambient).stdout;
    let expected: Variables = parse(&json)
        .into_iter()
        .map(|(name, value)| (name, value.unwrap_or_default()))
        .collect();
    assert_eq!(read, expected);
}

/// A shell and python-dotenv read back what JSON says.
pub fn dotenv() -> Result<(), Skip> {
    let place = Place::new("a b$HOME`touch TRACE`$(touch TRACE)\"c\"#\n!%é");
    let ambient = place.ambient("/pl ain".as_ref());
    let ran = printed(&place, "dotenv", &ambient);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let file = place.base().join("file.env");
    fs::write(&file, &ran.stdout).unwrap();
    // The values that must not be set are comments.
    let expected: Variables = parse(&printed(&place, "json", &ambient).stdout)
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();

    let output = Command::new("/bin/sh")
        .args(["-c", "set -a; . \"$0\"; /usr/bin/env -0"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    assert_same("sh", &variables(&output.stdout), &expected);
    place.assert_untouched();

    let program = "import sys\nfrom dotenv import dotenv_values\n\
                   for name, value in dotenv_values(sys.argv[1]).items():\n    print(f'{name}={value}', end='\\0')\n";
    let python = sdk()?.join("bin/python");
    let ran = Command::new(&python)
        .args(["-X", "utf8", "-c", program])
        .arg(&file)
        .output();
    let output = ran.map_err(|error| format!("{}: {error}", python.display()))?;
    if String::from_utf8_lossy(&output.stderr).contains("No module named 'dotenv'") {
        return Err("the SDK has no python-dotenv".into());
    }
    assert!(output.status.success(), "{output:?}");
    assert_same("python-dotenv", &variables(&output.stdout), &expected);
    Ok(())
}
