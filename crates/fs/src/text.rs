//! Reading what people write.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// What some editors put before a text: UTF-8's mark, and the two of UTF-16.
const MARK: &str = "\u{feff}";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Opens a file to read it. What is no file is refused: opening a named pipe might wait for ever.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let what = match kind.is_dir() {
        true => "it is a folder",
        false => "it is neither a file nor a folder, and reading it might never end",
    };
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

/// The content of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// The text of a file, without the mark that may stand before it.
pub fn read_text(path: &Path) -> io::Result<String> {
    text(read(path)?)
}

/// What a file holds as text, without the mark that may stand before it.
pub fn text(content: Vec<u8>) -> io::Result<String> {
    let wrong = |what: String| io::Error::new(ErrorKind::InvalidData, what);
    if UTF_16.iter().any(|mark| content.starts_with(mark)) {
        return Err(wrong("it is UTF-16; save it as UTF-8".to_owned()));
    }
    let text = String::from_utf8(content).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let before = error.as_bytes()[..end].iter();
        let line = before.filter(|&&byte| byte == b'\n').count() + 1;
        wrong(format!("line {line} is not UTF-8; save it as UTF-8"))
    })?;
    Ok(match text.strip_prefix(MARK) {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// `text` with the mark and the line ends that `before` has, which it replaces.
pub fn written_like(text: &str, before: &[u8]) -> Vec<u8> {
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    let windows = before.windows(2).filter(|end| *end == b"\r\n").count();
    let mut written = String::new();
    if before.starts_with(MARK.as_bytes()) && !text.starts_with(MARK) {
        written.push_str(MARK);
    }
    match lines > 0 && windows == lines {
        true => written.push_str(&text.replace("\r\n", "\n").replace('\n', "\r\n")),
        false => written.push_str(text),
    }
    written.into_bytes()
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn what_is_replaced_keeps_its_ways() {
        for (before, text, expected) in [
            ("a\n", "b\nc\n", "b\nc\n"),
            ("a\r\n", "b\nc\r\n", "b\r\nc\r\n"),
            ("\u{feff}a\r\n", "b\n", "\u{feff}b\r\n"),
            ("a\r\nb\n", "b\n", "b\n"),
            ("", "b\n", "b\n"),
        ] {
            let written = written_like(text, before.as_bytes());
            assert_eq!(String::from_utf8(written).unwrap(), expected, "{before:?}");
        }
    }

    #[test]
    fn text_is_read_whatever_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read_text(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"a = 1\r\n"), Ok("a = 1\r\n".to_owned()));
        assert_eq!(read(b"\xef\xbb\xbfa"), Ok("a".to_owned()));
        let wrong = |text: &str| Err(text.to_owned());
        assert_eq!(
            read(b"\xff\xfea\0"),
            wrong("it is UTF-16; save it as UTF-8")
        );
        assert_eq!(
            read(b"a\nb\xff"),
            wrong("line 2 is not UTF-8; save it as UTF-8")
        );
        let refused = |path: &Path| read_text(path).unwrap_err().to_string();
        assert_eq!(refused(folder.path()), "it is a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        assert_eq!(
            refused(&pipe),
            "it is neither a file nor a folder, and reading it might never end"
        );
    }
}
