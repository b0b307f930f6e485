use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What the operating system says of the child.
    pub status: ExitStatus,
    /// The first signal that reached `mxfp4` while the child ran and was passed
    /// on to it.
    pub interrupted: Option<i32>,
    /// Whether the child was ended because its time was up.
    pub timed_out: bool,
    /// Whether the child was ended through a [`crate::Stopper`].
    pub stopped: bool,
}

impl Outcome {
    /// Whether the child ended by itself with exit code 0.
    pub fn success(&self) -> bool {
        self.status.success() && self.interrupted.is_none() && !self.timed_out
    }

    /// The exit code that says how the child ended: 128+n when signal n ended
    /// it, or reached `mxfp4` meanwhile, and the child's own code otherwise.
    pub fn code(&self) -> i32 {
        match (self.interrupted, self.status.code(), self.status.signal()) {
            (Some(signal), _, _) | (None, None, Some(signal)) => 128 + signal,
            (None, Some(code), _) => code,
            (None, None, None) => 1,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.timed_out {
            return write!(f, "ran out of time");
        }
        match (self.interrupted, self.status.code(), self.status.signal()) {
            (Some(signal), _, _) => write!(f, "interrupted by {}", name(signal)),
            (None, _, Some(signal)) => write!(f, "ended by {}", name(signal)),
            (None, Some(code), _) => write!(f, "exit code {code}"),
            (None, None, None) => write!(f, "{}", self.status),
        }
    }
}

fn name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal)
        .map_or_else(|| format!("signal {signal}"), str::to_owned)
}
