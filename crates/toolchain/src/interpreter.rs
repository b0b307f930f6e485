//! The Python that an SDK is made with, as uv finds it.

use std::path::{Path, PathBuf};

use mxfp4_env::Context;
use mxfp4_process::Stream;

use crate::Error;
use crate::no_python::{NoPython, Refusal};
use crate::run::run_with;
use crate::uv_command::uv_command;

/// The first acceptable Python on this machine; none is downloaded.
pub(crate) fn find(context: &Context, uv: &Path) -> Result<Result<PathBuf, NoPython>, Error> {
    let mut worst: Option<Refusal> = None;
    for version in context.workspace.config.sdk.pythons() {
        let command = uv_command(context, uv)
            .args(["python", "find", "--system", "--no-project"])
            .arg(format!("cpython-{version}"));
        let (mut found, mut said) = (None, Vec::new());
        let outcome = run_with(command, &mut |line| match line.stream {
            Stream::Stdout if found.is_none() => found = Some(line.text),
            Stream::Stdout => {}
            Stream::Stderr => said.push(line.text),
        })?;
        if let Some(path) = found.filter(|_| outcome.success()) {
            return Ok(Ok(path.into()));
        }
        let refusal = Refusal::of(&said);
        if worst
            .as_ref()
            .is_none_or(|worst| refusal.is_worse_than(worst))
        {
            worst = Some(refusal);
        }
    }
    let worst = worst.unwrap_or_else(|| Refusal::of(&[]));
    Ok(Err(NoPython::new(context, uv, worst)))
}
