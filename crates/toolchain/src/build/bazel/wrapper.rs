use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What keeps `bazelw` of the checkout at `root` from being started, and what to do about it; the system's own words for
/// either name a file that is there.
pub fn bazelw_problem(root: &Path) -> Option<(String, String)> {
    let wrapper = root.join("bazelw");
    let shown = wrapper.display();
    let mode = fs::metadata(&wrapper).ok()?.permissions().mode();
    if mode & 0o111 == 0 {
        let found = format!("{shown} is not executable");
        return Some((found, format!("run `chmod +x {shown}`")));
    }
    let mut line = Vec::new();
    let file = mxfp4_fs::open(&wrapper).ok()?;
    BufReader::new(file).read_until(b'\n', &mut line).ok()?;
    if line.starts_with(b"#!") && line.ends_with(b"\r\n") {
        let line = String::from_utf8_lossy(&line[2..]);
        let interpreter = line.trim();
        let found = format!(
            "{shown} has the line ends of Windows (CRLF), and so no `{interpreter}` is found to run it"
        );
        let fix = format!(
            "run `sed -i 's/\\r$//' {shown}`, and have git leave line ends alone with `git config core.autocrlf input`"
        );
        return Some((found, fix));
    }
    None
}
