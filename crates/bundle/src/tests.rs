//! Round trips, and everything that can be wrong with a bundle: each is refused with its own message, and nothing is left
//! behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::format::ARCHIVE;

fn on(_: u64) {}

fn about() -> About {
    About {
        created_by: "test".into(),
        python: "3.12".into(),
        platform: "x86_64-manylinux_2_34".into(),
        max: "1".into(),
        mojo: "1".into(),
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

/// A folder with everything that a tree may hold.
fn odd_tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let long = "long".repeat(60);
    let deep = Path::new(&long).join(&long);
    for name in ["empty", "a", "a-b", deep.to_str().unwrap()] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let bytes = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for (path, content) in [
        (root.join("a/plain"), b"text".to_vec()),
        (root.join("a/nothing"), Vec::new()),
        (
            root.join("a-b/sorts between a and what is in it"),
            vec![0; 70_000],
        ),
        (root.join("run"), b"#!/bin/sh\n".to_vec()),
        (root.join(&deep).join(&long), b"deep".to_vec()),
        (root.join(" \n\"\\"), b"blank".to_vec()),
        (bytes(b"\xff\xfe"), b"no text".to_vec()),
        (root.join("noise"), noise(50_000)),
    ] {
        fs::write(path, content).unwrap();
    }
    fs::set_permissions(root.join("run"), Permissions::from_mode(0o755)).unwrap();
    symlink("../noise", root.join("a/link")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\xfe"), root.join("link")).unwrap();
    symlink("not there", root.join("dangling")).unwrap();
    symlink(format!("{}/{long}", deep.display()), root.join("long")).unwrap();
    folder
}

/// What a folder holds: the name of each file with its permissions and content.
fn listing(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    fn walk(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
        for entry in fs::read_dir(root.join(path)).unwrap() {
            let path = path.join(entry.unwrap().file_name());
            let full = root.join(&path);
            let metadata = fs::symlink_metadata(&full).unwrap();
            let content = if metadata.is_dir() {
                walk(root, &path, found);
                b"folder".to_vec()
            } else if metadata.is_symlink() {
                fs::read_link(&full)
                    .unwrap()
                    .into_os_string()
                    .as_bytes()
                    .to_vec()
            } else {
                fs::read(&full).unwrap()
            };
            found.insert(path, (metadata.permissions().mode() & 0o7111, content));
        }
    }
    let mut found = BTreeMap::new();
    walk(root, Path::new(""), &mut found);
    found
}

fn tree_of(root: &Path) -> Tree {
    let mut tree = Tree::default();
    tree.all(root, Path::new(""), "", &|_| false).unwrap();
    tree
}

fn pack_into(tree: &Tree, output: &Path, split: Option<u64>) -> Result<Manifest, Error> {
    let how = Pack {
        output,
        about: about(),
        split,
        beside: &[Beside {
            name: "README.txt".into(),
            content: b"read me".to_vec(),
            mode: Mode::Plain,
        }],
    };
    pack(tree, how, &on)
}

/// Finds, verifies and unpacks.
fn unpack(places: &[PathBuf], into: &Path) -> Result<(), Error> {
    let bundle = Bundle::find(places)?;
    bundle.verify(&on)?;
    bundle.unpack(into, &on)
}

/// A bundle of the odd tree in parts of 20,000 bytes, and a place to unpack it to.
struct Place {
    folder: TempDir,
    odd: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            odd: odd_tree(),
        };
        pack_into(&tree_of(place.odd.path()), &place.bundle(), Some(20_000)).unwrap();
        place
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    fn part(&self, number: usize) -> PathBuf {
        self.bundle().join(format!("bundle.tar.zst.{number:04}"))
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("into")
    }

    fn unpack(&self) -> Result<(), Error> {
        unpack(&[self.bundle()], &self.target())
    }

    /// Nothing was made, not even aside.
    fn is_clean(&self) -> bool {
        listing(self.folder.path())
            .keys()
            .all(|path| path.starts_with("bundle") || path.starts_with("elsewhere"))
    }
}

#[test]
fn what_comes_out_is_what_went_in() {
    let odd = odd_tree();
    for split in [None, Some(20_000)] {
        let folder = tempfile::tempdir().unwrap();
        let (bundle, into) = (folder.path().join("bundle"), folder.path().join("in/to"));
        let manifest = pack_into(&tree_of(odd.path()), &bundle, split).unwrap();
        assert_eq!(manifest.parts.len() > 2, split.is_some());
        assert!(
            manifest
                .parts
                .iter()
                .all(|part| part.bytes <= split.unwrap_or(u64::MAX))
        );
        unpack(&[bundle], &into).unwrap();
        assert_eq!(listing(&into), listing(odd.path()));
    }
}

#[test]
fn an_empty_folder_may_be_the_place_and_the_parts_anywhere() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    let elsewhere = place.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let moved = elsewhere.join("bundle.tar.zst.0002");
    fs::rename(place.part(2), &moved).unwrap();
    unpack(&[moved, place.bundle()], &place.target()).unwrap();
    assert_eq!(listing(&place.target()), listing(place.odd.path()));
}

#[test]
fn the_same_tree_makes_the_same_bytes() {
    let (one, other) = (Place::new(), Place::new());
    assert_eq!(listing(&one.bundle()), listing(&other.bundle()));
}

#[test]
fn the_number_of_threads_does_not_show() {
    let mut content = noise(3_000_000);
    while content.len() < 20_000_000 {
        content.extend_from_within(..3_000_000);
        content.extend(noise(1_000));
    }
    let compressed = |threads| {
        let mut encoder = crate::pack::compressor(Vec::new(), threads).unwrap();
        encoder.write_all(&content).unwrap();
        Digest::of(&encoder.finish().unwrap())
    };
    assert_eq!(compressed(1), compressed(3));
}

#[test]
fn every_damage_is_told_and_leaves_nothing() {
    type Damage = fn(&Place);
    type Expected = fn(&Error) -> bool;
    let cases: [(&str, Damage, Expected, &str); 12] = [
        (
            "a flipped bit",
            |place| {
                let mut bytes = fs::read(place.part(2)).unwrap();
                bytes[777] ^= 4;
                fs::write(place.part(2), bytes).unwrap();
            },
            |error| matches!(error, Error::Damaged { .. }),
            "0002 is damaged, or a part of another bundle",
        ),
        (
            "a part of another bundle",
            |place| fs::write(place.part(1), vec![7; 20_000]).unwrap(),
            |error| matches!(error, Error::Damaged { .. }),
            "0001 is damaged, or a part of another bundle",
        ),
        (
            "a truncated part",
            |place| fs::write(place.part(1), &fs::read(place.part(1)).unwrap()[1..]).unwrap(),
            |error| matches!(error, Error::Truncated { bytes: 19_999, .. }),
            "0001 is truncated: 19999 of 20000 bytes",
        ),
        (
            "a part with more in it",
            |place| {
                let mut bytes = fs::read(place.part(1)).unwrap();
                bytes.push(0);
                fs::write(place.part(1), bytes).unwrap();
            },
            |error| matches!(error, Error::TooLong { bytes: 20_001, .. }),
            "0001 is too long",
        ),
        (
            "a missing part",
            |place| fs::remove_file(place.part(2)).unwrap(),
            |error| matches!(error, Error::Missing { missing, .. } if missing.len() == 1),
            "1 is missing of ",
        ),
        (
            "two missing parts",
            |place| {
                fs::remove_file(place.part(1)).unwrap();
                fs::remove_file(place.part(3)).unwrap();
            },
            |error| matches!(error, Error::Missing { missing, .. } if missing.len() == 2),
            "bundle.tar.zst.0001, bundle.tar.zst.0003",
        ),
        (
            "parts in another order",
            |place| {
                let aside = place.bundle().join("aside");
                fs::rename(place.part(1), &aside).unwrap();
                fs::rename(place.part(2), place.part(1)).unwrap();
                fs::rename(aside, place.part(2)).unwrap();
            },
            |error| matches!(error, Error::Misnamed { .. }),
            "0001 holds what belongs into bundle.tar.zst.0002",
        ),
        (
            "a part too many",
            |place| fs::write(place.part(99), "more").unwrap(),
            |error| matches!(error, Error::Foreign(_)),
            "0099 is no part of this bundle",
        ),
        (
            "no manifest",
            |place| fs::remove_file(place.bundle().join(MANIFEST)).unwrap(),
            |error| matches!(error, Error::NoManifest(_)),
            "manifest.json is not there",
        ),
        (
            "half a manifest",
            |place| {
                let path = place.bundle().join(MANIFEST);
                let text = fs::read(&path).unwrap();
                fs::write(path, &text[..text.len() / 2]).unwrap();
            },
            |error| matches!(error, Error::Manifest { .. }),
            "manifest.json is damaged",
        ),
        (
            "another version",
            |place| {
                let path = place.bundle().join(MANIFEST);
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replacen("\"version\":1", "\"version\":9", 1)).unwrap();
            },
            |error| matches!(error, Error::Version { version: 9, .. }),
            "has version 9 of the format",
        ),
        (
            "a folder in a part's place",
            |place| {
                fs::remove_file(place.part(1)).unwrap();
                fs::create_dir(place.part(1)).unwrap();
            },
            |error| matches!(error, Error::Truncated { .. } | Error::File { .. }),
            "0001",
        ),
    ];
    for (what, damage, expected, says) in cases {
        let place = Place::new();
        damage(&place);
        let error = place.unpack().unwrap_err();
        assert!(expected(&error), "{what}: {error:?}");
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert!(place.is_clean(), "{what}");
    }
}

#[test]
fn what_is_there_stays() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    fs::write(place.target().join("mine"), "").unwrap();
    let is_refused = |error| matches!(error, Error::Exists(_));
    assert!(is_refused(place.unpack().unwrap_err()));
    assert_eq!(listing(&place.target()).len(), 1);
    let tree = tree_of(place.odd.path());
    assert!(is_refused(
        pack_into(&tree, &place.target(), None).unwrap_err()
    ));
    assert!(is_refused(
        pack_into(&tree, &place.part(1), None).unwrap_err()
    ));
    assert_eq!(listing(&place.target()).len(), 1);
    // One that comes into being meanwhile, too.
    let late = place.folder.path().join("late");
    let watch = |_: u64| {
        fs::create_dir_all(late.join("mine")).unwrap();
    };
    let bundle = Bundle::find(&[place.bundle()]).unwrap();
    assert!(is_refused(bundle.unpack(&late, &watch).unwrap_err()));
    assert_eq!(listing(&late).len(), 1);
}

#[test]
fn two_manifests_are_one_too_many() {
    let (one, other) = (Place::new(), Place::new());
    let places = [one.bundle(), other.bundle()];
    let error = unpack(&places, &one.target()).unwrap_err();
    assert!(matches!(error, Error::Twice(..)), "{error}");
    // The same one, named as a folder and as a file, is one.
    unpack(&[one.bundle(), one.part(1)], &one.target()).unwrap();
}

#[test]
fn what_another_still_works_in_is_no_leftover() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    let working = crate::partial::Partial::beside(&place).unwrap();
    let dead = folder.path().join(".place.partial-dead");
    fs::create_dir_all(dead.join("half")).unwrap();
    let other = folder.path().join(".other.partial-x");
    fs::create_dir(&other).unwrap();
    let second = crate::partial::Partial::beside(&place).unwrap();
    assert!(working.path().is_dir() && second.path().is_dir() && other.is_dir());
    assert!(!dead.exists());
    fs::write(second.path().join("content"), "").unwrap();
    second.commit().unwrap();
    assert!(matches!(working.commit(), Err(Error::Exists(_))));
    assert_eq!(listing(&place).len(), 1);
}

#[test]
fn what_cannot_travel_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let refused = |what: &str| {
        let error = Tree::default().all(root, Path::new(""), "x", &|_| false);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    for (target, why) in [("/etc", "is absolute"), ("../../y", "leaves the tree")] {
        symlink(target, root.join("link")).unwrap();
        refused(why);
        fs::remove_file(root.join("link")).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    refused("it is a socket");
}

#[test]
fn a_file_that_changes_meanwhile_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("tree")).unwrap();
    let file = root.join("tree/file");
    fs::write(&file, noise(2_000_000)).unwrap();
    let watch = |_: u64| {
        fs::write(&file, "short").unwrap();
    };
    let output = root.join("bundle");
    let how = Pack {
        output: &output,
        about: about(),
        split: None,
        beside: &[],
    };
    let error = pack(&tree_of(&root.join("tree")), how, &watch).unwrap_err();
    assert!(matches!(error, Error::Changed(_)), "{error:?}");
    assert!(!output.exists());
}

/// A bundle whose archive is `archive` and whose manifest says `entries`, with checksums that are right.
fn forged(folder: &Path, archive: &[u8], entries: Vec<Entry>) {
    let packed = zstd::encode_all(archive, 1).unwrap();
    fs::create_dir(folder).unwrap();
    fs::write(folder.join(ARCHIVE), &packed).unwrap();
    let manifest = Manifest {
        about: about(),
        parts: vec![Part {
            name: ARCHIVE.into(),
            bytes: packed.len() as u64,
            sha256: Digest::of(&packed),
        }],
        entries,
    };
    fs::write(folder.join(MANIFEST), manifest.to_text().unwrap()).unwrap();
}

#[test]
fn an_archive_that_means_harm_is_refused() {
    let file = |path: &str, content: &[u8]| Entry::File {
        path: Name::new(path).unwrap(),
        mode: Mode::Plain,
        bytes: content.len() as u64,
        sha256: Digest::of(content),
    };
    let link = Entry::Link {
        path: Name::new("a").unwrap(),
        target: b"b".to_vec(),
    };
    // Name, kind, target and content of what is in the archive.
    type Held = (&'static [u8], u8, &'static [u8], &'static [u8]);
    let cases: [(Held, Vec<Entry>, &str); 14] = [
        (
            (b"../a", b'0', b"", b"x"),
            vec![file("a", b"x")],
            "leads upward with `..`",
        ),
        (
            (b"/a", b'0', b"", b"x"),
            vec![file("a", b"x")],
            "is absolute",
        ),
        (
            (b"b/../../a", b'0', b"", b"x"),
            vec![file("a", b"x")],
            "leads upward with `..`",
        ),
        (
            (b"b", b'0', b"", b"x"),
            vec![file("a", b"x")],
            "b comes where a belongs",
        ),
        (
            (b"a", b'1', b"/etc/passwd", b""),
            vec![file("a", b"")],
            "is of another kind",
        ),
        (
            (b"a", b'2', b"/etc/passwd", b""),
            vec![file("a", b"")],
            "is of another kind",
        ),
        (
            (b"a", b'3', b"", b""),
            vec![file("a", b"")],
            "is of another kind",
        ),
        (
            (b"a", b'4', b"", b""),
            vec![file("a", b"")],
            "is of another kind",
        ),
        (
            (b"a", b'6', b"", b""),
            vec![file("a", b"")],
            "is of another kind",
        ),
        (
            (b"a", b'2', b"../../etc", b""),
            vec![link],
            "has another target",
        ),
        (
            (b"a", b'0', b"", b"y"),
            vec![file("a", b"x")],
            "has other content",
        ),
        (
            (b"a", b'0', b"", b"xx"),
            vec![file("a", b"x")],
            "has 2 bytes instead of 1",
        ),
        ((b"a", b'0', b"", b"x"), vec![], "a is too much"),
        (
            (b"a", b'0', b"", b"x"),
            vec![file("a", b"x"), file("b", b"")],
            "b is missing",
        ),
    ];
    for ((name, kind, target, content), entries, says) in cases {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut archive = tar::Builder::new(Vec::new());
        archive.append(&header, content).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let (bundle, into) = (
            folder.path().join("bundle"),
            folder.path().join("deep/into"),
        );
        forged(&bundle, &archive.into_inner().unwrap(), entries);
        let error = unpack(&[bundle], &into).unwrap_err();
        assert!(matches!(error, Error::Archive(_)), "{says}: {error:?}");
        assert!(error.to_string().contains(says), "{says}: {error}");
        let left = listing(folder.path());
        assert!(
            left.keys()
                .all(|path| path.starts_with("bundle") || path == Path::new("deep")),
            "{says}: {left:?}"
        );
    }
}

#[test]
fn an_archive_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    forged(&bundle, b"no archive at all", vec![]);
    let error = unpack(std::slice::from_ref(&bundle), &folder.path().join("into")).unwrap_err();
    assert!(matches!(error, Error::Archive(_)), "{error:?}");

    let noise = noise(1_000);
    fs::write(bundle.join(ARCHIVE), &noise).unwrap();
    let manifest = Manifest {
        about: about(),
        parts: vec![Part {
            name: ARCHIVE.into(),
            bytes: 1_000,
            sha256: Digest::of(&noise),
        }],
        entries: vec![],
    };
    fs::write(bundle.join(MANIFEST), manifest.to_text().unwrap()).unwrap();
    let error = unpack(&[bundle], &folder.path().join("into")).unwrap_err();
    assert!(matches!(error, Error::Archive(_)), "{error:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_tree_that_needs_more_room_than_there_is_is_refused_before() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let entry = Entry::File {
        path: Name::new("a").unwrap(),
        mode: Mode::Plain,
        bytes: u64::MAX / 2,
        sha256: Digest::of(b""),
    };
    forged(&bundle, b"", vec![entry]);
    let error = unpack(&[bundle], &folder.path().join("into")).unwrap_err();
    assert!(matches!(error, Error::NoRoom { .. }), "{error:?}");
    assert!(error.to_string().contains("free some space"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_any_part_shows(
        part in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        static PLACE: std::sync::OnceLock<Place> = std::sync::OnceLock::new();
        let place = PLACE.get_or_init(Place::new);
        let bundle = Bundle::find(&[place.bundle()]).unwrap();
        let parts = &bundle.manifest().parts;
        let path = place.bundle().join(&parts[part.index(parts.len())].name);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[byte.index(whole.len())] ^= 1u8 << bit;
        fs::write(&path, bytes).unwrap();
        let verified = bundle.verify(&on);
        // What reads past the check finds it as well, and leaves nothing.
        let unpacked = bundle.unpack(&place.target(), &on);
        let left = place.target().exists();
        let _ = fs::remove_dir_all(place.target());
        fs::write(&path, whole).unwrap();
        prop_assert!(matches!(verified, Err(Error::Damaged { .. })), "{verified:?}");
        prop_assert!(unpacked.is_err() != left);
    }
}
