//! Asking a program something.

use std::time::Duration;

use mxfp4_process::{Command, Output, Stream};
use mxfp4_toolchain::Error::Interrupted;

/// How long a program may think, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first line that `command` prints, or why there is none. A signal that reaches `mxfp4` meanwhile ends it.
pub fn ask(command: Command) -> anyhow::Result<Result<String, String>> {
    let (mut answer, mut complaint) = (None, None);
    let run = command
        .output(Output::Lines)
        .timeout(PATIENCE)
        .run(&mut |line| match line.stream {
            Stream::Stdout if answer.is_none() => answer = Some(line.text),
            Stream::Stderr if !line.text.trim().is_empty() => complaint = Some(line.text),
            _ => {}
        });
    let outcome = match run {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Err(crate::ui::error::message(&error.into()))),
    };
    if outcome.interrupted.is_some() {
        return Err(Interrupted(outcome).into());
    }
    Ok(match answer.filter(|_| outcome.success()) {
        Some(answer) => Ok(answer),
        None => Err(match complaint {
            Some(complaint) => format!("{outcome}: {complaint}"),
            None => outcome.to_string(),
        }),
    })
}
