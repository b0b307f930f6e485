use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use signal_hook::consts::{SIGINT, SIGQUIT};

use crate::before::Before;
use crate::event::Event;
use crate::forward::forward;
use crate::group::Group;
use crate::guard::Guard;
use crate::signals::Registration;
use crate::tree::Tree;
use crate::{Line, Outcome, Stopper, Stream};

/// How a child is ended.
pub(crate) struct Terms {
    /// How long it may take once it was asked to end.
    pub(crate) grace: Duration,
    /// Whether the leader alone is asked to end.
    pub(crate) leader_first: bool,
    /// What is done before it is asked.
    pub(crate) before: Option<Before>,
    /// All that the child starts, where it is to end too.
    pub(crate) tree: Option<Tree>,
}

/// How often a group that lost its leader is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long an uninterruptible process may take to die of SIGKILL before it is
/// left to the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// How long output is waited for once the group is empty: a daemon that left the
/// group may hold the pipe for ever.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);

/// Watches one child from its start to the end of its group.
pub(crate) struct Supervisor<'a> {
    group: Group,
    terms: Terms,
    on_line: &'a mut dyn FnMut(Line),
    sender: Sender<Event>,
    events: Receiver<Event>,
    open_streams: usize,
    /// Whether the group has ended, and its number may be another's.
    cleared: bool,
    /// Whether the user has asked twice.
    impatient: bool,
    /// When to kill, once the group was asked to end.
    kill_at: Option<Instant>,
    killed: bool,
    leader_ended: bool,
    interrupted: Option<i32>,
    timed_out: bool,
    stopped: bool,
    _guard: Guard,
    _registration: Registration,
}

impl<'a> Supervisor<'a> {
    pub(crate) fn new(
        child: &mut Child,
        terms: Terms,
        stopper: Option<&Stopper>,
        on_line: &'a mut dyn FnMut(Line),
        (sender, events): (Sender<Event>, Receiver<Event>),
        registration: Registration,
    ) -> Self {
        let group = Group::of_leader(child.id());
        let mut open_streams = 0;
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            std::thread::spawn(move || forward(Stream::Stdout, stdout, &sender));
            open_streams += 1;
        }
        if let Some(stderr) = child.stderr.take() {
            let sender = sender.clone();
            std::thread::spawn(move || forward(Stream::Stderr, stderr, &sender));
            open_streams += 1;
        }
        if let Some(stopper) = stopper {
            stopper.connect(sender.clone());
        }
        let ended = sender.clone();
        std::thread::spawn(move || {
            group.await_leader();
            let _ = ended.send(Event::LeaderEnded);
        });
        let guard = Guard::of(group, terms.grace, terms.tree.as_ref());
        Self {
            group,
            terms,
            on_line,
            sender,
            events,
            open_streams,
            cleared: false,
            impatient: false,
            kill_at: None,
            killed: false,
            leader_ended: false,
            interrupted: None,
            timed_out: false,
            stopped: false,
            _guard: guard,
            _registration: registration,
        }
    }

    pub(crate) fn run(
        mut self,
        child: &mut Child,
        timeout: Option<Duration>,
    ) -> std::io::Result<Outcome> {
        let mut expires = timeout.map(|timeout| Instant::now() + timeout);
        while !self.next_event(expires) {
            if expires.is_some_and(|at| at <= Instant::now()) {
                expires = None;
                self.timed_out = self.kill_at.is_none();
                self.ask_to_end(Signal::SIGTERM);
            }
        }
        self.leader_ended = true;
        let status = child.wait()?;
        self.clear_group();
        self.cleared = true;
        self.clear_tree();
        self.drain();
        Ok(self.outcome(status))
    }

    /// Handles the next event, waiting for it until `until` at most; true when
    /// it was the leader's end.
    fn next_event(&mut self, until: Option<Instant>) -> bool {
        let kill_at = self.kill_at.filter(|_| !self.killed);
        let deadline = kill_at.into_iter().chain(until).min();
        let event = match deadline {
            None => self
                .events
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self
                .events
                .recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::LeaderEnded) => return true,
            Ok(Event::Line(line)) => (self.on_line)(line),
            Ok(Event::EndOfStream) => self.open_streams -= 1,
            Ok(Event::Signal(number)) => {
                self.interrupted.get_or_insert(number);
                // Only the keyboard's signals are impatient when repeated:
                // timeout(1) sends its SIGTERM twice and means one.
                let impatient = matches!(number, SIGINT | SIGQUIT);
                if self.kill_at.is_some() && impatient {
                    self.impatient = true;
                    self.kill();
                } else {
                    self.ask_to_end(Signal::try_from(number).unwrap_or(Signal::SIGTERM));
                }
            }
            Ok(Event::Stop) => {
                self.stopped = true;
                self.ask_to_end(Signal::SIGTERM);
            }
            Ok(Event::Prepared(signal)) => {
                // The number of a leader that was waited for may be another process's.
                if !self.leader_ended {
                    self.ask(signal);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                    self.kill();
                }
            }
            // Cannot be: the registration holds a sender.
            Err(RecvTimeoutError::Disconnected) => return true,
        }
        false
    }

    fn ask_to_end(&mut self, signal: Signal) {
        if self.kill_at.is_some() {
            return;
        }
        self.kill_at = Some(Instant::now() + self.terms.grace);
        let Some(Before(prepare)) = self.terms.before.take() else {
            return self.ask(signal);
        };
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            prepare();
            let _ = sender.send(Event::Prepared(signal));
        });
    }

    fn ask(&self, signal: Signal) {
        if self.cleared {
            // There is nobody left to ask.
        } else if self.terms.leader_first {
            self.group.signal_leader(signal);
        } else {
            self.group.signal(signal);
        }
    }

    fn kill(&mut self) {
        if !self.cleared {
            self.group.signal(Signal::SIGKILL);
        }
        self.killed = true;
    }

    /// Ends what the leader left behind in its group.
    fn clear_group(&mut self) {
        let mut give_up = None;
        let mut asked = false;
        while !self.group.is_empty() {
            if !asked {
                // Even if another signal went before: a shell's background jobs
                // ignore SIGINT.
                self.group.signal(Signal::SIGTERM);
                self.kill_at
                    .get_or_insert_with(|| Instant::now() + self.terms.grace);
                asked = true;
            }
            if self.killed {
                let give_up = give_up.get_or_insert_with(|| Instant::now() + KILL_PATIENCE);
                if *give_up <= Instant::now() {
                    return;
                }
                // Again: one that was forking just then may have been missed.
                self.group.signal(Signal::SIGKILL);
            }
            self.next_event(Some(Instant::now() + POLL));
        }
    }

    /// Ends what the child has started beyond its group, where that is wanted.
    fn clear_tree(&mut self) {
        let Some(mut tree) = self.terms.tree.take() else {
            return;
        };
        let kill_at = Instant::now() + self.terms.grace;
        let give_up = kill_at + KILL_PATIENCE;
        loop {
            let now = Instant::now();
            let left = tree.end(self.impatient || kill_at <= now);
            if left.is_empty() {
                return;
            }
            if give_up <= now {
                tracing::warn!("processes that were started by a child live on: {left:?}");
                return;
            }
            self.next_event(Some(now + POLL));
        }
    }

    /// Hands on the output that is still in the pipes.
    fn drain(&mut self) {
        let until = Instant::now() + DRAIN_PATIENCE;
        self.killed = true;
        while self.open_streams > 0 && Instant::now() < until {
            self.next_event(Some(until));
        }
    }

    fn outcome(&self, status: ExitStatus) -> Outcome {
        Outcome {
            status,
            interrupted: self.interrupted,
            timed_out: self.timed_out,
            stopped: self.stopped,
        }
    }
}
