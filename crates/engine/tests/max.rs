//! The client against MAX itself, with a virtual GPU and MAX's echo model, which repeats
//! the prompt. `MXFP4_SDK` names the folder of the SDK; without it the test is skipped.

use mxfp4_engine::{Engine, EngineError, EngineListener, Finish, Request, Step, VARIABLE};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long one side may outlive the other.
const ENDED: Duration = Duration::from_secs(2);

struct Max {
    child: Child,
    log: PathBuf,
    _home: tempfile::TempDir,
}

impl Max {
    async fn start(sdk: &Path) -> (Self, Engine) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let home = tempfile::tempdir().unwrap();
        let python = sdk.join("bin/python");
        let fixture = root.join("crates/mxfp4/tests/serve/virtual_gpu.py");
        fs::copy(fixture, home.path().join("sitecustomize.py")).unwrap();
        let path = format!(
            "{}:{}",
            home.path().display(),
            root.join("python").display()
        );
        let model = home.path().join("model");
        let written = Command::new(&python)
            .args(["-m", "mxfp4.checkpoint"])
            .arg(&model)
            .env("PYTHONPATH", &path)
            .output()
            .unwrap();
        assert!(written.status.success(), "{written:?}");
        let log = home.path().join("log");
        let file = File::create(&log).unwrap();
        let listener = EngineListener::bind(home.path()).unwrap();
        let mut child = Command::new(&python)
            .args(["-m", "mxfp4.start", "max._entrypoints.pipelines", "serve"])
            .args(["--devices", "gpu", "--force", "--model"])
            .arg(&model)
            .args(["--quantization-encoding", "float4_e2m1fnx2"])
            .args(["--custom-architectures", "mxfp4.gpt_oss"])
            .args(["--tool-call-policy", "force_unconstrained"])
            .env("PYTHONPATH", &path)
            .env("HOME", home.path())
            .env("MODULAR_CACHE_DIR", home.path().join("cache"))
            .env("HF_HUB_OFFLINE", "1")
            .env("MAX_SERVE_DISABLE_TELEMETRY", "1")
            .env("MAX_SERVE_DUMMY_MODEL", "1")
            .env(VARIABLE, listener.path())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let engine = match timeout(PATIENCE, listener.engine()).await {
            Ok(Ok(engine)) => engine,
            failed => {
                let _ = child.kill();
                panic!(
                    "{:?}: {}",
                    failed.map(Result::err),
                    fs::read_to_string(&log).unwrap()
                );
            }
        };
        let max = Self {
            child,
            log,
            _home: home,
        };
        (max, engine)
    }

    async fn ended(&mut self, within: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < within,
                "{}",
                fs::read_to_string(&self.log).unwrap()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Max {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn whole(engine: &Engine, request: Request) -> Result<Step, EngineError> {
    let mut generation = engine.generate(request);
    let mut all = Step::default();
    while let Some(step) = generation.next().await {
        let step = step?;
        all.tokens.extend(step.tokens);
        all.finish = step.finish;
    }
    Ok(all)
}

fn ask(prompt: Vec<u32>) -> Request {
    Request {
        prompt,
        temperature: Some(0.7),
        top_p: Some(0.9),
        seed: Some(0),
        ..Request::default()
    }
}

#[tokio::test]
async fn max_answers_and_neither_side_outlives_the_other() {
    let Some(sdk) = std::env::var_os("MXFP4_SDK") else {
        println!("skipped: needs MAX, set MXFP4_SDK");
        return;
    };
    let (mut max, engine) = Max::start(Path::new(&sdk)).await;
    assert_eq!(engine.hello().vocabulary, 1024);
    assert_eq!(engine.hello().end_tokens, [1004]);

    let step = whole(&engine, ask((1..40).collect())).await.unwrap();
    assert_eq!(step.tokens, (1..40).collect::<Vec<_>>());
    assert_eq!(step.finish, Some(Finish::Stop));
    let error = whole(&engine, ask(vec![1024])).await.unwrap_err();
    let says = "the prompt has token 1024; the model has 1024".to_owned();
    assert_eq!(error, EngineError::Invalid(says));

    // A killed process is seen by each of its requests.
    let waiting = engine.generate(ask(vec![1; 50_000]));
    max.child.kill().unwrap();
    let mut waiting = waiting;
    let end = async {
        loop {
            if let Err(error) = waiting.next().await.unwrap() {
                return error;
            }
        }
    };
    let error = timeout(ENDED, end).await.unwrap();
    assert!(matches!(error, EngineError::Gone(_)), "{error}");
    timeout(ENDED, engine.gone()).await.unwrap();
    max.ended(ENDED).await;

    // A front end that goes is not outlived.
    let (mut max, engine) = Max::start(Path::new(&sdk)).await;
    drop(engine);
    assert!(!max.ended(ENDED).await.success());
}
