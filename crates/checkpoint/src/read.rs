//! Reading the files of a checkpoint, each with a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::fault::Fault;
use crate::files::unreadable;
use crate::header::{self, Header};

/// The longest JSON file that is read; the published tokenizer has 28 MB.
const LONGEST_JSON: u64 = 512 << 20;

/// What a Git LFS pointer begins with.
const POINTER: &[u8] = b"version https://git-lfs";

/// The content of a file, `None` where there is none.
pub fn content(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let file = match mxfp4_fs::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let mut content = Vec::new();
    file.take(LONGEST_JSON)
        .read_to_end(&mut content)
        .map_err(|error| unreadable(path, &error))?;
    Ok(Some(content))
}

/// A file of JSON, `None` where there is none.
pub fn json(path: &Path) -> Result<Option<Value>, Fault> {
    let Some(content) = content(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&content) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(Fault::Json {
            path: path.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// What the header of a weight file tells.
#[derive(Debug)]
pub struct Opened {
    /// The file's length.
    pub bytes: u64,
    /// Where its tensors begin.
    pub start: u64,
    /// Its header.
    pub header: Header,
}

/// Opens a weight file and reads its header.
pub fn weights(folder: &Path, name: &str) -> Result<Opened, Fault> {
    let path = folder.join(name);
    let io = |error: io::Error| unreadable(&path, &error);
    let mut file = match mxfp4_fs::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Fault::NoShard {
                file: name.to_owned(),
            });
        }
        Err(error) => return Err(io(error)),
    };
    let bytes = file.metadata().map_err(io)?.len();
    let start = beginning(&mut file).map_err(io)?;
    if start.starts_with(POINTER) {
        return Err(Fault::Pointer {
            file: name.to_owned(),
        });
    }
    let Some((length, begun)) = start.split_first_chunk() else {
        return Err(Fault::HeaderLength {
            file: name.to_owned(),
            bytes,
            needed: header::LENGTH,
        });
    };
    let length = u64::from_le_bytes(*length);
    if length > header::LONGEST {
        return Err(Fault::HeaderTooLong {
            file: name.to_owned(),
            bytes: length,
            limit: header::LONGEST,
        });
    }
    let end = header::LENGTH + length;
    if end > bytes {
        return Err(Fault::HeaderLength {
            file: name.to_owned(),
            bytes,
            needed: end,
        });
    }
    let mut json = begun.to_vec();
    let more = length.saturating_sub(json.len() as u64);
    file.take(more).read_to_end(&mut json).map_err(io)?;
    json.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(Opened {
        bytes,
        start: end,
        header: header::parse(&json, name, end, bytes - end),
    })
}

/// The first bytes of a file: enough to tell what it is.
fn beginning(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(POINTER.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}
