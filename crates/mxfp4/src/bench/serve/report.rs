//! A serving run as a page to look at, which needs nothing but itself.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::record::Record;
use super::{plot, table};
use crate::bench::file;
use crate::bench::report::{INDEX, STYLE, escaped, html};

/// Writes the page and its plots into `folder`.
pub fn write(record: &Record, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let throughput = plot::throughput(record)?;
    let tpot = plot::tpot(record)?;
    file::write(&folder.join("throughput.svg"), throughput.as_bytes())?;
    file::write(&folder.join("tpot.svg"), tpot.as_bytes())?;
    let page = page(record, &throughput, &tpot);
    file::write(&folder.join(INDEX), page.as_bytes())
}

fn page(record: &Record, throughput: &str, tpot: &str) -> String {
    let mut with = format!("mxfp4 {}", record.versions.mxfp4);
    if let Some(max) = &record.versions.max {
        with.push_str(&format!(", MAX {max}"));
    }
    let gpu = record.gpu.as_ref().map_or_else(
        || "no GPU was found".to_owned(),
        |gpu| format!("{}, driver {}", gpu.name, gpu.driver),
    );
    let sentences: String = table::sentences(record)
        .iter()
        .map(|sentence| format!("<p>{}</p>\n", escaped(sentence)))
        .collect();
    let levels = record.levels.iter().map(|l| table::cells(l).to_vec());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <title>mxfp4 bench serve</title>\n<style>\n{STYLE}</style>\n\
         <h1>{model}, served</h1>\n\
         <p>{gpu}; {with}.<br><code>{command}</code></p>\n\
         {throughput}\n{tpot}\n{levels}{sentences}",
        model = escaped(&record.model),
        gpu = escaped(&gpu),
        with = escaped(&with),
        command = escaped(&record.command),
        levels = html(&table::LEVEL, levels),
    );
    let comparison = table::comparison(record);
    if !comparison.is_empty() {
        page.push_str("<h2>Compared with the peer</h2>\n");
        let rows = comparison.into_iter().map(|row| row.to_vec());
        page.push_str(&html(&table::COMPARISON, rows));
    }
    page.push_str("</html>\n");
    page
}
