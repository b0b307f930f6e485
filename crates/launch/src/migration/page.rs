//! docs/reference/max-settings.md, written from the tables.

use std::fmt::Write as _;

use super::flags::FLAGS;
use super::setting::{Fate, Setting};
use super::variables::{BELOW, KNOWN_VERSION, OTHERS, SETTINGS};

/// The page.
pub fn page() -> String {
    let mut page = format!(
        "# MAX's flags and variables\n\n\
         ```bash\n\
         mxfp4 serve -- --max-length 32768    # passed on\n\
         mxfp4 serve -- --tool-parser kimi    # refused: exit code 2, and a sentence that says why\n\
         mxfp4 serve --frontend max -- ...    # MAX's own HTTP server: everything goes to MAX\n\
         ```\n\n\
         `mxfp4 serve` answers HTTP itself, and MAX {KNOWN_VERSION} is the engine behind it. This page says what becomes of \
         each flag of `max serve`, after `--` or in `serve.flags`, and of each variable that MAX's serving code reads. None is \
         ignored in silence.\n\n\
         - **honoured**: the front end acts on it.\n\
         - **passed on**: MAX gets it and acts on it.\n\
         - **refused**: it would have no effect, so the start is refused.\n\n\
         MAX reads two kinds of files that may hold settings too. A file that `--config-file` names may hold no flag that is \
         refused. A `.env` file in the current folder may hold no variable that is honoured or refused. A `MAX_SERVE_` \
         variable that MAX does not know is warned of.\n\n\
         `crates/launch/src/migration` has these tables. A test writes this page from them, and another compares them \
         with MAX.\n\n\
         ## Flags\n\n"
    );
    table(&mut page, "flag", FLAGS, "--");
    page.push_str(
        "\n## Variables of MAX's settings\n\nMAX takes their names in upper and lower case.\n\n",
    );
    table(&mut page, "variable", SETTINGS, "");
    page.push_str("\n## Other variables\n\n");
    table(&mut page, "variable", OTHERS, "");
    page.push_str(
        "\n## Variables below HTTP\n\n\
         MAX's kernels, caches and connections read these. Nothing changes for them:\n\n",
    );
    for name in BELOW {
        let _ = writeln!(page, "- `{name}`");
    }
    page
}

fn table(page: &mut String, what: &str, rows: &[Setting], dashes: &str) {
    let _ = writeln!(
        page,
        "| {what} | here | what it does, or why not |\n| --- | --- | --- |"
    );
    for row in rows {
        let fate = match row.fate {
            Fate::Honoured => "honoured",
            Fate::Passed => "passed on",
            Fate::Refused => "refused",
        };
        let values: Vec<_> = row
            .accepted
            .iter()
            .map(|value| format!("`{value}`"))
            .collect();
        let but = match (row.fate, row.accepted) {
            (_, []) => String::new(),
            (Fate::Refused, ["false"]) => "; `--no-` is taken".into(),
            (_, ["true"]) => "; `--no-` is refused".into(),
            (Fate::Refused, _) => format!(", but for {}", values.join(" and ")),
            _ => format!(", {} alone", values.join(" and ")),
        };
        let only = if row.telemetry {
            ", with `--telemetry`"
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "| `{dashes}{}` | {fate}{but}{only} | {} |",
            row.name, row.note
        );
    }
}
