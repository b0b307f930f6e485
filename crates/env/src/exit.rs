/// Why a command did not succeed, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The work itself failed: a build error, a failed test, a server that died.
    Failed,
    /// The command line is wrong.
    Usage,
    /// `mxfp4.toml` is wrong, or there is no workspace.
    Config,
    /// There is no SDK, or it could not be made.
    Sdk,
    /// Something needed is missing: GPU, memory, port, model, package, server, key.
    Precondition,
    /// A signal ended the work: 128 and its number.
    Signal(u8),
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Sdk => 4,
            Self::Precondition => 5,
            Self::Signal(code) => code,
        }
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Sdk => "sdk",
            Self::Precondition => "precondition",
            Self::Signal(_) => "interrupted",
        }
    }
}
