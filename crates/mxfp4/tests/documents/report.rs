//! Reports of recorded runs in a real browser, as `report.mjs` drives it.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Completion, Failed};

use super::pictures::RUNS;
use super::repository;

/// A folder that pictures of the reports are left in.
const SCREENS: &str = "MXFP4_PAGE_SCREENS";

pub fn reports_work_in_a_browser() -> Result<Completion, Failed> {
    let packages = repository().join("crates/server/tests/page");
    let browser = match browser(&packages) {
        Ok(browser) => browser,
        Err(why) => return Ok(Completion::ignored_with(why)),
    };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents/report.mjs");
    for (_, name) in RUNS {
        let page = repository()
            .join("docs/benchmarks")
            .join(name)
            .join("index.html");
        let ran = Command::new("node")
            .arg(&program)
            .arg(&page)
            .arg(name)
            .env("CHROMIUM", &browser)
            .env("PACKAGES", &packages)
            .env("SCREENS", std::env::var_os(SCREENS).unwrap_or_default())
            .output()?;
        if !ran.status.success() {
            return Err(Failed::from(format!(
                "{name}: {}",
                String::from_utf8_lossy(&ran.stderr)
            )));
        }
    }
    Ok(Completion::Completed)
}

/// Chromium, where all that drives it is here too.
fn browser(packages: &Path) -> Result<PathBuf, String> {
    let chromium = which::which("chromium").map_err(|_| "there is no chromium on PATH")?;
    which::which("node").map_err(|_| "there is no node on PATH")?;
    if !packages.join("node_modules/playwright-core").is_dir() {
        return Err(format!(
            "playwright-core is missing: npm ci --prefix {}",
            packages.display()
        ));
    }
    Ok(chromium)
}
