//! Python tests: pytest, with a plugin that chooses tests and tells what becomes of each.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mxfp4_fs::Walk;
use mxfp4_process::{Background, Command, Outcome, Output};
use mxfp4_toolchain::visible::visible;
use serde_json::json;

use crate::batch::{Batch, batches};
use crate::events::{Ended, Event, Events};
use crate::filter::Filter;
use crate::report::{Again, Case, Language, Verdict};
use crate::reporter::Reporter;
use crate::run::{Interrupted, Listed, TestRun};

/// pytest's exit code for "no test was collected".
const NOTHING_COLLECTED: i32 = 5;
/// How often the plugin's file is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How many lines of pytest's own output are kept.
const KEPT: usize = 2000;
/// How long pytest may take between tests at least: it collects, and it clears up.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const PLUGIN: &str = include_str!("pytest_plugin.py");

/// One process of pytest.
struct Run {
    outcome: Outcome,
    /// What it printed itself.
    output: String,
    /// The test that it was at when it ended, or was ended.
    current: Option<(String, Duration)>,
    timed_out: bool,
    /// Whether it came as far as to look for tests.
    looked: bool,
    /// How many tests it told of.
    tests: usize,
    /// Whether a filter may have left none.
    may_find_none: bool,
    /// The file that holds pytest's settings.
    settings: Option<String>,
}

/// What a first look at the tests has found.
pub struct Found {
    /// The tests, as they are to be run.
    pub batches: Vec<Batch>,
    /// A signal came before the end.
    pub interrupted: Option<Interrupted>,
}

/// Adds the Python tests' names to `listed`.
pub fn list(test_run: &TestRun, listed: &mut Vec<Listed>) -> anyhow::Result<Option<Interrupted>> {
    let Some(pytest) = Pytest::new(test_run)? else {
        return Ok(None);
    };
    // Nothing is counted.
    let report = Mutex::default();
    if test_run.sdk.python.is_none() {
        return Ok(None);
    }
    let reporter = &mut Reporter::new(test_run.screen, &report);
    let mut problem = None;
    let (command, goal) = (&pytest.filtered, Goal::Collect);
    let run = pytest.run_once(command, goal, reporter, &mut |event, _| match event {
        Event::Collected(test) => listed.push(Listed {
            language: Language::Python,
            name: visible(&test.id).into_owned(),
            gpu: test.gpu,
        }),
        Event::End(ended) if ended.outcome == "failed" => {
            problem = Some(format!("{}: {}", ended.id, ended.reason));
        }
        _ => {}
    })?;
    if run.outcome.interrupted.is_some() {
        return Ok(Some(Interrupted(run.outcome.code())));
    }
    if let Some(problem) = problem {
        anyhow::bail!("pytest cannot collect the tests: {}", visible(&problem));
    }
    if !run.ended_well(true, 0) {
        anyhow::bail!(
            "pytest cannot collect the tests ({}):\n{}",
            pytest.reason(&run),
            run.output
        );
    }
    Ok(None)
}

/// pytest as this run calls it.
pub struct Pytest<'a> {
    test_run: &'a TestRun<'a>,
    /// Without a filter.
    command: Command,
    /// With the filters that pytest knows itself.
    filtered: Command,
    /// Whether this run is to leave out tests, and may leave out all.
    is_chosen: bool,
    /// The expression that pytest's `-k` is given.
    keyword: Option<String>,
    /// The plugin's folder.
    plugin: tempfile::TempDir,
    /// What was said of pytest's own options: once is enough.
    said: Mutex<BTreeSet<String>>,
}

/// What a process of pytest is for.
#[derive(Clone, Copy)]
enum Goal<'a> {
    /// To find the tests that are wanted.
    Collect,
    /// To run these, or all that are wanted.
    Run(Option<&'a [String]>),
}

/// What one job has to run.
struct Part<'a> {
    command: Command,
    /// These tests, or all that are wanted.
    only: Option<&'a [String]>,
}

impl<'a> Pytest<'a> {
    /// None where no Python test can be wanted.
    pub fn new(test_run: &'a TestRun<'a>) -> anyhow::Result<Option<Self>> {
        let tests = &test_run.context.workspace.config.tests;
        if tests.python.is_empty() {
            return Ok(None);
        }
        if test_run
            .settings
            .filter
            .part()
            .is_some_and(|name| !may_match(test_run, name))
        {
            return Ok(None);
        }
        let plugin = tempfile::tempdir().context("cannot make a temporary folder")?;
        fs::write(plugin.path().join("mxfp4_pytest_plugin.py"), PLUGIN)
            .context("cannot write to a temporary folder")?;
        let command = Command::new("python")
            .args(["-m", "pytest"])
            .args(tests.python.iter().map(AsRef::<Path>::as_ref));
        let keyword = tests.python_filter.clone();
        let is_by_name = !matches!(test_run.settings.filter, Filter::All);
        // What is asked for by name is run, whatever else chooses: the last `-k` counts, and an empty one leaves all.
        let keyword = (!keyword.is_empty() || is_by_name).then_some(keyword);
        let filtered = match &keyword {
            None => command.clone(),
            Some(keyword) => command.clone().arg("-k").arg(keyword),
        };
        Ok(Some(Self {
            test_run,
            command,
            filtered,
            is_chosen: test_run.settings.gpu.is_some() || is_by_name,
            keyword,
            plugin,
            said: Mutex::default(),
        }))
    }

    /// Whether the tests are to be run in several processes. One that is chosen by its module is better run at once than
    /// looked for first.
    pub fn divides(&self) -> bool {
        let is_module = |part: &str| part.contains(".py::") || part.ends_with(".py");
        self.test_run.settings.jobs > 1
            && !self.test_run.settings.filter.part().is_some_and(is_module)
    }

    /// Runs all tests in one process.
    pub fn run(&self, reporter: &mut Reporter) -> anyhow::Result<Option<Interrupted>> {
        reporter.chatter(&format!(
            "python: {}",
            String::from_utf8_lossy(&self.filtered.dry_run())
        ));
        if !self.has_python(reporter) {
            return Ok(None);
        }
        let part = Part {
            command: self.filtered.clone(),
            only: None,
        };
        self.run_part(&part, reporter)
    }

    /// Runs the tests of a batch.
    pub fn run_batch(
        &self,
        batch: &Batch,
        reporter: &mut Reporter,
    ) -> anyhow::Result<Option<Interrupted>> {
        let part = Part {
            command: Command::new("python")
                .args(["-m", "pytest"])
                .arg(format!("--rootdir={}", batch.root.display()))
                .args(&batch.files),
            only: Some(&batch.ids),
        };
        self.run_part(&part, reporter)
    }

    /// Finds out which tests there are, and puts them into batches. What cannot be collected has failed.
    pub fn collect(&self, reporter: &mut Reporter) -> anyhow::Result<Found> {
        let mut found = Found {
            batches: Vec::new(),
            interrupted: None,
        };
        if !self.has_python(reporter) {
            return Ok(found);
        }
        reporter.running("python: collects the tests");
        let command = &self.filtered;
        let (mut root, mut tests, mut failures) = (PathBuf::new(), Vec::new(), 0);
        let goal = Goal::Collect;
        let run = self.run_once(
            command,
            goal,
            reporter,
            &mut |event, reporter| match event {
                Event::Root { path, .. } => root = path,
                Event::Collected(test) => tests.push(test),
                Event::Options { .. } | Event::Start { .. } => {}
                Event::End(ended) => {
                    failures += usize::from(ended.outcome == "failed");
                    let name = ended.id.clone();
                    let case =
                        self.case(&name, ended.verdict(None), ended.seconds, 1, ended.output);
                    reporter.ended(case);
                }
            },
        )?;
        if run.outcome.interrupted.is_some() || run.outcome.stopped {
            found.interrupted = Some(Interrupted(run.outcome.code()));
            return Ok(found);
        }
        if !run.ended_well(self.is_chosen, failures) {
            let reason = self.reason(&run);
            self.failed_itself(command, reporter, reason, run.output);
            return Ok(found);
        }
        found.batches = batches(
            tests,
            &root,
            self.test_run.settings.jobs,
            self.test_run.settings.hopper,
        );
        Ok(found)
    }

    /// Whether there is a Python; one that is missing is a failure.
    fn has_python(&self, reporter: &mut Reporter) -> bool {
        let has = self.test_run.sdk.python.is_some();
        if !has {
            let reason = format!("{} has no python", self.test_run.sdk.site.display());
            self.failed_itself(&self.filtered, reporter, reason, String::new());
        }
        has
    }

    /// Runs tests, and those that fail as often again as is wanted.
    fn run_part(
        &self,
        part: &Part,
        reporter: &mut Reporter,
    ) -> anyhow::Result<Option<Interrupted>> {
        let retries = self.test_run.settings.retries;
        let mut failed: HashMap<String, String> = HashMap::new();
        let mut only: Option<Vec<String>> = None;
        for number in 1..=retries + 1 {
            let mut again = Vec::new();
            let interrupted =
                self.run_all(part, only.as_deref(), reporter, &mut |ended, reporter| {
                    let name = ended.id.clone();
                    let verdict = ended.verdict(failed.get(&name));
                    let case = self.case(&name, verdict, ended.seconds, number, ended.output);
                    // A file that cannot be read is no test to try again.
                    let is_test = name.contains("::");
                    if let (Verdict::Failed(reason), true) = (&case.verdict, is_test)
                        && number <= retries
                    {
                        reporter.retry(&case);
                        failed.entry(name.clone()).or_insert(reason.clone());
                        again.push(name);
                        return;
                    }
                    reporter.ended(case);
                })?;
            if interrupted.is_some() {
                return Ok(interrupted);
            }
            if again.is_empty() {
                break;
            }
            only = Some(again);
        }
        Ok(None)
    }

    /// Runs those tests of `again`, or all of `part`, to the last: a test that hangs or takes pytest along ends its
    /// process, and another runs the rest.
    fn run_all(
        &self,
        part: &Part,
        again: Option<&[String]>,
        reporter: &mut Reporter,
        on_end: &mut dyn FnMut(Ended, &mut Reporter),
    ) -> anyhow::Result<Option<Interrupted>> {
        let mut rest: Option<Vec<String>> = again.map(<[_]>::to_vec);
        loop {
            let is_first = rest.is_none();
            let only = rest.as_deref().or(part.only);
            // Those that are asked for by name are missed also where pytest does not find them.
            let mut left = only.map(<[_]>::to_vec).unwrap_or_default();
            let mut failures = 0;
            let goal = Goal::Run(only);
            let run = self.run_once(&part.command, goal, reporter, &mut |event, reporter| {
                match event {
                    Event::Options { .. } | Event::Root { .. } => {}
                    Event::Collected(test) if left.contains(&test.id) => {}
                    Event::Collected(test) => left.push(test.id),
                    Event::Start { id } => reporter.running(&format!("python: {id}")),
                    Event::End(ended) => {
                        left.retain(|id| *id != ended.id);
                        failures += usize::from(ended.outcome == "failed");
                        // What cannot be collected cannot each time.
                        if is_first || ended.id.contains("::") {
                            on_end(ended, reporter);
                        }
                    }
                }
            })?;
            if run.outcome.interrupted.is_some() || run.outcome.stopped && !run.timed_out {
                return Ok(Some(Interrupted(run.outcome.code())));
            }
            let Some((id, time)) = run.current else {
                // Tests of a batch were there a moment ago.
                let may_be_none = !is_first || (self.is_chosen && part.only.is_none());
                let reason = self.reason(&run);
                if !run.ended_well(may_be_none, failures) {
                    self.failed_itself(&part.command, reporter, reason.clone(), run.output);
                }
                // Silence would be taken for success.
                for id in left {
                    let reason = format!("it was collected and not run: {reason}");
                    on_end(Ended::failed(id, reason, String::new(), 0.0), reporter);
                }
                return Ok(None);
            };
            left.retain(|other| *other != id);
            let reason = match run.timed_out {
                true => self.test_run.timed_out(),
                false => format!("pytest ended while it ran: {}", run.outcome),
            };
            let ended = Ended::failed(id, reason, run.output, time.as_secs_f64());
            on_end(ended, reporter);
            if left.is_empty() {
                return Ok(None);
            }
            rest = Some(left);
        }
    }

    /// Runs one process of pytest until it ends or a test takes too long.
    fn run_once(
        &self,
        command: &Command,
        goal: Goal,
        reporter: &mut Reporter,
        on_event: &mut dyn FnMut(Event, &mut Reporter),
    ) -> anyhow::Result<Run> {
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let path = scratch.path().join("events");
        File::create(&path).context("cannot write to a temporary folder")?;
        let mut events = Events::new(path.clone());
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keep = Arc::clone(&kept);
        let mut background = Some(Background::start(
            self.prepare(command, goal, scratch.path(), &path)?,
            move |line| {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.add(line.text);
            },
        ));
        let mut current: Option<String> = None;
        let mut since = Instant::now();
        let mut timed_out = false;
        let (mut looked, mut tests, mut settings) = (false, 0, None);
        let mut shown = 0;
        let outcome = loop {
            let ended = background.as_ref().is_none_or(Background::ended);
            let limit = match &current {
                Some(_) => self.test_run.settings.timeout,
                None => self.test_run.settings.timeout.max(PATIENCE),
            };
            let too_long = !ended && since.elapsed() >= limit;
            let stopped = !ended && self.test_run.stopper.is_requested();
            let outcome = match background.take() {
                Some(child) if ended => Some(child.wait()?),
                Some(child) if stopped => Some(child.stop()?),
                Some(child) if too_long => {
                    timed_out = true;
                    Some(child.stop()?)
                }
                child => {
                    background = child;
                    None
                }
            };
            for event in events.read() {
                match &event {
                    Event::Start { id } => (current, since) = (Some(id.clone()), Instant::now()),
                    Event::End(ended) => {
                        (current, since) = (None, Instant::now());
                        tests += 1;
                        if ended.asked {
                            reporter.missed(&visible(&ended.id), &ended.reason);
                        }
                    }
                    Event::Options {
                        left_out,
                        choosing,
                        sources,
                    } => self.say_options(left_out, choosing, sources),
                    Event::Root { settings: file, .. } => {
                        looked = true;
                        settings.clone_from(file);
                    }
                    Event::Collected(_) => tests += 1,
                }
                on_event(event, reporter);
            }
            let lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
            for line in lines.since(shown) {
                reporter.chatter(line);
            }
            shown = lines.total;
            drop(lines);
            if let Some(outcome) = outcome {
                break outcome;
            }
            std::thread::sleep(POLL);
        };
        let output = kept.lock().unwrap_or_else(PoisonError::into_inner).text();
        Ok(Run {
            outcome,
            output,
            current: current.map(|id| (id, since.elapsed())),
            timed_out,
            looked,
            tests,
            may_find_none: self.is_chosen || self.keyword.is_some(),
            settings,
        })
    }

    /// Says what became of the options that pytest was given by others.
    fn say_options(&self, left_out: &[String], choosing: &[String], sources: &[String]) {
        let (flags, what) = match (left_out, choosing) {
            ([], []) => return,
            ([], choosing) => (choosing, "choose tests too"),
            (left_out, []) => (
                left_out,
                "are left out: every test is run here, each once, unless `mxfp4 test` is told otherwise",
            ),
            (left_out, choosing) => {
                self.say_options(left_out, &[], sources);
                return self.say_options(&[], choosing, sources);
            }
        };
        let sources = match sources {
            [] => "others".to_owned(),
            sources => sources.join(" and "),
        };
        let text = format!("pytest's options {} of {sources} {what}", flags.join(", "));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(text.clone()) {
            self.test_run.screen.warning(&visible(&text));
        }
    }

    fn prepare(
        &self,
        command: &Command,
        goal: Goal,
        scratch: &Path,
        events: &Path,
    ) -> anyhow::Result<Command> {
        let (part, pattern) = match &self.test_run.settings.filter {
            Filter::Part(part) => (Some(part.as_str()), None),
            Filter::Pattern(pattern) => (None, Some(pattern.as_str())),
            Filter::All => (None, None),
        };
        let (command, only) = match goal {
            Goal::Collect => (&command.clone().arg("--collect-only"), None),
            Goal::Run(only) => (command, only),
        };
        let wanted = json!({
            "only": only,
            "collect": matches!(goal, Goal::Collect),
            "keyword": self.keyword,
            "by_name": !matches!(self.test_run.settings.filter, Filter::All),
            "substring": part,
            "regex": pattern,
            "gpu": self.test_run.settings.gpu,
        });
        let options = scratch.join("options.json");
        fs::write(&options, wanted.to_string()).context("cannot write to a temporary folder")?;
        let mut paths = self.plugin.path().as_os_str().to_owned();
        if let Some(set) = self.test_run.environment.get("PYTHONPATH") {
            paths.push(":");
            paths.push(set);
        }
        let python = self.test_run.sdk.python.clone();
        Ok(self
            .test_run
            .prepare(command)
            .program(python.unwrap_or_else(|| "python".into()))
            .args([
                "-p",
                "mxfp4_pytest_plugin",
                "--continue-on-collection-errors",
            ])
            .env("PYTHONPATH", paths)
            .env("MXFP4_PYTEST_OPTIONS", options)
            .env("MXFP4_PYTEST_EVENTS", events)
            .output(Output::Lines))
    }

    fn case(&self, id: &str, verdict: Verdict, seconds: f64, tries: u32, output: String) -> Case {
        let function = id.rsplit("::").next().unwrap_or(id);
        let function = function.split('[').next().unwrap_or(function);
        let command = self.command.clone().args(["-k", function]);
        Case {
            language: Language::Python,
            name: visible(id).into_owned(),
            verdict,
            time: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            tries,
            output,
            again: Again {
                arguments: vec![id.to_owned()],
                direct: String::from_utf8_lossy(&command.dry_run()).into_owned(),
                debug: None,
            },
        }
    }

    /// Why it is a failure that a process of pytest ended as it did.
    fn reason(&self, run: &Run) -> String {
        let (success, code) = (run.outcome.success(), run.outcome.code());
        if run.timed_out {
            return "pytest hung between tests and was ended".to_owned();
        }
        if code != NOTHING_COLLECTED && !(success && run.tests == 0) {
            return format!("{}; see its output", run.outcome);
        }
        if success && !run.looked {
            return "pytest ended before it looked for tests; see its output, and its options in PYTEST_ADDOPTS and \
                    `addopts`"
                .to_owned();
        }
        let filter = match self
            .test_run
            .context
            .workspace
            .config
            .tests
            .python_filter
            .as_str()
        {
            "" => String::new(),
            filter => format!(" that `tests.python-filter` ({filter}) leaves"),
        };
        let settings = match &run.settings {
            Some(file) => format!("; pytest's settings are those of {}", visible(file)),
            None => String::new(),
        };
        format!("there are no tests{filter}{settings}")
    }

    /// Counts pytest itself, as it was called, as a test that failed.
    fn failed_itself(
        &self,
        command: &Command,
        reporter: &mut Reporter,
        reason: String,
        output: String,
    ) {
        let mut case = self.case("pytest", Verdict::Failed(reason), 0.0, 1, output);
        case.again = Again {
            arguments: self.test_run.settings.filter.arguments(),
            direct: String::from_utf8_lossy(&command.dry_run()).into_owned(),
            debug: None,
        };
        reporter.ended(case);
    }
}

impl Run {
    /// Whether pytest did all that it was to do, where so many failures were told. It ends with 1 when tests failed and
    /// with 2 when modules cannot be read; anything else is a failure of its own, and so is a run without a test.
    fn ended_well(&self, may_be_none: bool, failures: usize) -> bool {
        match self.outcome.code() {
            _ if self.timed_out => false,
            _ if self.outcome.success() => self.tests > 0 || (self.may_find_none && self.looked),
            NOTHING_COLLECTED => may_be_none || failures > 0,
            1 | 2 => failures > 0,
            _ => false,
        }
    }
}

/// The last lines of what was printed.
#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    /// How many there were.
    total: usize,
}

impl Kept {
    fn add(&mut self, line: String) {
        if self.lines.len() >= KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.total += 1;
    }

    /// Those that came after the first `shown`.
    fn since(&self, shown: usize) -> impl Iterator<Item = &String> {
        let new = self.total.saturating_sub(shown);
        self.lines.iter().skip(self.lines.len().saturating_sub(new))
    }

    fn text(&self) -> String {
        self.lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Whether a Python test may have `name` in its name: collecting them only to find that none has takes pytest as long
/// as many tests take. Anything but a plain word may be made of parameters, which only pytest knows.
fn may_match(test_run: &TestRun, name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphabetic() || char == '_';
    if !name.chars().all(plain) {
        return true;
    }
    let word = name.to_ascii_lowercase();
    let root = &test_run.context.workspace.root;
    let mut tests = test_run.context.workspace.config.tests.python.iter();
    tests.any(|path| contains(&root.join(path), &word))
}

/// Whether the word is in the name or in the text of a file at or below `path`.
fn contains(path: &Path, word: &str) -> bool {
    let has = |text: &str| text.to_ascii_lowercase().contains(word);
    let is_python = |path: &Path| path.extension().is_some_and(|extension| extension == "py");
    let looked = Walk::default().look(path, &mut |found| match found {
        mxfp4_fs::Found::File(path, _)
            if is_python(path)
                && (has(&path.to_string_lossy())
                    || fs::read_to_string(path).is_ok_and(|text| has(&text))) =>
        {
            Err(())
        }
        _ => Ok(()),
    });
    looked.is_err()
}
