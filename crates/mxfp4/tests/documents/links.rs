//! Links of the documents: what they name is there, and the book holds every page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{read, repository};

/// A document: where its links lead, and what may be linked to in it.
#[derive(Default)]
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

fn events(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading = None;
        for event in events(text) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    document.anchor(&heading.take().unwrap_or_default())
                }
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    document.links.extend(sources(&html))
                }
                _ => {}
            }
        }
        document
    }

    /// The anchor that GitHub and mdBook make of a heading.
    fn anchor(&mut self, heading: &str) {
        let kept = heading.trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter
                .is_alphanumeric()
                .then(|| letter.to_ascii_lowercase()),
        });
        let name: String = kept.collect();
        let mut numbered = name.clone();
        for number in 1.. {
            if self.anchors.insert(numbered) {
                break;
            }
            numbered = format!("{name}-{number}");
        }
    }
}

/// What pictures written as HTML name.
fn sources(html: &str) -> Vec<String> {
    let named = |attribute: &str| -> Vec<String> {
        let begins = format!("{attribute}=\"");
        html.split(&begins)
            .skip(1)
            .filter_map(|part| Some(part.split_once('"')?.0.to_owned()))
            .collect()
    };
    [named("src"), named("srcset"), named("href")].concat()
}

/// Markdown below `folder`, as paths from the root.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(repository().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// All documents by their paths from the root.
fn documents() -> BTreeMap<PathBuf, Document> {
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(PathBuf::from)
        .into();
    pages(Path::new("docs"), &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let text = read(&path.to_string_lossy());
            (path, Document::parse(&text))
        })
        .collect()
}

/// A path without `..`; `None` when it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => normal.pop().then_some(())?,
            part => normal.push(part),
        }
    }
    Some(normal)
}

pub fn every_link_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 20, "{:?}", documents.keys());
    let mut wrong = Vec::new();
    for (path, document) in &documents {
        for link in &document.links {
            if let Err(why) = follow(link, path, &documents) {
                wrong.push(format!("{}: {link}: {why}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn follow(
    link: &str,
    from: &Path,
    documents: &BTreeMap<PathBuf, Document>,
) -> Result<(), &'static str> {
    if link.starts_with("https://") {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => from.to_owned(),
        path => {
            normal(&from.parent().expect("a folder").join(path)).ok_or("leaves the repository")?
        }
    };
    if from.starts_with("docs") && !target.starts_with("docs") {
        return Err("leaves docs, which the site does not have");
    }
    if !repository().join(&target).is_file() {
        return Err("there is no such file");
    }
    match documents.get(&target) {
        Some(document) if !anchor.is_empty() && !document.anchors.contains(anchor) => {
            Err("there is no such heading")
        }
        _ => Ok(()),
    }
}

pub fn every_page_is_in_the_book() {
    let documents = documents();
    let summary = &documents[Path::new("docs/SUMMARY.md")].links;
    let listed: BTreeSet<PathBuf> = summary
        .iter()
        .map(|link| Path::new("docs").join(link))
        .collect();
    let there: BTreeSet<PathBuf> = documents
        .into_keys()
        .filter(|path| path.starts_with("docs") && !path.ends_with("SUMMARY.md"))
        .collect();
    assert_eq!(listed, there);
}

/// A command or a request, and what comes back, before anything is explained.
pub fn every_guide_begins_with_a_command() {
    let mut guides = Vec::new();
    pages(Path::new("docs/guides"), &mut guides);
    assert!(guides.len() > 8, "{guides:?}");
    for guide in guides {
        let text = read(&guide.to_string_lossy());
        let blocks = events(&text).filter_map(|event| match event {
            Event::Start(
                tag @ (Tag::Paragraph | Tag::CodeBlock(_) | Tag::Table(_) | Tag::List(_)),
            ) => Some(tag),
            _ => None,
        });
        let begins: Vec<Tag> = blocks.take(2).collect();
        assert!(
            begins.iter().any(|tag| matches!(tag, Tag::CodeBlock(_))),
            "{}: begins with {begins:?}",
            guide.display()
        );
    }
}
