//! Knowing soon that something changed.
//!
//! The kernel tells of changes in the folders that it was asked to watch; when it does, all sources are looked at. They
//! are looked at now and then anyway, for it tells nothing of a network's files that another machine writes, and may have
//! no watch left to give.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::errno::Errno;
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::sources::{Folder, Looked, Sources};

/// How long the kernel may be silent before sources are looked at all the same.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Where looking takes long it is done less often: it may take this part of the time.
const SHARE: u32 = 50;
/// How long to take together what happens in a row.
const BREATH: Duration = Duration::from_millis(50);
/// How often to look again where folders come and go all the time.
const MOST_LOOKS: usize = 3;

/// What the kernel tells of changes.
#[derive(Default)]
pub struct Changes {
    /// What it was asked to watch.
    folders: BTreeSet<Folder>,
    watching: Option<(RecommendedWatcher, Receiver<()>)>,
    /// Whether the user knows that it does not tell of everything.
    told: bool,
}

impl Changes {
    /// Looks at `sources`; from then on changes to them are told of.
    pub fn look(&mut self, sources: &Sources, old: Option<&Looked>) -> Looked {
        let mut looked = sources.look(old);
        for _ in 0..MOST_LOOKS {
            if looked.folders == self.folders {
                break;
            }
            self.watch(&looked.folders);
            self.folders = std::mem::take(&mut looked.folders);
            // What came between the look and the watch shows now.
            looked = sources.look(Some(&looked));
        }
        looked
    }

    /// Returns when something may have changed. `time` is how long it takes to look.
    pub fn wait(&self, time: Duration) {
        let longest = LOOK_EVERY.max(time * SHARE);
        let Some((_, changes)) = &self.watching else {
            return std::thread::sleep(longest);
        };
        match changes.recv_timeout(longest) {
            Ok(()) => {
                std::thread::sleep(BREATH);
                while changes.try_recv().is_ok() {}
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(longest),
        }
    }

    fn watch(&mut self, folders: &BTreeSet<Folder>) {
        // The old one goes first: it takes of what there is little of.
        self.watching = None;
        let (sender, changes) = mpsc::channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change, and a round reads a lot. An error may stand for events that were lost.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.send(());
            }
        });
        let mut watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => return self.tell(&error),
        };
        for folder in folders {
            match watcher.watch(&folder.path, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // It went away, and the next look sees that.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    self.tell(&error);
                    break;
                }
            }
        }
        self.watching = Some((watcher, changes));
    }

    fn tell(&mut self, error: &notify::Error) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let why = match limit_of(error) {
            Some(limit) => limit.used_up(),
            None => error.to_string(),
        };
        tracing::warn!(
            "the kernel does not tell of every change, and sources are looked at every {} s instead: {why}",
            LOOK_EVERY.as_secs()
        );
    }
}

/// A limit of the system that keeps it from watching.
struct Limit {
    name: &'static str,
    /// What shows it.
    file: &'static str,
}

const WATCHES: Limit = Limit {
    name: "fs.inotify.max_user_watches",
    file: "/proc/sys/fs/inotify/max_user_watches",
};
const INSTANCES: Limit = Limit {
    name: "fs.inotify.max_user_instances",
    file: "/proc/sys/fs/inotify/max_user_instances",
};

impl Limit {
    fn used_up(&self) -> String {
        let name = self.name;
        let now = fs::read_to_string(self.file).unwrap_or_default();
        let now: u64 = now.trim().parse().unwrap_or(0);
        format!(
            "{name} is used up, which is {now}; `sudo sysctl {name}={}` doubles it",
            now * 2
        )
    }
}

fn limit_of(error: &notify::Error) -> Option<Limit> {
    match &error.kind {
        ErrorKind::MaxFilesWatch => Some(WATCHES),
        // Where this process has too many files open, that is said of a file too.
        ErrorKind::Io(error) if error.raw_os_error() == Some(Errno::EMFILE as i32) => {
            fs::File::open("/dev/null").is_ok().then_some(INSTANCES)
        }
        _ => None,
    }
}
