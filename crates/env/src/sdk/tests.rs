use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::fixture::{Fixture, told, tree, write};

#[test]
fn the_order_is_variable_configuration_workspace_active_path() {
    let mut fixture = Fixture::standalone();
    assert_eq!(fixture.sdk(), None);

    let on_path = fixture.venv("on-path", "python3.10");
    fixture.ambient.set(
        "PATH",
        format!("/usr/bin:{}", on_path.join("bin").display()),
    );
    let sdk = fixture.sdk().unwrap();
    assert_eq!(sdk.source, SdkSource::Path);
    assert_eq!(
        sdk.modular,
        on_path.join("lib/python3.10/site-packages/modular")
    );

    let conda = fixture.venv("conda", "python3.11");
    fixture.ambient.set("CONDA_PREFIX", &conda);
    assert_eq!(
        fixture.sdk().unwrap().source,
        SdkSource::Active("CONDA_PREFIX")
    );

    let active = fixture.venv("active", "python3.13");
    fixture.ambient.set("VIRTUAL_ENV", &active);
    assert_eq!(
        fixture.sdk().unwrap().source,
        SdkSource::Active("VIRTUAL_ENV")
    );

    let own = fixture.venv("tree/.venv", "python3.14");
    let sdk = fixture.sdk().unwrap();
    assert_eq!(sdk.source, SdkSource::Workspace);
    assert_eq!(sdk.python, Some(own.join("bin/python")));
    assert_eq!(sdk.python_version, Some(PythonVersion::new(3, 14)));

    fixture.venv("tree/sdks/one", "python3.12");
    fixture.write("mxfp4.toml", "[sdk]\npath = \"sdks/one\"\n");
    assert_eq!(fixture.sdk().unwrap().source, SdkSource::Config);

    let named = fixture.venv("named", "python3.12");
    fixture.ambient.set("MXFP4_SDK", &named);
    let sdk = fixture.sdk().unwrap();
    assert_eq!(sdk.source, SdkSource::Variable);
    assert_eq!(
        sdk.mojo(),
        named.join("lib/python3.12/site-packages/modular/bin/mojo")
    );
    assert_eq!(
        sdk.lib_mojo(),
        named.join("lib/python3.12/site-packages/modular/lib/mojo")
    );
    assert_eq!(sdk.scripts(), Some(&*named.join("bin")));
}

#[test]
fn an_active_environment_without_an_sdk_is_passed_over() {
    let mut fixture = Fixture::standalone();
    fixture.ambient.set("VIRTUAL_ENV", fixture.folder("empty"));
    let conda = fixture.venv("conda", "python3.11");
    fixture.ambient.set("CONDA_PREFIX", &conda);
    assert_eq!(
        fixture.sdk().unwrap().source,
        SdkSource::Active("CONDA_PREFIX")
    );
    fixture.ambient.set("CONDA_PREFIX", "");
    assert_eq!(fixture.sdk(), None);
}

#[test]
fn the_preferred_python_wins_and_an_unaccepted_one_is_passed_over() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.9");
    assert_eq!(fixture.sdk(), None);
    fixture.venv("tree/.venv", "python3.10");
    fixture.venv("tree/.venv", "python3.11");
    assert_eq!(
        fixture.sdk().unwrap().python_version,
        Some(PythonVersion::new(3, 11))
    );
}

#[test]
fn a_pixi_environment_of_a_modular_checkout_is_its_own() {
    let fixture = Fixture::modular();
    let prefix = fixture.root.join(".pixi/envs/default");
    conda(&prefix, "\x7fELF");
    let sdk = fixture.sdk().unwrap();
    assert_eq!((sdk.source, sdk.modular), (SdkSource::Workspace, prefix));
}

#[test]
fn an_active_pixi_project_is_found_without_conda_prefix() {
    let fixture = Fixture::standalone();
    let project = fixture.base.join("project");
    conda(&project.join(".pixi/envs/cuda"), "\x7fELF");
    let fixture = fixture
        .set("PIXI_PROJECT_ROOT", &project)
        .set("PIXI_ENVIRONMENT_NAME", "cuda");
    assert_eq!(
        fixture.sdk().unwrap().source,
        SdkSource::Active("PIXI_PROJECT_ROOT")
    );
}

#[test]
fn conda_keeps_everything_in_the_prefix() {
    let fixture = Fixture::standalone();
    let prefix = fixture.base.join("conda");
    conda(&prefix, "\x7fELF");
    let fixture = fixture.set("MXFP4_SDK", &prefix);
    let sdk = fixture.sdk().unwrap();
    assert_eq!(sdk.mojo(), prefix.join("bin/mojo"));
    assert_eq!(sdk.lib_mojo(), prefix.join("lib/mojo"));
    assert_eq!(sdk.site, prefix.join("lib/python3.12/site-packages"));
    assert_eq!(sdk.python, Some(prefix.join("bin/python")));
    assert!(!sdk.is_portable);
}

#[test]
fn the_python_script_is_never_taken_for_the_compiler() {
    for script in [
        "#!/x/bin/python\nimport sys\n",
        "#!/usr/bin/env python3\n",
        "#!/bin/sh\n'''exec' '/a path/bin/python' \"$0\" \"$@\"\n",
    ] {
        let fixture = Fixture::standalone();
        let prefix = fixture.base.join("conda");
        conda(&prefix, script);
        let fixture = fixture.set("PATH", prefix.join("bin"));
        assert_eq!(fixture.sdk(), None, "{script}");
    }
}

#[test]
fn a_carried_tree_takes_a_python_that_matches_it() {
    let fixture = Fixture::standalone();
    let site = fixture.base.join("carried");
    tree(&site);
    // A version manager's script, a wrong version, and the right one under another name.
    let shim = write(
        &fixture.base.join("shims/python3.12"),
        "#!/usr/bin/env bash\n",
    );
    let wrong = write(&fixture.base.join("wrong/python3.11"), "");
    symlink(&wrong, wrong.with_file_name("python3")).unwrap();
    let right = write(&fixture.base.join("opt/lib/py/python3.12"), "");
    fs::create_dir_all(fixture.base.join("right")).unwrap();
    symlink(&right, fixture.base.join("right/python3")).unwrap();
    let path = std::env::join_paths([
        shim.parent().unwrap(),
        wrong.parent().unwrap(),
        &fixture.base.join("right"),
    ]);

    for named in [site.clone(), site.join("modular")] {
        let fixture = Fixture::standalone()
            .set("MXFP4_SDK", named)
            .set("PATH", path.as_ref().unwrap());
        let sdk = fixture.sdk().unwrap();
        assert_eq!((&sdk.site, sdk.is_portable), (&site, true));
        assert_eq!(sdk.python_version, Some(PythonVersion::new(3, 12)));
        assert_eq!(
            sdk.python,
            Some(right.ancestors().nth(4).unwrap().join("right/python3"))
        );
        assert_eq!(sdk.scripts(), None);
    }
}

#[test]
fn a_python_without_a_version_in_its_name_is_told_by_its_library() {
    let fixture = Fixture::standalone();
    let site = fixture.base.join("carried");
    tree(&site);
    let python = write(&fixture.base.join("py/bin/python3"), "");
    write(&fixture.base.join("py/lib/python3.12/os.py"), "");
    let fixture = fixture
        .set("MXFP4_SDK", &site)
        .set("PATH", python.parent().unwrap());
    assert_eq!(fixture.sdk().unwrap().python, Some(python));
}

#[test]
fn site_packages_of_an_environment_are_that_environment() {
    let fixture = Fixture::standalone();
    let prefix = fixture.venv("env", "python3.11");
    let fixture = fixture.set("MXFP4_SDK", prefix.join("lib/python3.11/site-packages"));
    let sdk = fixture.sdk().unwrap();
    assert_eq!(
        (sdk.python, sdk.is_portable),
        (Some(prefix.join("bin/python")), false)
    );
}

#[test]
fn an_environment_whose_python_is_gone_is_a_carried_tree() {
    let fixture = Fixture::standalone();
    let prefix = fixture.venv("env", "python3.12");
    fs::remove_dir_all(fixture.base.join("pythons")).unwrap();
    let fixture = fixture.set("MXFP4_SDK", &prefix).set("PATH", "");
    let sdk = fixture.sdk().unwrap();
    assert_eq!((sdk.is_portable, sdk.python), (true, None));
}

#[test]
fn a_link_to_mojo_on_path_stands_for_its_environment() {
    let fixture = Fixture::standalone();
    let prefix = fixture.venv("tools/mojo", "python3.11");
    let bin = fixture.base.join("local/bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(prefix.join("bin/mojo"), bin.join("mojo")).unwrap();
    let fixture = fixture.set("PATH", &bin);
    let sdk = fixture.sdk().unwrap();
    assert_eq!(
        (sdk.source, sdk.python),
        (SdkSource::Path, Some(prefix.join("bin/python")))
    );
}

#[test]
fn one_asked_for_by_name_is_not_replaced_by_another() {
    let fixture = Fixture::standalone();
    fixture.venv("tree/.venv", "python3.11");
    let workspace = fixture.workspace();
    for (path, expected) in [
        (fixture.base.join("gone"), "does not exist"),
        (fixture.folder("empty"), "holds no SDK"),
    ] {
        let ambient = Ambient::from_iter([("MXFP4_SDK", &path)]);
        let error = Sdk::find(&workspace, &ambient).unwrap_err();
        assert_eq!(error.exit().code(), 4);
        let message = told(&error);
        assert!(
            message.contains("MXFP4_SDK names") && message.contains(expected),
            "{message}"
        );
    }
    fixture.write("mxfp4.toml", "[sdk]\npath = \"nowhere\"\n");
    let error = Sdk::find(&fixture.workspace(), &Ambient::default()).unwrap_err();
    assert!(
        error.to_string().contains("`sdk.path` in mxfp4.toml names"),
        "{error}"
    );
}

fn conda(prefix: &Path, mojo: &str) {
    write(&prefix.join("bin/mojo"), mojo);
    write(&prefix.join("bin/python"), "");
    fs::create_dir_all(prefix.join("lib/mojo")).unwrap();
    fs::create_dir_all(prefix.join("lib/python3.12/site-packages/max")).unwrap();
}
