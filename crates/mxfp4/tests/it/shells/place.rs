use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ran, mxfp4, run};

/// A name that means something to every shell. Whoever runs a part of it leaves a trace: the file TRACE.
pub const HOSTILE: &str =
    "-n a b'c\"$HOME$(touch TRACE)`touch TRACE`\\n\\\n!%;touch TRACE;&|<>{}[]*?#~=^é文\u{2019}";

/// As above, and not UTF-8.
pub fn not_text() -> OsString {
    let mut bytes = HOSTILE.as_bytes().to_vec();
    bytes.extend(b"\xff\xc3'\xe3");
    OsString::from_vec(bytes)
}

pub type Variables = BTreeMap<OsString, OsString>;

/// A workspace with an SDK whose programs, when they are started, leave a trace of that; the user's home beside it.
pub struct Place {
    folder: TempDir,
    pub root: PathBuf,
}

impl Place {
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let place = Self {
            folder,
            root: base.join(name.as_ref()),
        };
        place.write("mxfp4.toml", "");
        place.write("kernels/test/.keep", "");
        let site = ".venv/lib/python3.11/site-packages";
        fs::create_dir_all(place.root.join(site).join("modular/lib/mojo")).unwrap();
        for program in ["bin/python", "bin/max", "bin/mblack", "bin/ls", "bin/mxfp4"] {
            place.program(&format!(".venv/{program}"));
        }
        place.program(&format!("{site}/modular/bin/mojo"));
        fs::create_dir_all(place.home()).unwrap();
        place
    }

    pub fn base(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn home(&self) -> PathBuf {
        self.base().join("home")
    }

    pub fn deep(&self) -> PathBuf {
        self.root.join("kernels/test")
    }

    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn program(&self, path: &str) {
        let file = self.write(path, "#!/bin/sh\n: > \"$0.started\"\necho started \"$@\"\n");
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Fails where a program of the workspace was started, or a part of a value run.
    pub fn assert_untouched(&self) {
        let mut folders = vec![self.base()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let name = entry.file_name();
                assert!(name != "TRACE", "something of a value was run: {path:?}");
                assert!(path.extension() != Some("started".as_ref()), "{path:?}");
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                }
            }
        }
    }

    /// The variables of a user, none of which is easy to pass on.
    pub fn ambient(&self, hostile: &OsStr) -> Variables {
        let mut path = OsString::from("/usr/local/bin:/usr/bin:/bin:");
        path.push(hostile);
        let mut python_path = hostile.to_owned();
        python_path.push(":/plain");
        [
            ("PATH", path),
            ("HOME", self.home().into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("MXFP4", env!("CARGO_BIN_EXE_mxfp4").into()),
            ("PYTHONPATH", python_path),
            ("PYTHONHOME", hostile.to_owned()),
            ("MODULAR_MOJO_MAX_IMPORT_PATH", hostile.to_owned()),
            ("MODULAR_MAX_PACKAGE_ROOT", hostile.to_owned()),
            ("MODULAR_TELEMETRY_ENABLED", "".into()),
            ("UNRELATED", hostile.to_owned()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into()
    }

    /// `mxfp4` in a folder of the workspace, with the home beside it.
    pub fn mxfp4(&self) -> Command {
        let mut command = mxfp4(&self.deep());
        command.env("HOME", self.home());
        command
    }

    /// Runs `mxfp4` with these arguments and, beside PATH and HOME, no variables.
    pub fn ran(&self, args: &[&str]) -> Ran {
        run(self.mxfp4().args(args))
    }

    /// `variables` with what `mxfp4 env --json` says under them.
    pub fn activated(&self, variables: &Variables) -> Variables {
        let ran = run(self
            .mxfp4()
            .args(["env", "--json"])
            .env_clear()
            .envs(variables));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let mut result = variables.clone();
        for (name, value) in parse(&ran.stdout) {
            match value {
                Some(value) => result.insert(name, value),
                None => result.remove(&name),
            };
        }
        result
    }
}

/// What JSON says of each variable.
pub fn parse(json: &str) -> Vec<(OsString, Option<OsString>)> {
    let Value::Object(values) = serde_json::from_str(json).unwrap() else {
        panic!("not an object: {json}");
    };
    let value = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        Value::Object(bytes) => {
            let bytes = bytes["bytes"].as_array().unwrap().iter();
            let bytes = bytes.map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap());
            Some(OsString::from_vec(bytes.collect()))
        }
        other => panic!("not a value: {other}"),
    };
    let values = values.into_iter();
    values
        .map(|(name, json)| (name.into(), value(json)))
        .collect()
}

/// The environment that `env -0` wrote, without what shells change by themselves.
pub fn dumped(file: &Path) -> Variables {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    variables(&bytes)
}

/// As [`dumped`], of the output itself.
pub fn variables(bytes: &[u8]) -> Variables {
    let shells_own = [
        "CURRENT_FILE",
        "FILE_PWD",
        "PROCESS_PATH",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "LAST_EXIT_CODE",
        "CMD_DURATION_MS",
    ];
    bytes
        .split(|&byte| byte == 0)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let equals = entry.iter().position(|&byte| byte == b'=').unwrap();
            let text = |bytes: &[u8]| OsString::from_vec(bytes.into());
            (text(&entry[..equals]), text(&entry[equals + 1..]))
        })
        .filter(|(name, _)| shells_own.iter().all(|own| name != own))
        .collect()
}

/// Fails with what is not the same, which is easier to read than all of it.
pub fn assert_same(what: &str, got: &Variables, expected: &Variables) {
    let names = got.keys().chain(expected.keys());
    let unlike: Vec<String> = names
        .filter(|name| got.get(*name) != expected.get(*name))
        .map(|name| {
            format!(
                "{name:?}: {:?}, not {:?}",
                got.get(name),
                expected.get(name)
            )
        })
        .collect();
    assert!(unlike.is_empty(), "{what}: {unlike:#?}");
}
