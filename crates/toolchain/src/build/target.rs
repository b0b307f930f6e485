use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mxfp4_env::Environment;
use mxfp4_process::{Command, Outcome};

use crate::diagnostics::{self, Message};
use crate::fingerprint::BuildFingerprint;
use crate::inputs::{Inputs, Seen};
use crate::run::run_with;
use crate::{Error, files};

/// What the compiler makes: a kernel package, or a program.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) compiler: PathBuf,
    pub(super) inputs: Inputs,
    /// What was read for the targets beside it.
    pub(super) seen: Arc<Seen>,
    pub(super) output: PathBuf,
    /// What goes away when the output is made.
    pub(super) superseded: Option<PathBuf>,
}

/// How making a target ended.
pub(super) enum Made {
    /// It is made from what is there now, as it was before.
    Fresh,
    /// It was made.
    Built(Vec<Message>),
    /// The compiler refused or died.
    Refused(Vec<Message>, Outcome),
}

impl Target {
    /// Makes it unless it is fresh; `anew` makes it even then.
    pub(super) fn make(&self, environment: &Environment, anew: bool) -> Result<Made, Error> {
        let Some(record) = self.examine(anew)? else {
            return Ok(Made::Fresh);
        };
        tracing::info!("compiling {}", self.name);
        self.compile(record, environment)
    }

    fn record_path(&self) -> PathBuf {
        let stem = self.output.file_stem().unwrap_or_default();
        self.output
            .with_file_name(format!(".{}.json", stem.to_string_lossy()))
    }

    /// Takes the output that is there, if any, for made from what is there now.
    pub(super) fn adopt(&self) -> Result<(), Error> {
        if !self.output.is_file() {
            return Ok(());
        }
        let record = self.inputs.look(None, &self.seen)?;
        let record = record.with_output(&self.output)?;
        record.write(&self.record_path())
    }

    /// What to make it from when it must be made; `None` when it is fresh, which it never is when made `anew`.
    pub(super) fn examine(&self, anew: bool) -> Result<Option<BuildFingerprint>, Error> {
        let old = match anew {
            true => None,
            false => BuildFingerprint::read(&self.record_path()),
        };
        let new = self.inputs.look(old.as_ref(), &self.seen)?;
        match old {
            Some(old) if new.agrees_with(&old) && old.tells_of(&self.output) => {
                let new = new.with_output_of(&old, &self.output)?;
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

    /// Makes it from what `record` tells of; when the compiler refuses, the last good one is still there.
    fn compile(&self, record: BuildFingerprint, environment: &Environment) -> Result<Made, Error> {
        files::remove_leftovers(&self.output)?;
        files::remove_leftovers(&self.record_path())?;
        // The file's name becomes the package's, so the folder is what differs.
        let partial = files::partial(&self.output);
        files::create_dir(&partial)?;
        let made = partial.join(self.output.file_name().unwrap_or_default());
        // Neither where it is made nor how it is talked about is of consequence for what is made.
        let command = Command::new(&self.compiler)
            .args(self.inputs.arguments.iter().cloned())
            .args(["--diagnostic-format", "json", "-o"])
            .arg(&made)
            .environment(environment);
        let mut lines = Vec::new();
        let outcome = run_with(command, &mut |line| lines.push(line));
        let renamed = match &outcome {
            Ok(outcome) if outcome.success() => {
                fs::rename(&made, &self.output).map_err(Error::file("rename", &made))
            }
            _ => Ok(()),
        };
        files::remove(&partial)?;
        let outcome = outcome?;
        renamed?;
        let messages = diagnostics::parse(&lines);
        if !outcome.success() {
            return Ok(Made::Refused(messages, outcome));
        }
        // The record comes last: with it everything is done.
        if let Some(superseded) = &self.superseded {
            files::remove(superseded)?;
        }
        record
            .with_output(&self.output)?
            .write(&self.record_path())?;
        Ok(Made::Built(messages))
    }
}
