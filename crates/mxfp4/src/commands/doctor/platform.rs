//! The operating system, the processor and the C library.

use mxfp4_env::Platform;

use super::facts::Facts;
use super::finding::Finding;

/// Whether MAX and Mojo are made for this machine.
pub fn platform(_: &Facts) -> anyhow::Result<Finding> {
    Ok(judge(&Platform::current()))
}

fn judge(platform: &Platform) -> Finding {
    if let Err(error) = platform.check() {
        return Finding::failing(error.to_string(), error.hint());
    }
    match platform.warning() {
        Some(warning) => Finding::warning(warning.to_string(), warning.hint()),
        None => Finding::ok(platform.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use mxfp4_env::platform::Libc;

    use super::*;
    use crate::commands::doctor::finding::State;

    #[test]
    fn every_platform_has_its_state() {
        let mut platform = Platform {
            os: "linux",
            arch: "x86_64",
            libc: Libc::Glibc(2, 36),
            static_build: false,
        };
        assert_eq!(
            judge(&platform),
            Finding::ok("Linux on x86-64 with glibc 2.36")
        );
        platform.libc = Libc::Glibc(2, 31);
        let old = judge(&platform);
        assert_eq!(old.state, State::Failing);
        assert!(old.found.contains("glibc 2.31"), "{old:?}");
        assert!(old.fix.unwrap().contains("use a machine"));
        platform.libc = Libc::Unknown;
        assert_eq!(judge(&platform).state, State::Warning);
        platform.static_build = true;
        let musl = judge(&platform);
        assert_eq!(musl.state, State::Warning);
        assert!(musl.fix.unwrap().contains("x86_64-unknown-linux-gnu"));
    }
}
