//! The page of a run, which needs nothing but itself.

use super::plot::Drawn;
use super::table::Column;

/// How a page looks, on light and on dark screens.
const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1f2328; --paper: #fff; --quiet: #59636e; --rule: #d1d9e0; --mark: #fff8c5 }
@media (prefers-color-scheme: dark) { :root { --ink: #f0f6fc; --paper: #0d1117; --quiet: #9198a1; --rule: #3d444d; --mark: #3a2d00 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--paper) }
code { background: color-mix(in srgb, var(--ink) 8%, var(--paper)); padding: .1em .3em; overflow-wrap: anywhere }
figure { margin: 2rem 0; overflow-x: auto }
svg { max-width: 100%; min-width: 40rem; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: bottom }
td { white-space: nowrap }
.text { text-align: left }
th button { font: inherit; text-align: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; cursor: pointer }
th[aria-sort=ascending] button::after { content: ' \\2191' }
th[aria-sort=descending] button::after { content: ' \\2193' }
tr:target { background: var(--mark) }
";

/// Sorts a table by the column whose title is pressed. Numbers are compared as numbers, and what is none comes last.
const SCRIPT: &str = "\
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of heads) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const isText = head.classList.contains('text');
    const read = (row) => {
      const text = row.cells[column].textContent;
      return isText ? text : parseFloat(text);
    };
    const order = (a, b) => isText ? a.localeCompare(b) : a - b;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [one, two] = [read(a), read(b)];
      if (Number.isNaN(one) || Number.isNaN(two)) return Number.isNaN(one) - Number.isNaN(two);
      return down ? order(two, one) : order(one, two);
    });
    table.tBodies[0].append(...rows);
  }));
}
";

/// A row of a table: what names it in the page, and its cells.
pub struct Row {
    /// What a link leads to.
    pub id: String,
    /// The cells, as many as columns.
    pub cells: Vec<String>,
}

/// A page with a heading, what was measured where, charts, and `tables`, which are HTML.
pub fn page(title: &str, heading: &str, about: &str, charts: &[Drawn], tables: &str) -> String {
    let charts: String = charts
        .iter()
        .map(|(_, svg)| format!("<figure>\n{svg}\n</figure>\n"))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n<h1>{heading}</h1>\n{about}\n\
         <p>A point of a chart leads to its row. A column's title sorts the table.</p>\n\
         {charts}{tables}<script>\n{SCRIPT}</script>\n</html>\n",
        title = escaped(title),
        heading = escaped(heading),
    )
}

/// A table of a page.
pub fn table(columns: &[Column], rows: impl Iterator<Item = Row>) -> String {
    let class = |column: &Column| match column.is_text {
        true => " class=\"text\"",
        false => "",
    };
    let heads: String = columns
        .iter()
        .map(|column| {
            let title = escaped(column.title);
            format!(
                "<th{} scope=\"col\"><button>{title}</button></th>",
                class(column)
            )
        })
        .collect();
    let mut table =
        format!("<div class=\"wide\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n");
    for Row { id, cells } in rows {
        let cells: String = columns
            .iter()
            .zip(&cells)
            .map(|(column, cell)| format!("<td{}>{}</td>", class(column), escaped(cell)))
            .collect();
        table.push_str(&format!("<tr id=\"{}\">{cells}</tr>\n", escaped(&id)));
    }
    table.push_str("</tbody></table></div>\n");
    table
}

/// Text of a page.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
