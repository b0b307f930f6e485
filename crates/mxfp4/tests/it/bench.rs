//! `mxfp4 bench kernel`: recorded runs through the real binary, and runs on a GPU that a stand-in for the driver's
//! library describes. The "Mojo" program is a shell script then, and so are the mojo that makes it and the peer's Python.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{HOPPER, Ran, TestWorkspace, driver, folder, mxfp4, run, sdk, trial};
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};

/// The tests.
pub fn trials() -> Vec<Trial> {
    type Test = fn();
    type GpuTest = fn(&Place);
    let tests: [(&str, Test); 8] = [
        ("a_recorded_run_is_shown", a_recorded_run_is_shown),
        ("a_run_without_a_peer", a_run_without_a_peer),
        ("the_report_holds_both_kernels", the_report),
        ("what_is_no_recorded_run", what_is_no_recorded_run),
        ("wrong_command_lines", wrong_command_lines),
        ("no_gpu", no_gpu),
        ("no_sdk", no_sdk),
        ("a_modular_checkout", a_modular_checkout),
    ];
    let gpu_tests: [(&str, GpuTest); 12] = [
        ("what_is_measured_is_printed_and_kept", what_is_measured),
        ("the_program_is_made_once", the_program_is_made_once),
        ("a_program_that_does_not_compile", does_not_compile),
        ("another_gpu_is_refused", another_gpu),
        ("a_hidden_gpu_is_refused", a_hidden_gpu),
        ("a_program_that_fails", a_program_that_fails),
        ("a_program_that_measures_nothing", measures_nothing),
        ("an_interruption_writes_nothing", an_interruption),
        ("a_file_that_cannot_be_written", cannot_be_written),
        ("a_peer_is_compared", a_peer_is_compared),
        ("a_peer_that_fails", a_peer_that_fails),
        ("a_peer_that_is_not_there", a_peer_that_is_not_there),
    ];
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            trial::test(module_path!(), name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    trials.extend(gpu_tests.into_iter().map(|(name, test)| {
        trial::ignorable(
            module_path!(),
            name,
            move || -> Result<Completion, Failed> {
                let place = Place::new();
                if let Err(why) = driver(&place.path("driver")) {
                    return Ok(Completion::ignored_with(why));
                }
                test(&place);
                Ok(Completion::Completed)
            },
        )
    }));
    trials.push(trial::ignorable(
        module_path!(),
        "with_the_real_compiler",
        || {
            let place = Place::new();
            let ready = sdk().and_then(|sdk| driver(&place.path("driver")).map(|()| sdk));
            match ready {
                Err(why) => Ok(Completion::ignored_with(why)),
                Ok(sdk) => {
                    with_the_real_compiler(&place, sdk);
                    Ok(Completion::Completed)
                }
            }
        },
    ));
    trials
}

/// A row for this many tokens on a GPT-OSS layer.
fn row(tokens: u64, projection: &str, us: f64) -> Value {
    let columns = if projection == "gate_up" { 5760 } else { 2880 };
    let active = (4 * tokens).min(32);
    json!({
        "experts": 32, "tokens": tokens, "routing": "balanced", "active": active, "projection": projection,
        "median_us": us, "low_us": us - 0.5, "high_us": us + 2.0,
        "bytes": active * columns * 2880 * 17 / 32, "flop": 2 * 4 * tokens * columns * 2880,
    })
}

fn ours() -> [Value; 4] {
    [
        row(1, "gate_up", 20.0),
        row(1, "down", 12.5),
        row(8192, "gate_up", 1700.0),
        row(8192, "down", 850.0),
    ]
}

/// All but the last.
fn peers() -> [Value; 3] {
    [
        row(1, "gate_up", 25.0),
        row(1, "down", 12.0),
        row(8192, "gate_up", 2040.0),
    ]
}

fn record() -> Value {
    json!({
        "command": "mxfp4 bench kernel --tokens 1,8192 --experts 32 --routing balanced --peer triton",
        "gpu": {"name": "NVIDIA H100 <80GB>", "driver": "580.0"},
        "versions": {"mxfp4": "0.1.0", "max": "26.7.0", "mojo": null},
        "limits": {"read_gbs": 3120.1, "matmul_tflops": 790.2},
        "rows": ours(),
        "peer": {"name": "triton", "rows": peers()},
    })
}

/// `mxfp4 bench kernel --from` of `record`.
fn show(record: &Value, args: &[&str]) -> (Ran, tempfile::TempDir) {
    let place = folder([
        ("mxfp4.toml", String::new()),
        ("run.json", record.to_string()),
    ]);
    let ran = run(mxfp4(place.path())
        .args(["bench", "kernel", "--from", "run.json"])
        .args(args));
    (ran, place)
}

/// The lines as they are but for spaces at their end.
fn trimmed(text: &str) -> String {
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn a_recorded_run_is_shown() {
    let (ran, _place) = show(&record(), &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    insta::assert_snapshot!(trimmed(&ran.stdout), @r"
    mxfp4 bench kernel --tokens 1,8192 --experts 32 --routing balanced --peer triton
    NVIDIA H100 <80GB>, driver 580.0
    measured limits: read 3120 GB/s, bf16 matmul 790 TFLOP/s

    experts  routing   tokens  projection        us          p10 to p90    GB/s  % of read  TFLOP/s  % of matmul
         32  balanced       1  gate_up         20.0        19.5 to 22.0    1763       56.5      6.6          0.8
         32  balanced       1  down            12.5        12.0 to 14.5    1410       45.2      5.3          0.7
         32  balanced    8192  gate_up       1700.0    1699.5 to 1702.0     166        5.3    639.5         80.9
         32  balanced    8192  down           850.0      849.5 to 852.0     166        5.3    639.5         80.9

    compared with triton:

    experts  routing   tokens  projection        us   peer us  peer/ours
         32  balanced       1  gate_up         20.0      25.0      1.25x
         32  balanced       1  down            12.5      12.0      0.96x
         32  balanced    8192  gate_up       1700.0    2040.0      1.20x
         32  balanced    8192  down           850.0         -          -
    ");
}

fn a_run_without_a_peer() {
    let mut record = record();
    let fields = record.as_object_mut().unwrap();
    fields.remove("peer");
    fields.remove("limits");
    let (ran, place) = show(&record, &["--report", "a/report"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    insta::assert_snapshot!(trimmed(&ran.stdout), @r"
    mxfp4 bench kernel --tokens 1,8192 --experts 32 --routing balanced --peer triton
    NVIDIA H100 <80GB>, driver 580.0
    no limit was measured

    experts  routing   tokens  projection        us          p10 to p90    GB/s  % of read  TFLOP/s  % of matmul
         32  balanced       1  gate_up         20.0        19.5 to 22.0    1763          -      6.6            -
         32  balanced       1  down            12.5        12.0 to 14.5    1410          -      5.3            -
         32  balanced    8192  gate_up       1700.0    1699.5 to 1702.0     166          -    639.5            -
         32  balanced    8192  down           850.0      849.5 to 852.0     166          -    639.5            -
    ");
    for name in ["index.html", "roofline.svg", "latency.svg"] {
        let text = fs::read_to_string(place.path().join("a/report").join(name)).unwrap();
        assert!(text.contains("mxfp4 gate_up"), "{name}: {text}");
        assert!(!text.contains("triton gate_up"), "{name}: {text}");
    }
    for name in ["roofline.svg", "latency.svg"] {
        let text = fs::read_to_string(place.path().join("a/report").join(name)).unwrap();
        assert!(
            !text.contains("inf") && !text.contains("NaN"),
            "{name}: {text}"
        );
    }
    let index = fs::read_to_string(place.path().join("a/report/index.html")).unwrap();
    assert!(
        !index.contains(">inf") && !index.contains(">NaN"),
        "{index}"
    );
    assert!(!place.path().join("a/report/speedup.svg").exists());
}

/// What a chart shows: its texts, the centres of its discs and rings, and where its points lead.
struct Plot {
    texts: Vec<String>,
    discs: Vec<(f64, f64)>,
    rings: Vec<(f64, f64)>,
    limits: usize,
    links: Vec<String>,
}

impl Plot {
    fn read(svg: &str) -> Self {
        let document = roxmltree::Document::parse(svg).unwrap();
        let all = |name: &'static str| {
            document
                .descendants()
                .filter(move |node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
        };
        let centres = |class: &str| {
            all("circle")
                .filter(|node| node.attribute("class") == Some(class))
                .map(|node| {
                    let number = |name| node.attribute(name).unwrap().parse().unwrap();
                    (number("cx"), number("cy"))
                })
                .collect()
        };
        let of_class = |class: &str| {
            all("path")
                .filter(|node| node.attribute("class") == Some(class))
                .count()
        };
        Self {
            texts: all("text")
                .map(|node| node.text().unwrap().trim().to_owned())
                .collect(),
            discs: centres("name-0"),
            rings: centres("name-1"),
            limits: of_class("limit"),
            links: all("a")
                .map(|node| node.attribute("href").unwrap().to_owned())
                .collect(),
        }
    }
}

fn the_report() {
    let (ran, place) = show(&record(), &["--report", "report"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read = |name: &str| fs::read_to_string(place.path().join("report").join(name)).unwrap();
    let (roofline, latency, index) = (
        read("roofline.svg"),
        read("latency.svg"),
        read("index.html"),
    );
    for svg in [&roofline, &latency] {
        let plot = Plot::read(svg);
        // A panel for each projection, and what is compared.
        for label in ["gate_up", "down", "mxfp4", "triton"] {
            assert!(
                plot.texts.iter().any(|text| text == label),
                "{label}: {:?}",
                plot.texts
            );
        }
        // A marker for each row and one for each name.
        assert_eq!(
            (plot.discs.len(), plot.rings.len()),
            (4 + 1, 3 + 1),
            "{svg}"
        );
        assert_eq!(plot.links.len(), 4 + 3);
        for link in plot.links {
            let id = link.strip_prefix("index.html#").expect("a row of the page");
            assert!(
                index.contains(&format!("<tr id=\"{id}\">")),
                "{id}: {index}"
            );
        }
    }

    // Ours, first: the discs come in the order of rows of each series.
    let plot = Plot::read(&latency);
    let (one, many) = (plot.discs[0], plot.discs[1]);
    assert!(
        one.0 < many.0 && one.1 > many.1,
        "more tokens take longer: {one:?} {many:?}"
    );
    let ring = plot.rings[0];
    assert!(
        ring.0 == one.0 && ring.1 < one.1,
        "the peer takes longer: {one:?} {ring:?}"
    );

    let plot = Plot::read(&roofline);
    let limits = "measured limits: read 3120 GB/s, bf16 matmul 790 TFLOP/s";
    assert!(
        plot.texts.iter().any(|text| text == limits),
        "{:?}",
        plot.texts
    );
    // Two limits in each of two panels, and their names.
    assert_eq!(plot.limits, 4);
    for name in ["read 3120 GB/s", "790 TFLOP/s"] {
        let named = plot.texts.iter().filter(|text| *text == name).count();
        assert_eq!(named, 2, "{name}: {:?}", plot.texts);
    }
    let (one, ring) = (plot.discs[0], plot.rings[0]);
    assert!(
        ring.0 == one.0 && ring.1 > one.1,
        "the peer does less: {one:?} {ring:?}"
    );

    assert!(
        index.contains(roofline.trim()) && index.contains(latency.trim()),
        "{index}"
    );
    for part in [
        "<td>1763</td>",
        "<td>1.25x</td>",
        "NVIDIA H100 &lt;80GB&gt;, driver 580.0",
        "MAX 26.7.0",
    ] {
        assert!(index.contains(part), "{part}: {index}");
    }
    // It can be looked at without a network: all that it links to is itself.
    for part in ["<link", "src=", "url(", "@import", "fetch("] {
        assert!(!index.contains(part), "{part}: {index}");
    }
    assert_eq!(
        index.matches("href=").count(),
        index.matches("href=\"index.html#").count()
    );
    let mut names: Vec<_> = fs::read_dir(place.path().join("report"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["index.html", "latency.svg", "roofline.svg", "speedup.svg"]
    );
}

/// One message with this exit code and in these words, and nothing on stdout.
#[track_caller]
fn assert_refused(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{ran:?}");
    for part in says.iter().copied() {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
}

fn what_is_no_recorded_run() {
    let with = |change: fn(&mut Value)| {
        let mut record = record();
        change(&mut record);
        record
    };
    for (record, says) in [
        (json!([]), "is no recorded run"),
        (json!({"rows": ours()}), "missing field `command`"),
        (with(|r| r["rows"] = json!([])), "holds no measurement"),
        (
            with(|r| r["rows"][1]["median_us"] = json!(0)),
            "a number above 0",
        ),
        (with(|r| r["rows"][0]["bytes"] = json!(0)), "nonzero"),
        (
            with(|r| r["peer"]["rows"][0]["projection"] = json!("up")),
            "gate_up",
        ),
    ] {
        let (ran, _place) = show(&record, &["--report", "report"]);
        assert_refused(&ran, 1, &["run.json", says]);
    }
    let place = folder([("mxfp4.toml", "")]);
    let ran = run(mxfp4(place.path()).args(["bench", "kernel", "--from", "gone.json"]));
    assert_refused(&ran, 1, &["cannot read gone.json", "No such file"]);
}

fn wrong_command_lines() {
    let place = folder([("mxfp4.toml", "")]);
    for (args, says) in [
        (&["--tokens", "0"][..], "0 is not in 1.."),
        (&["--tokens", ""], "--tokens"),
        (&["--tokens", "1,,2"], "--tokens"),
        (&["--tokens", "1, 2"], "--tokens"),
        (&["--tokens", "one"], "one"),
        (&["--tokens=-1"], "-1"),
        (&["--tokens", "1.5"], "1.5"),
        (&["--tokens", "4294967296"], "4294967296"),
        (&["--experts", "0"], "--experts"),
        (&["--routing", "balanced,skwed"], "skewed"),
        (&["--peer", "cutlass"], "triton"),
        (&["--peer-python", "python3"], "--peer"),
        (
            &["--from", "run.json", "--tokens", "1"],
            "cannot be used with",
        ),
        (
            &["--from", "run.json", "--json", "run.json"],
            "cannot be used with",
        ),
    ] {
        let ran = run(mxfp4(place.path()).args(["bench", "kernel"]).args(args));
        assert_refused(&ran, 2, &[says]);
    }
    let ran = run(mxfp4(place.path()).arg("bench"));
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

fn no_gpu() {
    let place = folder([("mxfp4.toml", "")]);
    let ran = run(mxfp4(place.path())
        .args(["bench", "kernel", "--report", "report"])
        // That of a machine that has one.
        .env("CUDA_VISIBLE_DEVICES", ""));
    assert_refused(&ran, 5, &["GPU"]);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was made: {left:?}");
}

fn no_sdk() {
    let place = folder([("mxfp4.toml", "")]);
    let ran = run(mxfp4(place.path()).args(["bench", "kernel", "--no-setup"]));
    assert_refused(&ran, 4, &["SDK", "mxfp4 setup"]);
}

fn a_modular_checkout() {
    let place = folder([
        ("MODULE.bazel", ""),
        ("bazelw", ""),
        ("max/kernels/src/", ""),
    ]);
    let ran = run(mxfp4(place.path()).args(["bench", "kernel"]));
    assert_refused(
        &ran,
        3,
        &[
            "Modular checkout",
            "write bench_*mxfp4*.mojo below max/kernels/benchmarks",
        ],
    );

    // It has some of its own.
    for name in [
        "bench_mxfp4.mojo",
        "bench_b_MX4.mojo",
        "bench_other.mojo",
        "mxfp4.mojo",
    ] {
        let file = place.path().join("max/kernels/benchmarks/gpu").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }
    let ran = run(mxfp4(place.path()).args(["bench", "kernel"]));
    let command = "mxfp4 run -- mojo run -I max/kernels/src max/kernels/benchmarks/gpu";
    let commands = format!("run `{command}/bench_b_MX4.mojo`, or `{command}/bench_mxfp4.mojo`\n");
    assert_refused(&ran, 3, &[&commands]);
}

const MOJO: &str = r#"#!/bin/sh
echo "mojo $*" >> "$LOG"
source=$2
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then output=$2; fi
    shift
done
if grep -q broken "$source"; then echo "$source:1:1: error: broken" >&2; exit 1; fi
cp "$source" "$output" && chmod +x "$output"
"#;

/// What stands for the Mojo program prints `rows`, then does `then`.
fn program(rows: &[Value], then: &str) -> String {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    format!(
        "#!/bin/sh\necho \"program $*\" >> \"$LOG\"\n\
         echo '{{\"limit\": \"read\", \"gbs\": 3120.1}}'\necho '{{\"limit\":\"matmul\",\"tflops\":790.2}}'\n\
         echo 'a word'\necho '{{\"experts\":32}}'\necho 'a warning' >&2\ncat <<'END'\n{}\nEND\n{then}\n",
        lines.join("\n")
    )
}

/// A workspace with an SDK, a driver and a program that only pretend.
struct Place(TestWorkspace);

impl Deref for Place {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.0
    }
}

impl Place {
    fn new() -> Self {
        let site = "sdk/lib/python3.11/site-packages";
        let mojo = format!("{site}/modular/bin/mojo");
        let place = Self(TestWorkspace::new([
            ("mxfp4.toml", "[sdk]\npath = \"sdk\"\n"),
            ("sdk/pyvenv.cfg", "version_info = 3.11.7\n"),
            ("sdk/bin/python", "#!/bin/sh\n"),
            (&mojo, MOJO),
            (&format!("{site}/modular/lib/mojo/std.mojoc"), ""),
            (&format!("{site}/max-26.7.0.dist-info/"), ""),
            (&format!("{site}/mojo_compiler-9.9.9.dist-info/"), ""),
            (&format!("{site}/mojo-1.2.0.dist-info/"), ""),
            ("kernels/mxfp4/__init__.mojo", ""),
            ("kernels/test/harness.mojo", ""),
            ("driver/", ""),
            ("bin/", ""),
            (Self::PROGRAM, &program(&ours(), "")),
        ]));
        place.make_executable("sdk/bin/python");
        place.make_executable(&mojo);
        place
    }

    const PROGRAM: &str = "kernels/bench/bench_grouped_matmul.mojo";

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Puts a program that only pretends on PATH.
    fn python(&self, script: &str) {
        self.write("bin/python3", &format!("#!/bin/sh\n{script}\n"));
        self.make_executable("bin/python3");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command();
        command
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .env("LD_LIBRARY_PATH", self.path("driver"))
            .env("FAKE_GPU", HOPPER)
            .env("LOG", self.path("log"))
            .args(["bench", "kernel", "--tokens", "1,8192"])
            .args(args);
        command
    }

    fn bench(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

fn what_is_measured(place: &Place) {
    let ran = place.bench(&[
        "--json",
        "run.json",
        "--report",
        "report",
        "--routing",
        "balanced,skewed",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = place.log();
    let flags = "--tokens 1,8192 --experts 32 --routing balanced,skewed";
    assert_eq!(log[1..], [format!("program {flags}")], "{log:?}");
    let root = place.path("");
    let root = root.to_str().unwrap();
    let start = format!(
        "mojo build {root}{} -I {root}kernels -I {root}kernels/test --diagnostic-format json -o ",
        Place::PROGRAM
    );
    assert!(log[0].starts_with(&start), "{log:?}");

    // What is no measurement is not lost, and not in the table.
    for line in [
        "a word",
        "{\"experts\":32}",
        "a warning",
        "NVIDIA H100 80GB HBM3, driver 580.0",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran:?}");
        assert!(!ran.stdout.contains(line), "{line}: {ran:?}");
    }
    let record = place.json("run.json");
    assert_eq!(record["command"], format!("mxfp4 bench kernel {flags}"));
    assert_eq!(
        record["gpu"],
        json!({"name": "NVIDIA H100 80GB HBM3", "driver": "580.0"})
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        record["versions"],
        json!({"mxfp4": version, "max": "26.7.0", "mojo": "1.2.0"})
    );
    assert_eq!(
        record["limits"],
        json!({"read_gbs": 3120.1, "matmul_tflops": 790.2})
    );
    assert_eq!(record["rows"], json!(ours()));
    assert_eq!(record.get("peer"), None);
    let mode = fs::metadata(place.path("run.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_ne!(mode & 0o044, 0, "others can read it: {mode:o}");
    assert!(place.read("report/index.html").contains("mxfp4 gate_up"));

    // Shown again, it is the same table.
    let again = run(place
        .0
        .command()
        .args(["bench", "kernel", "--from", "run.json"]));
    let shown = again.stdout.split_once("driver 580.0\n").unwrap().1;
    assert_eq!(shown, ran.stdout);
}

fn the_program_is_made_once(place: &Place) {
    let compiles = || {
        fs::remove_file(place.path("log")).ok();
        let ran = place.bench(&[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let log = place.log();
        assert!(log.last().unwrap().starts_with("program "), "{log:?}");
        log.len() == 2
    };
    assert!(compiles());
    assert!(!compiles());
    // What it imports counts as well.
    place.write("kernels/mxfp4/__init__.mojo", "# changed");
    assert!(compiles());
    place.write("kernels/test/harness.mojo", "# changed");
    assert!(compiles());
    place.write(Place::PROGRAM, &program(&ours(), "# changed"));
    assert!(compiles());
    fs::remove_file(place.path("build/bench/bench_grouped_matmul")).unwrap();
    assert!(compiles());
    assert!(!compiles());
}

fn does_not_compile(place: &Place) {
    place.write(Place::PROGRAM, "broken");
    let ran = place.bench(&["--json", "run.json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains(":1:1: error: broken"), "{ran:?}");
    assert!(
        ran.stderr
            .contains("bench_grouped_matmul could not be compiled"),
        "{ran:?}"
    );
    assert!(!place.path("run.json").exists());

    fs::remove_file(place.path(Place::PROGRAM)).unwrap();
    assert_refused(&place.bench(&[]), 3, &[Place::PROGRAM, "is not there"]);
}

fn another_gpu(place: &Place) {
    let ran = run(place
        .command(&[])
        .env("FAKE_GPU", "NVIDIA A100-SXM4-80GB,8,0,79"));
    assert_refused(
        &ran,
        5,
        &["NVIDIA A100-SXM4-80GB", "8.0", "needs Hopper (sm_90)"],
    );
    assert_eq!(place.log(), [""; 0]);
}

fn a_hidden_gpu(place: &Place) {
    let ran = run(place.command(&[]).env("CUDA_VISIBLE_DEVICES", "-1"));
    assert_refused(&ran, 5, &["CUDA_VISIBLE_DEVICES=-1 hides"]);
}

fn a_program_that_fails(place: &Place) {
    place.write(
        Place::PROGRAM,
        &program(&ours()[..1], "echo 'CUDA is gone' >&2; exit 3"),
    );
    let ran = place.bench(&["--json", "run.json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("gate_up"), "{ran:?}");
    assert!(
        ran.stderr
            .contains("CUDA is gone\nerror: the benchmark failed (exit code 3)"),
        "{ran:?}"
    );
    assert!(!place.path("run.json").exists(), "half a run is none");
}

fn measures_nothing(place: &Place) {
    place.write(Place::PROGRAM, &program(&[], ""));
    assert_failed(
        &place.bench(&["--json", "run.json"]),
        "printed no measurement",
    );
    assert!(!place.path("run.json").exists());
}

/// Exit code 1 with this in the last message.
#[track_caller]
fn assert_failed(ran: &Ran, says: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let message = ran.stderr.rsplit("error: ").next().unwrap();
    assert!(message.contains(says), "{says}: {ran:?}");
}

fn an_interruption(place: &Place) {
    place.write(
        Place::PROGRAM,
        &program(&ours(), "kill -INT $PPID; exec sleep 60"),
    );
    let ran = place.bench(&["--json", "run.json"]);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(!place.path("run.json").exists());
}

fn cannot_be_written(place: &Place) {
    for (args, says) in [
        (["--json", "gone/run.json"], "cannot write gone/run.json"),
        (
            ["--json", "kernels"],
            "cannot write kernels: it is a folder",
        ),
        (
            ["--report", "mxfp4.toml"],
            "cannot make the folder mxfp4.toml",
        ),
    ] {
        assert_refused(&place.bench(&args), 1, &[says]);
    }
    assert_eq!(
        place.log(),
        [""; 0],
        "it is said before anything is measured"
    );
}

fn a_peer_is_compared(place: &Place) {
    let lines: Vec<String> = peers().iter().map(Value::to_string).collect();
    place.python(&format!(
        "echo \"python $*\" >> \"$LOG\"\necho \"PYTHONPATH $PYTHONPATH\" >> \"$LOG\"\n\
         echo 'a warning' >&2\necho 'compiling'\ncat <<'END'\n{}\nEND",
        lines.join("\n")
    ));
    let site = place.path("sdk/lib/python3.11/site-packages");
    let ran = run(place
        .command(&[
            "--peer", "triton", "--json", "run.json", "--report", "report",
        ])
        .env("PYTHONPATH", format!("/mine:{}", site.display())));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = place.log();
    let flags = "--tokens 1,8192 --experts 32 --routing balanced";
    assert_eq!(
        log[1..],
        [
            format!("program {flags}"),
            format!("python -m mxfp4.bench_triton {flags}"),
            // Not the SDK's packages.
            format!("PYTHONPATH {}:/mine", place.path("python").display()),
        ]
    );
    let (table, comparison) = ran.stdout.split_once("compared with triton:").unwrap();
    assert!(
        table.contains("1763") && comparison.contains("1.25x"),
        "{ran:?}"
    );
    let record = place.json("run.json");
    assert_eq!(record["peer"], json!({"name": "triton", "rows": peers()}));
    assert_eq!(
        record["command"],
        format!("mxfp4 bench kernel {flags} --peer triton")
    );
    assert!(place.read("report/latency.svg").contains("triton down"));

    // Another interpreter, relative to the current folder.
    fs::rename(place.path("bin/python3"), place.path("python4")).unwrap();
    let mut command = place.command(&["--peer", "triton", "--peer-python", "../python4"]);
    let ran = run(command.current_dir(place.path("kernels")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("compared with triton:"), "{ran:?}");
}

fn a_peer_that_fails(place: &Place) {
    for (script, says) in [
        (
            "for n in 1 2 3 4 5 6 7 8 9 10; do echo \"line $n\" >&2; done\n\
             echo \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 1",
            "exit code 1\n    line 2\n",
        ),
        (
            "echo \"ModuleNotFoundError: No module named 'torch'\" >&2",
            "it printed no measurement\n",
        ),
    ] {
        place.python(script);
        fs::remove_file(place.path("run.json")).ok();
        let ran = place.bench(&[
            "--peer", "triton", "--json", "run.json", "--report", "report",
        ]);
        assert_failed(&ran, "triton was not measured");
        for part in [
            says,
            "    ModuleNotFoundError: No module named 'torch'\n",
            "--peer-python",
        ] {
            assert!(ran.stderr.contains(part), "{part}: {ran:?}");
        }
        assert!(!ran.stderr.contains("line 1\n"), "{ran:?}");
        // What was measured is printed and kept.
        assert!(
            ran.stdout.contains("1763") && !ran.stdout.contains("compared"),
            "{ran:?}"
        );
        let record = place.json("run.json");
        assert_eq!(
            (&record["rows"], record.get("peer")),
            (&json!(ours()), None)
        );
        assert!(place.read("report/index.html").contains("1763"));
    }
}

fn a_peer_that_is_not_there(place: &Place) {
    let ran = place.bench(&[
        "--peer",
        "triton",
        "--peer-python",
        "./gone",
        "--json",
        "run.json",
    ]);
    assert_failed(&ran, "triton was not measured");
    for part in ["cannot run `./gone`", "No such file", "--peer-python"] {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
    assert_eq!(place.json("run.json")["rows"], json!(ours()));
}

/// A Mojo program that measures nothing but prints all the same, and imports from both folders.
fn with_the_real_compiler(place: &Place, sdk: PathBuf) {
    let row = ours()[0].to_string();
    place.write(
        "kernels/mxfp4/__init__.mojo",
        &format!("comptime ROW = '{row}'\n"),
    );
    place.write(
        "kernels/test/harness.mojo",
        "def say(text: String):\n    print(text, flush=True)\n",
    );
    place.write(
        Place::PROGRAM,
        "from std.sys import argv\nfrom harness import say\nfrom mxfp4 import ROW\n\n\n\
         def main() raises:\n    say(ROW)\n    say(String(argv()[1], \" \", argv()[2]))\n",
    );
    let ran = run(place.command(&["--json", "run.json"]).env("MXFP4_SDK", sdk));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("1763"), "{ran:?}");
    assert!(ran.stderr.contains("\n--tokens 1,8192\n"), "{ran:?}");
    let record = place.json("run.json");
    assert_eq!(record["rows"], json!([ours()[0]]));
    for name in ["max", "mojo"] {
        assert!(record["versions"][name].is_string(), "{record}");
    }
}
