use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;

use crate::digest::Hashing;
use crate::format::{WINDOW_LOG, Watch};
use crate::partial::Partial;
use crate::tree::Node;
use crate::{About, Entry, Error, MANIFEST, Manifest, Mode, Name, Tree, parts};

/// Twice the time of level 3 for a tenth less, on an SDK; what follows costs much more for little.
const LEVEL: i32 = 6;

/// More compressors than these take more memory than they save time.
const MOST_THREADS: usize = 4;

/// The time of every file in an archive: the same tree makes the same bytes. 2000-01-01, for some tools refuse 1970.
const TIME: u64 = 946_684_800;

/// How a bundle is made.
#[derive(Clone, Debug)]
pub struct Pack<'a> {
    /// The folder that it is to become.
    pub output: &'a Path,
    /// What it is for.
    pub about: About,
    /// The most bytes that a part may have; without, there is one.
    pub split: Option<u64>,
    /// What lies beside the archive.
    pub beside: &'a [Beside],
}

/// A file in a bundle's folder that is not in the archive's parts.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: Mode,
}

/// Makes a bundle of `tree`. It is there whole, or not at all.
pub fn pack(tree: &Tree, how: Pack<'_>, watch: Watch<'_>) -> Result<Manifest, Error> {
    let partial = Partial::beside(how.output)?;
    let folder = partial.path();
    for file in how.beside {
        write(&folder.join(&file.name), &file.content, file.mode)?;
    }
    let (entries, parts) = archive(tree, folder, how.split, watch)?;
    let manifest = Manifest {
        about: how.about,
        parts,
        entries,
    };
    let path = folder.join(MANIFEST);
    let text = manifest
        .to_text()
        .map_err(|error| Error::file("write", &path)(error.into()))?;
    write(&path, text.as_bytes(), Mode::Plain)?;
    partial.commit()?;
    Ok(manifest)
}

fn write(path: &Path, content: &[u8], mode: Mode) -> Result<(), Error> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode.bits())
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(Error::file("write", path))
}

/// Writes the archive's parts into `folder`.
fn archive(
    tree: &Tree,
    folder: &Path,
    split: Option<u64>,
    watch: Watch<'_>,
) -> Result<(Vec<Entry>, Vec<crate::Part>), Error> {
    let failed = |error| Error::file("write", folder)(error);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let stream = compressor(
        parts::Writer::new(folder, split),
        threads.clamp(1, MOST_THREADS),
    )
    .map_err(failed)?;
    let mut archive = tar::Builder::new(stream);
    let mut entries = Vec::new();
    for (name, node) in tree.nodes() {
        entries.push(append(&mut archive, name, node, watch)?);
    }
    let writer = archive
        .into_inner()
        .and_then(zstd::Encoder::finish)
        .map_err(failed)?;
    Ok((entries, writer.finish()))
}

/// With more than no thread, the bytes that come out do not depend on how many there are.
pub(crate) fn compressor<W: Write>(
    writer: W,
    threads: usize,
) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(writer, LEVEL)?;
    encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &Name,
    node: &Node,
    watch: Watch<'_>,
) -> Result<Entry, Error> {
    let failed = |error| Error::file("write", name.as_path())(error);
    let path = name.clone();
    match node {
        Node::Folder => {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            archive
                .append_data(&mut header, name.as_path(), io::empty())
                .map_err(failed)?;
            Ok(Entry::Folder { path })
        }
        Node::Link(target) => {
            use std::os::unix::ffi::OsStrExt;
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            let to = std::ffi::OsStr::from_bytes(target);
            archive
                .append_link(&mut header, name.as_path(), to)
                .map_err(failed)?;
            Ok(Entry::Link {
                path,
                target: target.clone(),
            })
        }
        Node::Text(content) => {
            let (mode, bytes) = (Mode::Plain, content.len() as u64);
            let mut content = Hashing::new(content.as_slice());
            let mut header = header(tar::EntryType::Regular, mode.bits(), bytes);
            archive
                .append_data(&mut header, name.as_path(), &mut content)
                .map_err(failed)?;
            Ok(Entry::File {
                path,
                mode,
                bytes,
                sha256: content.finish(),
            })
        }
        Node::File(source, mode) => {
            let file = File::open(source).map_err(Error::file("read", source))?;
            let metadata = file.metadata().map_err(Error::file("read", source))?;
            let bytes = metadata.len();
            let mut content = Hashing::new(Watched {
                source,
                file: file.take(bytes),
                watch,
            });
            let mut header = header(tar::EntryType::Regular, mode.bits(), bytes);
            archive
                .append_data(&mut header, name.as_path(), &mut content)
                .map_err(failed)?;
            let after = fs::metadata(source).map_err(Error::file("read", source))?;
            let same = after.len() == bytes && after.modified().ok() == metadata.modified().ok();
            if content.count() != bytes || !same {
                return Err(Error::Changed(source.clone()));
            }
            Ok(Entry::File {
                path,
                mode: *mode,
                bytes,
                sha256: content.finish(),
            })
        }
    }
}

fn header(kind: tar::EntryType, mode: u32, bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file that is read: its errors name it, and the watcher is told.
struct Watched<'a> {
    source: &'a Path,
    file: io::Take<File>,
    watch: Watch<'a>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .file
            .read(buffer)
            .map_err(|error| Error::file("read", self.source)(error).into_io())?;
        (self.watch)(read as u64);
        Ok(read)
    }
}
