use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// The process group that a child leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(Pid);

impl Group {
    pub(crate) fn of_leader(pid: u32) -> Self {
        Self(Pid::from_raw(pid.cast_signed()))
    }

    pub(crate) fn number(self) -> i32 {
        self.0.as_raw()
    }

    /// Sends `signal` to every process of the group; one that is gone is no
    /// error.
    pub(crate) fn signal(self, signal: Signal) {
        let _ = killpg(self.0, signal);
        if signal == Signal::SIGTERM {
            // A stopped process acts on SIGTERM only once it is continued.
            let _ = killpg(self.0, Signal::SIGCONT);
        }
    }

    /// Sends `signal` to the leader alone.
    pub(crate) fn signal_leader(self, signal: Signal) {
        let _ = kill(self.0, signal);
        if signal == Signal::SIGTERM {
            let _ = kill(self.0, Signal::SIGCONT);
        }
    }

    /// Blocks until the leader has ended and leaves it a zombie, so that its
    /// number, and with it the group's, cannot be given to another process
    /// while signals may still be sent to it.
    pub(crate) fn await_leader(self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(self.0), flags) == Err(Errno::EINTR) {}
    }

    /// Reaps what has ended; true when nothing of the group is left. The leader
    /// must have been waited for. Orphans of the group are children of this
    /// process, which is a subreaper.
    pub(crate) fn is_empty(self) -> bool {
        let group = Pid::from_raw(-self.0.as_raw());
        loop {
            match waitpid(group, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                // No children of ours in it. Where being a subreaper was
                // refused, init may have adopted some.
                Err(_) => return killpg(self.0, None) == Err(Errno::ESRCH),
            }
        }
    }
}
