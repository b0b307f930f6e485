//! A serving run as a page to look at.

use std::path::Path;

use super::record::Record;
use super::{plot, table};
use crate::commands::bench::html::{self, Row, escaped};
use crate::commands::bench::plot::Drawn;
use crate::commands::bench::report::write_files;

/// Writes the page and its charts into `folder`.
pub fn write(record: &Record, folder: &Path) -> anyhow::Result<()> {
    let charts = plot::all(record);
    write_files(folder, &page(record, &charts), &charts)
}

fn page(record: &Record, charts: &[Drawn]) -> String {
    let mut with = format!("mxfp4 {}", record.versions.mxfp4);
    if let Some(max) = &record.versions.max {
        with.push_str(&format!(", MAX {max}"));
    }
    let gpu = record.gpu.as_ref().map_or_else(
        || "no GPU was found".to_owned(),
        |gpu| format!("{}, driver {}", gpu.name, gpu.driver),
    );
    let about = format!(
        "<p>{gpu}; {with}.<br><code>{command}</code></p>",
        gpu = escaped(&gpu),
        with = escaped(&with),
        command = escaped(&record.command),
    );
    let rows = record.levels.iter().map(|level| Row {
        id: table::id(level, false),
        cells: table::cells(level).to_vec(),
    });
    let mut tables = html::table(&table::LEVEL, rows);
    for sentence in table::sentences(record) {
        tables.push_str(&format!("<p>{}</p>\n", escaped(&sentence)));
    }
    let compared = table::comparison(record);
    if !compared.is_empty() {
        let levels = record
            .levels
            .iter()
            .filter(|level| record.peer_of(level).is_some());
        let rows = levels.zip(compared).map(|(level, cells)| Row {
            id: table::id(level, true),
            cells: cells.to_vec(),
        });
        tables.push_str("<h2>Compared with the peer</h2>\n");
        tables.push_str(&html::table(&table::COMPARISON, rows));
    }
    let heading = format!("{}, served", record.model);
    html::page("mxfp4 bench serve", &heading, &about, charts, &tables)
}
