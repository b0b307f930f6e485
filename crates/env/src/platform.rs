//! What this machine is, and whether MAX and Mojo are made for it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The oldest glibc that the wheels of MAX and Mojo work with (`manylinux_2_34`).
pub const OLDEST_GLIBC: (u32, u32) = (2, 34);

/// More than any C library is long.
const LONGEST: u64 = 16 << 20;

/// How much of one is looked at at a time: memory for all of it would cost more than the rest of a build that has
/// nothing to do.
const WINDOW: usize = 64 << 10;

/// More than a banner is long, up to the end of its version.
const BANNER: usize = 512;

/// Where glibc is, should this program not use it itself. The place of the
/// loader is fixed: every program of the architecture names it.
const GLIBC: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/ld-linux-aarch64.so.1",
];

/// The operating system, the processor and the C library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The operating system, as Rust names it.
    pub os: &'static str,
    /// The architecture, as Rust names it.
    pub arch: &'static str,
    /// The C library that programs of this machine use.
    pub libc: Libc,
    /// Whether this program was built without glibc, and so cannot load the
    /// libraries of a machine that has it.
    pub static_build: bool,
}

/// A C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// glibc of this version.
    Glibc(u32, u32),
    /// musl, with no glibc beside it.
    Musl,
    /// None that is known.
    Unknown,
}

impl Platform {
    /// This machine. Told from files; no program is asked.
    pub fn current() -> Self {
        Self {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            libc: Libc::current(),
            static_build: cfg!(not(target_env = "gnu")),
        }
    }

    /// Refuses what MAX and Mojo are not made for.
    pub fn check(&self) -> Result<(), Unsupported> {
        let supported = self.os == "linux" && self.arch == "x86_64";
        let old = match self.libc {
            Libc::Glibc(major, minor) => (major, minor) < OLDEST_GLIBC,
            Libc::Musl => true,
            // What cannot be told is left to MAX to refuse.
            Libc::Unknown => false,
        };
        if supported && !old {
            return Ok(());
        }
        Err(Unsupported(self.clone()))
    }

    /// What does not work as it should, though nothing is refused.
    pub fn warning(&self) -> Option<PlatformWarning> {
        if self.static_build {
            return Some(PlatformWarning::Static);
        }
        (self.libc == Libc::Unknown).then_some(PlatformWarning::UnknownLibc)
    }
}

/// MAX and Mojo are not made for this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is {0}, and MAX and Mojo are made for Linux on x86-64 with glibc {major}.{minor} or newer",
    major = OLDEST_GLIBC.0, minor = OLDEST_GLIBC.1
)]
pub struct Unsupported(Platform);

impl Unsupported {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "use a machine or a container that has it"
    }
}

/// What does not work as it should on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformWarning {
    /// This program has no glibc in it.
    #[error(
        "this mxfp4 was built without glibc (for musl), so it cannot load the NVIDIA driver's library and sees no GPU"
    )]
    Static,
    /// It cannot be told whether the machine has one that will do.
    #[error(
        "the version of the C library cannot be told: it must be glibc {}.{} or newer",
        OLDEST_GLIBC.0, OLDEST_GLIBC.1
    )]
    UnknownLibc,
}

impl PlatformWarning {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Static => "build it for x86_64-unknown-linux-gnu",
            Self::UnknownLibc => "see to it with `ldd --version`",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let os = match self.os {
            "linux" => "Linux",
            "macos" => "macOS",
            other => other,
        };
        let arch = match self.arch {
            "x86_64" => "x86-64",
            other => other,
        };
        write!(f, "{os} on {arch}")?;
        match self.libc {
            Libc::Glibc(major, minor) => write!(f, " with glibc {major}.{minor}"),
            Libc::Musl => f.write_str(" with musl instead of glibc"),
            Libc::Unknown => Ok(()),
        }
    }
}

impl Libc {
    fn current() -> Self {
        let known = GLIBC.iter().map(PathBuf::from);
        let version = loaded().into_iter().chain(known).find_map(version_in);
        match version {
            Some((major, minor)) => Self::Glibc(major, minor),
            None if has_musl() => Self::Musl,
            None => Self::Unknown,
        }
    }
}

/// The glibc in this process, wherever a distribution keeps it.
fn loaded() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libc.so.6"))?;
    Some(line[line.find('/')?..].into())
}

fn has_musl() -> bool {
    let entries = fs::read_dir("/lib").into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("ld-musl-"))
}

fn version_in(file: impl AsRef<Path>) -> Option<(u32, u32)> {
    version_read(&mut File::open(file).ok()?).ok()?
}

/// From the end, for what a library says lies behind its code.
fn version_read(content: &mut (impl Read + Seek)) -> io::Result<Option<(u32, u32)>> {
    let mut start = content.seek(SeekFrom::End(0))?.min(LONGEST);
    let mut window = Vec::with_capacity(WINDOW + 2 * BANNER);
    while start > 0 {
        start = start.saturating_sub(WINDOW as u64);
        // With enough around it that each banner is whole in one of them.
        content.seek(SeekFrom::Start(start.saturating_sub(BANNER as u64)))?;
        window.clear();
        let mut part = content.by_ref().take((WINDOW + 2 * BANNER) as u64);
        part.read_to_end(&mut window)?;
        if let Some(version) = banner_version(&window) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// The version in what glibc and its loader print when they are run as programs:
/// `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`
fn banner_version(content: &[u8]) -> Option<(u32, u32)> {
    const SIGN: &[u8] = b" release version ";
    memchr::memmem::find_iter(content, SIGN).find_map(|at| {
        let start = content[..at]
            .iter()
            .rposition(|&byte| byte == 0 || byte == b'\n');
        let title = &content[start.map_or(0, |start| start + 1)..at];
        if !title.starts_with(b"GNU C Library") && !title.starts_with(b"ld.so") {
            return None;
        }
        let rest = &content[at + SIGN.len()..];
        let rest = &rest[..rest.len().min(16)];
        let mut numbers = rest.split(|byte| !byte.is_ascii_digit());
        let mut number = || std::str::from_utf8(numbers.next()?).ok()?.parse().ok();
        Some((number()?, number()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_glibc_is_read_from_its_banner() {
        let debian =
            "GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
        let loader = "ld.so (Ubuntu GLIBC 2.39-0ubuntu8) stable release version 2.39.\n";
        for (content, expect) in [
            (format!("\x01\0{debian}"), Some((2, 36))),
            (format!("x\n{loader}"), Some((2, 39))),
            (
                "GNU C Library (GNU libc) development release version 2.38.9000.".into(),
                Some((2, 38)),
            ),
            (
                format!("\0a stable release version 9.9\0{debian}"),
                Some((2, 36)),
            ),
            ("\0some stable release version 2.40.".into(), None),
            ("GNU C Library stable release version ".into(), None),
            ("GNU C Library stable release version 2".into(), None),
            (
                "GNU C Library stable release version 99999999999.1".into(),
                None,
            ),
            (String::new(), None),
        ] {
            assert_eq!(read(content.as_bytes()), expect, "{content:?}");
        }
    }

    fn read(content: &[u8]) -> Option<(u32, u32)> {
        version_read(&mut io::Cursor::new(content)).unwrap()
    }

    #[test]
    fn the_banner_is_found_wherever_it_lies() {
        let banner = b"\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\0";
        let length = 3 * WINDOW + 5;
        for at in (0..2 * WINDOW).step_by(WINDOW / 2) {
            for at in at.saturating_sub(2 * banner.len())..at + banner.len() {
                let mut content = vec![0; length];
                content[at..at + banner.len()].copy_from_slice(banner);
                assert_eq!(read(&content), Some((2, 36)), "{at}");
            }
        }
    }

    fn platform(os: &'static str, arch: &'static str, libc: Libc) -> Platform {
        Platform {
            os,
            arch,
            libc,
            static_build: false,
        }
    }

    #[test]
    fn what_max_is_not_made_for_is_refused_by_name() {
        for (os, arch, libc, found) in [
            (
                "linux",
                "x86_64",
                Libc::Glibc(2, 31),
                "Linux on x86-64 with glibc 2.31",
            ),
            ("linux", "x86_64", Libc::Glibc(1, 99), "glibc 1.99"),
            ("linux", "x86_64", Libc::Musl, "musl instead of glibc"),
            (
                "linux",
                "aarch64",
                Libc::Glibc(2, 39),
                "Linux on aarch64 with glibc 2.39",
            ),
            ("macos", "aarch64", Libc::Unknown, "macOS on aarch64"),
            ("freebsd", "x86_64", Libc::Unknown, "freebsd on x86-64"),
        ] {
            let error = platform(os, arch, libc).check().unwrap_err();
            assert_eq!(crate::Error::from(error.clone()).exit().code(), 4);
            let text = error.to_string();
            assert!(text.contains(found), "{text}");
            assert!(text.contains("glibc 2.34 or newer"), "{text}");
        }
        for libc in [
            Libc::Glibc(2, 34),
            Libc::Glibc(2, 100),
            Libc::Glibc(3, 0),
            Libc::Unknown,
        ] {
            let platform = platform("linux", "x86_64", libc);
            assert!(platform.check().is_ok(), "{platform}");
        }
    }

    #[test]
    fn what_works_badly_is_a_warning() {
        let mut good = platform("linux", "x86_64", Libc::Glibc(2, 36));
        assert_eq!(good.warning(), None);
        good.static_build = true;
        assert!(
            good.warning()
                .unwrap()
                .hint()
                .contains("x86_64-unknown-linux-gnu")
        );
        let unknown = platform("linux", "x86_64", Libc::Unknown);
        assert!(
            unknown
                .warning()
                .unwrap()
                .to_string()
                .contains("glibc 2.34")
        );
    }

    /// What `ldd --version` says is what is found, where there is one.
    #[test]
    fn this_machine_is_told_as_its_own_programs_tell_it() {
        let Ok(ran) = std::process::Command::new("ldd").arg("--version").output() else {
            return;
        };
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let Some(first) = said.lines().next().filter(|line| line.contains("GLIBC")) else {
            return;
        };
        let Libc::Glibc(major, minor) = Platform::current().libc else {
            panic!("no glibc found, and ldd says {first}");
        };
        assert!(first.ends_with(&format!(" {major}.{minor}")), "{first}");
    }
}
