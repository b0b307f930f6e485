use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};

use crate::digest::Hashing;
use crate::format::ARCHIVE;
use crate::{Error, Part};

/// So many parts have numbers of the same length, which sort as text.
const MOST: usize = 9999;

/// Writes a stream as files of a limited size.
pub(crate) struct Writer {
    folder: PathBuf,
    limit: Option<u64>,
    current: Option<(String, Hashing<File>)>,
    parts: Vec<Part>,
}

impl Writer {
    /// Writes into `folder`: one file, or as many of `limit` bytes as it takes.
    pub(crate) fn new(folder: &Path, limit: Option<u64>) -> Self {
        Self {
            folder: folder.to_owned(),
            limit: limit.map(|limit| limit.max(1)),
            current: None,
            parts: Vec::new(),
        }
    }

    /// What was written.
    pub(crate) fn finish(mut self) -> Vec<Part> {
        self.close();
        self.parts
    }

    fn close(&mut self) {
        if let Some((name, file)) = self.current.take() {
            self.parts.push(Part {
                name,
                bytes: file.count(),
                sha256: file.finish(),
            });
        }
    }

    fn open(&mut self) -> Result<(String, Hashing<File>), Error> {
        let name = match self.limit {
            None => ARCHIVE.to_owned(),
            Some(_) if self.parts.len() == MOST => return Err(Error::TooManyParts(MOST)),
            Some(_) => format!("{ARCHIVE}.{:04}", self.parts.len() + 1),
        };
        let path = self.folder.join(&name);
        let file = File::create_new(&path).map_err(Error::file("create", &path))?;
        Ok((name, Hashing::new(file)))
    }
}

impl Write for Writer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let (name, mut file) = match self.current.take() {
            Some(current) => current,
            None => self.open().map_err(Error::into_io)?,
        };
        let room = self.limit.map_or(u64::MAX, |limit| limit - file.count());
        let length = buffer
            .len()
            .min(usize::try_from(room).unwrap_or(usize::MAX));
        let path = self.folder.join(&name);
        let written = file
            .write(&buffer[..length])
            .map_err(|error| Error::file("write", &path)(error).into_io())?;
        let full = self.limit == Some(file.count());
        self.current = Some((name, file));
        if full {
            self.close();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads files one after the other as one stream.
pub(crate) struct Reader {
    paths: Vec<PathBuf>,
    current: Option<(PathBuf, File)>,
}

impl Reader {
    /// Reads `paths` in their order.
    pub(crate) fn new(mut paths: Vec<PathBuf>) -> Self {
        paths.reverse();
        Self {
            paths,
            current: None,
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (path, mut file) = match mem::take(&mut self.current) {
                Some(current) => current,
                None => match self.paths.pop() {
                    None => return Ok(0),
                    Some(path) => {
                        let file = fs::File::open(&path)
                            .map_err(|error| Error::file("read", &path)(error).into_io())?;
                        (path, file)
                    }
                },
            };
            let read = file
                .read(buffer)
                .map_err(|error| Error::file("read", &path)(error).into_io())?;
            if read > 0 || buffer.is_empty() {
                self.current = Some((path, file));
                return Ok(read);
            }
        }
    }
}
