use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::group::Group;

/// Waits for its input to end. That is so when this process is gone; a word on it means that all went well.
///
/// `$1` is the group, `$2` how many tenths of a second it may take to end.
const SCRIPT: &str = "\
trap '' HUP INT QUIT TERM
if read -r _; then exit; fi
kill -s TERM -- \"-$1\" && kill -s CONT -- \"-$1\"
while [ \"$2\" -gt 0 ] && kill -s 0 -- \"-$1\"; do
    sleep 0.1
    set -- \"$1\" $(($2 - 1))
done
kill -s KILL -- \"-$1\"";

/// A process that ends a child's group should this process be killed.
///
/// The kernel tells only the child of its parent's death, and only once. What the child has started, or a child that
/// ignores SIGTERM, would live on.
pub(crate) struct Guard(Option<Child>);

impl Guard {
    /// Guards `group`. Where no shell can be started the child still has the kernel's signal.
    pub(crate) fn of(group: Group, grace: Duration) -> Self {
        let guard = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "mxfp4-guard"])
            .arg(group.number().to_string())
            .arg((grace.as_millis() / 100).to_string())
            // It outlives this process for a moment, and holds nothing of it meanwhile.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn();
        Self(guard.ok())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut guard) = self.0.take() {
            if let Some(mut input) = guard.stdin.take() {
                let _ = input.write_all(b"done\n");
            }
            let _ = guard.wait();
        }
    }
}
