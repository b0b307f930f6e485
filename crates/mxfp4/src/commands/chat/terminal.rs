//! The terminal that is typed at, while something else than the line editor uses it.

use std::io::{self, Write as _};
use std::process;
use std::thread;
use std::time::Duration;

use mxfp4_process::{CaughtSignals, interrupted};
use nix::sys::termios::{InputFlags, LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// How long between two looks whether a signal came.
const PAUSE: Duration = Duration::from_millis(100);

/// While it lives, what is typed is not shown: it is for the next line, and would stand in the middle of an answer.
pub struct Silent(Option<Termios>);

impl Silent {
    /// From now on.
    pub fn begin() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Self(None);
        };
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        // The line editor's Enter is another than that of a terminal that reads whole lines.
        silent.input_flags.remove(InputFlags::ICRNL);
        // Ctrl-C would throw away what was typed.
        silent.local_flags.insert(LocalFlags::NOFLSH);
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &silent);
        Self(Some(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// A signal that is to end this process leaves the terminal as it is now, whatever the line editor made of it.
pub fn restored_by_signals() -> io::Result<CaughtSignals> {
    let caught = CaughtSignals::start()?;
    let before = tcgetattr(io::stdin()).ok();
    let watch = move || {
        let signal = loop {
            match interrupted() {
                Some(signal) => break signal,
                None => thread::sleep(PAUSE),
            }
        };
        if let Some(before) = &before {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
            // No more marks around what is pasted.
            let _ = io::stderr().write_all(b"\x1b[?2004l\n");
        }
        process::exit(128 + signal)
    };
    thread::Builder::new()
        .name("terminal".into())
        .spawn(watch)?;
    Ok(caught)
}
