use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/w/mxfp4.toml"), Layout::Standalone)
        .map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("it must be refused")
}

#[test]
fn empty_is_all_defaults() {
    assert_eq!(parse("").unwrap(), Config::default_for(Layout::Standalone));
    insta::assert_debug_snapshot!(parse("").unwrap());
}

#[test]
fn the_layouts_have_their_own_defaults() {
    let config = Config::parse("", Path::new("mxfp4.toml"), Layout::Modular).unwrap();
    assert!(config.kernels.is_empty() && config.serve.custom_architectures.is_empty());
    assert_eq!(
        config.tests.mojo,
        ["max/kernels/test/mxfp4_mojo/test_mxfp4.mojo".into()]
    );
    assert_eq!(config.tests.mojo_includes, ["max/kernels/src".into()]);
    assert_eq!(
        config.tests.python_filter,
        "test_mxfp4_grouped_matmul_matches_dense"
    );
}

#[test]
fn each_key_can_be_set() {
    let text = r#"
        [sdk]
        max = "26.6.0"
        mojo = "1.1.0"
        python = "3.12"
        accepted-pythons = ["3.12", "3.13"]
        path = "/opt/max"

        [[kernels]]
        name = "one"
        source = "k/one"
        includes = ["./k/more/"]
        flags = ["-O2"]

        [bazel]
        kernel-api = ["//a:b"]
        targets = ["//max/kernels/src/custom_ops/mogg_mxfp4"]
        packages = ["a/b.mojopkg"]
        compilation-mode = "opt"
        startup-flags = ["--host_jvm_args=-Xmx4g"]
        flags = ["--config=x"]

        [tests]
        mojo = ["t"]
        mojo-includes = ["i"]
        python = ["p"]
        python-filter = "one or two"

        [serve]
        model = "m"
        host = "0.0.0.0"
        port = 9000
        devices = "gpu:0,1"
        custom-architectures = ["a", "b:c"]
        flags = ["--x"]
    "#;
    let config = parse(text).unwrap();
    assert_eq!(config.sdk.max.as_str(), "26.6.0");
    assert_eq!(config.sdk.mojo.as_str(), "1.1.0");
    assert_eq!(
        config.sdk.pythons(),
        [PythonVersion::new(3, 12), PythonVersion::new(3, 13)]
    );
    assert_eq!(config.sdk.path.unwrap().as_ref(), Path::new("/opt/max"));
    assert_eq!(config.kernels[0].name.as_str(), "one");
    assert_eq!(config.kernels[0].includes, ["k/more".into()]);
    assert_eq!(config.bazel.compilation_mode, Some(CompilationMode::Opt));
    assert_eq!(config.bazel.startup_flags, ["--host_jvm_args=-Xmx4g"]);
    let target = &config.bazel.targets[0];
    assert_eq!(
        target.package(),
        Path::new("max/kernels/src/custom_ops/mogg_mxfp4")
    );
    assert_eq!(target.name(), "mogg_mxfp4");
    assert_eq!(config.tests.python_filter, "one or two");
    assert_eq!(
        (config.serve.port, config.serve.devices.as_str()),
        (9000, "gpu:0,1")
    );
}

#[test]
fn a_wrong_key_is_shown_where_it_is() {
    insta::assert_snapshot!(refusal("[serve]\nport = 8000\n  prot = 1\n"), @r"
    /w/mxfp4.toml:3:3: unknown field `prot`, expected one of `model`, `host`, `port`, `devices`, `custom-architectures`, `flags`, `api-key-file`, `tls-cert`, `tls-key`; did you mean `port`?
      |
    3 |   prot = 1
      |   ^
    ");
    insta::assert_snapshot!(refusal("[sreve]\n"), @r"
    /w/mxfp4.toml:1:2: unknown field `sreve`, expected one of `sdk`, `kernels`, `bazel`, `tests`, `serve`; did you mean `serve`?
      |
    1 | [sreve]
      |  ^
    ");
}

#[test]
fn a_key_that_resembles_none_gets_no_suggestion() {
    let message = refusal("[serve]\ntelemetry = true\n");
    assert!(message.contains("unknown field `telemetry`"), "{message}");
    assert!(!message.contains("did you mean"), "{message}");
    let message = refusal("[[kernels]]\nname = \"a\"\nsuorce = \"a\"\n");
    assert!(message.contains("did you mean `source`?"), "{message}");
}

#[test]
fn a_wrong_type_is_shown_where_it_is() {
    insta::assert_snapshot!(refusal("[serve]\nport = \"http\"\n"), @r#"
    /w/mxfp4.toml:2:8: invalid type: string "http", expected u16
      |
    2 | port = "http"
      |        ^
    "#);
}

#[test]
fn the_column_counts_characters_and_the_caret_keeps_tabs() {
    let message = refusal("[[kernels]]\nname = \"é\"\n");
    assert!(
        message.starts_with("/w/mxfp4.toml:2:8: `é` must be a package name"),
        "{message}"
    );
    let message = refusal("[serve]\n\thost = 1\n");
    assert!(
        message.contains("mxfp4.toml:2:9:") && message.ends_with("| \t       ^"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let below_the_root = "must be a path below the workspace's root";
    let cases = [
        ("[tests]\nmojo = [\"/abs\"]", "2:9", below_the_root),
        ("[tests]\nmojo = [\"a/../../b\"]", "2:9", below_the_root),
        (
            "[tests]\nmojo = [\n  'ok',\n  '../no',\n]",
            "4:3",
            below_the_root,
        ),
        ("[tests]\npython = [\"\"]", "2:11", below_the_root),
        (
            "[bazel]\npackages = [\"../x.mojoc\"]",
            "2:13",
            below_the_root,
        ),
        (
            "[bazel]\ntargets = [\"max/kernels:x\"]",
            "2:12",
            "must be a Bazel target",
        ),
        (
            "[bazel]\ntargets = [\"//../x:y\"]",
            "2:12",
            "must be a Bazel target",
        ),
        (
            "[bazel]\ntargets = [\"//\"]",
            "2:12",
            "must be a Bazel target",
        ),
        (
            "[bazel]\ntargets = [\"//a:\"]",
            "2:12",
            "must be a Bazel target",
        ),
        ("[sdk]\nmax = \"\"", "2:7", "must be one exact version"),
        ("[sdk]\nmax = \">=26\"", "2:7", "must be one exact version"),
        (
            "[sdk]\nmojo = \"1.2.0; rm -rf\"",
            "2:8",
            "must be one exact version",
        ),
        ("[sdk]\npython = \"3\"", "2:10", "must be a Python version"),
        (
            "[sdk]\npython = 3.11",
            "2:10",
            "invalid type: floating point",
        ),
        (
            "[sdk]\naccepted-pythons = [\"2.7\"]",
            "2:21",
            "must be a Python version",
        ),
        ("[sdk]\npath = \"\"", "2:8", "must be a path"),
        ("[sdk]\npath = \"a\\u0000b\"", "2:8", "must be a path"),
        ("[[kernels]]\nsource = \"k\"", "1:1", "missing field `name`"),
        (
            "[[kernels]]\nname = \"../x\"\nsource = \"k\"",
            "2:8",
            "must be a package name",
        ),
        ("[serve]\nport = 70000", "2:8", "expected u16"),
        ("[serve\n", "1:7", ""),
        ("a = 1\na = 2", "2:1", "duplicate key"),
    ];
    for (text, place, expected) in cases {
        let message = refusal(text);
        assert!(
            message.starts_with(&format!("/w/mxfp4.toml:{place}: ")),
            "{text:?}: {message}"
        );
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}

#[test]
fn two_kernels_of_one_name_would_overwrite_each_other() {
    let kernel = "[[kernels]]\nname = \"a\"\nsource = \"k\"\n";
    let message = refusal(&kernel.repeat(2));
    assert!(
        message.contains(":4:1: two kernel packages are named `a`"),
        "{message}"
    );
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), b"\xff\xfe").unwrap();
    let error = Config::load(folder.path(), Layout::Standalone).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    assert_eq!(error.exit().code(), 3);
}

#[test]
fn the_repository_s_own_file_says_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../mxfp4.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let config = Config::parse(&text, &path, Layout::Standalone).unwrap();
    assert_eq!(config, Config::default_for(Layout::Standalone));
}

#[test]
fn every_key_is_documented_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let keys = [
        (
            "sdk",
            &["max", "mojo", "python", "accepted-pythons", "path"][..],
        ),
        ("kernels", &["name", "source", "includes", "flags"]),
        (
            "bazel",
            &[
                "kernel-api",
                "targets",
                "packages",
                "compilation-mode",
                "startup-flags",
                "flags",
            ],
        ),
        (
            "tests",
            &["mojo", "mojo-includes", "python", "python-filter"],
        ),
        (
            "serve",
            &[
                "model",
                "host",
                "port",
                "devices",
                "custom-architectures",
                "flags",
            ],
        ),
    ];
    for (section, keys) in keys {
        for key in keys {
            // The list above is itself checked: a key that is not one would be refused as unknown.
            let text_of_key = match section {
                "kernels" => format!("[[kernels]]\n{key} = false"),
                _ => format!("[{section}]\n{key} = false"),
            };
            assert!(
                !refusal(&text_of_key).contains("unknown field"),
                "{section}.{key}"
            );
            assert!(
                text.contains(&format!("| `{section}.{key}` |")),
                "{section}.{key}"
            );
        }
    }
}

#[test]
fn a_mark_and_line_ends_of_windows_change_nothing() {
    let text = "[sdk]\nmax = \"1.2.3\"\n\n[serve]\nport = 1\n";
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(parse(&windows), parse(text));
}

#[test]
fn a_pipe_in_its_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let error = Config::load(folder.path(), Layout::Modular).unwrap_err();
    let Error::Read { source, .. } = error else {
        panic!("{error}");
    };
    let expected = "it is neither a file nor a folder, and reading it might never end";
    assert_eq!(source.to_string(), expected);
}
