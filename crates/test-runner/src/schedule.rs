//! What is run at once with what, and in which order.

use std::sync::{Mutex, PoisonError};

use mxfp4_process::Queue;

use crate::batch::Batch;
use crate::mojo::{self, Program};
use crate::python::Pytest;
use crate::report::{Language, Report};
use crate::reporter::Reporter;
use crate::run::{Interrupted, Listed, TestRun};

/// What is run at once with others.
enum Task<'a> {
    Mojo(Program<'a>),
    /// All Python tests in one process.
    Python,
    /// Finds out which Python tests there are, for batches of them.
    Collect,
    Batch(Batch),
}

/// Names the tests that are wanted, and runs none.
pub fn list(run: &TestRun) -> anyhow::Result<(Vec<Listed>, Option<Interrupted>)> {
    let mut listed = mojo::list(run)?;
    let interrupted = crate::python::list(run, &mut listed)?;
    Ok((listed, interrupted))
}

/// Runs all tests. A signal, or what keeps the tests from being run at all, ends those that run, and no other begins.
pub fn run(run: &TestRun) -> anyhow::Result<(Report, Option<Interrupted>)> {
    let report = Mutex::new(Report::default());
    let reporter = Reporter::new(run.screen, &report);
    reporter.begin(Language::Mojo);
    reporter.begin(Language::Python);
    drop(reporter);
    let pytest = Pytest::new(run)?;
    let queue = Queue::new(tasks(run, pytest.as_ref())?);
    let end = Mutex::new(None);
    queue.run(run.settings.jobs, |job| {
        // Those that a signal has ended say so only once they have ended.
        if mxfp4_process::interrupted().is_some() {
            return queue.close();
        }
        let mut reporter = Reporter::new(run.screen, &report);
        let result = match (job, &pytest) {
            (Task::Mojo(program), _) => program.check(&mut reporter),
            (Task::Python, Some(pytest)) => pytest.run(&mut reporter),
            (Task::Collect, Some(pytest)) => pytest.collect(&mut reporter).map(|collected| {
                let (first, last): (Vec<_>, Vec<_>) =
                    collected.batches.into_iter().partition(|batch| batch.first);
                let jobs = |batches: Vec<Batch>| batches.into_iter().map(Task::Batch).collect();
                queue.add_first(jobs(first));
                queue.add_last(jobs(last));
                collected.interrupted
            }),
            (Task::Batch(batch), Some(pytest)) => pytest.run_batch(&batch, &mut reporter),
            (_, None) => Ok(None),
        };
        let ended = match result {
            Ok(None) => return,
            Ok(Some(interrupted)) => Ok(interrupted),
            Err(error) => Err(error),
        };
        queue.close();
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        // What ends now is ended by this.
        if end.is_none() {
            run.stopper.stop();
            *end = Some(ended);
        }
    });
    let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    let interrupted = match end.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(Err(error)) => return Err(error),
        Some(Ok(interrupted)) => Some(interrupted),
        None => mxfp4_process::interrupted().map(|signal| Interrupted(128 + signal)),
    };
    Ok((report, interrupted))
}

/// What is to be done, in order. What takes long begins first where there is more than one thread: it would run alone in
/// the end.
fn tasks<'a>(run: &'a TestRun, pytest: Option<&Pytest>) -> anyhow::Result<Vec<Task<'a>>> {
    let programs = mojo::programs(run)?;
    let python = pytest.map(|pytest| match pytest.divides() {
        true => Task::Collect,
        false => Task::Python,
    });
    if run.settings.jobs == 1 {
        return Ok(programs.into_iter().map(Task::Mojo).chain(python).collect());
    }
    let (long, short): (Vec<_>, Vec<_>) = programs.into_iter().partition(Program::is_long);
    let programs = long.into_iter().chain(short).map(Task::Mojo);
    Ok(python.into_iter().chain(programs).collect())
}
