//! The kernel packages, with the Mojo compiler or with a checkout's Bazel, and
//! programs beside them.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mxfp4_env::config::{Kernel, Label};
use mxfp4_env::{Environment, Layout, Sdk};
use mxfp4_process::Command;

use crate::record::Record;
use crate::{Error, Job, files, lock, run, run_with};

/// Who else may have the lock of the build folder.
const IN_WORKSPACE: &str = "`mxfp4 build` in this workspace";

/// Builds what is not fresh with the compiler of `sdk`, in the workspace's
/// `environment`. Standalone workspaces only.
pub fn standalone(job: Job, sdk: &Sdk, environment: &Environment) -> Result<(), Error> {
    debug_assert_eq!(job.workspace.layout, Layout::Standalone);
    make(job, &packages(job, sdk)?, environment)
}

/// The names of the kernel packages that [`standalone`] would make now: those
/// that are not built, and those that are not fresh any more.
pub fn outdated(job: Job, sdk: &Sdk) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for target in packages(job, sdk)? {
        if target.examine()?.is_some() {
            names.push(target.name);
        }
    }
    Ok(names)
}

/// Takes the packages that are in the build folder for made from the sources and by the compiler that are there, all of
/// which must be known from elsewhere: from a carried workspace's checksums. Where a package is missing nothing happens.
pub fn adopt(job: Job, sdk: &Sdk) -> Result<(), Error> {
    let build_dir = job.workspace.build_dir();
    let _lock = lock::take(&build_dir.join(".lock"), IN_WORKSPACE)?;
    for target in packages(job, sdk)? {
        if target.output.is_file() {
            let record = target.look(None)?.with_output(&target.output)?;
            record.write(&target.record_path())?;
        }
    }
    Ok(())
}

/// Whether two SDKs make the same packages: the compiler and its own packages are the same files, or alike.
pub fn is_same_compiler(one: &Sdk, other: &Sdk) -> Result<bool, Error> {
    let (ours, theirs) = (
        files::names(&one.lib_mojo())?,
        files::names(&other.lib_mojo())?,
    );
    if ours != theirs || !files::alike(&one.mojo(), &other.mojo())? {
        return Ok(false);
    }
    for name in ours {
        if !files::alike(&one.lib_mojo().join(&name), &other.lib_mojo().join(&name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the program `build/FOLDER/NAME` of a Mojo file `FOLDER/NAME.mojo`, the
/// file and its import paths relative to the root, unless it is fresh. Returns
/// the program's path.
pub fn program(
    job: Job,
    sdk: &Sdk,
    environment: &Environment,
    source: &Path,
    includes: &[&Path],
) -> Result<PathBuf, Error> {
    let root = &job.workspace.root;
    let stem = source.file_stem().unwrap_or_default();
    let source = root.join(source);
    if !source.is_file() {
        return Err(Error::Config(format!(
            "{} is not there; it is part of this project's own repository",
            source.display()
        )));
    }
    let folder = source.parent().unwrap_or(root);
    let output = job
        .workspace
        .build_dir()
        .join(folder.file_name().unwrap_or_default())
        .join(stem);
    let mut arguments = vec!["build".to_owned(), source.to_string_lossy().into_owned()];
    let mut folders = vec![folder.to_owned()];
    for include in includes {
        let include = root.join(include);
        arguments.push("-I".to_owned());
        arguments.push(include.to_string_lossy().into_owned());
        folders.push(include);
    }
    let target = Target {
        name: stem.to_string_lossy().into_owned(),
        arguments,
        compiler: sdk.mojo(),
        library: sdk.lib_mojo(),
        folders,
        superseded: None,
        output,
    };
    make(job, std::slice::from_ref(&target), environment)?;
    Ok(target.output)
}

/// Makes those of `targets` that are not fresh.
fn make(job: Job, targets: &[Target], environment: &Environment) -> Result<(), Error> {
    // The lock is for those who build; that nothing is to be done is seen
    // without it, for whatever is there is whole.
    if targets
        .iter()
        .map(Target::examine)
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .all(Option::is_none)
    {
        for target in targets {
            tracing::trace!("{} is up to date", target.output.display());
        }
        return Ok(());
    }
    let build_dir = job.workspace.build_dir();
    let _lock = lock::take(&build_dir.join(".lock"), IN_WORKSPACE)?;
    let mut failed = Vec::new();
    for target in targets {
        let Some(record) = target.examine()? else {
            continue;
        };
        tracing::info!("compiling {}", target.name);
        if !target.compile(record, environment)? {
            failed.push(target.name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Build(format!(
        "{} could not be compiled, see above",
        failed.join(", ")
    )))
}

fn packages(job: Job, sdk: &Sdk) -> Result<Vec<Target>, Error> {
    let root = &job.workspace.root;
    let kernels = &job.workspace.config.kernels;
    let dialect = Dialect::of(sdk)?;
    // A package may import another: each is made anew when one has changed.
    let folders: Vec<PathBuf> = kernels
        .iter()
        .flat_map(|kernel| std::iter::once(&kernel.source).chain(&kernel.includes))
        .map(|folder| root.join(folder))
        .collect();
    kernels
        .iter()
        .map(|kernel| {
            let source = root.join(&kernel.source);
            if !["__init__.mojo", "__init__.🔥"]
                .iter()
                .any(|name| source.join(name).is_file())
            {
                return Err(Error::Config(format!(
                    "kernel package `{}` is not there: {} has no __init__.mojo (see [[kernels]] in \
                     mxfp4.toml)",
                    kernel.name.as_str(),
                    source.display()
                )));
            }
            let name = kernel.name.as_str();
            let build_dir = job.workspace.build_dir();
            let file = |extension| build_dir.join(format!("{name}.{extension}"));
            Ok(Target {
                name: name.to_owned(),
                arguments: package_arguments(dialect, root, &source, kernel),
                compiler: sdk.mojo(),
                library: sdk.lib_mojo(),
                folders: folders.clone(),
                output: file(dialect.extension),
                superseded: Some(file(dialect.other_extension)),
            })
        })
        .collect()
}

/// The arguments but for the output's: absolute paths, so that those in
/// diagnostics can be opened from any folder.
fn package_arguments(dialect: Dialect, root: &Path, source: &Path, kernel: &Kernel) -> Vec<String> {
    let mut arguments = vec![
        dialect.subcommand.to_owned(),
        source.to_string_lossy().into_owned(),
    ];
    for include in &kernel.includes {
        arguments.push("-I".to_owned());
        arguments.push(root.join(include).to_string_lossy().into_owned());
    }
    arguments.extend(kernel.flags.iter().cloned());
    arguments
}

/// How a generation of the compiler makes a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dialect {
    subcommand: &'static str,
    extension: &'static str,
    other_extension: &'static str,
}

impl Dialect {
    /// The compiler's own packages tell without a process to start.
    fn of(sdk: &Sdk) -> Result<Self, Error> {
        let lib = sdk.lib_mojo();
        let entries = fs::read_dir(&lib).map_err(Error::file("read", &lib))?;
        let has_mojoc = entries
            .flatten()
            .any(|entry| entry.path().extension().is_some_and(|e| e == "mojoc"));
        Ok(if has_mojoc {
            Self {
                subcommand: "precompile",
                extension: "mojoc",
                other_extension: "mojopkg",
            }
        } else {
            Self {
                subcommand: "package",
                extension: "mojopkg",
                other_extension: "mojoc",
            }
        })
    }
}

/// What the compiler makes: a kernel package, or a program.
struct Target {
    name: String,
    /// The compiler's arguments, the output's name excepted.
    arguments: Vec<String>,
    compiler: PathBuf,
    library: PathBuf,
    /// Where its sources, and those it may import, are.
    folders: Vec<PathBuf>,
    output: PathBuf,
    /// What goes away when the output is made.
    superseded: Option<PathBuf>,
}

impl Target {
    fn record_path(&self) -> PathBuf {
        self.output.with_file_name(format!(".{}.json", self.name))
    }

    /// What it would be made from now.
    fn look(&self, old: Option<&Record>) -> Result<Record, Error> {
        Record::look(
            &[self.compiler.clone(), self.library.clone()],
            self.arguments.clone(),
            &self.folders,
            old,
        )
    }

    /// What to make it from when it must be made; `None` when it is fresh.
    fn examine(&self) -> Result<Option<Record>, Error> {
        let old = Record::read(&self.record_path());
        let new = self.look(old.as_ref())?;
        match old {
            Some(old) if new.agrees_with(&old) && old.tells_of(&self.output) => {
                let new = new.with_output_of(&old);
                if new != old {
                    // Touched but the same: next time the stamps will do. Where
                    // it cannot be written, the output is no less fresh.
                    let _ = new.write(&self.record_path());
                }
                Ok(None)
            }
            _ => Ok(Some(new)),
        }
    }

    /// Makes it from what `record` tells of; false when the compiler
    /// refuses, and then the last good one is still there.
    fn compile(&self, record: Record, environment: &Environment) -> Result<bool, Error> {
        files::remove_leftovers(&self.output)?;
        // The file's name becomes the package's, so the folder is what differs.
        let partial = files::partial(&self.output);
        files::create_dir(&partial)?;
        let made = partial.join(self.output.file_name().unwrap_or_default());
        let command = Command::new(&self.compiler)
            .args(self.arguments.iter().cloned())
            .arg("-o")
            .arg(&made)
            .environment(environment);
        let success = run(command).map(|outcome| outcome.success());
        let renamed = match success {
            Ok(true) => fs::rename(&made, &self.output)
                .map(|()| true)
                .map_err(Error::file("rename", &made)),
            other => other,
        };
        files::remove(&partial)?;
        if renamed? {
            record
                .with_output(&self.output)?
                .write(&self.record_path())?;
            if let Some(superseded) = &self.superseded {
                files::remove(superseded)?;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// Builds a Modular checkout's kernel packages through its `bazelw`, which knows
/// itself what is fresh.
pub fn modular(job: Job) -> Result<(), Error> {
    debug_assert_eq!(job.workspace.layout, Layout::Modular);
    let root = &job.workspace.root;
    let bazel = &job.workspace.config.bazel;
    let labels: Vec<&str> = kernel_api(root, &bazel.kernel_api)
        .into_iter()
        .chain(&bazel.targets)
        .map(Label::as_str)
        .collect();
    if labels.is_empty() {
        return Err(Error::Config(format!(
            "nothing to build in {}: it has the BUILD file of none of {}; name what it has with \
             `bazel.targets` in mxfp4.toml",
            root.display(),
            bazel
                .kernel_api
                .iter()
                .map(Label::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    tracing::info!("building {}", labels.join(" "));
    // The caller's own environment: Bazel makes everything anew when PATH is
    // another than that of the calls made by hand.
    let command = Command::new(root.join("bazelw"))
        .arg("build")
        .args(bazel.flags.iter())
        .args(labels)
        .cwd(root);
    let outcome = run_with(command, &mut |line| {
        // A reader of standard error that went away is no reason to stop.
        let _ = writeln!(io::stderr(), "{}", openable(&line.text, root));
    })?;
    if !outcome.success() {
        return Err(Error::Build(format!(
            "`bazelw build` failed ({outcome}), see above"
        )));
    }
    if job.workspace.kernel_packages().is_empty() {
        return Err(Error::Build(format!(
            "`bazelw build` succeeded, but none of the packages that `bazel.packages` and \
             `bazel.targets` name is under {}",
            root.join("bazel-bin").display()
        )));
    }
    Ok(())
}

/// A line of Bazel's with the file of a diagnostic (`FILE:LINE:COLUMN: ...`) named
/// so that it can be opened from any folder and after the build: tools run in
/// Bazel's root, or in a sandbox that is gone by then.
fn openable<'a>(line: &'a str, root: &Path) -> Cow<'a, str> {
    let mut parts = line.splitn(3, ':');
    let (Some(file), Some(number)) = (parts.next(), parts.next()) else {
        return line.into();
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return line.into();
    }
    let relative = match file.split_once("/execroot/") {
        Some((_, inside)) => inside.split_once('/').map_or(inside, |(_, rest)| rest),
        None => file,
    };
    let absolute = root.join(relative);
    if absolute == Path::new(file) || !absolute.is_file() {
        return line.into();
    }
    format!("{}{}", absolute.display(), &line[file.len()..]).into()
}

/// The target of MAX's own kernels in this checkout: it moved over time, so the
/// first that has a BUILD file.
fn kernel_api<'a>(root: &Path, candidates: &'a [Label]) -> Option<&'a Label> {
    candidates.iter().find(|label| {
        let package = root.join(label.package());
        ["BUILD.bazel", "BUILD"]
            .iter()
            .any(|name| package.join(name).is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_of_bazel_name_files_that_are_there() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("src")).unwrap();
        fs::write(root.join("src/a.mojo"), "").unwrap();
        let file = root.join("src/a.mojo");
        let diagnostic = format!("{}:3:10: error: expected a name", file.display());
        for (line, expected) in [
            (
                "src/a.mojo:3:10: error: expected a name",
                diagnostic.as_str(),
            ),
            (
                "/out/sandbox/1/execroot/_main/src/a.mojo:3:10: error: expected a name",
                &diagnostic,
            ),
            (&diagnostic, &diagnostic),
            (
                "src/gone.mojo:3:10: error: x",
                "src/gone.mojo:3:10: error: x",
            ),
            ("INFO: 3 processes", "INFO: 3 processes"),
            ("src/a.mojo: no line", "src/a.mojo: no line"),
            ("    return x", "    return x"),
            ("", ""),
        ] {
            assert_eq!(openable(line, root), expected, "{line}");
        }
    }
}
