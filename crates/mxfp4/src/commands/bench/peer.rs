//! Other kernels for the same work, measured beside ours.

use std::env;
use std::fmt;
use std::path::PathBuf;

use mxfp4_env::Sdk;
use mxfp4_process::Command;

use super::measurement::Measurement;
use super::program::{self, Errors, Shapes};
use super::record;
use crate::context::Context;

/// A kernel to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// OpenAI's triton_kernels, in a Python that has them and torch
    Triton,
}

/// What came of measuring a peer.
pub enum Measured {
    /// It was.
    Rows(record::Peer),
    /// A signal ended it, with this exit code.
    Interrupted(i32),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Triton => "triton",
        })
    }
}

impl Peer {
    /// Measures it with the interpreter `python`.
    pub fn measure(
        self,
        context: &Context,
        sdk: &Sdk,
        python: PathBuf,
        shapes: &Shapes,
    ) -> anyhow::Result<Measured> {
        let module = match self {
            Self::Triton => "mxfp4.bench_triton",
        };
        let advice = "--peer-python names a Python that has what it needs";
        let shown = format!("`{} -m {module}`", python.display());
        let command = Command::new(python)
            .args(["-m", module])
            .args(shapes.flags())
            .env("PYTHONPATH", python_path(context, sdk)?)
            // The current folder stays off the search path: a `torch/` in it would shadow a package.
            .env("PYTHONSAFEPATH", "1");
        let mut rows = Vec::new();
        let ran = program::run(command, Errors::Kept, &mut |measurement| {
            if let Measurement::Row(row) = measurement {
                rows.push(row);
            }
        });
        let (outcome, errors) =
            ran.map_err(|error| error.context(format!("{self} was not measured ({advice})")))?;
        if outcome.interrupted.is_some() {
            return Ok(Measured::Interrupted(outcome.code()));
        }
        let problem = if !outcome.success() {
            format!("{outcome}")
        } else if rows.is_empty() {
            "it printed no measurement".to_owned()
        } else {
            let name = self.to_string();
            return Ok(Measured::Rows(record::Peer { name, rows }));
        };
        let mut message = format!("{self} was not measured: {shown}: {problem}");
        for line in &errors {
            message.push_str("\n    ");
            message.push_str(line);
        }
        anyhow::bail!("{message}\n{advice}")
    }
}

/// The workspace's Python before the caller's own. The SDK's packages, which a shell may have there, are for the SDK's
/// interpreter only.
fn python_path(context: &Context, sdk: &Sdk) -> anyhow::Result<std::ffi::OsString> {
    let own = context.workspace.root.join("python");
    let ambient = context.ambient.get_nonempty("PYTHONPATH");
    let callers: Vec<PathBuf> = ambient
        .into_iter()
        .flat_map(env::split_paths)
        .filter(|path| *path != own && *path != sdk.site)
        .collect();
    Ok(env::join_paths([own].into_iter().chain(callers))?)
}
