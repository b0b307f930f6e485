use clap::ValueEnum;

/// What can be asked to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// `mxfp4 build`
    Build,
    /// `mxfp4 test`
    Test,
    /// `mxfp4 serve`
    Serve,
}

impl Goal {
    /// Every one, in the order in which they are told.
    pub const ALL: [Self; 3] = [Self::Build, Self::Test, Self::Serve];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
            Self::Serve => "serve",
        }
    }
}
