//! Properties that hold for random values.

use std::fmt::Debug;
use std::time::Instant;

use proptest::strategy::Strategy;
use proptest::test_runner::{
    Config, FileFailurePersistence, TestCaseError, TestCaseResult, TestError, TestRunner,
};

/// With this variable set, properties are tried as often as their [`Count`] says in full.
const FULL: &str = "MXFP4_HARMONY_FULL";

/// Where failures are kept, to be tried first ever after.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/regressions.txt");

/// How many values are tried.
pub struct Count {
    pub sample: u32,
    pub full: u32,
}

pub fn is_full() -> bool {
    std::env::var_os(FULL).is_some()
}

/// Tries a property and, in full, prints how often and how long.
pub fn holds<S: Strategy<Value: Debug>>(
    what: &str,
    count: Count,
    values: &S,
    property: impl Fn(S::Value) -> Result<(), String>,
) -> Result<(), String> {
    let start = Instant::now();
    let cases = if is_full() { count.full } else { count.sample };
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..Config::default()
    });
    let property = |value| -> TestCaseResult { property(value).map_err(TestCaseError::fail) };
    runner.run(values, property).map_err(|error| match error {
        TestError::Fail(reason, value) => format!("{reason}\n\nof {value:#?}"),
        TestError::Abort(reason) => format!("given up: {reason}"),
    })?;
    if is_full() {
        println!("{cases} {what}: {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Fails where two values differ.
pub fn same<T: PartialEq + Debug>(got: T, right: T) -> Result<(), String> {
    if got == right {
        Ok(())
    } else {
        Err(format!("{got:?}\nis not\n{right:?}"))
    }
}
