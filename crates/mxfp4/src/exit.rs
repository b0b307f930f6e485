//! Exit codes, and errors that carry one.

use std::fmt;

pub use mxfp4_env::Exit;

/// An error that knows the exit code it stands for.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// An error with `message` that exits with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what to do about it.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
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

/// What exit code `error` stands for: that of the outermost cause that has one, else [`Exit::Failed`].
pub fn of(error: &anyhow::Error) -> Exit {
    // A `Failure` added as context is not in the chain as itself, but anyhow's
    // downcast sees through the context, outermost first.
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    error.chain().find_map(known).unwrap_or(Exit::Failed)
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(error) = cause.downcast_ref::<mxfp4_env::Error>() {
        return Some(error.exit());
    }
    if let Some(error) = cause.downcast_ref::<mxfp4_launch::Error>() {
        return Some(error.exit());
    }
    if cause.is::<mxfp4_client::Error>() {
        return Some(Exit::Usage);
    }
    let error = cause.downcast_ref::<mxfp4_toolchain::Error>()?;
    Some(error.exit())
}

/// What to do about `error`: the outermost hint.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.hint.clone();
    }
    error.chain().find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.hint.clone();
        }
        if let Some(error) = cause.downcast_ref::<mxfp4_client::Error>() {
            return error.hint().map(str::to_owned);
        }
        if let Some(error) = cause.downcast_ref::<mxfp4_env::Error>() {
            return error.hint().map(str::to_owned);
        }
        if let Some(error) = cause.downcast_ref::<mxfp4_toolchain::Error>() {
            return error.hint();
        }
        cause.downcast_ref::<mxfp4_launch::Error>()?.hint()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: &anyhow::Error) -> u8 {
        of(error).code()
    }

    #[test]
    fn the_outermost_cause_decides() {
        let sdk = || mxfp4_env::Error::NotSdk {
            name: "MXFP4_SDK".into(),
            path: "/nowhere".into(),
        };
        assert_eq!(code(&anyhow::anyhow!("any")), 1);
        assert_eq!(code(&sdk().into()), 4);
        assert_eq!(code(&anyhow::Error::from(sdk()).context("cannot build")), 4);
        let serving = Err::<(), _>(sdk()).or_exit(Exit::Precondition, "cannot serve");
        let serving = serving.unwrap_err();
        assert_eq!(code(&serving), 5);
        assert_eq!(code(&serving.context("more")), 5);
        assert_eq!(code(&Failure::new(Exit::Usage, "wrong").into()), 2);
    }
}
