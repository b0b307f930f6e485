//! Whether to write in color: `--color`, then NO_COLOR, CLICOLOR_FORCE and CLICOLOR, then whether it is a terminal.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io;

use anstyle::Style;

/// What is as it should be.
pub const GOOD: Style = anstyle::AnsiColor::Green.on_default().bold();
/// What is left out.
pub const DIM: Style = Style::new().bold().dimmed();
/// What an error begins with, and what failed.
pub const ERROR: Style = anstyle::AnsiColor::Red.on_default().bold();
/// What a warning begins with.
pub const WARNING: Style = anstyle::AnsiColor::Yellow.on_default().bold();
/// How far a command has come.
pub const STEP: Style = Style::new().bold();

/// Has everything that this process writes follow `choice`.
pub fn follow(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// The same with the `--color` among `args`, before the command line is parsed: what is wrong with it is written in
/// color too. The parser refuses a value that is none, and knows which `--color` is a program's that is to be run.
pub fn follow_unparsed(args: impl IntoIterator<Item = OsString>) {
    if let Some(choice) = choice(args) {
        choice.write_global();
    }
}

fn choice(args: impl IntoIterator<Item = OsString>) -> Option<anstream::ColorChoice> {
    let mut args = args.into_iter().take_while(|arg| arg != "--");
    let mut choice = None;
    while let Some(arg) = args.next() {
        let value = match arg.to_str().map(|arg| (arg, arg.split_once('='))) {
            Some(("--color", _)) => args.next().unwrap_or_default(),
            Some((_, Some(("--color", value)))) => value.into(),
            _ => continue,
        };
        choice = match value.to_str() {
            Some("always") => Some(anstream::ColorChoice::Always),
            Some("never") => Some(anstream::ColorChoice::Never),
            Some("auto") => Some(anstream::ColorChoice::Auto),
            _ => choice,
        };
    }
    choice
}

/// Whether standard error is written in color.
pub fn on_stderr() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Whether standard output is written in color.
pub fn on_stdout() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// `text` in `style`, where standard error is written in color.
pub fn styled(style: Style, text: impl Display) -> impl Display {
    in_style(if on_stderr() { style } else { Style::new() }, text)
}

/// The same for standard output.
pub fn styled_stdout(style: Style, text: impl Display) -> impl Display {
    in_style(if on_stdout() { style } else { Style::new() }, text)
}

fn in_style(style: Style, text: impl Display) -> impl Display {
    fmt::from_fn(move |f| write!(f, "{style}{text}{style:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::ColorChoice::{Always, Auto, Never};

    #[test]
    fn the_last_one_before_the_dashes_counts() {
        for (args, expected) in [
            (&["test"][..], None),
            (&["--color", "always", "test"], Some(Always)),
            (&["test", "--color=never"], Some(Never)),
            (&["--color=never", "--color", "auto"], Some(Auto)),
            (&["--color", "blue"], None),
            (&["--color"], None),
            (&["serve", "--", "--color=always"], None),
        ] {
            assert_eq!(
                choice(args.iter().map(OsString::from)),
                expected,
                "{args:?}"
            );
        }
    }
}
