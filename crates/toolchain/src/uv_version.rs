use std::fmt;

/// The oldest uv that can make an SDK: the first that knows dependency groups, which pyproject.toml has.
pub const OLDEST: Version = Version(0, 4, 27);

/// A version of uv.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}
