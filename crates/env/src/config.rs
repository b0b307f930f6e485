//! `mxfp4.toml`: every key, its type and its default.
//!
//! The file is optional in a Modular checkout and may be empty anywhere. The
//! two layouts differ only in the defaults of a few keys, so what is read is a
//! [`RawConfig`] whose absent keys are filled in once the layout is known.

mod value;

use std::io;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

pub use self::value::{AnyPath, Label, Name, PythonVersion, RelativePath, Version};
use crate::{Error, Layout, nearest};

pub use crate::layout::FILE;

/// The settings of a workspace, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[sdk]`: which MAX, Mojo and Python.
    pub sdk: SdkConfig,
    /// `[[kernels]]`: the Mojo packages that are built into custom extensions.
    pub kernels: Vec<Kernel>,
    /// `[bazel]`: what is built in a Modular checkout.
    pub bazel: Bazel,
    /// `[tests]`: what `mxfp4 test` runs.
    pub tests: Tests,
    /// `[serve]`: what `mxfp4 serve` starts with.
    pub serve: Serve,
}

/// `[sdk]`: which MAX, Mojo and Python.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SdkConfig {
    /// The version of MAX.
    pub max: Version,
    /// The version of Mojo.
    pub mojo: Version,
    /// The Python that is preferred; always accepted too.
    pub python: PythonVersion,
    /// The Pythons that are accepted.
    pub accepted_pythons: Vec<PythonVersion>,
    /// An SDK elsewhere, absolute or relative to the workspace's root.
    pub path: Option<AnyPath>,
}

/// `[[kernels]]`: one Mojo package and how it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// The package's name, and so that of its file: `build/NAME.mojoc`.
    pub name: Name,
    /// The package's folder.
    pub source: RelativePath,
    /// Further import paths (`-I`).
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
    /// The target of MAX's own kernels: the first whose package the checkout has.
    pub kernel_api: Vec<Label>,
    /// Further targets, each of which makes a kernel package.
    pub targets: Vec<Label>,
    /// Kernel packages below `bazel-bin`: the first that exists is loaded.
    pub packages: Vec<RelativePath>,
    /// Bazel's `--compilation_mode`, where not its own default.
    pub compilation_mode: Option<CompilationMode>,
    /// Flags of `bazelw` before `build`.
    pub startup_flags: Vec<String>,
    /// Further flags of `bazelw build`.
    pub flags: Vec<String>,
}

/// How Bazel compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompilationMode {
    /// As fast as it can.
    Fastbuild,
    /// With debug information.
    Dbg,
    /// Optimized.
    Opt,
}

impl CompilationMode {
    /// What `--compilation_mode` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fastbuild => "fastbuild",
            Self::Dbg => "dbg",
            Self::Opt => "opt",
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The model: a repository's name or a folder.
    pub model: String,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// MAX's `--devices`.
    pub devices: String,
    /// MAX's `--custom-architectures`, one for each: modules, or `FOLDER:MODULE`.
    pub custom_architectures: Vec<String>,
    /// Further flags of MAX's `serve`.
    pub flags: Vec<String>,
    /// A file of API keys.
    pub api_key_file: Option<AnyPath>,
    /// The certificate for TLS.
    pub tls_cert: Option<AnyPath>,
    /// Its private key.
    pub tls_key: Option<AnyPath>,
}

impl Default for SdkConfig {
    fn default() -> Self {
        Self {
            max: "26.7.0".into(),
            mojo: "1.2.0".into(),
            python: PythonVersion::new(3, 11),
            accepted_pythons: (10..=14)
                .map(|minor| PythonVersion::new(3, minor))
                .collect(),
            path: None,
        }
    }
}

impl SdkConfig {
    /// The accepted Pythons, the preferred one first.
    pub fn pythons(&self) -> Vec<PythonVersion> {
        let mut all = vec![self.python];
        all.extend(
            self.accepted_pythons
                .iter()
                .filter(|&&other| other != self.python),
        );
        all
    }
}

impl Default for Bazel {
    fn default() -> Self {
        Self {
            kernel_api: vec![
                "//max/kernels/src/Mogg/MOGGKernelAPI:MOGGKernelAPI".into(),
                // Where the same kernels are in newer checkouts.
                "//max/kernels/src/graph_compiler/builtin_kernels:builtin_kernels".into(),
            ],
            targets: Vec::new(),
            packages: vec![
                "max/kernels/src/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg".into(),
                "max/kernels/src/Mogg/MOGGKernelAPI/MOGGMxfp4Extension.mojopkg".into(),
                "max/kernels/src/custom_ops/mogg_mxfp4/mogg_mxfp4.mojopkg".into(),
                "max/kernels/src/graph_compiler/builtin_kernels/builtin_kernels.mojoc".into(),
            ],
            compilation_mode: None,
            startup_flags: Vec::new(),
            flags: Vec::new(),
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
        // Some editors put a mark before a text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let wrong = |message: &str, span| Error::Config(describe(path, text, message, span));
        let raw: RawConfig = toml::from_str(text)
            .map_err(|error| wrong(&with_suggestion(error.message()), error.span()))?;
        raw.check()
            .map_err(|(message, span)| wrong(&message, Some(span)))?;
        Ok(raw.resolve(layout))
    }

    /// Reads `root/mxfp4.toml`; a file that is not there is an empty one.
    pub fn load(root: &Path, layout: Layout) -> Result<Self, Error> {
        let path = root.join(FILE);
        match mxfp4_fs::read_text(&path) {
            Ok(text) => Self::parse(&text, &path, layout),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default_for(layout)),
            Err(source) => Err(Error::Read { path, source }),
        }
    }
}

/// The file as it is written: a key that is absent takes the layout's default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawConfig {
    sdk: SdkConfig,
    kernels: Option<Vec<Spanned<Kernel>>>,
    bazel: Bazel,
    tests: RawTests,
    serve: RawServe,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawTests {
    mojo: Option<Vec<RelativePath>>,
    mojo_includes: Option<Vec<RelativePath>>,
    python: Option<Vec<RelativePath>>,
    python_filter: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawServe {
    model: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    devices: Option<String>,
    custom_architectures: Option<Vec<String>>,
    flags: Option<Vec<String>>,
    api_key_file: Option<AnyPath>,
    tls_cert: Option<AnyPath>,
    tls_key: Option<AnyPath>,
}

impl RawConfig {
    /// What the types alone cannot refuse.
    fn check(&self) -> Result<(), (String, Range<usize>)> {
        let kernels = self.kernels.as_deref().unwrap_or_default();
        for (index, kernel) in kernels.iter().enumerate() {
            let name = &kernel.get_ref().name;
            if kernels[..index]
                .iter()
                .any(|other| other.get_ref().name == *name)
            {
                let message = format!("two kernel packages are named `{}`", name.as_str());
                return Err((message, kernel.span()));
            }
        }
        Ok(())
    }

    fn resolve(self, layout: Layout) -> Config {
        Config {
            sdk: self.sdk,
            kernels: match self.kernels {
                Some(kernels) => kernels.into_iter().map(Spanned::into_inner).collect(),
                None => Kernel::defaults(layout),
            },
            bazel: self.bazel,
            tests: self.tests.resolve(layout),
            serve: self.serve.resolve(layout),
        }
    }
}

impl Kernel {
    fn defaults(layout: Layout) -> Vec<Self> {
        match layout {
            Layout::Standalone => vec![Self {
                name: "mxfp4".into(),
                source: "kernels/mxfp4".into(),
                includes: Vec::new(),
                flags: Vec::new(),
            }],
            // Bazel builds the packages there.
            Layout::Modular => Vec::new(),
        }
    }
}

impl RawTests {
    fn resolve(self, layout: Layout) -> Tests {
        let (mojo, includes, python, filter) = match layout {
            Layout::Standalone => ("kernels/test", "kernels", "python/tests", ""),
            Layout::Modular => (
                "max/kernels/test/mxfp4_mojo/test_mxfp4.mojo",
                "max/kernels/src",
                "max/tests/integration/API/python/graph/test_mxfp4_moe_kernel.py",
                "test_mxfp4_grouped_matmul_matches_dense",
            ),
        };
        Tests {
            mojo: self.mojo.unwrap_or_else(|| vec![mojo.into()]),
            mojo_includes: self.mojo_includes.unwrap_or_else(|| vec![includes.into()]),
            python: self.python.unwrap_or_else(|| vec![python.into()]),
            python_filter: self.python_filter.unwrap_or_else(|| filter.into()),
        }
    }
}

impl RawServe {
    fn resolve(self, layout: Layout) -> Serve {
        Serve {
            model: self.model.unwrap_or_else(|| "openai/gpt-oss-20b".into()),
            host: self.host.unwrap_or_else(|| "127.0.0.1".into()),
            port: self.port.unwrap_or(8000),
            devices: self.devices.unwrap_or_else(|| "gpu".into()),
            custom_architectures: self.custom_architectures.unwrap_or_else(|| match layout {
                Layout::Standalone => vec!["mxfp4.gpt_oss".into()],
                // The checkout has its own.
                Layout::Modular => Vec::new(),
            }),
            flags: self.flags.unwrap_or_default(),
            api_key_file: self.api_key_file,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
        }
    }
}

/// The message about an unknown key with the key that was probably meant, if one resembles it.
fn with_suggestion(message: &str) -> String {
    let meant = message.strip_prefix("unknown field `").and_then(|rest| {
        let (unknown, expected) = rest.split_once('`')?;
        nearest(unknown, expected.split('`').skip(1).step_by(2))
    });
    match meant {
        Some(key) => format!("{message}; did you mean `{key}`?"),
        None => message.to_owned(),
    }
}

/// `FILE:LINE:COLUMN: message`, the line, and a caret under the place.
fn describe(path: &Path, text: &str, message: &str, span: Option<Range<usize>>) -> String {
    let path = path.display();
    let message = message.trim_end().replace('\n', "; ");
    let Some(span) = span else {
        return format!("{path}: {message}");
    };
    let mut start = text.floor_char_boundary(span.start);
    start += place_in_list(text.get(start..span.end), &message).unwrap_or(0);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    let number = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let gutter = " ".repeat(number.to_string().len());
    // A tab before the place stays one, so that the caret is under it.
    let indent: String = text[line_start..start]
        .chars()
        .map(|char| if char == '\t' { '\t' } else { ' ' })
        .collect();
    format!(
        "{path}:{number}:{column}: {message}\n{gutter} |\n{number} | {line}\n{gutter} | {indent}^"
    )
}

/// Where in a list the value is that `message` begins with: the parser knows
/// the place of the list only, which may be lines above.
fn place_in_list(list: Option<&str>, message: &str) -> Option<usize> {
    let list = list.filter(|text| text.starts_with('['))?;
    let (value, _) = message.strip_prefix('`')?.split_once('`')?;
    ['"', '\'']
        .into_iter()
        .find_map(|quote| list.find(&format!("{quote}{value}{quote}")))
}

#[cfg(test)]
mod tests;
