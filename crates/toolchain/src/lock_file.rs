use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{ConfigError, Error};

/// `uv.lock`, as far as it matters here.
pub(crate) struct LockFile {
    path: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    #[serde(default)]
    wheels: Vec<Wheel>,
}

/// A wheel that the lock file names.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Wheel {
    pub(crate) url: String,
    hash: Option<String>,
}

impl LockFile {
    pub(crate) fn read(path: PathBuf) -> Result<Self, Error> {
        let text = mxfp4_fs::read_text(&path).map_err(Error::file("read", &path))?;
        let content: Content = toml::from_str(&text).map_err(|error| ConfigError::Toml {
            path: path.clone(),
            why: error.to_string(),
        })?;
        Ok(Self {
            path,
            packages: content.package,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The version of a package.
    pub(crate) fn version(&self, name: &str) -> Option<&str> {
        self.package(name)?.version.as_deref()
    }

    /// The wheel of a package that needs no particular Python and runs on this
    /// kind of machine, with glibc.
    pub(crate) fn native_wheel(&self, name: &str) -> Option<&Wheel> {
        let platform = format!("_{}", std::env::consts::ARCH);
        self.package(name)?.wheels.iter().find(|wheel| {
            let file = wheel.url.rsplit('/').next().unwrap_or_default();
            let tags = file.trim_end_matches(".whl").rsplit('-').next();
            file.contains("-py3-none-")
                && tags
                    .unwrap_or_default()
                    .split('.')
                    .any(|tag| tag.starts_with("manylinux") && tag.ends_with(&platform))
        })
    }

    fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Wheel {
    /// The SHA-256 that the lock file has of it.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.hash.as_deref()?.strip_prefix("sha256:")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_asked_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uv.lock");
        let arch = std::env::consts::ARCH;
        let wheel = |tags: &str| {
            format!("{{ url = \"https://h/uv-1-py3-none-{tags}.whl\", hash = \"sha256:aa\" }}")
        };
        let wheels = [
            wheel("macosx_11_0_x86_64"),
            wheel(&format!("musllinux_1_1_{arch}")),
            wheel("manylinux_2_17_sparc"),
            wheel(&format!(
                "manylinux_2_17_{arch}.manylinux2014_{arch}.musllinux_1_1_{arch}"
            )),
        ];
        let text = format!(
            "version = 1\n[[package]]\nname = \"own\"\nsource = {{ virtual = \".\" }}\n\
             [[package]]\nname = \"uv\"\nversion = \"1\"\nwheels = [\n{}\n]\n",
            wheels.join(",\n")
        );
        fs::write(&path, text).unwrap();
        let lock = LockFile::read(path.clone()).unwrap();
        assert_eq!(lock.version("uv"), Some("1"));
        assert_eq!(lock.version("own"), None);
        assert_eq!(lock.version("max"), None);
        let wheel = lock.native_wheel("uv").unwrap();
        assert!(wheel.url.contains("manylinux2014"), "{wheel:?}");
        assert_eq!(wheel.sha256(), Some("aa"));
        assert_eq!(lock.native_wheel("own"), None);
        fs::write(&path, "version = ").unwrap();
        assert!(matches!(LockFile::read(path), Err(Error::Config(_))));
    }
}
