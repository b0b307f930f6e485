//! What is to be done, by several threads at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs that wait for a thread that has time.
pub struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    waiting: VecDeque<J>,
    running: usize,
    closed: bool,
}

impl<J: Send> Queue<J> {
    /// A queue of these jobs, the first of which begins first.
    pub fn new(jobs: impl IntoIterator<Item = J>) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: jobs.into_iter().collect(),
                running: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Adds jobs that begin before those that wait.
    pub fn add_first(&self, jobs: Vec<J>) {
        let mut state = self.state();
        for job in jobs.into_iter().rev() {
            state.waiting.push_front(job);
        }
        self.changed.notify_all();
    }

    /// Adds jobs that begin after those that wait.
    pub fn add_last(&self, jobs: Vec<J>) {
        self.state().waiting.extend(jobs);
        self.changed.notify_all();
    }

    /// Has no further job begin.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Does all jobs, and those that they add meanwhile, so many at once.
    pub fn run(&self, threads: usize, work: impl Fn(J) + Sync) {
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                // A child lives no longer than the thread that started it: that thread waits for it.
                scope.spawn(|| {
                    while let Some(job) = self.take() {
                        let _turn = Turn(self);
                        work(job);
                    }
                });
            }
        });
    }

    /// The next job, waiting for one as long as one may come.
    fn take(&self) -> Option<J> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                state.running += 1;
                return Some(job);
            }
            // What runs may add some.
            if state.running == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that runs, until it is dropped: nobody waits for one that panicked.
struct Turn<'a, J: Send>(&'a Queue<J>);

impl<J: Send> Drop for Turn<'_, J> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// The order in which one thread does the jobs; `work` may add some.
    fn order(queue: &Queue<&'static str>, work: impl Fn(&str) + Sync) -> Vec<&'static str> {
        let done = Mutex::new(Vec::new());
        queue.run(1, |job| {
            work(job);
            done.lock().unwrap().push(job);
        });
        done.into_inner().unwrap()
    }

    #[test]
    fn one_thread_keeps_the_order() {
        let queue = Queue::new(["a", "b", "c"]);
        assert_eq!(order(&queue, |_| {}), ["a", "b", "c"]);
    }

    #[test]
    fn what_a_job_adds_is_done_too() {
        let queue = Queue::new(["a", "b"]);
        let done = order(&queue, |job| {
            if job == "a" {
                queue.add_last(vec!["last"]);
                queue.add_first(vec!["first", "second"]);
            }
        });
        assert_eq!(done, ["a", "first", "second", "b", "last"]);
    }

    #[test]
    fn nothing_begins_after_the_end() {
        let queue = Queue::new(["a", "b", "c"]);
        let done = order(&queue, |job| {
            if job == "b" {
                queue.close();
            }
        });
        assert_eq!(done, ["a", "b"]);
    }

    #[test]
    fn jobs_run_side_by_side() {
        // Each of three waits for the other two.
        let barrier = Barrier::new(3);
        let done = Mutex::new(Vec::new());
        Queue::new([1, 2, 3]).run(3, |job| {
            barrier.wait();
            done.lock().unwrap().push(job);
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3]);
    }
}
