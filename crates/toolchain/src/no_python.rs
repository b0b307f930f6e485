//! Why uv finds no Python.

use std::fmt;
use std::path::{Path, PathBuf};

use mxfp4_env::Context;
use mxfp4_env::config::PythonVersion;

/// More of what uv says is not repeated.
const LONGEST: usize = 240;

/// Why uv finds no Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPython {
    refusal: Refusal,
    /// The uv.
    uv: PathBuf,
    /// What the SDK runs on, the best first.
    versions: Vec<PythonVersion>,
    /// The variable that has uv look among its own only, with its value.
    own_only: Option<(&'static str, PathBuf)>,
}

/// What uv says to one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    reason: Reason,
    /// In one line.
    words: String,
}

/// The more general, the greater: what keeps uv from running at all is why it found no Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// There is none.
    Absent,
    /// There is one that does not run.
    Broken,
    /// It is to look among its own only.
    OwnOnly,
    /// Something else.
    Other,
    /// Its cache cannot be written.
    Cache,
    /// It cannot read its configuration.
    Configuration,
    /// The configuration asks for another uv.
    OtherUv,
}

impl Refusal {
    /// Whether it tells more than `other` why there is no Python.
    pub(crate) fn is_worse_than(&self, other: &Self) -> bool {
        self.reason > other.reason
    }

    pub(crate) fn of(said: &[String]) -> Self {
        let words = in_one_line(said);
        let says = |part: &str| words.contains(part);
        let reason = if words.is_empty() {
            Reason::Absent
        } else if says("No interpreter found") {
            match says("managed installations") && !says("managed installations or") {
                true => Reason::OwnOnly,
                false => Reason::Absent,
            }
        } else if says("Failed to inspect") || says("Querying Python") {
            Reason::Broken
        } else if says("equired uv version") || says("equired version") {
            Reason::OtherUv
        } else if says("uv.toml") || says("pyproject.toml") || says("Failed to parse") {
            Reason::Configuration
        } else if says("cache") || says("failed to create directory") {
            Reason::Cache
        } else {
            Reason::Other
        };
        Self { reason, words }
    }
}

impl NoPython {
    pub(crate) fn new(context: &Context, uv: &Path, refusal: Refusal) -> Self {
        let own_only = ["UV_PYTHON_PREFERENCE", "UV_MANAGED_PYTHON"]
            .into_iter()
            .find_map(|name| Some((name, context.ambient.get_nonempty(name)?.into())));
        Self {
            refusal,
            uv: uv.to_owned(),
            versions: context.workspace.config.sdk.pythons(),
            own_only,
        }
    }

    /// Whether another uv may find one.
    pub(crate) fn asks_for_another_uv(&self) -> bool {
        self.refusal.reason == Reason::OtherUv
    }

    /// Whether uv is as it should be, and Python is what is missing.
    pub fn is_for_want_of_python(&self) -> bool {
        matches!(self.refusal.reason, Reason::Absent | Reason::Broken)
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self.refusal.reason {
            Reason::Absent => "install one, for none is downloaded".to_owned(),
            Reason::Broken => "see to that one, or install another; none is downloaded".to_owned(),
            Reason::OwnOnly => {
                let allow = match &self.own_only {
                    Some((name, value)) => format!("unset {name}, which is {}", value.display()),
                    None => "take `python-preference` out of uv's configuration (uv.toml)".into(),
                };
                let best = self.versions.first().map(ToString::to_string);
                format!("{allow}, or run `uv python install {}`", best.unwrap_or_default())
            }
            Reason::OtherUv => {
                "install the uv that is asked for, or change `required-version` where uv reads its configuration \
                 (uv.toml, python/pyproject.toml)"
                    .to_owned()
            }
            Reason::Configuration => "correct that file, or remove it".to_owned(),
            Reason::Cache => {
                "see to the folder, or name another one with UV_CACHE_DIR".to_owned()
            }
            Reason::Other => format!(
                "see what `{} python find` says, or install another uv",
                self.uv.display()
            ),
        }
    }
}

impl fmt::Display for NoPython {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { reason, words } = &self.refusal;
        let why = match reason {
            Reason::Absent => String::new(),
            Reason::Broken => format!(", and one does not run: {words}"),
            Reason::OwnOnly => format!(", because uv looks among its own only: {words}"),
            _ => return write!(f, "{} does not work here: {words}", self.uv.display()),
        };
        let versions: Vec<String> = self.versions.iter().map(ToString::to_string).collect();
        write!(
            f,
            "no Python that the SDK runs on was found (one of {}){why}",
            versions.join(", ")
        )
    }
}

impl std::error::Error for NoPython {}

/// What a program said, without marks, excerpts of files, and what comes after a blank line.
fn in_one_line(said: &[String]) -> String {
    let mut parts = Vec::new();
    for line in said.iter().take_while(|line| !line.trim().is_empty()) {
        let mut line = line.trim();
        for mark in ["error:", "cause:", "Caused by:"] {
            line = line.strip_prefix(mark).unwrap_or(line).trim_start();
        }
        let number = line.trim_start_matches(|char: char| char.is_ascii_digit());
        if !number.trim_start().starts_with('|') {
            parts.push(line);
        }
    }
    let mut text = parts.join(": ");
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_uv_says_is_understood() {
        for (said, reason, words) in [
            ("", Reason::Absent, ""),
            (
                "error: No interpreter found for cpython-3.14-any-any-any in managed installations or search path",
                Reason::Absent,
                "No interpreter found for cpython-3.14-any-any-any in managed installations or search path",
            ),
            (
                "error: No interpreter found for cpython-3.11-any-any-any in managed installations",
                Reason::OwnOnly,
                "No interpreter found for cpython-3.11-any-any-any in managed installations",
            ),
            (
                "error: Failed to inspect Python interpreter from `/p`\n  cause: Querying Python at `/p` failed\n\n   [stderr]\n",
                Reason::Broken,
                "Failed to inspect Python interpreter from `/p`: Querying Python at `/p` failed",
            ),
            (
                "error: Required uv version `>=99` does not match the running version `0.13.9`. Update `uv` by running `uv self update`.",
                Reason::OtherUv,
                "Required uv version `>=99` does not match the running version `0.13.9`. Update `uv` by running `uv self update`",
            ),
            (
                "error: Failed to parse: cfg/uv/uv.toml\n  cause: TOML parse error at line 1, column 13\n           |\n         1 | nonsense = [\n           |             ^\n         unclosed array",
                Reason::Configuration,
                "Failed to parse: cfg/uv/uv.toml: TOML parse error at line 1, column 13: unclosed array",
            ),
            (
                "error: Failed to initialize cache at `/proc/nope`\n  cause: failed to create directory `/proc/nope`: No such file or directory (os error 2)",
                Reason::Cache,
                "Failed to initialize cache at `/proc/nope`: failed to create directory `/proc/nope`: No such file or directory (os error 2)",
            ),
            (
                "error: unrecognized subcommand 'python'\n\nUsage: uv",
                Reason::Other,
                "unrecognized subcommand 'python'",
            ),
        ] {
            let lines: Vec<String> = said.lines().map(str::to_owned).collect();
            let words = words.to_owned();
            assert_eq!(Refusal::of(&lines), Refusal { reason, words }, "{said}");
        }
    }
}
