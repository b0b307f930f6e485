//! Exit codes, and errors that carry one.

use std::fmt;

/// Why a command did not succeed, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The work itself failed: a build error, a failed test, a server that died.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `mxfp4.toml` is wrong, or there is no workspace.
    Config = 3,
    /// There is no SDK, or it could not be made.
    Sdk = 4,
    /// Something needed is missing: GPU, memory, port, model, package, server, key.
    Precondition = 5,
}

/// An error that knows the exit code it stands for.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// An error with `message` that exits with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Gives the error of a result its exit code and a first sentence.
pub trait ExitContext<T> {
    /// `message: cause` with exit code `exit`.
    fn or_exit(self, exit: Exit, message: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ExitContext<T> for Result<T, E> {
    fn or_exit(self, exit: Exit, message: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Failure::new(exit, message)))
    }
}

/// The exit code of `error`: that of the outermost cause that has one, else [`Exit::Failed`].
pub fn code_of(error: &anyhow::Error) -> u8 {
    // A `Failure` added as context is not in the chain as itself, but anyhow's
    // downcast sees through the context, outermost first.
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit as u8;
    }
    error
        .chain()
        .find_map(|cause| {
            let failure = cause
                .downcast_ref::<Failure>()
                .map(|failure| failure.exit as u8);
            failure
                .or_else(|| {
                    cause
                        .downcast_ref::<mxfp4_env::Error>()
                        .map(mxfp4_env::Error::exit_code)
                })
                .or_else(|| {
                    cause
                        .downcast_ref::<mxfp4_toolchain::Error>()
                        .map(mxfp4_toolchain::Error::exit_code)
                })
        })
        .unwrap_or(Exit::Failed as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_cause_decides() {
        let sdk = || mxfp4_env::Error::Sdk("no SDK".into());
        assert_eq!(code_of(&anyhow::anyhow!("any")), 1);
        assert_eq!(code_of(&sdk().into()), 4);
        assert_eq!(
            code_of(&anyhow::Error::from(sdk()).context("cannot build")),
            4
        );
        let serving = Err::<(), _>(sdk()).or_exit(Exit::Precondition, "cannot serve");
        let serving = serving.unwrap_err();
        assert_eq!(code_of(&serving), 5);
        assert_eq!(code_of(&serving.context("more")), 5);
        assert_eq!(code_of(&Failure::new(Exit::Usage, "wrong").into()), 2);
    }
}
