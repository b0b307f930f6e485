use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use mxfp4_env::Layout;
use mxfp4_env::config::{CompilationMode, Label};
use mxfp4_process::Command;

use super::{Options, Profile};
use crate::{Error, Job, run, run_with};

/// Builds a Modular checkout's kernel packages through its `bazelw`, which knows
/// itself what is fresh.
///
/// On a terminal Bazel draws its own progress; elsewhere its lines are passed on.
pub fn modular(job: Job, options: &Options) -> Result<(), Error> {
    debug_assert_eq!(job.workspace.layout, Layout::Modular);
    let root = &job.workspace.root;
    let bazel = &job.workspace.config.bazel;
    let mode = match options.profile {
        Some(Profile::Release) => Some(CompilationMode::Opt),
        Some(Profile::Debug) => Some(CompilationMode::Dbg),
        None => bazel.compilation_mode,
    };
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
        .args(bazel.startup_flags.iter())
        .arg("build")
        .args(mode.map(|mode| format!("--compilation_mode={}", mode.as_str())))
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
    use std::fs;

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
