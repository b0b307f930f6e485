use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use mxfp4_env::render::{self, fish_quote, posix_quote};
use mxfp4_env::{Ambient, Environment, Variable};
use serde_json::{Map, Value, json};

use super::memory::Memory;
use crate::commands::hook::Shell;

/// More text than this is not handed to the shell to compare with: mxfp4 is asked
/// at every prompt then.
const LONGEST: usize = 32 * 1024;

/// How a shell says what `_mxfp4_unchanged` consists of; a pair is what stands before and behind a quoted value.
struct Words {
    begin: &'static str,
    end: &'static str,
    quote: fn(&OsStr) -> Vec<u8>,
    folder: (&'static str, &'static str),
    sdk: (&'static str, &'static str),
    /// The line that compares PATH.
    path: &'static str,
    there: (&'static str, &'static str),
    gone: (&'static str, &'static str),
    /// Around the file, twice.
    readable: [&'static str; 3],
    local: &'static str,
    read: &'static str,
    text: (&'static str, &'static str),
}

/// What the hook is answered.
pub struct Answer {
    /// The variables to set and to unset.
    pub variables: Vec<Variable>,
    /// What the user is told, once as long as it stays the same.
    pub told: String,
    /// What the shell is to keep.
    pub memory: Memory,
    folder: OsString,
    sdk: OsString,
    there: Vec<PathBuf>,
    gone: Vec<PathBuf>,
    config: Option<(PathBuf, Vec<u8>)>,
    always_ask: bool,
}

impl Answer {
    /// Changes nothing, until the shell is in another folder.
    pub fn new(ambient: &Ambient, memory: Memory) -> Self {
        let value = |name| ambient.get(name).unwrap_or_default().to_owned();
        Self {
            variables: Vec::new(),
            told: String::new(),
            memory,
            folder: value("PWD"),
            sdk: value("MXFP4_SDK"),
            there: Vec::new(),
            gone: Vec::new(),
            config: None,
            always_ask: false,
        }
    }

    /// Has the shell ask again when this path comes or goes.
    pub fn watch(&mut self, path: PathBuf) {
        match path.metadata() {
            Ok(_) => self.there.push(path),
            Err(_) => self.gone.push(path),
        }
    }

    /// Has the shell ask again when this file's content is another one.
    pub fn compare(&mut self, file: PathBuf, content: Option<Vec<u8>>) {
        match content {
            None => self.watch(file),
            // A shell cannot hold every byte.
            Some(bytes) if bytes.len() > LONGEST || bytes.contains(&0) => self.always_ask = true,
            Some(bytes) => match str::from_utf8(&bytes) {
                Ok(_) => self.config = Some((file, bytes)),
                Err(_) => self.always_ask = true,
            },
        }
    }

    /// Changes no variable where the hook's language cannot express a value.
    pub fn refuse(&mut self, shell: Shell) {
        if shell == Shell::Nu
            && let Err(error) = render::nu(&self.environment())
        {
            self.variables.clear();
            self.told = format!("mxfp4: {error}");
        }
    }

    fn environment(&self) -> Environment {
        Environment {
            variables: self.variables.clone(),
            warnings: Vec::new(),
        }
    }

    /// The answer in the language of the hook.
    pub fn render(&self, shell: Shell) -> Vec<u8> {
        let environment = self.environment();
        let told = OsStr::new(&self.told);
        match shell {
            Shell::Bash | Shell::Zsh => {
                let keep = [
                    b"_mxfp4_told=",
                    &*posix_quote(told),
                    b"\n_mxfp4_memory=",
                    &*posix_quote(self.memory.word().as_ref()),
                    b"\n_mxfp4_path=${PATH-}\n",
                ];
                [render::posix(&environment), keep.concat(), self.posix()].concat()
            }
            Shell::Fish => {
                let keep = [
                    b"set -g _mxfp4_told ",
                    &*fish_quote(told),
                    b"\nset -g _mxfp4_memory ",
                    &*fish_quote(self.memory.word().as_ref()),
                    b"\nset -g _mxfp4_path \"$PATH\"\n",
                ];
                [render::fish(&environment), keep.concat(), self.fish()].concat()
            }
            Shell::Nu => self.nu(&environment).into_bytes(),
        }
    }

    /// `_mxfp4_unchanged` for bash and zsh, of builtins only. An option of the user
    /// may have `[[` compare without case.
    fn posix(&self) -> Vec<u8> {
        self.unchanged(&Words {
            begin: "_mxfp4_unchanged() {",
            end: "}",
            quote: posix_quote,
            folder: ("[ \"$PWD\" = ", " ] || return 1"),
            sdk: ("[ \"${MXFP4_SDK-}\" = ", " ] || return 1"),
            path: "[ \"${PATH-}\" = \"$_mxfp4_path\" ] || return 1",
            there: ("[[ -e ", " ]] || return 1"),
            gone: ("[[ ! -e ", " ]] || return 1"),
            readable: ["[[ -f ", " && -r ", " ]] || return 1"],
            local: "local text=",
            // Fails, for there is no NUL to end at, and has read everything.
            read: "IFS= read -r -d '' text < ",
            text: ("[ \"$text\" = ", " ] || return 1"),
        })
    }

    /// `_mxfp4_unchanged` for fish, of builtins only.
    fn fish(&self) -> Vec<u8> {
        self.unchanged(&Words {
            begin: "function _mxfp4_unchanged",
            end: "end",
            quote: fish_quote,
            folder: ("test \"$PWD\" = ", "; or return 1"),
            sdk: ("test \"$MXFP4_SDK\" = ", "; or return 1"),
            path: "test \"$PATH\" = \"$_mxfp4_path\"; or return 1",
            there: ("test -e ", "; or return 1"),
            gone: ("test -e ", "; and return 1"),
            readable: ["test -f ", "; and test -r ", "; or return 1"],
            local: "set -l text",
            read: "read --null text < ",
            text: ("test \"$text\" = ", "; or return 1"),
        })
    }

    /// The function that says whether anything that counts is another than now.
    fn unchanged(&self, words: &Words) -> Vec<u8> {
        let mut code = format!("{}\n", words.begin).into_bytes();
        let mut line = |parts: &[&[u8]]| {
            code.extend_from_slice(b"    ");
            parts.iter().for_each(|part| code.extend_from_slice(part));
            code.push(b'\n');
        };
        if self.always_ask {
            line(&[b"return 1"]);
        }
        if self.memory.needs_path() {
            line(&[words.path.as_bytes()]);
        }
        let mut compare = |(before, behind): (&str, &str), value: &OsStr| {
            line(&[before.as_bytes(), &(words.quote)(value), behind.as_bytes()]);
        };
        compare(words.folder, &self.folder);
        compare(words.sdk, &self.sdk);
        for path in &self.there {
            compare(words.there, path.as_os_str());
        }
        for path in &self.gone {
            compare(words.gone, path.as_os_str());
        }
        if let Some((file, text)) = &self.config {
            let file = (words.quote)(file.as_os_str());
            let [is_file, is_readable, otherwise] = words.readable.map(str::as_bytes);
            line(&[is_file, &file, is_readable, &file, otherwise]);
            line(&[words.local.as_bytes()]);
            line(&[words.read.as_bytes(), &file]);
            let (before, behind) = words.text;
            let text = (words.quote)(OsStr::from_bytes(text));
            line(&[before.as_bytes(), &text, behind.as_bytes()]);
        }
        line(&[b"return 0"]);
        code.extend_from_slice(format!("{}\n", words.end).as_bytes());
        code
    }

    /// What nu does with it is in the hook: it evaluates no text.
    fn nu(&self, environment: &Environment) -> String {
        let text = |value: &OsStr| value.to_string_lossy().into_owned();
        let paths = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| text(path.as_os_str())).collect()
        };
        let mut set = Map::new();
        let mut unset = Vec::new();
        for variable in &environment.variables {
            match &variable.value {
                Some(value) => {
                    set.insert(variable.name.clone(), Value::String(text(value)));
                }
                None => unset.push(variable.name.as_str()),
            }
        }
        let (file, content) = match &self.config {
            Some((file, content)) => (
                Some(text(file.as_os_str())),
                text(OsStr::from_bytes(content)),
            ),
            None => (None, String::new()),
        };
        let answer = json!({
            "set": set,
            "unset": unset,
            "last": {
                "told": self.told,
                "memory": self.memory.word(),
                "ask": self.always_ask,
                "needs_path": self.memory.needs_path(),
                "pwd": text(&self.folder),
                "sdk": text(&self.sdk),
                "there": paths(&self.there),
                "gone": paths(&self.gone),
                "file": file,
                "text": content,
            },
        });
        format!("{answer}\n")
    }
}
