//! What bundling shows and prints.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Verbosity;

/// Shows on a terminal how much of `total` bytes has been worked on.
pub fn bar(verbosity: Verbosity, total: u64) -> ProgressBar {
    if verbosity == Verbosity::Quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("      {bar:40} {bytes} of {total_bytes} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// `12.3 MB`
pub fn megabytes(bytes: u64) -> impl Display {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Prints a path as the result.
pub fn print(path: &Path) -> io::Result<()> {
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    io::stdout().write_all(&line)
}
