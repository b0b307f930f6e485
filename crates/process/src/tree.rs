//! What a child has started beyond its own process group: in sessions of its own, as daemons do.
//!
//! Whoever loses his parent becomes a child of this process, a subreaper. A variable in the environment tells whose
//! descendant he is, where several children run at once. One who has cleared his environment is taken to be the last
//! one's.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid};

use crate::signals;

/// The variable that holds the marks of the trees that a process belongs to.
pub(crate) const VARIABLE: &str = "MXFP4_TREE";

static TREES: Mutex<Trees> = Mutex::new(Trees {
    active: BTreeSet::new(),
    strangers: BTreeSet::new(),
});

/// The helpers that this crate has started.
static HELPERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

struct Trees {
    /// The marks of those that run.
    active: BTreeSet<String>,
    /// What was there before the first of them, by number and start: a Bazel server, for instance.
    strangers: BTreeSet<(i32, String)>,
}

/// A child of this process with all that it starts.
#[derive(Debug)]
pub(crate) struct Tree {
    mark: String,
    /// Those that were asked to end: one that ends has no environment any more.
    asked: BTreeSet<i32>,
}

impl Tree {
    /// One for a child that is to be started.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let mark = format!(
            "{}-{}-{}",
            std::process::id(),
            time.unwrap_or_default().as_nanos(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let mut trees = trees();
        if trees.active.is_empty() {
            let known = children().into_iter();
            trees.strangers = known.filter_map(|pid| Some((pid, start(pid)?))).collect();
        }
        trees.active.insert(mark.clone());
        let asked = BTreeSet::new();
        Self { mark, asked }
    }

    /// What tells its processes from others.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The value of [`VARIABLE`] for the child. This process may belong to a tree itself.
    pub(crate) fn value(&self) -> OsString {
        let mut value = std::env::var_os(VARIABLE).unwrap_or_default();
        if !value.is_empty() {
            value.push(":");
        }
        value.push(&self.mark);
        value
    }

    /// Asks what is left of it outside the child's group to end, once each, or kills it. Returns whom that leaves.
    ///
    /// The child and its group must have ended. What the ones left have started in turn becomes a child of this process
    /// as they end: hence this is called until none is left. What has ended is reaped.
    pub(crate) fn end(&mut self, kill: bool) -> Vec<i32> {
        let trees = trees();
        let mut left = Vec::new();
        for pid in orphans(&trees) {
            let process = Pid::from_raw(pid);
            // One that has ended is nobody's any more.
            match waitpid(process, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
                _ => continue,
            }
            let is_asked = self.asked.contains(&pid);
            if !is_asked && !self.has(pid, &trees.active) {
                continue;
            }
            left.push(pid);
            if kill {
                send(process, Signal::SIGKILL);
            } else if !is_asked {
                send(process, Signal::SIGTERM);
            }
        }
        self.asked.extend(&left);
        left
    }

    fn has(&self, pid: i32, active: &BTreeSet<String>) -> bool {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let marks = marks(&environment);
        let mut known = active
            .iter()
            .filter(|mark| marks.contains(&mark.as_bytes()))
            .peekable();
        match known.peek() {
            Some(_) => known.any(|mark| *mark == self.mark),
            None => active.len() == 1,
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        trees().active.remove(&self.mark);
    }
}

/// The processes that this one has not started itself, and whose parents have ended since a tree began.
fn orphans(trees: &Trees) -> Vec<i32> {
    let children = children();
    if children.is_empty() {
        return children;
    }
    // Asked in this order: what was started meanwhile is known by now.
    let groups = signals::groups();
    let helpers = HELPERS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_stranger =
        |pid: i32| start(pid).is_some_and(|start| trees.strangers.contains(&(pid, start)));
    let is_orphan =
        |&pid: &i32| !helpers.contains(&pid) && !is_in(pid, &groups) && !is_stranger(pid);
    children.into_iter().filter(is_orphan).collect()
}

/// Starts a helper, which is part of no tree, until [`forget`] is called for it.
pub(crate) fn spawn_helper(command: &mut Command) -> io::Result<Child> {
    // Locked meanwhile, so that whoever sees it knows it.
    let mut helpers = HELPERS.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    helpers.insert(child.id().cast_signed());
    Ok(child)
}

/// Has a helper forgotten, which has ended.
pub(crate) fn forget(helper: &Child) {
    let mut helpers = HELPERS.lock().unwrap_or_else(PoisonError::into_inner);
    helpers.remove(&helper.id().cast_signed());
}

fn trees() -> MutexGuard<'static, Trees> {
    TREES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends `signal` to the group that the process leads, or to the process.
fn send(process: Pid, signal: Signal) {
    let leads = getpgid(Some(process)) == Ok(process);
    let send = |signal| match leads {
        true => killpg(process, signal),
        false => kill(process, signal),
    };
    let _ = send(signal);
    if signal == Signal::SIGTERM {
        // A stopped process acts on SIGTERM only once it is continued.
        let _ = send(Signal::SIGCONT);
    }
}

fn is_in(pid: i32, groups: &BTreeSet<i32>) -> bool {
    let group = getpgid(Some(Pid::from_raw(pid)));
    groups.contains(&pid) || group.is_ok_and(|group| groups.contains(&group.as_raw()))
}

/// The marks in a process's environment.
fn marks(environment: &[u8]) -> Vec<&[u8]> {
    let mut variables = environment.split(|&byte| byte == 0);
    let value = variables.find_map(|variable| {
        let rest = variable.strip_prefix(VARIABLE.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    let marks = value.unwrap_or_default().split(|&byte| byte == b':');
    marks.collect()
}

/// The numbers of this process's children.
fn children() -> Vec<i32> {
    listed_children().unwrap_or_else(|_| found_children())
}

/// As the kernel lists them, by thread; not every kernel does.
fn listed_children() -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(thread?.path().join("children")) {
            Ok(list) => children.extend(
                list.split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            ),
            // A thread that has ended just now; its children are another's.
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// As all processes name their parents.
fn found_children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|&pid| field(pid, PARENT).is_some_and(|parent| parent == own))
        .collect()
}

/// Where a process's stat has its parent and its start, counted behind its name.
const PARENT: usize = 1;
const START: usize = 19;

/// When the process was started: with its number, this names it for good.
fn start(pid: i32) -> Option<String> {
    field(pid, START)
}

fn field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, parentheses too.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = OsStr::from_bytes(&stat[name_end + 1..]).to_str()?;
    rest.split_whitespace().nth(number).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same_children() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(listed_children().is_ok_and(|children| children.contains(&pid)));
        assert!(found_children().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children().contains(&pid));
    }

    #[test]
    fn marks_of_an_environment() {
        let none: [&[u8]; 1] = [b""];
        assert_eq!(marks(b"A=1\0MXFP4_TREES=x\0"), none);
        let two: [&[u8]; 2] = [b"1-2-3", b"4"];
        assert_eq!(marks(b"A=1\0MXFP4_TREE=1-2-3:4\0B=\0"), two);
    }
}
