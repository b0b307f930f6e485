//! The page at `/` in a real browser: each program in `page` drives Chromium, and asks this one by lines to stop the
//! server, to start it again, and for what the engine was asked.

mod page_host;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mxfp4_harmony::testing::published_vocabulary;

use page_host::Host;

/// A folder that pictures of the page are left in.
const SCREENS: &str = "MXFP4_PAGE_SCREENS";

/// The programs, and how long a token takes in each.
const PROGRAMS: [(&str, Duration); 7] = [
    ("chat", Duration::from_millis(3)),
    ("stop", Duration::from_millis(3)),
    ("hostile", Duration::from_millis(1)),
    ("long", Duration::ZERO),
    ("key", Duration::from_millis(3)),
    ("gone", Duration::from_millis(3)),
    ("looks", Duration::from_millis(3)),
];

fn main() -> ExitCode {
    let trials = PROGRAMS.map(|(name, step)| {
        Trial::ignorable_test(name, move || match Place::find(step) {
            Err(why) => Ok(Completion::ignored_with(why)),
            Ok(place) => place.run(name).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// What a test needs of the machine.
struct Place {
    programs: PathBuf,
    chromium: PathBuf,
    host: Host,
}

impl Place {
    fn find(step: Duration) -> Result<Self, String> {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
        let chromium = on_path("chromium").ok_or("there is no chromium on PATH")?;
        on_path("node").ok_or("there is no node on PATH")?;
        if !programs.join("node_modules/playwright-core").is_dir() {
            return Err(format!(
                "playwright-core is missing: npm ci --prefix {}",
                programs.display()
            ));
        }
        Ok(Self {
            programs,
            chromium,
            host: Host::start(published_vocabulary()?, step)?,
        })
    }

    /// Runs a program to its end and does what its lines ask for.
    fn run(mut self, name: &str) -> Result<(), Failed> {
        let screens = std::env::var_os(SCREENS).unwrap_or_default();
        let mut program = Command::new("node")
            .arg(self.programs.join("run.js"))
            .args([name, &self.host.url()])
            .env("CHROMIUM", &self.chromium)
            .env("SCREENS", screens)
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = program.stderr.take().ok_or("no standard error")?;
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stderr, &mut text).map(|_| text)
        });
        let mut answers = program.stdin.take().ok_or("no standard input")?;
        let lines = BufReader::new(program.stdout.take().ok_or("no standard output")?).lines();
        for line in lines {
            let line = line?;
            match line.strip_prefix("? ") {
                Some(asked) => writeln!(answers, "{}", self.host.answer(asked)?)?,
                None => println!("{name}: {line}"),
            }
        }
        drop(answers);
        let status = program.wait()?;
        if status.success() {
            return Ok(());
        }
        let complaints = complaints
            .join()
            .map_err(|_| "its errors were not read")??;
        Err(format!("{name}: {status}\n{complaints}").into())
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
