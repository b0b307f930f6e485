//! `mxfp4.toml`: every key, its type and its default.
//!
//! The file is optional in a Modular checkout and may be empty anywhere. What
//! differs between the two layouts is only the default of a few keys.

use std::fmt;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::{Error, Layout};

/// The name of the configuration file.
pub const FILE: &str = "mxfp4.toml";

/// The settings of a workspace, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SDK's versions and place.
    pub sdk: SdkConfig,
    /// The Mojo packages that are built into custom extensions.
    pub kernels: Vec<Kernel>,
    /// What is built in a Modular checkout.
    pub bazel: Bazel,
    /// What `mxfp4 test` runs.
    pub tests: Tests,
    /// What `mxfp4 serve` starts with.
    pub serve: Serve,
}

/// `[sdk]`: which MAX, Mojo and Python.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SdkConfig {
    /// The version of MAX.
    pub max: String,
    /// The version of Mojo.
    pub mojo: String,
    /// The Python that is preferred, as `major.minor`.
    pub python: PythonVersion,
    /// The Pythons that are accepted.
    pub accepted_pythons: Vec<PythonVersion>,
    /// An SDK elsewhere, absolute or relative to the root.
    pub path: Option<PathBuf>,
}

/// `[[kernels]]`: one Mojo package and how it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// The package's name, and so its file name: `build/NAME.mojoc`.
    pub name: String,
    /// The package's folder.
    pub source: RelativePath,
    /// Further import paths (`-I`), the packages' parents being there already.
    #[serde(default)]
    pub includes: Vec<RelativePath>,
    /// Further flags of `mojo precompile`.
    #[serde(default)]
    pub flags: Vec<String>,
}

/// `[bazel]`: what is built in a Modular checkout.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bazel {
    /// The target of MAX's own kernels; the first whose folder exists is built.
    pub kernel_api: Vec<Label>,
    /// Further targets, each a custom extension.
    pub targets: Vec<Label>,
    /// Packages below `bazel-bin`; the first that exists is loaded.
    pub packages: Vec<RelativePath>,
    /// Further flags of `bazelw build`.
    pub flags: Vec<String>,
}

/// `[tests]`: what `mxfp4 test` runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tests {
    /// Mojo tests: files, or folders whose `test_*.mojo` are run.
    pub mojo: Vec<RelativePath>,
    /// Import paths (`-I`) of the Mojo tests.
    pub mojo_includes: Vec<RelativePath>,
    /// Python tests: files or folders for pytest.
    pub python: Vec<RelativePath>,
    /// pytest's `-k` expression; empty for none.
    pub python_filter: String,
}

/// `[serve]`: what `mxfp4 serve` starts with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Serve {
    /// The model: a repository name or a folder.
    pub model: String,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// MAX's `--devices`.
    pub devices: String,
    /// Custom architectures: Python packages, by name or by path.
    pub custom_architectures: Vec<String>,
    /// Further flags of MAX's `serve`.
    pub flags: Vec<String>,
}

impl Default for SdkConfig {
    fn default() -> Self {
        Self {
            max: "26.7.0".into(),
            mojo: "1.2.0".into(),
            python: PythonVersion {
                major: 3,
                minor: 11,
            },
            accepted_pythons: (10..=14)
                .map(|minor| PythonVersion { major: 3, minor })
                .collect(),
            path: None,
        }
    }
}

impl Default for Bazel {
    fn default() -> Self {
        Self {
            kernel_api: vec![
                Label("//max/kernels/src/Mogg/MOGGKernelAPI:MOGGKernelAPI".into()),
                Label("//max/kernels/src/builtin_kernels:builtin_kernels".into()),
            ],
            targets: Vec::new(),
            packages: vec![
                "max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg".into(),
                "max/kernels/src/Mogg/MOGGKernelAPI/MOGGMxfp4Extension.mojopkg".into(),
                "max/kernels/src/custom_ops/mogg_mxfp4/mogg_mxfp4.mojopkg".into(),
            ],
            flags: Vec::new(),
        }
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            model: "openai/gpt-oss-20b".into(),
            host: "127.0.0.1".into(),
            port: 8000,
            devices: "gpu".into(),
            custom_architectures: Vec::new(),
            flags: Vec::new(),
        }
    }
}

impl Tests {
    fn default_for(layout: Layout) -> Self {
        match layout {
            Layout::Standalone => Self {
                mojo: vec!["kernels/test".into()],
                mojo_includes: vec!["kernels".into()],
                python: vec!["python/tests".into()],
                python_filter: String::new(),
            },
            Layout::Modular => Self {
                mojo: vec!["max/kernels/test/mxfp4_mojo/test_mxfp4.mojo".into()],
                mojo_includes: vec!["max/kernels/src".into()],
                python: vec!["max/tests".into()],
                python_filter: "test_mxfp4_grouped_matmul_matches_dense".into(),
            },
        }
    }
}

impl Config {
    /// The defaults of a layout.
    pub fn default_for(layout: Layout) -> Self {
        RawConfig::default().resolve(layout)
    }

    /// Parses the text of a configuration file; `path` is for messages.
    pub fn parse(text: &str, path: &Path, layout: Layout) -> Result<Self, Error> {
        toml::from_str::<RawConfig>(text)
            .map(|raw| raw.resolve(layout))
            .map_err(|error| Error::Config(describe(path, text, error.message(), error.span())))
    }

    /// Reads `root/mxfp4.toml`; a file that is not there is an empty one.
    pub fn load(root: &Path, layout: Layout) -> Result<Self, Error> {
        let path = root.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path, layout),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default_for(layout))
            }
            Err(source) => Err(Error::Read { path, source }),
        }
    }
}

/// The file as it is written: a key that is absent takes the layout's default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawConfig {
    sdk: SdkConfig,
    kernels: Option<Vec<Kernel>>,
    bazel: Bazel,
    tests: RawTests,
    serve: Serve,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawTests {
    mojo: Option<Vec<RelativePath>>,
    mojo_includes: Option<Vec<RelativePath>>,
    python: Option<Vec<RelativePath>>,
    python_filter: Option<String>,
}

impl RawConfig {
    fn resolve(self, layout: Layout) -> Config {
        let tests = Tests::default_for(layout);
        Config {
            sdk: self.sdk,
            kernels: self.kernels.unwrap_or_else(|| match layout {
                Layout::Standalone => vec![Kernel {
                    name: "mxfp4".into(),
                    source: "kernels/mxfp4".into(),
                    includes: Vec::new(),
                    flags: Vec::new(),
                }],
                Layout::Modular => Vec::new(),
            }),
            bazel: self.bazel,
            tests: Tests {
                mojo: self.tests.mojo.unwrap_or(tests.mojo),
                mojo_includes: self.tests.mojo_includes.unwrap_or(tests.mojo_includes),
                python: self.tests.python.unwrap_or(tests.python),
                python_filter: self.tests.python_filter.unwrap_or(tests.python_filter),
            },
            serve: self.serve,
        }
    }
}

/// `FILE:LINE:COLUMN: message`, the line, and a caret under the place.
fn describe(path: &Path, text: &str, message: &str, span: Option<Range<usize>>) -> String {
    let path = path.display();
    let Some(span) = span else {
        return format!("{path}: {message}");
    };
    let start = span.start.min(text.len());
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    let number = before.matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let gutter = " ".repeat(number.to_string().len());
    let indent = " ".repeat(column - 1);
    format!(
        "{path}:{number}:{column}: {message}\n{gutter} |\n{number} | {line}\n{gutter} | {indent}^"
    )
}

/// A path below the workspace's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePath(PathBuf);

impl AsRef<Path> for RelativePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<&str> for RelativePath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl<'de> Deserialize<'de> for RelativePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let path = PathBuf::from(&text);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if text.is_empty() || !inside {
            return Err(serde::de::Error::custom(format!(
                "`{text}` must be a path below the workspace's root: relative, without `..`"
            )));
        }
        Ok(Self(path))
    }
}

/// A Bazel target: `//package:name`, or `//package` for the target of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The label as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The package: the folder, relative to the root.
    pub fn package(&self) -> &str {
        self.split().0
    }

    /// The target's name.
    pub fn name(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        let body = self.0.trim_start_matches('/');
        body.split_once(':')
            .unwrap_or((body, body.rsplit('/').next().unwrap_or(body)))
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let label = Self(text);
        if !label.0.starts_with("//") || label.package().is_empty() || label.name().is_empty() {
            return Err(serde::de::Error::custom(format!(
                "`{}` must be a Bazel target such as //package:name",
                label.0
            )));
        }
        Ok(label)
    }
}

/// A Python version, `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonVersion {
    /// 3.
    pub major: u8,
    /// 10 to 14.
    pub minor: u8,
}

impl PythonVersion {
    /// Parses `major.minor`, a patch number being allowed and ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl<'de> Deserialize<'de> for PythonVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` must be a Python version such as \"3.11\""
            ))
        })
    }
}
