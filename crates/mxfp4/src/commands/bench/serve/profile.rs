//! What the GPU does in a step, as the server records it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mxfp4_env::{Environment, Sdk};
use mxfp4_launch::LogTail;
use mxfp4_process::{Command, Output, Stream};

use crate::commands::bench::file;

/// File with the number of steps that the server is to record; as `mxfp4.profile` names it.
const REQUEST: &str = "request";

/// What it recorded.
const RECORD: &str = "record.json";

/// How many steps are recorded.
const STEPS: u32 = 96;

/// How long recording may take after the load.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long between two looks whether it is done.
const PAUSE: Duration = Duration::from_millis(100);

/// Has the server record steps while `load` runs, and writes the table of one to `FOLDER/NAME.md`; `None` where a
/// signal came before the end. The first steps take in the prompts; the table is of those that are alike.
pub fn record(
    folder: &Path,
    name: &str,
    made: (&Sdk, &Environment),
    load: impl FnOnce() -> Option<()>,
) -> anyhow::Result<Option<()>> {
    let record = folder.join(RECORD);
    match fs::remove_file(&record) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", record.display()));
        }
        _ => {}
    }
    // The server may look at any time: the file is there whole or not at all.
    file::write(&folder.join(REQUEST), STEPS.to_string().as_bytes())?;
    if load().is_none() {
        return Ok(None);
    }
    let asked = Instant::now();
    while !record.exists() && asked.elapsed() < PATIENCE {
        if mxfp4_process::interrupted().is_some() {
            return Ok(None);
        }
        sleep(PAUSE);
    }
    let told = match record.exists() {
        true => table(&record, made)?,
        false => "The server recorded nothing: was MXFP4_PROFILE set for it?\n".into(),
    };
    file::write(&folder.join(format!("{name}.md")), told.as_bytes())?;
    Ok(Some(()))
}

/// The table that `mxfp4.profile` makes of a record, or why it makes none.
fn table(record: &Path, (sdk, environment): (&Sdk, &Environment)) -> anyhow::Result<String> {
    let mut table = String::new();
    let mut tail = LogTail::default();
    let outcome = Command::new(mxfp4_launch::python(sdk)?)
        .environment(environment)
        .args(["-m", "mxfp4.profile"])
        .arg(record)
        .env("PYTHONSAFEPATH", "1")
        .output(Output::Lines)
        .run(&mut |line| match line.stream {
            Stream::Stdout => table.extend([line.text.as_str(), "\n"]),
            Stream::Stderr => tail.push(&line.text),
        })?;
    Ok(match outcome.success() {
        true => table,
        false => format!(
            "There is no table ({outcome}): {}\n",
            tail.reason().unwrap_or("it was not said why")
        ),
    })
}
