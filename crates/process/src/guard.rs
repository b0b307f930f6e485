use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::group::Group;
use crate::tree::{self, Tree};

/// Waits for its input to end. That is so when this process is gone; a word on it means that all went well.
///
/// `$1` is the group, `$2` how many tenths of a second it may take to end, `$3` what the environment of those has that
/// have left the group and are to end too.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
if read -r _; then exit; fi
group=$1 left=$2 mark=$3
others() {
    [ -z "$mark" ] || grep -lsF -e "$mark" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do echo "$pid"; done
}
signal() {
    kill -s "$1" -- "-$group"
    for pid in $(others); do kill -s "$1" "$pid"; done
}
alive() { kill -s 0 -- "-$group" || [ -n "$(others)" ]; }
signal TERM
signal CONT
while [ "$left" -gt 0 ] && alive; do
    sleep 0.1
    left=$((left - 1))
done
# Again: one that was forking just then may have been missed.
left=10
while alive && [ "$left" -gt 0 ]; do
    signal KILL
    sleep 0.1
    left=$((left - 1))
done"#;

/// A process that ends a child's group should this process be killed.
///
/// The kernel tells only the child of its parent's death, and only once. What the child has started, or a child that
/// ignores SIGTERM, would live on.
pub(crate) struct Guard(Option<Child>);

impl Guard {
    /// Guards `group`, and `tree` where all of it is to end. Where no shell can be started the child still has the
    /// kernel's signal.
    pub(crate) fn of(group: Group, grace: Duration, tree: Option<&Tree>) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "mxfp4-guard"])
            .arg(group.number().to_string())
            .arg((grace.as_millis() / 100).to_string())
            .arg(tree.map_or("", Tree::mark))
            // It outlives this process for a moment, and holds nothing of it meanwhile.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0);
        Self(tree::spawn_helper(&mut command).ok())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut guard) = self.0.take() {
            if let Some(mut input) = guard.stdin.take() {
                let _ = input.write_all(b"done\n");
            }
            let _ = guard.wait();
            tree::forget(&guard);
        }
    }
}
