use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::fixture::{Fixture, told, write};

fn find(root: Option<&Path>, cwd: &Path) -> Result<Workspace, Error> {
    Workspace::find(root, cwd)
}

#[test]
fn found_from_any_folder_below_the_root() {
    for (fixture, layout) in [
        (Fixture::standalone(), Layout::Standalone),
        (Fixture::modular(), Layout::Modular),
    ] {
        let deep = fixture.folder("kernels/test/deep");
        for cwd in [&fixture.root, &deep] {
            let workspace = find(None, cwd).unwrap();
            assert_eq!((&workspace.root, workspace.layout), (&fixture.root, layout));
        }
    }
}

#[test]
fn the_nearest_root_wins() {
    let fixture = Fixture::modular();
    let inner = fixture.folder("inner");
    write(&inner.join("mxfp4.toml"), "");
    assert_eq!(find(None, &inner.join("x")).unwrap().root, inner);
}

#[test]
fn a_modular_checkout_with_a_configuration_stays_modular() {
    let fixture = Fixture::modular();
    fixture.write("mxfp4.toml", "[serve]\nport = 1234\n");
    let workspace = find(None, &fixture.root).unwrap();
    assert_eq!(
        (workspace.layout, workspace.config.serve.port),
        (Layout::Modular, 1234)
    );
}

#[test]
fn half_a_modular_checkout_is_none() {
    let fixture = Fixture::bare("tree");
    fixture.folder("max/kernels/src");
    assert!(find(None, &fixture.root).is_err());
    fixture.folder("bazelw");
    assert!(find(None, &fixture.root).is_err(), "a folder named bazelw");
}

#[test]
fn none_says_what_was_looked_for() {
    let fixture = Fixture::bare("tree");
    let error = find(None, &fixture.root).unwrap_err();
    assert_eq!(error.exit().code(), 3);
    let message = fixture.shown(&told(&error));
    insta::assert_snapshot!(message, @"no workspace here: neither [BASE]/tree nor a folder above it has an mxfp4.toml, or `bazelw` and `max/kernels/src`; change into a workspace, or name its root with --root or MXFP4_ROOT");
}

#[test]
fn an_explicit_root_must_be_one() {
    let fixture = Fixture::standalone();
    let below = fixture.folder("below");
    let file = fixture.write("file", "");
    for (root, expected) in [
        (below, "has neither an mxfp4.toml nor"),
        (file, "is not a folder"),
        (fixture.base.join("gone"), "does not exist"),
    ] {
        let error = find(Some(&root), &fixture.root).unwrap_err();
        assert_eq!(error.exit().code(), 3);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_explicit_root_is_seen_from_the_current_folder() {
    let fixture = Fixture::standalone();
    let below = fixture.folder("below");
    for (root, cwd) in [
        (".", &fixture.root),
        ("..", &below),
        ("tree/", &fixture.base),
        ("./tree/.", &fixture.base),
    ] {
        assert_eq!(
            find(Some(Path::new(root)), cwd).unwrap().root,
            fixture.root,
            "{root}"
        );
    }
}

#[test]
fn a_link_to_the_root_keeps_its_name() {
    let fixture = Fixture::standalone();
    let link = fixture.base.join("link");
    symlink(&fixture.root, &link).unwrap();
    assert_eq!(find(Some(&link), Path::new("/")).unwrap().root, link);

    let below = fixture.folder("below");
    let ambient = Ambient::from_iter([("PWD", link.join("below"))]);
    let cwd = logical_cwd(below.clone(), &ambient);
    assert_eq!(find(None, &cwd).unwrap().root, link);

    for pwd in [
        Path::new("/"),
        Path::new("relative"),
        &link.join("below/../below"),
        &link.join("gone"),
    ] {
        let ambient = Ambient::from_iter([("PWD", pwd)]);
        assert_eq!(
            logical_cwd(below.clone(), &ambient),
            below,
            "{}",
            pwd.display()
        );
    }
}

#[test]
fn a_root_need_not_be_text() {
    let fixture = Fixture::bare(OsStr::from_bytes(b"r\xff\xc3"));
    fixture.write("mxfp4.toml", "");
    assert_eq!(find(None, &fixture.root).unwrap().root, fixture.root);
}

#[test]
fn standalone_packages_are_those_that_are_built() {
    let fixture = Fixture::standalone();
    fixture.write(
        "mxfp4.toml",
        "[[kernels]]\nname = \"b\"\nsource = \"b\"\n[[kernels]]\nname = \"a\"\nsource = \"a\"\n",
    );
    assert!(fixture.workspace().kernel_packages().is_empty());
    let a = fixture.write("build/a.mojoc", "");
    fixture.write("build/other.mojoc", "");
    fixture.folder("build/b.mojoc");
    assert_eq!(
        fixture.workspace().kernel_packages(),
        std::slice::from_ref(&a)
    );
    let b = fixture.write("build/b.mojopkg", "");
    assert_eq!(fixture.workspace().kernel_packages(), [b, a]);
}

#[test]
fn of_two_formats_the_newer_file_is_the_package() {
    let fixture = Fixture::standalone();
    let age = |file: &Path, seconds| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    let new = fixture.write("build/mxfp4.mojoc", "");
    let old = fixture.write("build/mxfp4.mojopkg", "");
    age(&new, 2000);
    age(&old, 1000);
    assert_eq!(fixture.workspace().kernel_packages(), [new]);
    age(&old, 3000);
    assert_eq!(fixture.workspace().kernel_packages(), [old]);
}

#[test]
fn modular_packages_are_the_first_known_one_and_those_of_the_custom_targets() {
    let fixture = Fixture::modular();
    let bin = "bazel-bin/max/kernels/src";
    let packages = || fixture.workspace().kernel_packages();
    assert!(packages().is_empty());
    let newer_checkout = fixture.write(
        format!("{bin}/graph_compiler/builtin_kernels/builtin_kernels.mojoc"),
        "",
    );
    assert_eq!(packages(), [newer_checkout]);
    let custom = fixture.write(format!("{bin}/custom_ops/mogg_mxfp4/mogg_mxfp4.mojoc"), "");
    assert_eq!(packages(), std::slice::from_ref(&custom));
    let extension = fixture.write(
        format!("{bin}/Mogg/MOGGKernelAPI/MOGGMxfp4Extension.mojopkg"),
        "",
    );
    assert_eq!(packages(), [extension]);
    let api = fixture.write(
        format!("{bin}/Mogg/MOGGKernelAPI/MOGGKernelAPI.mojopkg"),
        "",
    );
    assert_eq!(packages(), std::slice::from_ref(&api));

    let target = "//max/kernels/src/custom_ops/mogg_mxfp4:mogg_mxfp4";
    fixture.write(
        "mxfp4.toml",
        &format!("[bazel]\ntargets = [\"{target}\", \"{target}\"]\n"),
    );
    assert_eq!(packages(), [api, custom], "each once");
}
