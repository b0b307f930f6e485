//! What the tests of the command line share: running `mxfp4` in a known environment, small workspaces and models, and
//! the SDK where one can be had.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod carry;
pub mod stub;
pub mod trial;
pub mod workspace;

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, OnceLock};

use mxfp4_checkpoint::testing::Small;

pub use workspace::TestWorkspace;

/// A model folder that passes every check: a small one, with weights of zeros.
pub static MODEL: LazyLock<[(&str, &str); 3]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let written = Small::default().in_one_file().write(folder.path());
    written.expect("files can be written");
    ["config.json", "tokenizer.json", "model.safetensors"].map(|name| {
        let text = fs::read_to_string(folder.path().join(name)).expect("it is text");
        (name, &*text.leak())
    })
});

/// The root of this repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate is two levels below the root")
        .to_path_buf()
}

/// `mxfp4` with no variable but PATH and HOME, so that nothing of the machine's user plays a part.
pub fn mxfp4(cwd: &Path) -> Command {
    let mut command = Command::new("/usr/bin/env");
    command
        // Whoever runs the tests may ignore signals (a shell's background jobs do), and that would be inherited.
        .arg("--default-signal=HUP,INT,QUIT,TERM")
        .arg(env!("CARGO_BIN_EXE_mxfp4"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", cwd)
        .current_dir(cwd);
    command
}

/// A folder with these files in it; a name that ends in `/` is a folder.
pub fn folder<N: AsRef<str>, T: AsRef<str>>(
    files: impl IntoIterator<Item = (N, T)>,
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, text) in files {
        let path = folder.path().join(name.as_ref());
        let parent = path.parent().expect("it is below the folder");
        fs::create_dir_all(parent).expect("folders can be made");
        if name.as_ref().ends_with('/') {
            fs::create_dir_all(path).expect("folders can be made");
        } else {
            fs::write(path, text.as_ref()).expect("files can be written");
        }
    }
    folder
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Ran {
    command.output().expect("the program can be started").into()
}

/// Why a test cannot run here.
pub type Skip = String;

/// The SDK that this repository uses, made by `mxfp4 setup` where it is missing.
pub fn sdk() -> Result<PathBuf, Skip> {
    static SDK: OnceLock<Result<PathBuf, Skip>> = OnceLock::new();
    SDK.get_or_init(|| {
        if let Some(named) = std::env::var_os("MXFP4_SDK").filter(|value| !value.is_empty()) {
            return Ok(named.into());
        }
        let root = repository();
        let mut setup = Command::new(env!("CARGO_BIN_EXE_mxfp4"));
        let ran = run(setup.arg("setup").current_dir(&root));
        match ran.code {
            Some(0) => Ok(root.join(".venv")),
            _ => Err(format!(
                "no SDK: {}",
                ran.stderr.lines().last().unwrap_or_default()
            )),
        }
    })
    .clone()
}

/// `program`, where the machine has it.
pub fn tool(program: &str) -> Result<PathBuf, Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is not installed"))
}

/// FAKE_GPU, for the library that [`driver`] makes, of a GPU that the kernels run on.
pub const HOPPER: &str = "NVIDIA H100 80GB HBM3,9,0,79";

/// Makes in `folder`, which LD_LIBRARY_PATH is to name, a library that stands in for the driver's: the GPU is the one
/// that FAKE_GPU describes.
pub fn driver(folder: &Path) -> Result<(), Skip> {
    let source = folder.join("nvml.c");
    fs::write(&source, include_str!("nvml.c")).expect("files can be written");
    let mut compiler = Command::new(tool("cc")?);
    let built = run(compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(folder.join("libnvidia-ml.so.1"))
        .arg(source));
    match built.code {
        Some(0) => Ok(()),
        _ => Err(format!("cc does not compile C: {}", built.stderr)),
    }
}

/// Makes in `folder` a library that, preloaded, has `function` of the C library fail with `error`. Whoever builds Rust has
/// a C compiler.
pub fn failing(folder: &Path, function: &str, error: &str) -> PathBuf {
    let (source, library) = (folder.join("x.c"), folder.join(format!("{error}.so")));
    let text = format!("#include <errno.h>\nint {function}() {{ errno = {error}; return -1; }}\n");
    fs::write(&source, text).expect("files can be written");
    let mut compiler = Command::new("cc");
    let built = run(compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source));
    assert_eq!(built.code, Some(0), "{built:?}");
    library
}

/// Puts into `folder`, which LD_LIBRARY_PATH is to name, a glibc that says it is version 2.31. It is this machine's own
/// otherwise, so programs run with it.
pub fn old_glibc(folder: &Path) -> Result<(), Skip> {
    let maps = fs::read_to_string("/proc/self/maps").expect("it can be read");
    let line = maps.lines().find(|line| line.ends_with("/libc.so.6"));
    let path = line.and_then(|line| line.split_whitespace().last());
    let mut content = fs::read(path.ok_or("the tests run without glibc")?).expect("it can be read");
    let banner = b" release version 2.";
    let at = content
        .windows(banner.len())
        .position(|bytes| bytes == banner);
    let minor = at.ok_or("glibc does not say its version")? + banner.len();
    content[minor..minor + 2].copy_from_slice(b"31");
    fs::write(folder.join("libc.so.6"), content).expect("files can be written");
    Ok(())
}

/// A port that nothing listens on, as the environment gives it to `mxfp4 serve`: the one of the configuration may be
/// busy on the machine that runs the tests.
pub fn free_port() -> (&'static str, String) {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    ("MAX_SERVE_PORT", address.port().to_string())
}

/// Whether this process may read what its permissions forbid.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `text` as one word for a POSIX shell.
pub fn quoted(text: impl AsRef<OsStr>) -> String {
    format!(
        "'{}'",
        text.as_ref().to_string_lossy().replace('\'', r"'\''")
    )
}
