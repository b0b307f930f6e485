//! The kinds of value that `mxfp4.toml` holds, each refusing what it cannot be.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

/// Deserializes a string through [`FromStr`], so that an error has its place in the file.
macro_rules! from_string {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse()
                    .map_err(|wrong| D::Error::custom(format!("`{text}` {wrong}")))
            }
        }
    };
}

/// Makes a value from a literal of this crate.
macro_rules! from_literal {
    ($type:ty) => {
        impl From<&'static str> for $type {
            fn from(literal: &'static str) -> Self {
                match literal.parse() {
                    Ok(value) => value,
                    Err(wrong) => unreachable!("`{literal}` {wrong}"),
                }
            }
        }
    };
}

/// A path below the workspace's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePath(PathBuf);

impl AsRef<Path> for RelativePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl FromStr for RelativePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = Path::new(text);
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if text.is_empty() || text.contains('\0') || !path.components().all(inside) {
            return Err("must be a path below the workspace's root: relative, without `..`");
        }
        // Written `./a//b` or `a/b/`, it is `a/b`.
        let path = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        Ok(Self(path))
    }
}

from_string!(RelativePath);
from_literal!(RelativePath);

/// A path anywhere: absolute, or relative to the workspace's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyPath(PathBuf);

impl AsRef<Path> for AnyPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl FromStr for AnyPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.contains('\0') {
            return Err("must be a path");
        }
        Ok(Self(text.into()))
    }
}

from_string!(AnyPath);

/// A name that a file can have: letters, digits, `_` and `-`, no digit first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
        let rest = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        if !start || !text.chars().all(rest) {
            return Err("must be a package name: letters, digits, `_` and `-`, no digit first");
        }
        Ok(Self(text.into()))
    }
}

from_string!(Name);
from_literal!(Name);

/// The version of a package, as its index writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The version as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |char: char| char.is_ascii_alphanumeric() || ".+!_-".contains(char);
        if !text.starts_with(|char: char| char.is_ascii_digit()) || !text.chars().all(part) {
            return Err("must be one exact version such as \"26.7.0\"");
        }
        Ok(Self(text.into()))
    }
}

from_string!(Version);
from_literal!(Version);

/// A Bazel target: `//package:name`, or `//package` for the target named as its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The label as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The package: a folder, relative to the root.
    pub fn package(&self) -> &Path {
        Path::new(self.split().0)
    }

    /// The target's name.
    pub fn name(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        let body = &self.0["//".len()..];
        body.split_once(':')
            .unwrap_or((body, body.rsplit('/').next().unwrap_or(body)))
    }
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be a Bazel target such as \"//package:name\"";
        if !text.starts_with("//")
            || text.contains(|char: char| char.is_whitespace() || char == '\0')
        {
            return Err(wrong);
        }
        let label = Self(text.into());
        let (package, name) = label.split();
        let inside = |part| matches!(part, Component::Normal(_));
        let package_inside = Path::new(package).components().all(inside);
        if name.is_empty() || name.contains(':') || !package_inside {
            return Err(wrong);
        }
        Ok(label)
    }
}

from_string!(Label);
from_literal!(Label);

/// A Python version, `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonVersion {
    /// 3.
    pub major: u8,
    /// 10 to 14.
    pub minor: u8,
}

impl PythonVersion {
    /// `major.minor`.
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl FromStr for PythonVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self::new(major.parse().ok()?, minor.parse().ok()?)))
            .filter(|version| version.major == 3)
            .ok_or("must be a Python version such as \"3.11\"")
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

from_string!(PythonVersion);
