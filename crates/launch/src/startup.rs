//! How far a start is, how long its phases took, and how long they took the last time.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::history::PhaseTime;
use crate::phase::Phase;

/// A start that is under way or over.
#[derive(Debug)]
pub struct Startup {
    began: Instant,
    /// Each phase and when it began, in order.
    phases: Vec<(Phase, Instant)>,
    ready: Option<Instant>,
    before: Vec<PhaseTime>,
    /// The folder that a download fills.
    arrivals: Option<PathBuf>,
}

impl Startup {
    /// It begins now; `before` is what [`crate::StartupHistory`] knows.
    /// A download fills the folder `arrivals`.
    pub fn begin(before: Vec<PhaseTime>, arrivals: Option<PathBuf>) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            phases: vec![(Phase::Start, now)],
            ready: None,
            before,
            arrivals,
        }
    }

    /// Takes note of a line of MAX's log; the phase that begins with it. A start never goes back.
    pub fn line(&mut self, line: &str) -> Option<Phase> {
        let phase = Phase::begun_by(line)?;
        if self.ready.is_some() || phase <= self.phase() {
            return None;
        }
        self.phases.push((phase, Instant::now()));
        Some(phase)
    }

    /// The server answers.
    pub fn ready(&mut self) {
        self.ready.get_or_insert_with(Instant::now);
    }

    /// Whether it does.
    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        self.phases.last().map_or(Phase::Start, |(phase, _)| *phase)
    }

    /// How long this phase has taken so far.
    pub fn in_phase(&self) -> Duration {
        self.phases
            .last()
            .map_or(Duration::ZERO, |(_, began)| began.elapsed())
    }

    /// How long the start took, or has taken.
    pub fn elapsed(&self) -> Duration {
        self.ready.unwrap_or_else(Instant::now) - self.began
    }

    /// What is left if it goes as the last time; `None` where that is not known or over.
    pub fn left(&self) -> Option<Duration> {
        let now = self.phase();
        let taken = self.in_phase().as_secs_f64();
        let here = self.before.iter().find(|time| time.phase == now)?;
        if taken > here.seconds {
            return None;
        }
        let later = self.before.iter().filter(|time| time.phase > now);
        let later: f64 = later.map(|time| time.seconds).sum();
        Duration::try_from_secs_f64(here.seconds - taken + later).ok()
    }

    /// Bytes that a download has brought so far; `None` where nothing is downloaded.
    pub fn fetched(&self) -> Option<u64> {
        let folder = self.arrivals.as_ref()?;
        if self.ready.is_some() || self.phase() > Phase::Download {
            return None;
        }
        let files = fs::read_dir(folder).ok()?.flatten();
        Some(
            files
                .filter_map(|file| Some(file.metadata().ok()?.len()))
                .sum(),
        )
    }

    /// The phases that are over.
    pub fn times(&self) -> Vec<PhaseTime> {
        let ends = self.phases.iter().skip(1).map(|(_, began)| *began);
        let ends = ends.chain(self.ready);
        self.phases
            .iter()
            .zip(ends)
            .map(|((phase, began), end)| PhaseTime {
                phase: *phase,
                seconds: (end - *began).as_secs_f64(),
            })
            .collect()
    }

    /// `load 3.1 s`, `compile 1.5 s from the cache`: what took a tenth of a second at least.
    pub fn summary(&self, compiled: bool) -> Vec<String> {
        self.times()
            .iter()
            .filter(|time| time.seconds >= 0.1)
            .map(|time| {
                let whence = match (time.phase, compiled) {
                    (Phase::Compile, false) => " from the cache",
                    _ => "",
                };
                format!("{} {:.1} s{whence}", time.phase, time.seconds)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_goes_forward_only() {
        let mut start = Startup::begin(Vec::new(), None);
        assert_eq!(
            start.line("1:2 INFO: Initializing model pipeline..."),
            Some(Phase::Load)
        );
        assert_eq!(start.line("1:2 INFO: Starting worker: x"), None);
        assert_eq!(start.line("1:2 INFO: Initializing model pipeline..."), None);
        start.ready();
        assert_eq!(start.line("1:2 INFO: Model worker ready"), None);
        let phases: Vec<_> = start.times().iter().map(|time| time.phase).collect();
        assert_eq!(phases, [Phase::Start, Phase::Load]);
        let sum: f64 = start.times().iter().map(|time| time.seconds).sum();
        assert!((sum - start.elapsed().as_secs_f64()).abs() < 1e-6);
    }

    #[test]
    fn what_is_left_comes_from_the_last_start() {
        let time = |phase, seconds| PhaseTime { phase, seconds };
        let mut start = Startup::begin(
            vec![time(Phase::Start, 1e6), time(Phase::Compile, 1e3)],
            None,
        );
        let left = start.left().unwrap().as_secs();
        assert!((1_000_900..=1_001_000).contains(&left), "{left}");
        // A phase that the last start did not have says nothing about the rest.
        start.line("1:2 INFO: Starting worker: x");
        assert_eq!(start.left(), None);
        // Nor does one that takes longer than it did.
        let late = Startup::begin(vec![time(Phase::Start, 0.0)], None);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(late.left(), None);
    }

    #[test]
    fn a_download_is_measured_by_what_has_arrived() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.incomplete"), [0; 1000]).unwrap();
        fs::write(folder.path().join("b"), [0; 24]).unwrap();
        let mut start = Startup::begin(Vec::new(), Some(folder.path().into()));
        assert_eq!(start.fetched(), Some(1024));
        start.line("1:2 INFO: Downloading weight files for: x");
        assert_eq!(start.fetched(), Some(1024));
        start.line("1:2 INFO: Starting worker: x");
        assert_eq!(start.fetched(), None);
        assert_eq!(Startup::begin(Vec::new(), None).fetched(), None);
    }
}
