//! What a key has taken, and whether it may take more.
//!
//! No crate of limiters gives back what was reserved and not used, so the buckets are here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits::KeyLimits;

/// What a key has taken.
pub(crate) struct Meter {
    limits: KeyLimits,
    taken: Mutex<Taken>,
}

struct Taken {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// Requests that run.
    running: u32,
}

/// What fills evenly, from empty to full in a minute. Debts are possible: what a request
/// used beyond what it had reserved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    most: u32,
    level: f64,
    at: Instant,
}

/// Why a request may not run now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refused {
    /// After so long it may.
    Requests { most: u32, wait: Duration },
    /// After so long it may.
    Tokens { most: u32, wait: Duration },
    /// It wants more than the key gets in a minute.
    TooLarge { most: u32, wanted: u64 },
    /// As many run as may.
    Parallel { most: u32 },
}

/// A request that runs, until this is dropped.
pub(crate) struct Permit {
    meter: Arc<Meter>,
    /// Tokens.
    reserved: u64,
}

/// What a key has left of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Left {
    pub(super) most: u32,
    pub(super) remaining: u32,
    /// Until all of it is there again.
    pub(super) reset: Duration,
}

impl Meter {
    pub(super) fn new(limits: KeyLimits) -> Self {
        let now = Instant::now();
        let bucket =
            |most: Option<std::num::NonZeroU32>| most.map(|most| Bucket::full(most.get(), now));
        Self {
            taken: Mutex::new(Taken {
                requests: bucket(limits.requests),
                tokens: bucket(limits.tokens),
                running: 0,
            }),
            limits,
        }
    }

    pub(super) fn limits(&self) -> KeyLimits {
        self.limits
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Permit, Refused> {
        let mut taken = self.lock();
        if let Some(most) = self.limits.parallel
            && taken.running >= most.get()
        {
            return Err(Refused::Parallel { most: most.get() });
        }
        if let Some(bucket) = &mut taken.requests {
            let most = bucket.most;
            let take = bucket.take(1, Instant::now());
            take.map_err(|wait| Refused::Requests { most, wait })?;
        }
        taken.running += 1;
        Ok(Permit {
            meter: self.clone(),
            reserved: 0,
        })
    }

    /// What is left: of requests, of tokens.
    pub(super) fn left(&self) -> [Option<Left>; 2] {
        let now = Instant::now();
        let mut taken = self.lock();
        let Taken {
            requests, tokens, ..
        } = &mut *taken;
        [requests, tokens].map(|bucket| bucket.as_mut().map(|bucket| bucket.left(now)))
    }
}

impl Permit {
    /// Takes the tokens that a request may use, of the prompt and of answers.
    pub(crate) fn reserve(&mut self, tokens: u64) -> Result<(), Refused> {
        let mut taken = self.meter.lock();
        let Some(bucket) = &mut taken.tokens else {
            return Ok(());
        };
        let most = bucket.most;
        if tokens > most.into() {
            let wanted = tokens;
            return Err(Refused::TooLarge { most, wanted });
        }
        let take = bucket.take(tokens, Instant::now());
        take.map_err(|wait| Refused::Tokens { most, wait })?;
        self.reserved = tokens;
        Ok(())
    }

    /// Gives back what was reserved and not used, or takes what was used beyond.
    pub(crate) fn settle(self, used: u64) {
        if let Some(bucket) = &mut self.meter.lock().tokens {
            bucket.level -= used as f64;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.meter.lock();
        taken.running -= 1;
        if let Some(bucket) = &mut taken.tokens {
            bucket.level += self.reserved as f64;
        }
    }
}

impl Bucket {
    fn full(most: u32, now: Instant) -> Self {
        Self {
            most,
            level: most.into(),
            at: now,
        }
    }

    fn per_second(&self) -> f64 {
        f64::from(self.most) / 60.0
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second()).min(self.most.into());
        self.at = self.at.max(now);
    }

    /// Takes so many, or says how long it is until they are there.
    fn take(&mut self, count: u64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let missing = count as f64 - self.level;
        // What a sum of parts may lack of a whole.
        if missing > 1e-6 {
            return Err(Duration::from_secs_f64(missing / self.per_second()));
        }
        self.level -= count as f64;
        Ok(())
    }

    fn left(&mut self, now: Instant) -> Left {
        self.fill(now);
        let missing = f64::from(self.most) - self.level;
        Left {
            most: self.most,
            // As cast it is from 0 up.
            remaining: (self.level + 1e-6) as u32,
            reset: Duration::from_secs_f64(missing.max(0.0) / self.per_second()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn meter(requests: u32, tokens: u32, parallel: u32) -> Arc<Meter> {
        Arc::new(Meter::new(KeyLimits {
            requests: NonZeroU32::new(requests),
            tokens: NonZeroU32::new(tokens),
            parallel: NonZeroU32::new(parallel),
        }))
    }

    #[test]
    fn requests_at_once_end() {
        let meter = meter(0, 0, 2);
        let first = meter.begin().unwrap();
        let _second = meter.begin().unwrap();
        assert_eq!(meter.begin().err(), Some(Refused::Parallel { most: 2 }));
        drop(first);
        assert!(meter.begin().is_ok());
        assert_eq!(meter.left(), [None, None]);
    }

    #[test]
    fn tokens_are_reserved_and_settled() {
        let meter = meter(0, 1000, 0);
        let remaining = || meter.left()[1].unwrap().remaining;
        let mut permit = meter.begin().unwrap();
        assert_eq!(
            permit.reserve(1001),
            Err(Refused::TooLarge {
                most: 1000,
                wanted: 1001
            })
        );
        permit.reserve(900).unwrap();
        assert!((100..110).contains(&remaining()));
        let mut other = meter.begin().unwrap();
        assert!(matches!(
            other.reserve(500),
            Err(Refused::Tokens { most: 1000, .. })
        ));
        drop(other);
        permit.settle(200);
        assert!((800..820).contains(&remaining()));
        // Whoever reserved too little owes the rest.
        let mut permit = meter.begin().unwrap();
        permit.reserve(1).unwrap();
        permit.settle(2000);
        assert_eq!(remaining(), 0);
        let Err(Refused::Tokens { wait, .. }) = meter.begin().unwrap().reserve(1) else {
            panic!("a debt is no reason");
        };
        assert!(wait > Duration::from_secs(60), "{wait:?}");
    }

    proptest! {
        /// No stretch of time gives more than a full bucket and what fills in it.
        #[test]
        fn no_more_than_the_limit(
            most in 1_u32..1000,
            asks in prop::collection::vec((0_u64..20_000, 1_u64..50), 1..200),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::full(most, start);
            let mut now = start;
            let mut given = 0;
            for (pause, count) in asks {
                now += Duration::from_millis(pause);
                match bucket.take(count, now) {
                    Ok(()) => given += count,
                    Err(wait) => {
                        // It says the time from which on it would.
                        let mut later = bucket;
                        let whole = count <= most.into();
                        prop_assert!(!whole || later.take(count, now + wait + Duration::from_millis(1)).is_ok());
                    }
                }
                let filled = f64::from(most) * (1.0 + (now - start).as_secs_f64() / 60.0);
                prop_assert!(given as f64 <= filled + 0.01, "{given} of {filled}");
            }
        }
    }
}
