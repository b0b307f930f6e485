use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What keeps `bazelw` from being started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BazelwProblem {
    /// It may not be run.
    #[error("{} is not executable", .0.display())]
    NotExecutable(PathBuf),
    /// Its first line names a program with a carriage return.
    #[error(
        "{} has the line ends of Windows (CRLF), and so no `{interpreter}` is found to run it",
        path.display()
    )]
    LineEnds {
        /// The wrapper.
        path: PathBuf,
        /// What is to run it.
        interpreter: String,
    },
}

impl BazelwProblem {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotExecutable(path) => format!("run `chmod +x {}`", path.display()),
            Self::LineEnds { path, .. } => format!(
                "run `sed -i 's/\\r$//' {}`, and have git leave line ends alone with `git config core.autocrlf input`",
                path.display()
            ),
        }
    }
}

/// What keeps `bazelw` of the checkout at `root` from being started; the system's own words for it name a file that is
/// there.
pub fn bazelw_problem(root: &Path) -> Option<BazelwProblem> {
    let path = root.join("bazelw");
    let mode = fs::metadata(&path).ok()?.permissions().mode();
    if mode & 0o111 == 0 {
        return Some(BazelwProblem::NotExecutable(path));
    }
    let mut line = Vec::new();
    let file = mxfp4_fs::open(&path).ok()?;
    BufReader::new(file).read_until(b'\n', &mut line).ok()?;
    if line.starts_with(b"#!") && line.ends_with(b"\r\n") {
        let interpreter = String::from_utf8_lossy(&line[2..]).trim().to_owned();
        return Some(BazelwProblem::LineEnds { path, interpreter });
    }
    None
}
