use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::signal::{Signal, raise};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::event::Event;
use crate::group::Group;

/// The children that run now, by a number of their own.
static RUNNING: Mutex<BTreeMap<u64, (Group, Sender<Event>)>> = Mutex::new(BTreeMap::new());

/// The last signal that was passed on; 0 before the first.
static PASSED_ON: AtomicI32 = AtomicI32::new(0);

/// How many [`CaughtSignals`] there are. It changes with [`RUNNING`] locked.
static CAUGHT: AtomicUsize = AtomicUsize::new(0);

/// The signal that reached this process while a child ran, or signals were caught, and was meant to end it: for those who
/// would start the next child. The one that ran may have ended just before the signal reached it, and then its outcome
/// tells nothing.
pub fn interrupted() -> Option<i32> {
    Some(PASSED_ON.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
}

/// What is done at SIGHUP instead.
static AT_HANGUP: OnceLock<Hangup> = OnceLock::new();

struct Hangup {
    act: Box<dyn Fn() + Send + Sync>,
    had_terminal: bool,
}

/// Has SIGHUP do this from now on, as servers read their files again at it. It still ends this process where it says that
/// the terminal is gone. Only the first call counts.
pub fn on_hangup(act: impl Fn() + Send + Sync + 'static) {
    let _ = AT_HANGUP.set(Hangup {
        act: Box::new(act),
        had_terminal: has_terminal(),
    });
}

/// Whether this process's session has a terminal, which hangs up by a SIGHUP.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Does what is done at SIGHUP, if the signal means that.
fn acts_at(signal: i32) -> bool {
    match AT_HANGUP.get() {
        Some(hangup) if signal == SIGHUP && hangup.had_terminal == has_terminal() => {
            (hangup.act)();
            true
        }
        _ => false,
    }
}

/// While it lives, a signal does not end this process, which finds it by [`interrupted`] and ends by itself: for work that
/// no child does. A second signal ends it.
#[derive(Debug)]
pub struct CaughtSignals(());

impl CaughtSignals {
    /// Signals are caught from now on.
    pub fn start() -> io::Result<Self> {
        listen()?;
        let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        CAUGHT.fetch_add(1, Ordering::SeqCst);
        Ok(Self(()))
    }
}

impl Drop for CaughtSignals {
    fn drop(&mut self) {
        let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        CAUGHT.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is told of Ctrl-C, where it is not to end anything.
static INTERRUPTS: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);

/// While it lives, SIGINT ends neither this process nor a child: it is told to one who asked, and to nobody else. For
/// work that is ended by Ctrl-C within a program that goes on.
#[derive(Debug)]
pub struct Interrupts(());

impl Interrupts {
    /// `told` is called for each SIGINT from now on, on the thread that receives signals. There is one at a time.
    pub fn start(told: impl Fn() + Send + 'static) -> io::Result<Self> {
        listen()?;
        *INTERRUPTS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(told));
        Ok(Self(()))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        *INTERRUPTS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A running child that signals are passed on to, until it is dropped.
pub(crate) struct Registration(u64);

/// Starts `command` and passes signals on to its group as [`Event`]s.
///
/// The map stays locked while it starts, so that a signal that comes meanwhile
/// waits for it, instead of ending this process as if it had no child.
pub(crate) fn spawn(
    command: &mut Command,
    events: Sender<Event>,
) -> io::Result<(Child, Registration)> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    let id = running.last_key_value().map_or(0, |(id, _)| id + 1);
    running.insert(id, (Group::of_leader(child.id()), events));
    Ok((child, Registration(id)))
}

/// The groups of the children that run now.
pub(crate) fn groups() -> BTreeSet<i32> {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.values().map(|(group, _)| group.number()).collect()
}

impl Drop for Registration {
    fn drop(&mut self) {
        RUNNING
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.0);
    }
}

/// Starts the thread that receives this process's signals; once is enough.
///
/// The handlers stay for good. With no child running the thread does what would
/// have happened without it, so between two children Ctrl-C ends `mxfp4`.
pub(crate) fn listen() -> io::Result<()> {
    static STARTED: OnceLock<Result<(), i32>> = OnceLock::new();
    let started = STARTED.get_or_init(|| start().map_err(|e| e.raw_os_error().unwrap_or(0)));
    started.map_err(io::Error::from_raw_os_error)
}

fn start() -> io::Result<()> {
    // What is ignored stays so: `nohup mxfp4 serve` must outlive its terminal.
    let ignored = ignored();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP]
        .into_iter()
        .filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                pass_on(signal);
            }
        })?;
    Ok(())
}

fn pass_on(signal: i32) {
    if acts_at(signal) {
        return;
    }
    if signal == SIGINT
        && let Some(told) = &*INTERRUPTS.lock().unwrap_or_else(PoisonError::into_inner)
    {
        return told();
    }
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if signal == SIGTSTP {
        for (group, _) in running.values() {
            group.signal(Signal::SIGTSTP);
        }
        // Returns when the shell continues this process.
        let _ = raise(Signal::SIGSTOP);
        for (group, _) in running.values() {
            group.signal(Signal::SIGCONT);
        }
    } else if running.is_empty() && (CAUGHT.load(Ordering::SeqCst) == 0 || interrupted().is_some())
    {
        let _ = emulate_default_handler(signal);
    } else {
        PASSED_ON.store(signal, Ordering::SeqCst);
        for (_, events) in running.values() {
            let _ = events.send(Event::Signal(signal));
        }
    }
}

/// The mask of the signals that this process was started to ignore.
fn ignored() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .unwrap_or(0)
}
