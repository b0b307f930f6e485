//! A run as a page to look at.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::html::{self, Row, escaped};
use super::plot::{self, Drawn};
use super::record::Record;
use super::{file, table};

/// Writes the page and its charts into `folder`.
pub fn write(record: &Record, folder: &Path) -> anyhow::Result<()> {
    let charts = plot::all(record);
    write_files(folder, &page(record, &charts), &charts)
}

/// Writes a page and its charts into `folder`.
pub fn write_files(folder: &Path, page: &str, charts: &[Drawn]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, svg) in charts {
        file::write(&folder.join(name), svg.as_bytes())?;
    }
    file::write(&folder.join(file::INDEX), page.as_bytes())
}

fn page(record: &Record, charts: &[Drawn]) -> String {
    let versions = &record.versions;
    let mut with = format!("mxfp4 {}", versions.mxfp4);
    for (name, version) in [("MAX", &versions.max), ("Mojo", &versions.mojo)] {
        if let Some(version) = version {
            with.push_str(&format!(", {name} {version}"));
        }
    }
    let about = format!(
        "<p>{gpu}, driver {driver}; {with}; {limits}.<br><code>{command}</code></p>",
        gpu = escaped(&record.gpu.name),
        driver = escaped(&record.gpu.driver),
        with = escaped(&with),
        limits = table::limits(&record.limits),
        command = escaped(&record.command),
    );
    let rows = record.rows.iter().map(|row| Row {
        id: table::id(row, false),
        cells: table::row(row, &record.limits).to_vec(),
    });
    let mut tables = html::table(&table::ROW, rows);
    if let Some(peer) = &record.peer {
        let compared = table::comparison(record);
        let rows = record.rows.iter().zip(compared).map(|(row, cells)| Row {
            id: table::id(row, true),
            cells: cells.to_vec(),
        });
        tables.push_str(&format!(
            "<h2>Compared with {}</h2>\n{}",
            escaped(&peer.name),
            html::table(&table::COMPARISON, rows)
        ));
    }
    html::page(
        "mxfp4 bench kernel",
        "The MXFP4 grouped matmul on GPT-OSS shapes",
        &about,
        charts,
        &tables,
    )
}
