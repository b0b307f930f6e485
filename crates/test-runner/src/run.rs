//! What both languages' tests run with.

use std::time::Duration;

use mxfp4_env::{Context, Environment, Options, Sdk};
use mxfp4_process::{Command, Stopper};

use crate::filter::Filter;
use crate::jobs;
use crate::report::Language;
use crate::screen::Screen;

/// The share of the GPU's memory, in percent, that MAX sets aside as soon as a program uses the GPU. It is nearly all of
/// it otherwise, and programs at the same time would find none.
const GPU_SHARE: &str = "MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE_PERCENT";
/// What all programs together may set aside: each has its code there too, and contexts of the driver.
const GPU_SHARES: usize = 80;

/// Which tests are run, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which by their names.
    pub filter: Filter,
    /// Only those that need a GPU, or only those that do not.
    pub gpu: Option<bool>,
    /// How many times more a test is tried that fails.
    pub retries: u32,
    /// When a test is taken to hang.
    pub timeout: Duration,
    /// How many Mojo programs and parts of the Python tests run at once.
    pub jobs: usize,
    /// Whether the device runs synchronously.
    pub debug: bool,
    /// Whether a program started from here sees a GPU that the kernels run on.
    pub hopper: bool,
}

impl Settings {
    /// How many jobs run at once where nobody says it.
    pub fn default_jobs() -> usize {
        jobs::default()
    }
}

/// A run of the tests.
pub struct TestRun<'a> {
    pub(crate) context: &'a Context,
    pub(crate) sdk: Sdk,
    pub(crate) environment: Environment,
    pub(crate) screen: &'a dyn Screen,
    pub(crate) settings: Settings,
    /// Ends whatever runs.
    pub(crate) stopper: Stopper,
}

/// A test that was not run.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What it is written in.
    pub language: Language,
    /// Its name.
    pub name: String,
    /// Whether it needs a GPU.
    pub gpu: bool,
}

/// A signal ended the run with this exit code; the report says how far it came.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted(pub i32);

impl<'a> TestRun<'a> {
    /// One with `sdk`, shown on `screen`.
    pub fn new(
        context: &'a Context,
        sdk: Sdk,
        settings: Settings,
        screen: &'a dyn Screen,
    ) -> Result<Self, mxfp4_env::Error> {
        let options = Options {
            debug: settings.debug,
            testing: true,
            ..Options::default()
        };
        Ok(Self {
            context,
            environment: context.environment(Some(&sdk), options)?,
            sdk,
            screen,
            settings,
            stopper: Stopper::new(),
        })
    }

    /// A command as a test runs it: in the workspace's root, in its environment. All that it starts ends with it.
    pub(crate) fn prepare(&self, command: &Command) -> Command {
        let command = command
            .clone()
            .environment(&self.environment)
            .cwd(&self.context.workspace.root)
            .whole_tree();
        match self.settings.jobs > 1
            && self.settings.hopper
            && self.context.ambient.get(GPU_SHARE).is_none()
        {
            true => command.env(
                GPU_SHARE,
                (GPU_SHARES / self.settings.jobs).max(1).to_string(),
            ),
            false => command,
        }
    }

    /// Why a test failed that ran for too long.
    pub(crate) fn timed_out(&self) -> String {
        let seconds = self.settings.timeout.as_secs_f64();
        format!(
            "timed out after {seconds} s and was ended with all that it had started (--timeout)"
        )
    }
}
