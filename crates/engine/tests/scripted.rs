//! The engine's client against the stand-in for MAX, through a real socket.

use mxfp4_engine::scripted::{Answer, Fault, Options, Script, filler, in_turn};
use mxfp4_engine::{
    Engine, EngineError, EngineListener, Finish, Generation, Request, ScriptedEngine, StartError,
    Step,
};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn quick() -> Options {
    Options {
        step: Duration::from_millis(1),
        ..Options::default()
    }
}

async fn start(options: Options, script: Script) -> (Engine, ScriptedEngine) {
    let folder = tempfile::tempdir().unwrap();
    let listener = EngineListener::bind(folder.path()).unwrap();
    let scripted = ScriptedEngine::start(listener.path(), options, script);
    (listener.engine().await.unwrap(), scripted)
}

fn ask(max_tokens: u32) -> Request {
    Request {
        prompt: vec![1, 2, 3],
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

/// Reads to the end: all tokens, and how it ended.
async fn whole(mut generation: Generation) -> Result<Step, EngineError> {
    let mut all = Step::default();
    while let Some(step) = generation.next().await {
        let step = step?;
        all.tokens.extend(step.tokens);
        all.logprobs.extend(step.logprobs);
        all.finish = step.finish;
        all.cached_tokens = all.cached_tokens.or(step.cached_tokens);
    }
    Ok(all)
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn answers_end_where_the_request_says() {
    let answer = vec![5, 6, 7, 200_002, 9];
    let (engine, scripted) = start(quick(), in_turn(vec![answer.into()])).await;

    let stopped = whole(engine.generate(ask(100))).await.unwrap();
    assert_eq!(stopped.tokens, [5, 6, 7, 200_002]);
    assert_eq!(stopped.finish, Some(Finish::Stop));

    let cut = whole(engine.generate(ask(2))).await.unwrap();
    assert_eq!(cut.tokens, [5, 6]);
    assert_eq!(cut.finish, Some(Finish::Length));

    let ignoring = Request {
        ignore_eos: true,
        stop_token_ids: vec![5, 9],
        min_tokens: Some(2),
        logprobs: Some(2),
        ..ask(100)
    };
    let ignored = whole(engine.generate(ignoring.clone())).await.unwrap();
    assert_eq!(ignored.tokens, [5, 6, 7, 200_002, 9]);
    assert_eq!(ignored.logprobs.len(), 5);
    assert_eq!(ignored.logprobs[0].top, [(5, -0.5), (6, -1.5)]);

    assert_eq!(engine.live(), 0);
    assert_eq!(scripted.requests(), [ask(100), ask(2), ignoring]);
}

#[tokio::test]
async fn many_answers_at_once_are_kept_apart() {
    let script: Script = Box::new(|request| vec![request.prompt[0]; 20].into());
    let (engine, _scripted) = start(quick(), script).await;
    let tasks: Vec<_> = (0..600)
        .map(|number| {
            let generation = engine.generate(Request {
                prompt: vec![number],
                ..Request::default()
            });
            tokio::spawn(whole(generation))
        })
        .collect();
    for (number, task) in (0..).zip(tasks) {
        let step = task.await.unwrap().unwrap();
        assert_eq!(step.tokens, vec![number; 20]);
    }
}

#[tokio::test]
async fn steps_that_wait_are_one() {
    let answer = Answer {
        tokens: vec![1, 2, 3, 4],
        cached_tokens: Some(3),
        ..Answer::default()
    };
    let (engine, _scripted) = start(quick(), in_turn(vec![answer])).await;
    let mut generation = engine.generate(ask(100));
    until(|| engine.live() == 0).await;
    let step = generation.next().await.unwrap().unwrap();
    let all = Step {
        tokens: vec![1, 2, 3, 4],
        finish: Some(Finish::Stop),
        cached_tokens: Some(3),
        ..Step::default()
    };
    assert_eq!(step, all);
    assert_eq!(generation.next().await, None);
}

#[tokio::test]
async fn a_dropped_answer_is_cancelled() {
    let (engine, scripted) = start(quick(), filler(7, 1_000_000)).await;
    let mut left = engine.generate(ask(1_000_000));
    let kept = engine.generate(ask(20));
    left.next().await.unwrap().unwrap();
    drop(left);
    assert_eq!(engine.live(), 1);
    until(|| scripted.cancelled() == 1).await;
    assert_eq!(whole(kept).await.unwrap().tokens.len(), 20);
}

#[tokio::test]
async fn errors_reach_their_request() {
    let failed = Answer {
        tokens: vec![1, 2],
        fault: Some(Fault::Failed("out of memory".into())),
        ..Answer::default()
    };
    let answers = vec![
        Fault::QueueFull.into(),
        Fault::Invalid("temperature 7 is above 2".into()).into(),
        failed,
        vec![4].into(),
    ];
    let (engine, _scripted) = start(quick(), in_turn(answers)).await;
    let generations: Vec<_> = (0..4).map(|_| engine.generate(ask(9))).collect();
    let mut results = Vec::new();
    for generation in generations {
        results.push(whole(generation).await);
    }
    assert_eq!(results[0], Err(EngineError::QueueFull));
    let invalid = EngineError::Invalid("temperature 7 is above 2".into());
    assert_eq!(results[1], Err(invalid));
    assert_eq!(results[2], Err(EngineError::Failed("out of memory".into())));
    assert_eq!(results[3].as_ref().unwrap().tokens, [4]);
}

#[tokio::test]
async fn a_full_queue_is_said_at_once() {
    let mut options = quick();
    options.hello.max_batch = Some(1);
    options.queue = 1;
    let (engine, _scripted) = start(options, filler(7, 50)).await;
    let first = engine.generate(ask(50));
    let second = engine.generate(ask(50));
    let third = engine.generate(ask(50));
    assert_eq!(whole(third).await, Err(EngineError::QueueFull));
    assert_eq!(engine.live(), 2);
    assert_eq!(whole(first).await.unwrap().tokens.len(), 50);
    assert_eq!(whole(second).await.unwrap().tokens.len(), 50);
}

#[tokio::test]
async fn the_engines_death_ends_all_requests() {
    let dies = Answer {
        tokens: vec![1, 2, 3],
        fault: Some(Fault::Die),
        ..Answer::default()
    };
    let stalls = Answer::from(Fault::Stall);
    let (engine, _scripted) = start(quick(), in_turn(vec![stalls, dies])).await;
    let waits = engine.generate(ask(9));
    let mut dying = engine.generate(ask(9));
    let gone = engine.gone().await;
    assert_eq!(gone.reason, "the engine has ended");
    let error = EngineError::Gone(gone.reason);
    // What it made before comes first.
    assert_eq!(dying.next().await.unwrap().unwrap().tokens, [1, 2, 3]);
    assert_eq!(dying.next().await, Some(Err(error.clone())));
    assert_eq!(whole(waits).await, Err(error.clone()));
    assert_eq!(whole(engine.generate(ask(9))).await, Err(error));
    assert_eq!(engine.live(), 0);
}

#[tokio::test]
async fn without_handles_the_engine_is_disconnected() {
    let (engine, scripted) = start(quick(), filler(7, 5)).await;
    let generation = engine.generate(ask(5));
    drop(engine);
    assert_eq!(whole(generation).await.unwrap().tokens, [7; 5]);
    timeout(Duration::from_secs(10), scripted.ended())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn another_version_is_refused_by_both() {
    let folder = tempfile::tempdir().unwrap();
    let listener = EngineListener::bind(folder.path()).unwrap();
    let mut options = quick();
    options.hello.protocol = 9;
    let scripted = ScriptedEngine::start(listener.path(), options, in_turn(vec![]));
    let error = listener.engine().await.err().unwrap();
    assert!(matches!(error, StartError::Protocol { theirs: 9, ours: 1 }));
    assert!(error.to_string().contains("version 9"), "{error}");
    scripted.ended().await.unwrap_err();
}

#[tokio::test]
async fn an_engine_that_ends_while_it_loads_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let listener = EngineListener::bind(folder.path()).unwrap();
    let options = Options {
        load: Duration::from_secs(60),
        ..quick()
    };
    let scripted = ScriptedEngine::start(listener.path(), options, in_turn(vec![]));
    let ready = tokio::spawn(listener.engine());
    sleep(Duration::from_millis(100)).await;
    assert!(!ready.is_finished());
    drop(scripted);
    let error = timeout(Duration::from_secs(2), ready).await.unwrap();
    assert!(matches!(error.unwrap().err(), Some(StartError::Ended)));
}

#[tokio::test]
async fn the_socket_is_private_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let listener = EngineListener::bind(folder.path()).unwrap();
    let path = listener.path().to_owned();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.as_path()), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    drop(listener);
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_request_beyond_the_frames_limit_is_refused_here() {
    let (engine, scripted) = start(quick(), filler(7, 5)).await;
    let request = Request {
        prompt: vec![200_000; 4 << 20],
        ..Request::default()
    };
    let error = whole(engine.generate(request)).await.unwrap_err();
    assert!(matches!(error, EngineError::Invalid(_)), "{error}");
    assert_eq!(whole(engine.generate(ask(2))).await.unwrap().tokens, [7, 7]);
    assert_eq!(scripted.requests(), [ask(2)]);
}
