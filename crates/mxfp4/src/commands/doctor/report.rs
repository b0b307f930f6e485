//! Telling what was seen: for people, and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::examination::{Examination, Row};
use super::finding::State;
use super::goal::Goal;
use crate::context::Verbosity;

/// The version of the JSON. It grows when something that was there changes or goes; a new field or check is no change.
const SCHEMA: u32 = 1;

/// A line for each thing; of what is not as it should be, why it matters and what to do; then the jobs.
pub fn text(examination: &Examination) -> String {
    let mut out = String::new();
    let verbosity = examination.context.verbosity;
    let rows = &examination.rows;
    let width = rows.iter().map(|row| row.check.id.len()).max().unwrap_or(0);
    for row in rows {
        let (check, finding) = (row.check, &row.finding);
        let wrong = matches!(finding.state, State::Warning | State::Failing);
        if verbosity == Verbosity::Quiet && !wrong {
            continue;
        }
        let state = match finding.state {
            State::NotApplicable => "-",
            state => state.name(),
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "{state:7}  {:width$}  {}", check.id, finding.found);
        let mut more = |title: &str, text: &str| {
            let _ = writeln!(out, "{:7}  {:width$}    {title}: {text}", "", "");
        };
        if wrong || verbosity == Verbosity::Verbose {
            more("why", check.why);
        }
        if let Some(fix) = &finding.fix {
            more("fix", fix);
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for job in Goal::ALL {
        let because: Vec<&str> = examination.against(job).map(|row| row.check.id).collect();
        let _ = match because.as_slice() {
            [] => writeln!(out, "{}: yes", job.name()),
            because => writeln!(out, "{}: no, because of {}", job.name(), because.join(", ")),
        };
    }
    out
}

/// The same for programs; docs/reference/doctor.md describes it.
pub fn json(examination: &Examination) -> String {
    let workspace = &examination.context.workspace;
    let checks: Vec<Value> = examination
        .rows
        .iter()
        .map(|row| check(row, workspace.layout))
        .collect();
    let jobs: Map<String, Value> = Goal::ALL
        .into_iter()
        .map(|job| {
            let because: Vec<&str> = examination.against(job).map(|row| row.check.id).collect();
            let verdict = json!({ "works": because.is_empty(), "because": because });
            (job.name().to_owned(), verdict)
        })
        .collect();
    let report = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "root": workspace.root.to_string_lossy(),
        "layout": workspace.layout.to_string(),
        "checks": checks,
        "jobs": jobs,
    });
    format!("{report:#}\n")
}

fn check(row: &Row, layout: mxfp4_env::Layout) -> Value {
    let needed_by: Vec<&str> = (row.check.needed_by)(layout)
        .iter()
        .map(|job| job.name())
        .collect();
    json!({
        "id": row.check.id,
        "state": row.finding.state.name(),
        "found": row.finding.found,
        "why": row.check.why,
        "fix": row.finding.fix,
        "needed_by": needed_by,
        "milliseconds": u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX),
    })
}
