use std::fs;
use std::path::Path;

use super::*;

fn read(flags: &[&str], variables: &[(&str, &str)]) -> Migration {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path(), flags, variables, false)
}

fn in_folder(
    folder: &Path,
    flags: &[&str],
    variables: &[(&str, &str)],
    telemetry: bool,
) -> Migration {
    let flags = Flags::parse(flags);
    let ambient: Ambient = variables.iter().copied().collect();
    Migration::read(Given {
        flags: &flags,
        ambient: &ambient,
        folder,
        telemetry,
    })
}

#[test]
fn what_would_have_no_effect_is_refused_by_name() {
    for (flags, named) in [
        (&["--headless"][..], "--headless"),
        (&["--tool-parser", "kimi"], "--tool-parser"),
        (&["--reasoning-parser=x"], "--reasoning-parser"),
        (
            &["--no-allow-extra-request-fields"],
            "--no-allow-extra-request-fields",
        ),
        (&["--pipeline-role", "decode_only"], "--pipeline-role"),
        (&["--enable-lora", "--max-length", "9"], "--enable-lora"),
        (&["--no-enable-echo", "--enable-echo"], "--enable-echo"),
    ] {
        let refusals = read(flags, &[]).refusals;
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert!(refusals[0].starts_with(&format!("{named} is refused, because ")));
    }
    for variable in [
        ("MAX_SERVE_API_TYPES", "[\"kserve\"]"),
        ("MAX_SERVE_HEADLESS", "true"),
        ("MAX_SERVE_STREAM_MIN_CHUNK_TOKENS", "16"),
        ("MAX_SERVE_TRANSACTION_RECORDING_FILE", "x.rec.jsonl"),
        ("MAX_SERVE_METRIC_RECORDING_METHOD", "ASYNCIO"),
        ("max_serve_kernel_trace_headers", "true"),
        ("MAX_SERVE_TTFT_JOIN", "1"),
    ] {
        let refusals = read(&[], &[variable]).refusals;
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert!(refusals[0].starts_with(&format!("{} is refused, because ", variable.0)));
    }
    assert_eq!(
        read(&["--pipeline-role", "decode_only"], &[]).refusals,
        [
            "--pipeline-role is refused, because the front end sends requests to one engine, which does both, prefill and \
             decode; what it may be is prefill_and_decode; leave it out, or serve with --frontend max"
        ]
    );
}

#[test]
fn what_says_nothing_new_is_taken() {
    let flags = [
        "--max-length",
        "9",
        "--no-enable-structured-output",
        "--enable-structured-output",
        "--tool-call-policy=force_unconstrained",
        "--enable-echo",
        "--no-enable-echo",
        "--allow-extra-request-fields",
        "--task",
        "text_generation",
    ];
    let variables = [
        ("MAX_SERVE_API_TYPES", "[\"openai\"]"),
        ("MAX_SERVE_HEADLESS", "False"),
        ("MAX_SERVE_TRANSACTION_RECORDING_FILE", ""),
        ("MAX_SERVE_METRIC_RECORDING_METHOD", "NOOP"),
        ("MAX_SERVE_LOGS_CONSOLE_LEVEL", "DEBUG"),
        ("PATH", "/bin"),
    ];
    assert_eq!(read(&flags, &variables), Migration::default());
}

#[test]
fn what_the_front_end_takes_over_is_read_from_flags_before_variables() {
    let variables = [
        ("MAX_SERVE_HOST", "::1"),
        ("MAX_SERVE_PORT", "1"),
        ("MAX_SERVE_METRICS_ENDPOINT_PORT", "2"),
        ("MAX_SERVE_HTTP_KEEPALIVE_TIMEOUT_S", "3"),
        ("MAX_SERVE_MAX_REQUEST_BYTES", "4"),
        ("MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S", "5"),
    ];
    let read = read(
        &["--port=9", "--host", "h", "--max-length", "8"],
        &variables,
    );
    assert_eq!(read.refusals, Vec::<String>::new());
    assert_eq!(
        read.honoured,
        Honoured {
            host: Some("h".into()),
            port: Some(9),
            metrics_port: Some(2),
            keep_alive: Some(Duration::from_secs(3)),
            max_request_bytes: Some(4),
            drain: Some(Duration::from_secs(5)),
        }
    );
    let rest: Vec<_> = for_engine(Flags::parse([
        "--port=9",
        "--max-length",
        "8",
        "--host",
        "h",
    ]))
    .into_words()
    .collect();
    assert_eq!(rest, ["--max-length", "8"]);
}

#[test]
fn a_number_that_is_none_is_refused() {
    let refusals = read(&["--port", "x"], &[("MAX_SERVE_MAX_REQUEST_BYTES", "-1")]).refusals;
    assert_eq!(
        refusals,
        [
            "--port is \"x\", which is no number it can be",
            "MAX_SERVE_MAX_REQUEST_BYTES is \"-1\", which is no number it can be"
        ]
    );
}

#[test]
fn names_that_max_reads_and_we_do_not_are_told() {
    assert_eq!(
        read(&[], &[("max_serve_port", "1")]).refusals,
        ["max_serve_port is not read; call it MAX_SERVE_PORT"]
    );
    let warnings = read(&[], &[("MAX_SERVE_PROT", "1")]).warnings;
    assert!(
        warnings[0].starts_with("MAX_SERVE_PROT is no variable of MAX 26.7"),
        "{warnings:?}"
    );
    let variable = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")];
    assert_eq!(
        read(&[], &variable).warnings,
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT has no effect without --telemetry, because MAX sends nothing then"
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let with_telemetry = in_folder(folder.path(), &[], &variable, true);
    assert_eq!(with_telemetry, Migration::default());
}

#[test]
fn a_dotenv_file_that_only_max_reads_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# MAX_SERVE_HOST=a\nHF_TOKEN=x\nMAX_SERVE_LOGS_CONSOLE_LEVEL=DEBUG\nexport max_serve_port = '1'\n\
                MAX_SERVE_HEADLESS=true\n";
    fs::write(folder.path().join(".env"), text).unwrap();
    let file = folder.path().join(".env").display().to_string();
    assert_eq!(
        in_folder(folder.path(), &[], &[], false).refusals,
        [
            format!(
                "max_serve_port stands in {file}, where only MAX looks; set the variable MAX_SERVE_PORT instead"
            ),
            format!(
                "MAX_SERVE_HEADLESS stands in {file}, where only MAX looks; set the variable MAX_SERVE_HEADLESS instead"
            ),
        ]
    );
}

#[test]
fn a_file_of_settings_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "model:\n  max_length: 9\n  chat_template: x.jinja # ours\nruntime:\n  # tool_parser: kimi\n  \
                reasoning_parser: null\n  pipeline_role: prefill_and_decode\n";
    let json =
        r#"{"runtime": {"temperature": 0.5, "thinking_temperature": 1.0, "tool_parser" : "kimi"}}"#;
    fs::write(folder.path().join("a.yaml"), yaml).unwrap();
    fs::write(folder.path().join("b.json"), json).unwrap();
    let names = |flag: &str, file: &str| -> Vec<String> {
        let refusals = in_folder(folder.path(), &[flag, file], &[], false).refusals;
        let names = refusals
            .iter()
            .map(|text| text.split(" is refused").next().unwrap().to_owned());
        names.collect()
    };
    assert_eq!(
        names("--config-file", "a.yaml"),
        ["chat-template in a.yaml"]
    );
    assert_eq!(
        names("--draft-config-file", "b.json"),
        ["thinking-temperature in b.json", "tool-parser in b.json"]
    );
    assert_eq!(names("--config-file", "missing.yaml"), Vec::<String>::new());
    assert_eq!(
        names(
            "--config-file",
            "max/pipelines/architectures/x/recipes/y.yaml"
        ),
        ["--config-file max/pipelines/architectures/x/recipes/y.yaml"]
    );
}

#[test]
fn every_setting_has_one_row() {
    for (names, what) in [
        (
            flags::FLAGS.iter().map(|row| row.name).collect::<Vec<_>>(),
            "flag",
        ),
        (
            variables::SETTINGS
                .iter()
                .chain(variables::OTHERS)
                .map(|row| row.name)
                .chain(variables::BELOW.iter().copied())
                .collect(),
            "variable",
        ),
    ] {
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            assert!(seen.insert(name), "the {what} {name} stands there twice");
        }
    }
}

/// The variable with which the test below writes the page.
const RENEW: &str = "MXFP4_RENEW_DOCS";

#[test]
fn the_page_says_what_the_tables_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/max-settings.md");
    if std::env::var_os(RENEW).is_some() {
        fs::write(&file, page::page()).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page::page(),
        "{} is not what the tables say; renew it: {RENEW}=1 cargo test -p mxfp4-launch the_page_says",
        file.display()
    );
}
