use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mxfp4_env::config::Kernel;
use mxfp4_env::{Context, Environment, Sdk};

use super::dialect::Dialect;
use super::target::Target;
use crate::inputs::{Inputs, Seen};
use crate::{ConfigError, Error};

/// What can be made in a workspace.
pub(super) struct Targets<'a> {
    context: &'a Context,
    sdk: &'a Sdk,
    /// Where the compiler looks in this environment, but for what its arguments name.
    import_path: Vec<PathBuf>,
    /// Folders of the workspace in which tests lie beside packages.
    shared: BTreeSet<PathBuf>,
    seen: Arc<Seen>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(context: &'a Context, sdk: &'a Sdk, environment: &Environment) -> Self {
        let listed = environment.get("MODULAR_MOJO_MAX_IMPORT_PATH");
        let import_path = listed
            .unwrap_or_default()
            .as_bytes()
            .split(|&byte| byte == b',')
            .filter(|entry| !entry.is_empty())
            .map(|entry| from_here(OsStr::from_bytes(entry).as_ref()))
            .collect();
        let config = &context.workspace.config;
        let beside = config
            .kernels
            .iter()
            .filter_map(|kernel| kernel.source.as_ref().parent());
        let tests = config.tests.mojo_includes.iter().map(AsRef::as_ref);
        Self {
            context,
            sdk,
            import_path,
            shared: beside
                .chain(tests)
                .map(|path| context.workspace.root.join(path))
                .collect(),
            seen: Arc::default(),
        }
    }

    /// The kernel packages, made with further `flags`.
    pub(super) fn packages(
        &self,
        dialect: Dialect,
        flags: &[String],
    ) -> Result<Vec<Target>, Error> {
        let kernels = self.context.workspace.config.kernels.iter();
        kernels
            .map(|kernel| self.package(kernel, dialect, flags))
            .collect()
    }

    fn package(
        &self,
        kernel: &Kernel,
        dialect: Dialect,
        flags: &[String],
    ) -> Result<Target, Error> {
        let root = &self.context.workspace.root;
        let name = kernel.name.as_str();
        let source = root.join(&kernel.source);
        if !["__init__.mojo", "__init__.🔥"]
            .iter()
            .any(|name| source.join(name).is_file())
        {
            return Err(ConfigError::NoKernel {
                name: name.to_owned(),
                folder: source,
            }
            .into());
        }
        let includes: Vec<PathBuf> = kernel.includes.iter().map(|path| root.join(path)).collect();
        if let Some(missing) = includes.iter().find(|folder| !folder.is_dir()) {
            return Err(ConfigError::NoInclude {
                name: name.to_owned(),
                folder: missing.clone(),
            }
            .into());
        }
        let flags: Vec<String> = kernel.flags.iter().chain(flags).cloned().collect();
        let file = |extension| {
            let build_dir = self.context.workspace.build_dir();
            build_dir.join(format!("{name}.{extension}"))
        };
        let (output, superseded) = (file(dialect.extension), file(dialect.other_extension));
        Ok(Target {
            name: name.to_owned(),
            compiler: self.sdk.mojo(),
            inputs: self.inputs(
                dialect.subcommand,
                source,
                includes,
                &flags,
                vec![output.clone(), superseded.clone()],
            ),
            seen: self.seen.clone(),
            output,
            superseded: Some(superseded),
        })
    }

    /// The program that is made of the file `source` in the folder `name` of the build folder; paths are relative to
    /// the root.
    pub(super) fn program(
        &self,
        source: &Path,
        includes: &[&Path],
        flags: &[String],
        name: impl AsRef<Path>,
    ) -> Target {
        let root = &self.context.workspace.root;
        let stem = source.file_stem().unwrap_or_default();
        let includes = includes.iter().map(|include| root.join(include)).collect();
        let output = self.context.workspace.build_dir().join(name).join(stem);
        let outputs = vec![output.clone()];
        Target {
            name: stem.to_string_lossy().into_owned(),
            compiler: self.sdk.mojo(),
            inputs: self.inputs("build", root.join(source), includes, flags, outputs),
            seen: self.seen.clone(),
            output,
            superseded: None,
        }
    }

    /// The programs that show whether the kernels compile for an accelerator: the compile_*.mojo among the Mojo tests,
    /// made in the folder of the build folder that is named after it.
    pub(super) fn checks(&self, accelerator: &str, flags: &[String]) -> Vec<Target> {
        let root = &self.context.workspace.root;
        let tests = &self.context.workspace.config.tests;
        let includes: Vec<&Path> = tests.mojo_includes.iter().map(AsRef::as_ref).collect();
        let mut files = Vec::new();
        for path in &tests.mojo {
            let path: &Path = path.as_ref();
            let Ok(entries) = fs::read_dir(root.join(path)) else {
                files.push(path.to_owned());
                continue;
            };
            files.extend(entries.flatten().map(|entry| path.join(entry.file_name())));
        }
        files.retain(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("compile_") && name.ends_with(".mojo")
        });
        files.sort();
        let folder: String = accelerator
            .chars()
            .map(|char| match char.is_ascii_alphanumeric() {
                true => char,
                false => '_',
            })
            .collect();
        let check = |file: &PathBuf| {
            let mut includes = includes.clone();
            // For what the tests share.
            includes.extend(file.parent());
            let mut target = self.program(file, &includes, flags, &folder);
            target.name = format!("{} for {accelerator}", target.name);
            target
        };
        files.iter().map(check).collect()
    }

    /// What `mojo SUBCOMMAND SOURCE` is given and can read. Paths are absolute, so that those in diagnostics can be
    /// opened from any folder.
    fn inputs(
        &self,
        subcommand: &str,
        source: PathBuf,
        includes: Vec<PathBuf>,
        flags: &[String],
        outputs: Vec<PathBuf>,
    ) -> Inputs {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments = vec![subcommand.to_owned(), text(&source)];
        for include in &includes {
            arguments.extend(["-I".to_owned(), text(include)]);
        }
        arguments.extend_from_slice(flags);
        let (folders, files): (Vec<_>, Vec<_>) = named_by(flags).partition(|path| path.is_dir());
        // What is beside the source is found without an `-I`.
        let beside = source.parent().map(Path::to_owned);
        let shared = self.shared.iter().chain(&beside);
        // What is included by name counts as a whole.
        let shared = shared.filter(|folder| !includes.contains(folder));
        let shared = shared.cloned().collect();
        Inputs {
            arguments,
            shared,
            import_path: beside
                .into_iter()
                .chain(includes)
                .chain(folders)
                .chain(self.import_path.iter().cloned())
                .collect(),
            source,
            tools: std::iter::once(self.sdk.mojo()).chain(files).collect(),
            lib_mojo: self.sdk.lib_mojo(),
            outputs,
        }
    }
}

/// The files and folders that flags name: `-I X`, `--bitcode-libs=X,Y`.
fn named_by(flags: &[String]) -> impl Iterator<Item = PathBuf> {
    flags
        .iter()
        .flat_map(|flag| {
            let value = flag
                .split_once('=')
                .map_or(flag.as_str(), |(_, value)| value);
            value.split(',')
        })
        .map(|value| from_here(Path::new(value)))
        .filter(|path| path.is_file() || path.is_dir())
}

/// The path as the compiler understands it, which is started in the current folder.
fn from_here(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
