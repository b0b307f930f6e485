mod events;
mod outputs;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use mxfp4_env::config::{CompilationMode, Label};
use mxfp4_env::{Context, Layout, Workspace};
use mxfp4_process::Command;
use tempfile::NamedTempFile;

use self::events::Outputs;
use super::options::{Options, Profile};
use crate::bazelw::bazelw_problem;
use crate::run::{run, run_with};
use crate::{BuildError, ConfigError, Error};

/// Builds a Modular checkout's kernel packages through its `bazelw`, which knows
/// itself what is fresh, and returns what it made.
///
/// On a terminal Bazel draws its own progress; elsewhere its lines are passed on.
pub fn modular(context: &Context, options: &Options) -> Result<Vec<PathBuf>, Error> {
    debug_assert_eq!(context.workspace.layout, Layout::Modular);
    let root = &context.workspace.root;
    let bazel = &context.workspace.config.bazel;
    let mode = match options.profile {
        Some(Profile::Release) => Some(CompilationMode::Opt),
        Some(Profile::Debug) => Some(CompilationMode::Dbg),
        None => bazel.compilation_mode,
    };
    let labels = context.workspace.bazel_labels();
    if labels.is_empty() {
        return Err(nothing_to_build(&context.workspace).into());
    }
    if let Some(problem) = bazelw_problem(root) {
        return Err(BuildError::from(problem).into());
    }
    let labels = labels.into_iter().map(Label::as_str);
    tracing::info!("building {}", labels.clone().collect::<Vec<_>>().join(" "));
    let events = Events::of(&context.workspace)?;
    // The caller's own environment: Bazel makes everything anew when PATH is
    // another than that of the calls made by hand.
    let command = Command::new(root.join("bazelw"))
        .args(bazel.startup_flags.iter())
        .arg("build")
        .args(mode.map(|mode| format!("--compilation_mode={}", mode.as_str())))
        .args(events.flags.iter())
        .args(bazel.flags.iter())
        .args(labels)
        .cwd(root);
    let outcome = if io::stderr().is_terminal() {
        run(command)?
    } else {
        run_with(command, &mut |line| {
            // A reader of standard error that went away is no reason to stop.
            let _ = writeln!(io::stderr(), "{}", openable(&line.text, root));
        })?
    };
    if !outcome.success() {
        return Err(BuildError::Bazel(outcome).into());
    }
    outputs::keep(&context.workspace, &events.read()?)
}

fn nothing_to_build(workspace: &Workspace) -> ConfigError {
    let candidates = workspace.config.bazel.kernel_api.iter();
    ConfigError::NothingToBuild {
        root: workspace.root.clone(),
        candidates: candidates.map(|label| label.as_str().to_owned()).collect(),
    }
}

/// Where Bazel writes down what a build does.
struct Events {
    file: PathBuf,
    /// What has it do so; nothing where the user's own flags do.
    flags: Vec<OsString>,
    _own: Option<NamedTempFile>,
}

impl Events {
    fn of(workspace: &Workspace) -> Result<Self, Error> {
        const FLAG: &str = "--build_event_json_file=";
        let flags = &workspace.config.bazel.flags;
        let users = flags.iter().rev().find_map(|flag| flag.strip_prefix(FLAG));
        if let Some(file) = users {
            return Ok(Self {
                file: workspace.root.join(file),
                flags: Vec::new(),
                _own: None,
            });
        }
        let own = NamedTempFile::with_prefix("mxfp4-bazel-")
            .map_err(Error::file("make a file in", &std::env::temp_dir()))?;
        let mut flag = OsString::from(FLAG);
        flag.push(own.path());
        // Files are named by their path, wherever else they may be had.
        let by_path = "--build_event_json_file_path_conversion=false".into();
        Ok(Self {
            file: own.path().to_owned(),
            flags: vec![flag, by_path],
            _own: Some(own),
        })
    }

    fn read(&self) -> Result<Outputs, Error> {
        let text = fs::read(&self.file).map_err(Error::file("read", &self.file))?;
        Ok(Outputs::parse(&String::from_utf8_lossy(&text)))
    }
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
