//! Files that a message names by `@path`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mxfp4_toolchain::visible::visible;

/// The most that one message takes of files, or of a pipe: more than a prompt holds.
pub const LARGEST: u64 = 1 << 20;

/// Where paths begin.
pub struct Places {
    /// What they are relative to.
    pub folder: PathBuf,
    /// What `~` is.
    pub home: Option<PathBuf>,
}

/// Why a file cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("@{}: {why}; nothing was sent. @@ writes an @", visible(.name))]
pub struct NotSent {
    name: String,
    why: NotRead,
}

/// Why what was named is no text for a message.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It cannot be read, or is not UTF-8.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("a message takes {} KiB of files and no more", LARGEST >> 10)]
    TooLong,
    /// It has a null byte.
    #[error("it is no text, for it has a null byte")]
    Null,
}

impl Places {
    /// The message, and after it the text of each file that it names; or what is wrong with one.
    pub fn expand(&self, message: &str) -> Result<String, NotSent> {
        let (mut text, mut files) = (String::with_capacity(message.len()), String::new());
        let mut room = LARGEST;
        let mut rest = message;
        let mut begins_word = true;
        while let Some(c) = rest.chars().next() {
            let (said, taken) = match named(rest).filter(|_| begins_word) {
                Some(Named::Mark(said, taken)) => (said, taken),
                Some(Named::File(word, quotes)) => {
                    let (name, path) = self.find(word, quotes > 0);
                    let content = read(&path, name, room)?;
                    room -= content.len() as u64;
                    files.push_str(&block(name, &content));
                    (name, 1 + name.len() + quotes)
                }
                None => (&rest[..c.len_utf8()], c.len_utf8()),
            };
            text.push_str(said);
            rest = &rest[taken..];
            begins_word = said.ends_with(|c: char| c.is_whitespace() || c == '(');
        }
        text.push_str(&files);
        Ok(text)
    }

    /// The file of a word, which may have a mark of the sentence at its end.
    fn find<'w>(&self, word: &'w str, is_quoted: bool) -> (&'w str, PathBuf) {
        let path = self.path(word);
        let shorter = word.trim_end_matches([',', '.', ';', ':', '!', '?', ')']);
        let found = self.path(shorter);
        if !is_quoted && !path.exists() && found.exists() {
            return (shorter, found);
        }
        (word, path)
    }

    fn path(&self, name: &str) -> PathBuf {
        match (name.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.folder.join(name),
        }
    }
}

/// What an `@` at the beginning of a word means.
enum Named<'t> {
    /// These characters, which so many of the text stand for.
    Mark(&'t str, usize),
    /// A file, and how many quotes are about its name.
    File(&'t str, usize),
}

fn named(text: &str) -> Option<Named<'_>> {
    let rest = text.strip_prefix('@')?;
    if let Some(rest) = rest.strip_prefix('@') {
        // `@@ -1,3 +1,4 @@` of a patch stays as it is.
        let is_alone = rest.chars().next().is_none_or(char::is_whitespace);
        return Some(Named::Mark(if is_alone { "@@" } else { "@" }, 2));
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (name, _) = quoted.split_once('"')?;
        return Some(Named::File(name, 2)).filter(|_| !name.is_empty());
    }
    let name = rest.split(char::is_whitespace).next()?;
    Some(Named::File(name, 0)).filter(|_| !name.is_empty())
}

/// The text of a file, which may have so many bytes.
fn read(path: &Path, name: &str, room: u64) -> Result<String, NotSent> {
    let read = mxfp4_fs::open(path).map_err(NotRead::from);
    read.and_then(|file| bounded(file, room))
        .map_err(|why| NotSent {
            name: name.to_owned(),
            why,
        })
}

/// Text of at most `room` bytes.
pub fn bounded(from: impl Read, room: u64) -> Result<String, NotRead> {
    let mut content = Vec::new();
    from.take(room + 1).read_to_end(&mut content)?;
    if content.len() as u64 > room {
        return Err(NotRead::TooLong);
    }
    let text = mxfp4_fs::text(content)?;
    match text.contains('\0') {
        true => Err(NotRead::Null),
        false => Ok(text),
    }
}

/// A file as a block of code, whatever its text has.
fn block(name: &str, content: &str) -> String {
    let runs = content.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    let end = if content.ends_with('\n') { "" } else { "\n" };
    format!("\n\n{name}:\n{fence}\n{content}{end}{fence}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content);
        write("a.txt", b"one\n```\n").unwrap();
        write("b c", b"two").unwrap();
        write("utf16", b"\xff\xfea\0").unwrap();
        write("binary", b"a\0b").unwrap();
        write("bytes", b"a\n\xff").unwrap();
        write("large", &[b'x'; (LARGEST + 1) as usize]).unwrap();
        write("half", &[b'x'; (LARGEST / 2 + 1) as usize]).unwrap();
        let places = Places {
            folder: folder.path().into(),
            home: Some(folder.path().into()),
        };
        (folder, places)
    }

    #[test]
    fn files_come_after_the_message() {
        let (_folder, places) = places();
        let a = "\n\na.txt:\n````\none\n```\n````";
        for (message, expected) in [
            ("see @a.txt, please", format!("see a.txt, please{a}")),
            ("(@a.txt)", format!("(a.txt){a}")),
            ("@\"b c\"!", "b c!\n\nb c:\n```\ntwo\n```".to_owned()),
            (
                "@~/a.txt",
                format!("~/a.txt{}", a.replace("a.txt", "~/a.txt")),
            ),
        ] {
            assert_eq!(places.expand(message).unwrap(), expected);
        }
    }

    #[test]
    fn an_at_sign_may_be_one() {
        let (_folder, places) = places();
        for (message, expected) in [
            ("me@example.org", "me@example.org"),
            ("@@me and @@", "@me and @@"),
            ("@@ -1,3 +1,4 @@ fn", "@@ -1,3 +1,4 @@ fn"),
            ("at @ noon @", "at @ noon @"),
            ("@\"open", "@\"open"),
        ] {
            let expanded = places.expand(message);
            match message {
                "@\"open" => assert!(expanded.is_ok(), "{expanded:?}"),
                _ => assert_eq!(expanded.unwrap(), expected),
            }
        }
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let (_folder, places) = places();
        for (message, why) in [
            ("a @nowhere b", "@nowhere: No such file"),
            ("@.", "it is a folder"),
            ("@utf16", "UTF-16"),
            ("@bytes", "line 2 is not UTF-8"),
            ("@binary", "null byte"),
            ("@large", "1024 KiB"),
            ("@half @half", "1024 KiB"),
            ("@\u{1b}[2J", "@␛[2J"),
            ("@/dev/zero", "neither a file nor a folder"),
        ] {
            let error = places.expand(message).unwrap_err().to_string();
            assert!(error.contains(why), "{message}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read(message in "([@\"~/. a-c\n(]|\\PC){0,40}") {
            let (_folder, places) = places();
            let read = places.expand(&message);
            prop_assert!(message.contains('@') || read.unwrap() == message);
        }
    }
}
