use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::fields::Bytes;
use crate::{Digest, Name};

/// The name of the manifest in a bundle's folder.
pub const MANIFEST: &str = "manifest.json";

/// What tells it from other JSON.
const FORMAT: &str = "mxfp4-bundle";

/// The version of the format. A change that old programs would misread raises it.
pub(crate) const VERSION: u64 = 1;

/// What a bundle consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// What it is for.
    pub about: About,
    /// The parts of the archive, in their order.
    pub parts: Vec<Part>,
    /// What is in the archive, in its order: sorted by name, a folder before what is in it.
    pub entries: Vec<Entry>,
}

/// What a bundle is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct About {
    /// The program that made it, with its version.
    pub created_by: String,
    /// The version of Python that the SDK is for.
    pub python: String,
    /// The platform that the SDK is for.
    pub platform: String,
    /// The version of MAX.
    pub max: String,
    /// The version of Mojo.
    pub mojo: String,
}

/// A part of the archive: a file beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The file's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// Something in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Entry {
    /// A folder.
    Folder {
        /// Where.
        path: Name,
    },
    /// A file.
    File {
        /// Where.
        path: Name,
        /// Its permissions.
        mode: Mode,
        /// Its size.
        bytes: u64,
        /// Its digest.
        sha256: Digest,
    },
    /// A symbolic link that stays inside.
    Link {
        /// Where.
        path: Name,
        /// Where it points to.
        #[serde(serialize_with = "as_bytes", deserialize_with = "from_bytes")]
        target: Vec<u8>,
    },
}

/// The permissions of a file; no others travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// One that is read.
    #[serde(rename = "0644")]
    Plain,
    /// One that can be run.
    #[serde(rename = "0755")]
    Executable,
}

impl Mode {
    /// The bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }
}

impl Entry {
    /// Where it is.
    pub fn path(&self) -> &Name {
        match self {
            Self::Folder { path } | Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }

    /// How many bytes of content it has.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => *bytes,
            Self::Folder { .. } | Self::Link { .. } => 0,
        }
    }
}

fn as_bytes<S: Serializer>(target: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Bytes(target.to_vec()).serialize(serializer)
}

fn from_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Bytes::deserialize(deserializer).map(|Bytes(bytes)| bytes)
}

/// The file as a whole: the content has a digest of its own, for nothing else would tell that a digit of it changed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    format: String,
    version: u64,
    sha256: Digest,
    content: T,
}

/// What is looked at first; the rest may be of any shape.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// It is of this version.
    Version(u64),
    /// This is wrong.
    Wrong(String),
}

impl From<serde_json::Error> for Invalid {
    fn from(error: serde_json::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid::Wrong(why.into()))
}

impl Manifest {
    /// The text of the file.
    pub(crate) fn to_text(&self) -> serde_json::Result<String> {
        let content = RawValue::from_string(serde_json::to_string_pretty(self)?)?;
        let mut text = serde_json::to_string(&Envelope {
            format: FORMAT.to_owned(),
            version: VERSION,
            sha256: Digest::of(content.get().as_bytes()),
            content,
        })?;
        text.push('\n');
        Ok(text)
    }

    /// Reads the text of the file. What it returns is sound: names and links stay inside the tree, folders come before
    /// what is in them, no name comes twice.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let head: Head = serde_json::from_slice(text)?;
        if head.format != FORMAT {
            return wrong(format!("its format is {:?}, not {FORMAT:?}", head.format));
        }
        if head.version != VERSION {
            return Err(Invalid::Version(head.version));
        }
        let envelope: Envelope<&RawValue> = serde_json::from_slice(text)?;
        let content = envelope.content.get();
        if Digest::of(content.as_bytes()) != envelope.sha256 {
            return wrong("its content is not what its SHA-256 says");
        }
        let manifest: Self = serde_json::from_str(content)?;
        manifest.check_parts()?;
        manifest.check_entries()?;
        Ok(manifest)
    }

    /// The size of what it unpacks to.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(Entry::bytes).sum()
    }

    /// The size of the archive.
    pub fn archive_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    fn check_parts(&self) -> Result<(), Invalid> {
        if self.parts.is_empty() {
            return wrong("it names no parts");
        }
        let mut names = BTreeSet::new();
        for part in &self.parts {
            let plain = Name::new(&part.name).is_ok_and(|name| name.parent().is_none());
            if !plain || part.name == MANIFEST {
                return wrong(format!("{:?} is no name of a part", part.name));
            }
            if !names.insert(&part.name) {
                return wrong(format!("the part {:?} comes twice", part.name));
            }
        }
        sum(self.parts.iter().map(|part| part.bytes))
    }

    fn check_entries(&self) -> Result<(), Invalid> {
        let mut folders = BTreeSet::new();
        let mut before: Option<&Name> = None;
        for entry in &self.entries {
            let path = entry.path();
            if before.is_some_and(|before| before >= path) {
                return wrong(format!("{path:?} comes twice or out of order"));
            }
            // A link in a folder's place would lead what is "in" it elsewhere.
            if let Some(parent) = path.parent()
                && !folders.contains(&parent)
            {
                return wrong(format!("{path:?} is in no folder that comes before it"));
            }
            match entry {
                Entry::Folder { path } => {
                    folders.insert(path.clone());
                }
                Entry::Link { path, target } => {
                    if let Err(why) = path.check_link(target) {
                        let target = String::from_utf8_lossy(target);
                        return wrong(format!("the target {target:?} of the link {path:?} {why}"));
                    }
                }
                Entry::File { .. } => {}
            }
            before = Some(path);
        }
        sum(self.entries.iter().map(Entry::bytes))
    }
}

/// Has sizes make sense together.
fn sum(mut sizes: impl Iterator<Item = u64>) -> Result<(), Invalid> {
    match sizes.try_fold(0u64, u64::checked_add) {
        Some(_) => Ok(()),
        None => wrong("its sizes add up to more than there can be"),
    }
}

#[cfg(test)]
mod tests;
