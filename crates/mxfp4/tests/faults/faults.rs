//! Killing a command at random moments and looking at what is left.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::moments::Moments;
use crate::support::{Ran, run};

/// What is made by a command that is killed. An even round begins with nothing there, an odd one where there is
/// something to be made anew; what differs between the two is the subject's.
pub trait Subject {
    /// Puts everything as it is to be when `command` starts.
    fn prepare(&mut self, round: usize);

    /// The command that is killed, and that then makes what was not made.
    fn command(&self) -> Command;

    /// Looks at what a kill left: nothing half may be taken for whole.
    fn after_kill(&mut self, round: usize) -> Result<(), String>;

    /// Looks at what the command made, having printed this.
    fn whole(&mut self, round: usize, ran: &Ran) -> Result<(), String>;
}

/// How often where nobody says it: what takes a minute or two.
const FEW: usize = 10;

/// The variable that says it.
const TOTAL: &str = "MXFP4_FAULTS";

/// A little later than it takes: the last steps are those that count.
const LAST: f64 = 1.1;

/// How often commands are killed, and when.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    total: usize,
    subjects: usize,
    seed: u64,
}

impl Faults {
    /// As the environment says; a few where it says nothing.
    pub fn from_environment(subjects: usize) -> Self {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = u64::from(clock.unwrap_or(Duration::ZERO).subsec_nanos());
        Self {
            total: number(TOTAL).map_or(FEW, |total| total as usize),
            subjects,
            seed: number("MXFP4_FAULTS_SEED").unwrap_or(clock),
        }
    }

    /// Kills the command of the subject with this number as often as its share says. Fails when anything was corrupt.
    pub fn inject(self, index: usize, name: &str, subject: &mut dyn Subject) -> Result<(), String> {
        let times = (self.total + self.subjects - 1 - index) / self.subjects;
        let mut moments = Moments::new(self.seed.wrapping_add(index as u64));
        // How long each kind of round takes here, now.
        let mut takes = [Duration::ZERO; 2];
        for (round, takes) in takes.iter_mut().enumerate() {
            subject.prepare(round);
            let start = Instant::now();
            let ran = run(&mut subject.command());
            *takes = start.elapsed();
            succeeded(&ran).and_then(|()| subject.whole(round, &ran))?;
        }
        let (mut killed, mut corrupt, mut missed) = (0, Vec::new(), 0);
        for round in 0.. {
            if killed == times {
                break;
            }
            if missed > 10 * (times + 1) {
                return Err(format!("{name}: it always ends before it is killed"));
            }
            subject.prepare(round);
            let moment = LAST * moments.draw();
            let takes = &mut takes[round % 2];
            let time = takes.mul_f64(moment);
            if kill_after(&mut subject.command(), time) {
                killed += 1;
            } else {
                missed += 1;
                // The machine may have been busier when it was measured.
                *takes = (*takes + time.min(*takes)) / 2;
            }
            let looked = subject.after_kill(round).and_then(|()| {
                let ran = run(&mut subject.command());
                succeeded(&ran)?;
                subject.whole(round, &ran)
            });
            if let Err(wrong) = looked {
                corrupt.push(format!("killed in round {round} at {moment:.3}: {wrong}"));
            }
        }
        let summary = format!(
            "{name}: killed {killed} times within {:.2} s, or {:.2} s where there was something; corrupt outcomes: {} \
             (MXFP4_FAULTS={} MXFP4_FAULTS_SEED={})",
            takes[0].as_secs_f64(),
            takes[1].as_secs_f64(),
            corrupt.len(),
            self.total,
            self.seed,
        );
        println!("{summary}");
        match corrupt.is_empty() {
            true => Ok(()),
            false => Err(format!("{summary}\n{}", corrupt.join("\n"))),
        }
    }
}

/// Whether nobody says how often: what is killed is to be small then.
pub fn are_few() -> bool {
    number(TOTAL).is_none()
}

/// What the environment says.
fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Starts `command` and kills it after this time; false where it had ended by then.
fn kill_after(command: &mut Command, time: Duration) -> bool {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    std::thread::sleep(time);
    child.kill().expect("it is a child");
    let status = child.wait().expect("it is a child");
    status.signal() == Some(9)
}

fn succeeded(ran: &Ran) -> Result<(), String> {
    match ran.code {
        Some(0) => Ok(()),
        _ => Err(format!("the command fails: {ran:?}")),
    }
}
