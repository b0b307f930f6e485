//! A run as a page to look at, which needs nothing but itself.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::record::Record;
use super::table::{self, Column};
use super::{file, plot};

/// The page's name.
pub const INDEX: &str = "index.html";

/// How the page looks.
pub const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
code { background: #f3f3f3; padding: .1em .3em }
svg { max-width: 100%; height: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5 }
.text { text-align: left }
";

/// Writes the page and its plots into `folder`.
pub fn write(record: &Record, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let roofline = plot::roofline(record)?;
    let latency = plot::latency(record)?;
    file::write(&folder.join("roofline.svg"), roofline.as_bytes())?;
    file::write(&folder.join("latency.svg"), latency.as_bytes())?;
    let page = page(record, &roofline, &latency);
    file::write(&folder.join(INDEX), page.as_bytes())
}

fn page(record: &Record, roofline: &str, latency: &str) -> String {
    let versions = &record.versions;
    let mut with = format!("mxfp4 {}", versions.mxfp4);
    for (name, version) in [("MAX", &versions.max), ("Mojo", &versions.mojo)] {
        if let Some(version) = version {
            with.push_str(&format!(", {name} {version}"));
        }
    }
    let rows = record
        .rows
        .iter()
        .map(|row| table::row(row, &record.limits).to_vec());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <title>mxfp4 bench kernel</title>\n<style>\n{STYLE}</style>\n\
         <h1>The MXFP4 grouped matmul on GPT-OSS shapes</h1>\n\
         <p>{gpu}, driver {driver}; {with}; {limits}.<br><code>{command}</code></p>\n\
         {roofline}\n{latency}\n{table}",
        gpu = escaped(&record.gpu.name),
        driver = escaped(&record.gpu.driver),
        with = escaped(&with),
        limits = table::limits(&record.limits),
        command = escaped(&record.command),
        table = html(&table::ROW, rows),
    );
    if let Some(peer) = &record.peer {
        let rows = table::comparison(record)
            .into_iter()
            .map(|row| row.to_vec());
        page.push_str(&format!(
            "<h2>Compared with {}</h2>\n{}",
            escaped(&peer.name),
            html(&table::COMPARISON, rows)
        ));
    }
    page.push_str("</html>\n");
    page
}

/// A table of a page.
pub fn html(columns: &[Column], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = columns
            .iter()
            .zip(cells)
            .map(|(column, cell)| {
                let class = if column.is_text {
                    " class=\"text\""
                } else {
                    ""
                };
                format!("<{tag}{class}>{}</{tag}>", escaped(cell))
            })
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let mut table = "<table>\n".to_owned();
    table.push_str(&line("th", &mut columns.iter().map(|column| column.title)));
    for row in rows {
        table.push_str(&line("td", &mut row.iter().map(String::as_str)));
    }
    table.push_str("</table>\n");
    table
}

/// Text of a page.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
