use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use mxfp4_env::Environment;
use mxfp4_env::render::posix_quote;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid, setsid};

use crate::before::Before;
use crate::supervise::{Supervisor, Terms};
use crate::tree::{self, Tree};
use crate::{Line, Outcome, Stopper, signals};

/// How long a child may take to end once it was asked to, where nobody says otherwise.
static GRACE: OnceLock<Duration> = OnceLock::new();

/// Sets how long every later [`Command`] may take to end once asked to, unless it has a time of its own. Only the first
/// call counts; without one it is 10 seconds.
pub fn set_grace(grace: Duration) {
    let _ = GRACE.set(grace);
}

/// Why a child could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot run `{}`{}", program.display(), in_folder(cwd.as_deref()))]
    Start {
        /// What was to be run.
        program: PathBuf,
        /// The folder it was to run in, when not the current one.
        cwd: Option<PathBuf>,
        /// What the operating system says.
        source: io::Error,
    },
    /// It could not be watched.
    #[error("lost track of the running `{}`", program.display())]
    Watch {
        /// What was run.
        program: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn in_folder(cwd: Option<&Path>) -> String {
    cwd.map_or_else(String::new, |cwd| format!(" in {}", cwd.display()))
}

/// Where a child's output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// To the streams of this process.
    #[default]
    Inherit,
    /// Both streams to this process's standard error, for commands whose
    /// standard output belongs to their own result.
    Stderr,
    /// Line by line to the callback of [`Command::run`].
    Lines,
}

/// Variables of this process that its children have no business with.
const OWN: [&str; 3] = ["MXFP4_API_KEY", "MXFP4_SEAL_KEY", "MXFP4_DETACHED"];

/// A child process to run.
#[derive(Clone, Debug)]
pub struct Command {
    program: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
    output: Output,
    timeout: Option<Duration>,
    grace: Duration,
    leader_first: bool,
    before_end: Option<Before>,
    whole_tree: bool,
    stopper: Option<Stopper>,
}

impl Command {
    /// Runs `program`, which is looked up in PATH when it is a bare name.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            variables: Vec::new(),
            cwd: None,
            output: Output::Inherit,
            timeout: None,
            grace: *GRACE.get_or_init(|| Duration::from_secs(10)),
            leader_first: false,
            before_end: None,
            whole_tree: false,
            stopper: None,
        }
    }

    /// Runs this program instead.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets and unsets the variables of `environment`.
    #[must_use]
    pub fn environment(mut self, environment: &Environment) -> Self {
        for variable in &environment.variables {
            self.set(variable.name.clone().into(), variable.value.clone());
        }
        self
    }

    /// Sets a variable; the last value given for a name counts.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.set(name.into(), Some(value.into()));
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.set(name.into(), None);
        self
    }

    fn set(&mut self, name: OsString, value: Option<OsString>) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value));
    }

    /// Runs it in this folder instead of the current one.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Says where its output goes; the default is [`Output::Inherit`].
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Ends it after this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long it may take to end once asked to, instead of [`set_grace`]'s time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Has the child alone asked to end, and what it started only once it has ended: for a server that finishes what
    /// its workers are at.
    #[must_use]
    pub fn leader_first(mut self) -> Self {
        self.leader_first = true;
        self
    }

    /// Calls `prepare`, on a thread of its own, before the child is asked to end, by a signal or by a [`Stopper`]; the
    /// child is asked once that returns. The time it may take to end, [`Command::grace`], counts from the beginning.
    #[must_use]
    pub fn before_end(mut self, prepare: impl Fn() + Send + Sync + 'static) -> Self {
        self.before_end = Some(Before(Arc::new(prepare)));
        self
    }

    /// Has all that the child has started end once its group has, in sessions of its own too, whatever came of the
    /// child. Not for a child that is to leave a daemon behind.
    #[must_use]
    pub fn whole_tree(mut self) -> Self {
        self.whole_tree = true;
        self
    }

    /// Lets `stopper` end it.
    #[must_use]
    pub fn stopper(mut self, stopper: Stopper) -> Self {
        self.stopper = Some(stopper);
        self
    }

    /// The command as one line for a POSIX shell: the folder it runs in, the
    /// variables it sets and unsets, the program and its arguments. Bytes, for
    /// paths need not be UTF-8.
    pub fn dry_run(&self) -> Vec<u8> {
        let mut line = Vec::new();
        let word = |line: &mut Vec<u8>, word: &OsStr| line.extend(posix_quote(word));
        let unset: Vec<_> = self.variables.iter().filter(|(_, v)| v.is_none()).collect();
        // A subshell: neither the folder nor what is unset may stay behind in
        // the shell that evaluates the line.
        let subshell = self.cwd.is_some() || !unset.is_empty();
        if subshell {
            line.push(b'(');
        }
        if let Some(cwd) = &self.cwd {
            line.extend_from_slice(b"cd -- ");
            word(&mut line, cwd.as_os_str());
            line.extend_from_slice(b" && ");
        }
        if !unset.is_empty() {
            line.extend_from_slice(b"unset");
            for (name, _) in unset {
                line.push(b' ');
                word(&mut line, name);
            }
            line.extend_from_slice(b" && ");
        }
        for (name, value) in &self.variables {
            if let Some(value) = value {
                word(&mut line, name);
                line.push(b'=');
                word(&mut line, value);
                line.push(b' ');
            }
        }
        word(&mut line, self.program.as_os_str());
        for arg in &self.args {
            line.push(b' ');
            word(&mut line, arg);
        }
        if subshell {
            line.push(b')');
        }
        line
    }

    /// Runs it to its end and that of its process group. `on_line` is called
    /// for every line of output when that is [`Output::Lines`].
    pub fn run(&self, on_line: &mut dyn FnMut(Line)) -> Result<Outcome, Error> {
        let start_error = |source| Error::Start {
            program: self.program.clone(),
            cwd: self.cwd.clone(),
            source,
        };
        signals::listen().map_err(start_error)?;
        // Orphans of the child's group become children of this process, which
        // reaps them. Where it is refused, init does.
        let _ = prctl::set_child_subreaper(true);
        tracing::debug!("{}", String::from_utf8_lossy(&self.dry_run()));
        let (sender, events) = mpsc::channel();
        let tree = self.whole_tree.then(Tree::new);
        let mut command = self.std_command();
        if let Some(tree) = &tree {
            command.env(tree::VARIABLE, tree.value());
        }
        let (mut child, registration) =
            signals::spawn(&mut command, sender.clone()).map_err(start_error)?;
        let outcome = Supervisor::new(
            &mut child,
            Terms {
                grace: self.grace,
                leader_first: self.leader_first,
                before: self.before_end.clone(),
                tree,
            },
            self.stopper.as_ref(),
            on_line,
            (sender, events),
            registration,
        )
        .run(&mut child, self.timeout)
        .map_err(|source| Error::Watch {
            program: self.program.clone(),
            source,
        })?;
        tracing::trace!("{}: {outcome}", self.program.display());
        Ok(outcome)
    }

    /// Runs it with every line of its output dropped or inherited.
    pub fn status(&self) -> Result<Outcome, Error> {
        self.run(&mut |_| {})
    }

    /// Becomes it: this process goes on as the program, with its own streams,
    /// terminal, process group and exit code, and nothing in between. Returns only
    /// when that fails. Timeouts, stoppers and [`Output`] play no part.
    pub fn exec(&self) -> Error {
        Error::Start {
            program: self.program.clone(),
            cwd: self.cwd.clone(),
            source: self.plain_command().exec(),
        }
    }

    /// Starts it in a session of its own, where it outlives this process and its terminal; both its streams go to
    /// `output`. The child is the caller's to watch or to forget.
    #[allow(unsafe_code)]
    pub fn detach(&self, output: &File) -> Result<Child, Error> {
        let start_error = |source| Error::Start {
            program: self.program.clone(),
            cwd: self.cwd.clone(),
            source,
        };
        let (stdout, stderr) = output
            .try_clone()
            .and_then(|stdout| Ok((stdout, output.try_clone()?)))
            .map_err(start_error)?;
        let mut command = self.plain_command();
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // SAFETY: between fork and exec only async-signal-safe functions may be called; `setsid` is a system call.
        unsafe { command.pre_exec(|| setsid().map(drop).map_err(Into::into)) };
        tree::spawn_helper(&mut command).map_err(start_error)
    }

    fn plain_command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args);
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    fn std_command(&self) -> std::process::Command {
        let mut command = self.plain_command();
        for name in OWN {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).process_group(0);
        match self.output {
            Output::Inherit => {}
            Output::Stderr => {
                command.stdout(io::stderr());
            }
            Output::Lines => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        end_with_parent(&mut command);
        command
    }
}

/// Has the kernel send the child a SIGTERM when this process is gone, killed
/// with SIGKILL for instance.
#[allow(unsafe_code)]
fn end_with_parent(command: &mut std::process::Command) {
    let parent = getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe functions may be
    // called; `prctl` and `getppid` are system calls, and nothing allocates.
    unsafe { command.pre_exec(prepare) };
}
