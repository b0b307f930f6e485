//! What a compiler can read when it makes something: what it is given, and what that can import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use mxfp4_fs::{Found, Stamp, Walk};

use crate::fingerprint::{BuildFingerprint, Input};
use crate::{ConfigError, Error, files};

/// The extensions of Mojo sources.
const SOURCES: [&str; 2] = ["mojo", "🔥"];
/// Those of what is compiled already.
const PACKAGES: [&str; 2] = ["mojoc", "mojopkg"];

/// What a target is made from.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The command line, the output's name excepted.
    pub(crate) arguments: Vec<String>,
    /// A package's folder, or a program's file.
    pub(crate) source: PathBuf,
    /// Where the compiler looks for what is imported, in its order.
    pub(crate) import_path: Vec<PathBuf>,
    /// Those folders of it of which only what is imported counts.
    pub(crate) shared: BTreeSet<PathBuf>,
    /// The compiler, and files that its flags name.
    pub(crate) tools: Vec<PathBuf>,
    /// The folder of the compiler's own packages.
    pub(crate) lib_mojo: PathBuf,
    /// What it makes. Where that lies on the import path it is no input all the same.
    pub(crate) outputs: Vec<PathBuf>,
}

/// What was read already, for several targets that are made from the same.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeMap<PathBuf, Input>>);

impl Seen {
    fn get(&self, path: &Path) -> Option<Input> {
        self.0.lock().ok()?.get(path).cloned()
    }

    fn put(&self, path: &Path, input: &Input) {
        if let Ok(mut seen) = self.0.lock() {
            seen.insert(path.to_owned(), input.clone());
        }
    }
}

impl Inputs {
    /// Looks at them as they are now. What `old` and `seen` know of a file that was not touched since is believed, the
    /// rest is read.
    ///
    /// Whatever is on the import path counts. But of [`Self::shared`] folders, which hold a package's tests too, only
    /// those names count that something imports: that stand on a line with `import` or `from`. What a compiled package
    /// imports cannot be told, so where one is imported that is not the compiler's own, every name counts.
    pub(crate) fn look(
        &self,
        old: Option<&BuildFingerprint>,
        seen: &Seen,
    ) -> Result<BuildFingerprint, Error> {
        let mut look = Look {
            inputs: self,
            old,
            seen,
            begin: SystemTime::now(),
            walk: Walk::default(),
            found: BTreeMap::new(),
            names: BTreeSet::new(),
            packages: BTreeSet::new(),
        };
        for tool in &self.tools {
            let metadata = fs::metadata(tool).map_err(Error::file("read", tool))?;
            look.file(tool, Stamp::of(&metadata))?;
        }
        look.tree(&self.source)?;
        let mut places = Vec::new();
        for folder in &self.import_path {
            let is_shared = self.shared.contains(folder);
            for name in mxfp4_fs::names(folder).unwrap_or_default() {
                let path = folder.join(name);
                let Some(module) = module(&path) else {
                    continue;
                };
                // Any of the compiler's packages may import another, or what has the name of another.
                if *folder == self.lib_mojo {
                    look.names.insert(module.clone());
                }
                match is_shared {
                    true => places.push((module, path)),
                    false => look.tree(&path)?,
                }
            }
        }
        look.imported(places)?;
        Ok(BuildFingerprint::new(
            self.arguments.clone(),
            &self.import_path,
            look.found,
        ))
    }
}

/// The name by which a file or folder on the import path is imported, where it can be.
fn module(path: &Path) -> Option<String> {
    if is_read(path) {
        return Some(path.file_stem()?.to_string_lossy().into_owned());
    }
    let name = path.file_name()?.to_string_lossy();
    (!name.contains('.')).then(|| name.into_owned())
}

/// Whether a compiler reads files of this name.
fn is_read(path: &Path) -> bool {
    extension(path, &SOURCES) || extension(path, &PACKAGES)
}

fn extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| known.iter().any(|known| extension == *known))
}

struct Look<'a> {
    inputs: &'a Inputs,
    old: Option<&'a BuildFingerprint>,
    seen: &'a Seen,
    begin: SystemTime,
    walk: Walk,
    found: BTreeMap<PathBuf, Input>,
    /// What is imported, as far as it was found out.
    names: BTreeSet<String>,
    /// Compiled packages that are not the compiler's own.
    packages: BTreeSet<String>,
}

impl Look<'_> {
    /// Those of `places` that are imported, and what they import in turn.
    fn imported(&mut self, mut places: Vec<(String, PathBuf)>) -> Result<(), Error> {
        loop {
            let everything = self.names.iter().any(|name| self.packages.contains(name));
            let counts = |name: &String| everything || self.names.contains(name);
            let (taken, rest): (Vec<_>, _) = places.into_iter().partition(|(name, _)| counts(name));
            if taken.is_empty() {
                return Ok(());
            }
            for (_, path) in taken {
                self.tree(&path)?;
            }
            places = rest;
        }
    }

    /// Everything in `path` that a compiler reads.
    fn tree(&mut self, path: &Path) -> Result<(), Error> {
        let mut walk = std::mem::take(&mut self.walk);
        let walked = walk.look(path, &mut |found| self.found(found));
        self.walk = walk;
        walked
    }

    fn found(&mut self, found: Found) -> Result<(), Error> {
        match found {
            Found::Folder(_) => Ok(()),
            Found::Again { path, first } => {
                let first = Input::another_name_of(first);
                self.found.insert(path.to_owned(), first);
                Ok(())
            }
            Found::File(path, metadata) => match is_read(path) && !self.is_made(path) {
                true => self.file(path, Stamp::of(metadata)),
                false => Ok(()),
            },
            Found::Special(path) if is_read(path) => {
                Err(ConfigError::Special(path.to_owned()).into())
            }
            Found::Special(_) => Ok(()),
            Found::Unreadable(path, error) if path.starts_with(&self.inputs.source) => {
                Err(Error::file("read", path)(error))
            }
            // The compiler cannot read it either.
            Found::Unreadable(..) => Ok(()),
        }
    }

    /// Whether it is an output, whole or unfinished.
    fn is_made(&self, path: &Path) -> bool {
        self.inputs.outputs.iter().any(|output| output == path)
            || path.parent().is_some_and(files::is_partial)
    }

    fn file(&mut self, path: &Path, stamp: Stamp) -> Result<(), Error> {
        let known = self.old.and_then(|old| old.input(path)).cloned();
        let known = known.filter(|input| input.is_as(stamp));
        let known = known.or_else(|| self.seen.get(path).filter(|input| input.is_as(stamp)));
        let input = match known {
            Some(input) => input,
            None => self.read(path, stamp)?,
        };
        self.seen.put(path, &input);
        self.names.extend(input.imports().map(str::to_owned));
        if extension(path, &PACKAGES) && !path.starts_with(&self.inputs.lib_mojo) {
            self.packages.extend(module(path));
        }
        self.found.insert(path.to_owned(), input);
        Ok(())
    }

    fn read(&self, path: &Path, stamp: Stamp) -> Result<Input, Error> {
        let (hash, imports) = if extension(path, &SOURCES) {
            let content = fs::read(path).map_err(Error::file("read", path))?;
            let imports = imported(&String::from_utf8_lossy(&content));
            (blake3::hash(&content), imports)
        } else {
            (files::hash(path)?, BTreeSet::new())
        };
        Ok(Input::new(stamp, self.begin, hash, imports))
    }
}

/// The names on the lines that may import something: these, and more.
fn imported(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let text = text.replace("\\\r\n", " ").replace("\\\n", " ");
    for line in text.lines() {
        let words = || {
            line.split(|char: char| char.is_ascii_punctuation() && char != '_' && char != '-')
                .flat_map(str::split_whitespace)
        };
        if words().any(|word| word == "import" || word == "from") {
            names.extend(words().map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_that_may_be_imported() {
        for (text, expected) in [
            ("def x():\n    test()\n", ""),
            ("from .sub.a import b\r\n", "a b from import sub"),
            ("x = 1; import one, two as t", "1 as import one t two x"),
            ("from \\\n  far \\\r\n import y", "far from import y"),
            ("import `my-module`", "import my-module"),
        ] {
            let names: Vec<_> = imported(text).into_iter().collect();
            assert_eq!(names.join(" "), expected, "{text}");
        }
    }

    /// A package `kernels/it` that imports `near`, beside what it does not import; `includes` and `library` are import
    /// paths too.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for (name, text) in [
                ("kernels/it/__init__.mojo", "from near.x import y"),
                ("kernels/near/x.mojo", "import far"),
                ("kernels/far.mojo", ""),
                ("kernels/test/test_it.mojo", "from it import x"),
                ("includes/any/x.mojo", ""),
                ("library/std.mojoc", ""),
                ("mojo", ""),
            ] {
                place.write(name, text);
            }
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), text).unwrap();
        }

        fn look(&self, old: Option<&BuildFingerprint>) -> Result<BuildFingerprint, Error> {
            let inputs = Inputs {
                arguments: Vec::new(),
                source: self.path("kernels/it"),
                import_path: ["kernels", "includes", "build", "library"]
                    .map(|name| self.path(name))
                    .into(),
                shared: BTreeSet::from([self.path("kernels")]),
                tools: vec![self.path("mojo")],
                lib_mojo: self.path("library"),
                outputs: vec![self.path("build/it.mojoc")],
            };
            inputs.look(old, &Seen::default())
        }
    }

    #[test]
    fn what_can_be_read_counts_and_nothing_else() {
        type Change = fn(&Place);
        let changes: [(&str, Change, bool); 15] = [
            ("its own", |p| p.write("kernels/it/__init__.mojo", ""), true),
            ("imported", |p| p.write("kernels/near/x.mojo", "1"), true),
            (
                "imported by that",
                |p| p.write("kernels/far.mojo", "1"),
                true,
            ),
            ("new, imported", |p| p.write("kernels/near/x.🔥", "1"), true),
            ("shadowing", |p| p.write("kernels/std/x.mojo", ""), true),
            (
                "a test",
                |p| p.write("kernels/test/test_it.mojo", "1"),
                false,
            ),
            ("a new test", |p| p.write("kernels/test/x.mojo", ""), false),
            ("included", |p| p.write("includes/any/x.mojo", "1"), true),
            ("a package", |p| p.write("includes/any.mojopkg", "1"), true),
            ("hidden", |p| p.write("includes/.git/x.mojo", "1"), false),
            ("another case", |p| p.write("includes/X.MOJO", "1"), false),
            ("the library", |p| p.write("library/std.mojoc", "1"), true),
            ("another output", |p| p.write("build/other.mojoc", ""), true),
            ("its output", |p| p.write("build/it.mojoc", ""), false),
            (
                "unfinished",
                |p| p.write("build/other.mojoc.partial-1/other.mojoc", ""),
                false,
            ),
        ];
        for (name, change, counts) in changes {
            let place = Place::new();
            let old = place.look(None).unwrap();
            change(&place);
            let new = place.look(Some(&old)).unwrap();
            assert_eq!(!new.agrees_with(&old), counts, "{name}");
        }
    }

    #[test]
    fn a_linked_folder_counts_and_a_circle_ends() {
        let place = Place::new();
        place.write("elsewhere/a.mojo", "one");
        symlink(place.path("elsewhere"), place.path("kernels/it/linked")).unwrap();
        symlink("..", place.path("elsewhere/up")).unwrap();
        let old = place.look(None).unwrap();
        assert!(place.look(Some(&old)).unwrap().agrees_with(&old));
        place.write("elsewhere/a.mojo", "two");
        let new = place.look(Some(&old)).unwrap();
        assert!(!new.agrees_with(&old));
        // A further name of what is there already is something else to import.
        symlink("linked", place.path("kernels/it/again")).unwrap();
        assert!(!place.look(Some(&new)).unwrap().agrees_with(&new));
    }

    #[test]
    fn with_a_package_of_unknown_imports_everything_counts() {
        let place = Place::new();
        place.write("includes/near.mojoc", "");
        let old = place.look(None).unwrap();
        place.write("kernels/test/test_it.mojo", "1");
        assert!(!place.look(Some(&old)).unwrap().agrees_with(&old));
    }

    #[test]
    fn a_named_pipe_is_refused() {
        let place = Place::new();
        let pipe = place.path("kernels/it/pipe.mojo");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = place.look(None).unwrap_err();
        assert!(
            matches!(&refused, Error::Config(ConfigError::Special(path)) if *path == pipe),
            "{refused:?}"
        );
    }
}
