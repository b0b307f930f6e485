//! A terminal of 80 by 24.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::chat::rig::PATIENCE;
use crate::support::{Skip, quoted, run, tool};

/// What the shell says once the command has ended, and with which code.
const OVER: &str = "ended with";

/// A command on a terminal.
pub struct Tmux {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Tmux {
    /// Runs `mxfp4 chat` with the server at `url` on a terminal, where HOME is `home`.
    pub fn chat(home: &Path, url: &str, args: &str) -> Result<Self, Skip> {
        Self::started_by("", home, url, args)
    }

    /// The same by another program, which is given the words.
    pub fn started_by(by: &str, home: &Path, url: &str, args: &str) -> Result<Self, Skip> {
        let tmux = Self {
            program: tool("tmux")?,
            folder: tempfile::tempdir().expect("a folder can be made"),
        };
        let chat = format!(
            "cd {0} && env -i TERM=$TERM HOME={0} PATH=/usr/bin:/bin LC_ALL=C.UTF-8 {by} {1} chat --url {url} {args}; \
             echo {OVER} $?; sleep 1000",
            quoted(home),
            quoted(env!("CARGO_BIN_EXE_mxfp4")),
        );
        tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", &chat]);
        Ok(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.arg("-S").arg(self.folder.path().join("socket"));
        let ran = run(command
            .args(["-f", "/dev/null", "-u"])
            .args(args)
            .env_remove("TMUX"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    /// Types a line.
    pub fn line(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.keys(&["Enter"]);
    }

    /// Presses keys.
    pub fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Pastes, with marks around it where the program asked for them.
    pub fn paste(&self, text: &str) {
        let file = self.folder.path().join("paste");
        std::fs::write(&file, text).expect("files can be written");
        self.run(&["load-buffer", &file.to_string_lossy()]);
        self.run(&["paste-buffer", "-p"]);
    }

    /// The screen, what was scrolled away too.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p", "-S", "-1000", "-J"])
    }

    /// The same with styles.
    pub fn styled(&self) -> String {
        let screen = self.run(&["capture-pane", "-p", "-e", "-S", "-1000"]);
        // What tmux says of colors that are the terminal's own.
        let screen = screen.replace("\u{1b}[39m", "").replace("\u{1b}[49m", "");
        screen.replace("\u{1b}[0;", "\u{1b}[0m\u{1b}[")
    }

    /// Waits until the screen has a text.
    pub fn wait(&self, text: &str) -> String {
        let mut screen = String::new();
        until_or(
            &format!("{text:?}"),
            || self.screen(),
            |found| {
                screen = found.to_owned();
                found.contains(text)
            },
        );
        screen
    }

    /// Waits for the command's end; its exit code.
    pub fn ended(&self) -> String {
        let screen = self.wait(OVER);
        let code = screen.lines().find_map(|line| line.strip_prefix(OVER));
        code.unwrap_or_default().trim().to_owned()
    }
}

/// Waits, and shows what was there instead.
fn until_or(what: &str, look: impl Fn() -> String, mut is_so: impl FnMut(&str) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = look();
        if is_so(&found) {
            return;
        }
        assert!(Instant::now() < end, "{what} did not come:\n{found}");
        sleep(Duration::from_millis(50));
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-S").arg(self.folder.path().join("socket"));
        run(command.arg("kill-server"));
    }
}
