//! `mxfp4 vscode` writes what VS Code needs and loses nothing; `mxfp4 code` opens it with the environment.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Ran, folder, mxfp4, repository, run, sdk, trial};
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 10] = [
        (
            "the_files_of_this_repository_are_up_to_date",
            the_files_of_this_repository_are_up_to_date,
        ),
        (
            "the_files_are_made_and_then_left_alone",
            the_files_are_made_and_then_left_alone,
        ),
        ("the_machine_plays_no_part", the_machine_plays_no_part),
        (
            "a_change_of_mxfp4_toml_is_found_and_written",
            a_change_of_mxfp4_toml_is_found_and_written,
        ),
        ("what_others_wrote_stays", what_others_wrote_stays),
        (
            "a_file_that_cannot_be_read_is_left_alone",
            a_file_that_cannot_be_read_is_left_alone,
        ),
        (
            "a_modular_checkout_debugs_its_own_test",
            a_modular_checkout_debugs_its_own_test,
        ),
        (
            "code_is_opened_in_the_workspace_with_its_environment",
            code_is_opened_in_the_workspace_with_its_environment,
        ),
        (
            "the_editor_outlives_the_command",
            the_editor_outlives_the_command,
        ),
        (
            "without_code_it_says_where_to_get_it",
            without_code_it_says_where_to_get_it,
        ),
    ];
    let mut trials = vec![trial::ignorable(
        module_path!(),
        "the_language_server_finds_our_packages",
        the_language_server,
    )];
    for (name, test) in tests {
        trials.push(trial::test(module_path!(), name, move || {
            test();
            Ok(())
        }));
    }
    trials
}

const FILES: [&str; 4] = [
    "launch.json",
    "tasks.json",
    "settings.json",
    "extensions.json",
];

fn vscode(root: &Path, args: &[&str]) -> Ran {
    run(mxfp4(root).arg("vscode").args(args))
}

fn read(root: &Path, name: &str) -> Value {
    let text = fs::read_to_string(root.join(".vscode").join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
}

fn configuration<'a>(launch: &'a Value, name: &str) -> &'a Value {
    let configurations = launch["configurations"].as_array().unwrap();
    let found = configurations.iter().find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {launch:#}"))
}

/// A workspace like this repository, in small.
fn workspace() -> tempfile::TempDir {
    folder([
        ("mxfp4.toml", ""),
        ("kernels/test/test_a.mojo", ""),
        ("kernels/test/test_gpu_grouped_matmul.mojo", ""),
    ])
}

/// What is committed here is what the program writes, whichever accepted Python is preferred or installed.
fn the_files_of_this_repository_are_up_to_date() {
    let ran = vscode(&repository(), &["--check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

fn the_files_are_made_and_then_left_alone() {
    let workspace = workspace();
    let root = workspace.path();
    let ran = vscode(root, &["--check"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(!root.join(".vscode").exists());
    let ran = vscode(root, &[]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for name in FILES {
        assert!(ran.stderr.contains(&format!(".vscode/{name}")), "{ran:#?}");
        let text = fs::read_to_string(root.join(".vscode").join(name)).unwrap();
        assert!(!text.contains(root.to_str().unwrap()), "{text}");
    }
    assert_eq!(vscode(root, &["--check"]).code, Some(0));
    let ran = vscode(root, &[]);
    assert!(ran.stderr.contains("as it should be"), "{ran:#?}");

    let launch = read(root, "launch.json");
    let tests = configuration(&launch, "Debug MXFP4 Mojo tests");
    assert_eq!(
        tests["mojoFile"],
        "${workspaceFolder}/kernels/test/test_gpu_grouped_matmul.mojo"
    );
    assert_eq!(
        tests["env"],
        json!([
            "PYTHONPATH=${workspaceFolder}/python",
            "MODULAR_MOJO_MAX_IMPORT_PATH=${workspaceFolder}/kernels,\
             ${workspaceFolder}/.venv/lib/python3.11/site-packages/modular/lib/mojo,\
             ${env:MODULAR_MOJO_MAX_IMPORT_PATH}",
            "MODULAR_DEVICE_CONTEXT_SYNC_MODE=true",
            "MODULAR_DEBUG=device-sync-mode",
        ])
    );
    let tasks = read(root, "tasks.json");
    // Without mxfp4's source there is nothing for cargo to run.
    assert!(
        tasks["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|task| task["command"] == "mxfp4")
    );
    let settings = read(root, "settings.json");
    assert_eq!(settings["mojo.lsp.includeDirs"], json!(["kernels"]));
    assert_eq!(
        settings["python.defaultInterpreterPath"],
        "${workspaceFolder}/.venv/bin/python"
    );
}

/// Other variables, an SDK elsewhere and the current folder change nothing in files that others read.
fn the_machine_plays_no_part() {
    let workspace = workspace();
    let root = workspace.path();
    fs::create_dir_all(root.join("deep/er")).unwrap();
    assert_eq!(vscode(root, &[]).code, Some(0));
    let elsewhere = folder([
        ("lib/python3.12/site-packages/modular/bin/mojo", ""),
        (
            "lib/python3.12/site-packages/modular/lib/mojo/std.mojoc",
            "",
        ),
        ("bin/python", ""),
    ]);
    let ran = run(mxfp4(&root.join("deep/er"))
        .args(["vscode", "--check"])
        .env("MXFP4_SDK", elsewhere.path())
        .env("PYTHONPATH", "/mine")
        .env("MODULAR_DEBUG", "nan-check")
        .env("MODULAR_MOJO_MAX_IMPORT_PATH", "/mine"));
    assert_eq!(ran.code, Some(0), "{ran:#?}");

    // Another Python in the workspace itself is written, and no reason to complain.
    let own = root.join(".venv/lib/python3.13/site-packages/modular");
    fs::create_dir_all(own.join("bin")).unwrap();
    fs::create_dir_all(own.join("lib/mojo")).unwrap();
    fs::write(own.join("bin/mojo"), "").unwrap();
    assert_eq!(vscode(root, &["--check"]).code, Some(0));
    assert_eq!(vscode(root, &[]).code, Some(0));
    let launch = fs::read_to_string(root.join(".vscode/launch.json")).unwrap();
    assert!(
        launch.contains("/.venv/lib/python3.13/site-packages/"),
        "{launch}"
    );
    fs::remove_dir_all(root.join(".venv")).unwrap();
    assert_eq!(vscode(root, &["--check"]).code, Some(0));
}

fn a_change_of_mxfp4_toml_is_found_and_written() {
    let workspace = workspace();
    let root = workspace.path();
    assert_eq!(vscode(root, &[]).code, Some(0));
    fs::create_dir(root.join("more")).unwrap();
    fs::write(
        root.join("mxfp4.toml"),
        "[tests]\nmojo-includes = [\"kernels\", \"more\"]\n",
    )
    .unwrap();
    let ran = vscode(root, &["--check"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stderr.contains("launch.json") && ran.stderr.contains("settings.json"),
        "{ran:#?}"
    );
    assert!(
        !ran.stderr.contains("tasks.json") && ran.stderr.contains("run `mxfp4 vscode`"),
        "{ran:#?}"
    );
    assert_eq!(vscode(root, &[]).code, Some(0));
    let launch = read(root, "launch.json");
    let ours = configuration(&launch, "Debug the current Mojo file");
    let import = ours["env"][1].as_str().unwrap();
    assert!(
        import.contains("/kernels,${workspaceFolder}/more,"),
        "{import}"
    );
    assert_eq!(
        read(root, "settings.json")["mojo.lsp.includeDirs"],
        json!(["kernels", "more"])
    );
}

fn what_others_wrote_stays() {
    let workspace = workspace();
    let root = workspace.path();
    fs::create_dir(root.join(".vscode")).unwrap();
    let write = |name: &str, text: &str| fs::write(root.join(".vscode").join(name), text).unwrap();
    write(
        "launch.json",
        "{\n\t// mine\n\t\"configurations\": [\n\t\t{ \"name\": \"Mine\", \"type\": \"lldb\" }, // too\n\t\t{\n\t\t\t\"name\": \
         \"Debug MXFP4 Mojo tests\",\n\t\t\t\"stopOnEntry\": true,\n\t\t\t\"args\": [\"one\"],\n\t\t\t\"env\": \
         [\"MODULAR_DEBUG=device-sync-mode,nan-check\", \"MAX_MXFP4_KERNEL_OP=x\"],\n\t\t},\n\t],\n}\n",
    );
    write(
        "settings.json",
        "{ \"editor.tabSize\": 3, \"mojo.lsp.includeDirs\": [\"lib\"] } // end\n",
    );
    write(
        "extensions.json",
        "{ \"unwantedRecommendations\": [\"charliermarsh.ruff\"] }",
    );
    let ran = vscode(root, &[]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let text = fs::read_to_string(root.join(".vscode/launch.json")).unwrap();
    for kept in [
        "\t// mine\n",
        "{ \"name\": \"Mine\", \"type\": \"lldb\" }, // too",
        "\"stopOnEntry\": true,",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    for ours in [
        "\"type\": \"mojo-lldb\"",
        "\"MAX_MXFP4_KERNEL_OP=x\"",
        "\"MODULAR_DEBUG=device-sync-mode,nan-check\"",
        "[\"one\"]",
    ] {
        assert!(text.contains(ours), "{ours}: {text}");
    }
    let text = fs::read_to_string(root.join(".vscode/settings.json")).unwrap();
    assert!(
        text.contains("\"editor.tabSize\": 3") && text.ends_with("// end\n"),
        "{text}"
    );
    assert!(text.contains("[\"lib\", \"kernels\"]"), "{text}");
    assert_eq!(vscode(root, &["--check"]).code, Some(0));
}

/// One file that cannot be read keeps all four as they are.
fn a_file_that_cannot_be_read_is_left_alone() {
    for broken in [
        "{ \"version\": ",
        "[]",
        "<<<<<<< ours\n{}\n",
        "{ \"tasks\": 1 }",
    ] {
        let workspace = workspace();
        let root = workspace.path();
        fs::create_dir(root.join(".vscode")).unwrap();
        let file = root.join(".vscode/tasks.json");
        fs::write(&file, broken).unwrap();
        for args in [&[][..], &["--check"]] {
            let ran = vscode(root, args);
            assert_eq!(ran.code, Some(1), "{ran:#?}");
            assert!(ran.stderr.starts_with("error: "), "{ran:#?}");
            assert!(ran.stderr.contains(".vscode/tasks.json: "), "{ran:#?}");
            assert!(ran.stderr.contains("nothing was changed"), "{ran:#?}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), broken);
        assert_eq!(fs::read_dir(root.join(".vscode")).unwrap().count(), 1);
    }
    let workspace = workspace();
    fs::write(workspace.path().join(".vscode"), "a file").unwrap();
    let ran = vscode(workspace.path(), &[]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(
        fs::read_to_string(workspace.path().join(".vscode")).unwrap(),
        "a file"
    );
}

fn a_modular_checkout_debugs_its_own_test() {
    let checkout = folder([
        ("bazelw", ""),
        ("max/kernels/src/", ""),
        ("max/kernels/test/mxfp4_mojo/test_mxfp4.mojo", ""),
        (".pixi/envs/default/lib/mojo/", ""),
        (".pixi/envs/default/bin/mojo", "\u{7f}ELF"),
        (".pixi/envs/default/bin/python", ""),
        (".pixi/envs/default/lib/python3.11/site-packages/", ""),
        ("bazel-bin/max/kernels/src/", ""),
        ("bazel-bin/max/python/", ""),
    ]);
    let root = checkout.path();
    assert_eq!(vscode(root, &[]).code, Some(0));
    let launch = read(root, "launch.json");
    let tests = configuration(&launch, "Debug MXFP4 Mojo tests");
    assert_eq!(
        tests["mojoFile"],
        "${workspaceFolder}/max/kernels/test/mxfp4_mojo/test_mxfp4.mojo"
    );
    assert_eq!(
        tests["buildArgs"],
        json!(["-I", "${workspaceFolder}/max/kernels/src"])
    );
    assert_eq!(
        tests["env"],
        json!([
            "PYTHONPATH=${workspaceFolder}/bazel-bin/max/python:${workspaceFolder}/max/python:\
             ${workspaceFolder}/mojo/python",
            "MODULAR_MOJO_MAX_IMPORT_PATH=${workspaceFolder}/bazel-bin/max/kernels/src,${workspaceFolder}/max/kernels/src,\
             ${workspaceFolder}/.pixi/envs/default/lib/mojo,${env:MODULAR_MOJO_MAX_IMPORT_PATH}",
            "MODULAR_DEVICE_CONTEXT_SYNC_MODE=true",
            "MODULAR_DEBUG=device-sync-mode",
        ])
    );
    // Both are what the environment has.
    let environment = run(mxfp4(root).args(["env", "--json"])).stdout;
    let environment: Value = serde_json::from_str(&environment).unwrap();
    for (at, name) in ["PYTHONPATH", "MODULAR_MOJO_MAX_IMPORT_PATH"]
        .iter()
        .enumerate()
    {
        let written = tests["env"][at].as_str().unwrap();
        let written = written.replace("${workspaceFolder}", root.to_str().unwrap());
        let written = written.replace(",${env:MODULAR_MOJO_MAX_IMPORT_PATH}", "");
        assert_eq!(
            written,
            format!("{name}={}", environment[name].as_str().unwrap())
        );
    }
    let settings = read(root, "settings.json");
    assert_eq!(
        settings["python.defaultInterpreterPath"],
        "${workspaceFolder}/.pixi/envs/default/bin/python"
    );
    assert_eq!(vscode(root, &["--check"]).code, Some(0));
}

/// A stand-in for VS Code's `code` that tells how it was started.
fn with_code(root: &Path, script: &str) -> Command {
    let code = root.join("bin/code");
    fs::create_dir_all(code.parent().unwrap()).unwrap();
    fs::write(&code, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&code, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = mxfp4(root);
    let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
    command
        .args(["code", "-r", "kernels/test/test_a.mojo"])
        .env("PATH", path);
    command
}

fn code_is_opened_in_the_workspace_with_its_environment() {
    let workspace = workspace();
    let root = workspace.path().canonicalize().unwrap();
    let script = "printf '%s\\n' \"$@\" \"$PYTHONPATH\" \"$MODULAR_MOJO_MAX_IMPORT_PATH\"";
    let ran = run(&mut with_code(&root, script));
    let root = root.to_str().unwrap();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            root,
            "-r",
            "kernels/test/test_a.mojo",
            &format!("{root}/python"),
            &format!("{root}/kernels"),
        ]
    );
    assert!(ran.stderr.contains("no MAX and Mojo SDK found"), "{ran:#?}");
    let ran = run(&mut with_code(Path::new(root), "exit 7"));
    assert_eq!(ran.code, Some(7), "{ran:#?}");
}

/// The editor's own process leaves the program that started it, which must not take it along.
fn the_editor_outlives_the_command() {
    let workspace = workspace();
    let root = workspace.path();
    // It has left before `code` ends, as VS Code has.
    let script = "setsid sh -c ': > left; while [ ! -e go ]; do sleep 0.1; done; : > alive' </dev/null >/dev/null 2>&1 &\n\
                  while [ ! -e left ]; do sleep 0.1; done";
    let ran = run(&mut with_code(root, script));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    fs::write(root.join("go"), "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !root.join("alive").exists() {
        assert!(Instant::now() < deadline, "it was ended");
        thread::sleep(Duration::from_millis(50));
    }
}

fn without_code_it_says_where_to_get_it() {
    let workspace = workspace();
    let ran = run(mxfp4(workspace.path())
        .arg("code")
        .env("PATH", workspace.path()));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    for says in [
        "error: VS Code's `code` is not on PATH",
        "https://code.visualstudio.com",
        "Shell Command",
    ] {
        assert!(ran.stderr.contains(says), "{ran:#?}");
    }
}

/// The extension starts the SDK's server in the root, with `-I` for each of `mojo.lsp.includeDirs`.
fn the_language_server() -> Result<Completion, Failed> {
    let sdk = match sdk() {
        Ok(sdk) => sdk,
        Err(skip) => return Ok(Completion::ignored_with(skip)),
    };
    let program = sdk.join("bin/mojo-lsp-server");
    if !program.is_file() {
        return Ok(Completion::ignored_with(
            "the SDK has no bin/mojo-lsp-server",
        ));
    }
    let root = repository().canonicalize()?;
    let settings = read(&root, "settings.json");
    let folders = settings["mojo.lsp.includeDirs"].as_array().unwrap().iter();
    let includes: Vec<&str> = folders
        .flat_map(|folder| ["-I", folder.as_str().unwrap()])
        .collect();
    let missing = |args: &[&str]| -> Result<bool, Failed> {
        let mut server = Server::start(Command::new(&program).args(args).current_dir(&root))?;
        let messages = server.diagnostics(&root.join("kernels/test/test_format.mojo"))?;
        Ok(messages
            .iter()
            .any(|message| message.contains("unable to locate module")))
    };
    // Without them it does not, so this test can fail.
    assert!(missing(&[])?);
    assert!(!missing(&includes)?, "not found with {includes:?}");
    Ok(Completion::Completed)
}

/// A language server, spoken to as an editor does.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(command: &mut Command) -> Result<Self, Failed> {
        let child = command
            .env_remove("MODULAR_MOJO_MAX_IMPORT_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    fn send(&mut self, mut message: Value) -> Result<(), Failed> {
        message["jsonrpc"] = "2.0".into();
        let body = message.to_string();
        let input = self.0.stdin.as_mut().ok_or("it is piped")?;
        write!(input, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        input.flush()?;
        Ok(())
    }

    /// Opens the file, and waits for what the server has to say about it.
    fn diagnostics(&mut self, file: &Path) -> Result<Vec<String>, Failed> {
        let mut output = BufReader::new(self.0.stdout.take().ok_or("it is piped")?);
        let uri = format!("file://{}", file.display());
        self.send(json!({
            "id": 1,
            "method": "initialize",
            "params": { "processId": null, "rootUri": null, "capabilities": {} },
        }))?;
        while receive(&mut output)?["id"] != 1 {}
        self.send(json!({ "method": "initialized", "params": {} }))?;
        let text = fs::read_to_string(file)?;
        self.send(json!({
            "method": "textDocument/didOpen",
            "params": { "textDocument": { "uri": uri, "languageId": "mojo", "version": 1, "text": text } },
        }))?;
        loop {
            let message = receive(&mut output)?;
            if message["method"] == "textDocument/publishDiagnostics" {
                let diagnostics = message["params"]["diagnostics"]
                    .as_array()
                    .ok_or("a list")?;
                let messages = diagnostics.iter().map(|one| one["message"].to_string());
                return Ok(messages.collect());
            }
        }
    }
}

fn receive(output: &mut impl BufRead) -> Result<Value, Failed> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 {
            return Err("the server has ended".into());
        }
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse()?
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}
