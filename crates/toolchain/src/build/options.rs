/// How to build, where not as always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The accelerator, as the compiler names it, that GPU code is compiled for.
    pub accelerator: Option<String>,
    /// Optimized or for a debugger, where not as the compiler or Bazel does by itself.
    pub profile: Option<Profile>,
    /// Make everything anew.
    pub clean: bool,
}

/// Whom a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Users: optimized.
    Release,
    /// A debugger: debug information, no optimization.
    Debug,
}
