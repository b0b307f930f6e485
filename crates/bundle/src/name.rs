use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fields::Bytes;

/// The place of a file below the root of a tree: relative, and without `.`, `..` and empty steps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// The name that `path` is, or why it is none.
    pub fn new(path: impl AsRef<OsStr>) -> Result<Self, &'static str> {
        Self::from_bytes(path.as_ref().as_bytes())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.is_empty() {
            return Err("is empty");
        }
        if bytes.starts_with(b"/") {
            return Err("is absolute");
        }
        for step in bytes.split(|&byte| byte == b'/') {
            match step {
                b"" => return Err("has an empty step"),
                b"." => return Err("has a `.` in it"),
                b".." => return Err("leads upward with `..`"),
                step if step.contains(&0) => return Err("has a zero byte in it"),
                _ => {}
            }
        }
        Ok(Self(bytes.to_vec()))
    }

    /// It as a path, to be joined to a root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The folder it is in, where that is not the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&byte| byte == b'/')?;
        Some(Self(self.0[..slash].to_vec()))
    }

    /// How many folders it is in.
    fn depth(&self) -> usize {
        self.0.iter().filter(|&&byte| byte == b'/').count()
    }

    /// Whether a link of this name that points to `target` stays inside the tree, wherever that is put.
    ///
    /// `..` may only come first. After a name it would count from wherever another link leads.
    pub(crate) fn check_link(&self, target: &[u8]) -> Result<(), &'static str> {
        if target.is_empty() {
            return Err("is empty");
        }
        if target.starts_with(b"/") {
            return Err("is absolute");
        }
        let mut ups = 0;
        let mut named = false;
        for step in target.split(|&byte| byte == b'/') {
            match step {
                b"" | b"." => {}
                b".." if named => return Err("has a `..` after a name"),
                b".." => ups += 1,
                step if step.contains(&0) => return Err("has a zero byte in it"),
                _ => named = true,
            }
        }
        match ups > self.depth() {
            true => Err("leaves the tree"),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().display().fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(self.0.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Bytes(bytes) = Bytes::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(|why| {
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            D::Error::custom(format!("the path {shown:?} {why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a/b", ".a", "..a/b..", "a b\n", "a\\b"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for (wrong, why) in [
            ("", "is empty"),
            ("/a", "is absolute"),
            ("a//b", "has an empty step"),
            ("a/", "has an empty step"),
            ("./a", "has a `.` in it"),
            ("a/.", "has a `.` in it"),
            ("..", "leads upward with `..`"),
            ("a/../b", "leads upward with `..`"),
            ("a\0b", "has a zero byte in it"),
        ] {
            assert_eq!(Name::new(wrong).unwrap_err(), why, "{wrong}");
        }
    }

    #[test]
    fn links_stay_inside() {
        for (name, target, expect) in [
            ("a", "b", Ok(())),
            ("a", "./b/c", Ok(())),
            ("d/a", "../b", Ok(())),
            ("d/e/a", "../../b", Ok(())),
            ("d/a", "..", Ok(())),
            ("a", "..", Err("leaves the tree")),
            ("a", "../b", Err("leaves the tree")),
            ("d/a", "../../b", Err("leaves the tree")),
            ("d/a", "b/../../../c", Err("has a `..` after a name")),
            ("a", "b/..", Err("has a `..` after a name")),
            ("a", "/etc/passwd", Err("is absolute")),
            ("a", "", Err("is empty")),
            ("a", "b\0", Err("has a zero byte in it")),
        ] {
            let name = Name::new(name).unwrap();
            assert_eq!(
                name.check_link(target.as_bytes()),
                expect,
                "{name} -> {target}"
            );
        }
    }
}
