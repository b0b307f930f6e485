//! An engine without a model, which answers by a script. It connects to the socket as
//! MAX's side does and sends the same frames, a token a request a step.

use crate::frame::{self, FrameError, FrameReader};
use crate::hello::{Hello, PROTOCOL};
use crate::request::Request;
use crate::step::{Finish, TokenLogprobs};
use crate::wire::{ErrorKind, FromEngine, Row, StepFrame, ToEngine};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Chooses the answer to a request.
pub type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it says of itself.
    pub hello: Hello,
    /// How long a step takes; zero is as short as can be.
    pub step: Duration,
    /// How long the model takes to load.
    pub load: Duration,
    /// Requests that wait beside the [`Hello::max_batch`] that run; more are refused.
    pub queue: usize,
}

impl Default for Options {
    /// 512 requests at once, 5 ms a step, GPT-OSS' vocabulary and end tokens.
    fn default() -> Self {
        Self {
            hello: Hello {
                protocol: PROTOCOL,
                max_version: "scripted".into(),
                model: "scripted".into(),
                max_length: 131_072,
                vocabulary: 201_088,
                end_tokens: vec![200_002, 199_999, 200_012],
                max_batch: Some(512),
                penalties: true,
                min_tokens: true,
                max_logprobs: 20,
                grammar: false,
            },
            step: Duration::from_millis(5),
            load: Duration::ZERO,
            queue: 65_536,
        }
    }
}

/// What a request is answered. One that runs out of tokens ends as if at an end token,
/// unless a fault comes instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its tokens. It is cut as the request says: at `max_tokens`, at end tokens and at
    /// stop tokens, after `min_tokens`.
    pub tokens: Vec<u32>,
    /// What happens after these tokens.
    pub fault: Option<Fault>,
    /// Tokens of the prompt that are said to have been in the prefix cache.
    pub cached_tokens: Option<u32>,
}

impl From<Vec<u32>> for Answer {
    fn from(tokens: Vec<u32>) -> Self {
        Self {
            tokens,
            ..Self::default()
        }
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The queue is said to be full.
    QueueFull,
    /// The request is said to be at fault.
    Invalid(String),
    /// The request is said to be at fault a step later: its grammar does not compile.
    BadGrammar(String),
    /// The engine fails at it.
    Failed(String),
    /// Nothing more comes.
    Stall,
    /// The engine's process dies.
    Die,
}

/// An engine without a model. It dies when this is dropped.
pub struct ScriptedEngine {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Result<(), ConnectError>>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    cancelled: usize,
    keep: bool,
}

/// Why a scripted engine is not connected any more.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens there.
    #[error("cannot connect to {}", .path.display())]
    Connect {
        /// The socket's path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The front end speaks another version.
    #[error("the front end speaks version {0} of the protocol, and this {PROTOCOL}")]
    Protocol(u32),
    /// The front end sent what is no message, or ended.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl ScriptedEngine {
    /// Starts to connect to the socket at `path`, and keeps what it is asked.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(path: &Path, options: Options, script: Script) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            keep: true,
            ..Seen::default()
        }));
        let run = run(path.to_owned(), options, script, seen.clone());
        Self {
            seen,
            task: tokio::spawn(run),
        }
    }

    /// Answers at the socket at `path` until the front end ends, in the caller's task.
    ///
    /// # Errors
    ///
    /// Where it cannot connect, or the front end speaks another version.
    pub async fn serve(path: &Path, options: Options, script: Script) -> Result<(), ConnectError> {
        run(path.to_owned(), options, script, Arc::default()).await
    }

    /// The requests that came, the first first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.seen).requests.clone()
    }

    /// How many requests were cancelled while they ran or waited.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        lock(&self.seen).cancelled
    }

    /// Waits until the front end has ended, or a fault has killed the engine.
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    pub async fn ended(mut self) -> Result<(), ConnectError> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers that are given in turn; after the last the first comes again.
#[must_use]
pub fn in_turn(answers: Vec<Answer>) -> Script {
    let mut answers = answers.into_iter().cycle();
    Box::new(move |_| answers.next().unwrap_or_default())
}

/// Answers every request with `token` again and again, to its `max_tokens` or else
/// `length` times.
#[must_use]
pub fn filler(token: u32, length: u32) -> Script {
    Box::new(move |request| {
        let length = request.max_tokens.unwrap_or(length);
        vec![token; length as usize].into()
    })
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect(
    path: &Path,
) -> Result<(FrameReader<OwnedReadHalf>, OwnedWriteHalf), ConnectError> {
    match UnixStream::connect(path).await {
        Ok(stream) => {
            let (reader, writer) = stream.into_split();
            Ok((FrameReader::new(reader), writer))
        }
        Err(source) => Err(ConnectError::Connect {
            path: path.to_owned(),
            source,
        }),
    }
}

async fn send(writer: &mut OwnedWriteHalf, message: &FromEngine) -> Result<(), FrameError> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, message)?;
    Ok(writer.write_all(&bytes).await?)
}

async fn run(
    path: PathBuf,
    options: Options,
    script: Script,
    seen: Arc<Mutex<Seen>>,
) -> Result<(), ConnectError> {
    let mut lifeline = connect(&path).await?;
    let protocol = options.hello.protocol;
    send(&mut lifeline.1, &FromEngine::Lifeline { protocol }).await?;
    match lifeline.0.next().await? {
        ToEngine::Welcome { protocol } if protocol == PROTOCOL => {}
        ToEngine::Welcome { protocol } => return Err(ConnectError::Protocol(protocol)),
        _ => return Err(FrameError::Ended.into()),
    }
    let load = tokio::time::sleep(options.load);
    tokio::select! {
        end = lifeline.0.next::<ToEngine>() => return Err(end.err().unwrap_or(FrameError::Ended).into()),
        () = load => {}
    }
    let (mut reader, mut writer) = connect(&path).await?;
    send(&mut writer, &FromEngine::Hello(options.hello.clone())).await?;
    let mut worker = Worker::new(options, script, seen);
    let mut bytes = Vec::new();
    loop {
        let step = worker.next_step();
        tokio::select! {
            message = reader.next() => match message {
                Ok(message) => worker.take(message, &mut bytes)?,
                Err(FrameError::Ended) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            () = step => worker.step(&mut bytes)?,
        }
        if !bytes.is_empty() {
            writer.write_all(&bytes).await.map_err(FrameError::Socket)?;
            bytes.clear();
        }
        if worker.died {
            return Ok(());
        }
    }
}

/// What answers.
struct Worker {
    options: Options,
    script: Script,
    seen: Arc<Mutex<Seen>>,
    running: Vec<Running>,
    queue: VecDeque<Running>,
    /// When the next step ends; none while nothing runs.
    due: Option<Instant>,
    died: bool,
}

/// A request that runs or waits.
struct Running {
    id: u64,
    tokens: std::vec::IntoIter<u32>,
    made: u32,
    max_tokens: u32,
    min_tokens: u32,
    ends: Vec<u32>,
    logprobs: Option<u8>,
    cached: Option<u32>,
    fault: Option<Fault>,
}

/// What a step made for a request.
enum Made {
    Token(u32),
    Last(Option<u32>, Finish),
    Fault(Fault),
}

impl Worker {
    fn new(options: Options, script: Script, seen: Arc<Mutex<Seen>>) -> Self {
        Self {
            options,
            script,
            seen,
            running: Vec::new(),
            queue: VecDeque::new(),
            due: None,
            died: false,
        }
    }

    fn next_step(&self) -> impl Future<Output = ()> + use<> {
        let due = self.due;
        let at_once = self.options.step.is_zero();
        async move {
            match due {
                Some(_) if at_once => tokio::task::yield_now().await,
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, message: ToEngine, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        match message {
            ToEngine::Generate { id, request } => self.start(id, request, bytes)?,
            ToEngine::Cancel(ids) => {
                let before = self.running.len() + self.queue.len();
                self.running.retain(|each| !ids.contains(&each.id));
                self.queue.retain(|each| !ids.contains(&each.id));
                lock(&self.seen).cancelled += before - self.running.len() - self.queue.len();
            }
            ToEngine::Welcome { .. } => {}
        }
        self.fill();
        Ok(())
    }

    fn start(&mut self, id: u64, request: Request, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        let answer = (self.script)(&request);
        let refused = match &answer.fault {
            _ if self.queue.len() >= self.options.queue => Some((ErrorKind::Full, String::new())),
            Some(Fault::QueueFull) => Some((ErrorKind::Full, String::new())),
            Some(Fault::Invalid(message)) => Some((ErrorKind::Invalid, message.clone())),
            _ => None,
        };
        if let Some((kind, message)) = refused {
            frame::write(bytes, &FromEngine::Error { id, kind, message })?;
        } else {
            let running = Running::new(id, &request, answer, &self.options.hello);
            self.queue.push_back(running);
        }
        let mut seen = lock(&self.seen);
        if seen.keep {
            seen.requests.push(request);
        }
        Ok(())
    }

    /// Lets requests run that wait, as many as there is room for.
    fn fill(&mut self) {
        let room = self.options.hello.max_batch.unwrap_or(u32::MAX) as usize;
        while self.running.len() < room
            && let Some(next) = self.queue.pop_front()
        {
            self.running.push(next);
        }
        if self.running.is_empty() {
            self.due = None;
        } else if self.due.is_none() {
            self.due = Some(Instant::now() + self.options.step);
        }
    }

    fn step(&mut self, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut frame = StepFrame::default();
        let mut errors = Vec::new();
        let mut died = false;
        self.running.retain_mut(|each| match each.step() {
            Made::Token(token) => {
                if each.made == 1 && each.cached.is_some() || each.logprobs.is_some() {
                    frame.rows.push(each.row(Some(token), None));
                } else {
                    frame.ids.push(each.id);
                    frame.tokens.push(token);
                }
                true
            }
            Made::Last(token, finish) => {
                frame.rows.push(each.row(token, Some(finish)));
                false
            }
            Made::Fault(Fault::Stall) => true,
            Made::Fault(Fault::Failed(message)) => {
                errors.push(each.error(ErrorKind::Failed, message));
                false
            }
            Made::Fault(Fault::BadGrammar(message)) => {
                errors.push(each.error(ErrorKind::Invalid, message));
                false
            }
            Made::Fault(_) => {
                died = true;
                false
            }
        });
        if !frame.ids.is_empty() || !frame.rows.is_empty() {
            frame::write(bytes, &FromEngine::Step(frame))?;
        }
        for error in errors {
            frame::write(bytes, &error)?;
        }
        self.died = died;
        // A late step makes the next one no later.
        self.due = self.due.map(|due| due + self.options.step);
        self.fill();
        Ok(())
    }
}

impl Running {
    fn new(id: u64, request: &Request, answer: Answer, hello: &Hello) -> Self {
        let length = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
        let room = hello.max_length.saturating_sub(length);
        let mut ends = request.stop_token_ids.clone();
        if !request.ignore_eos {
            ends.extend_from_slice(&hello.end_tokens);
        }
        Self {
            id,
            tokens: answer.tokens.into_iter(),
            made: 0,
            max_tokens: request.max_tokens.unwrap_or(room).min(room),
            min_tokens: request.min_tokens.unwrap_or(0),
            ends,
            logprobs: request.logprobs,
            cached: answer.cached_tokens,
            fault: answer.fault,
        }
    }

    fn step(&mut self) -> Made {
        let Some(token) = self.tokens.next() else {
            return match &self.fault {
                Some(fault) => Made::Fault(fault.clone()),
                None => Made::Last(None, Finish::Stop),
            };
        };
        self.made += 1;
        if self.made >= self.min_tokens && self.ends.contains(&token) {
            return Made::Last(Some(token), Finish::Stop);
        }
        if self.made >= self.max_tokens {
            return Made::Last(Some(token), Finish::Length);
        }
        if self.tokens.len() == 0 && self.fault.is_none() {
            return Made::Last(Some(token), Finish::Stop);
        }
        Made::Token(token)
    }

    fn error(&self, kind: ErrorKind, message: String) -> FromEngine {
        FromEngine::Error {
            id: self.id,
            kind,
            message,
        }
    }

    fn row(&mut self, token: Option<u32>, finish: Option<Finish>) -> Row {
        let logprobs = match (token, self.logprobs) {
            (Some(token), Some(count)) => vec![likeliest(token, count)],
            _ => Vec::new(),
        };
        Row {
            id: self.id,
            tokens: token.into_iter().collect(),
            finish,
            cached: self.cached.take(),
            logprobs,
        }
    }
}

/// Log-probabilities that are made up: the drawn token is the likeliest, and those that
/// follow it by number are half as likely each.
fn likeliest(token: u32, count: u8) -> TokenLogprobs {
    let top = (0..count)
        .map(|place| (token + u32::from(place), -0.5 - f32::from(place)))
        .collect();
    TokenLogprobs {
        token,
        logprob: -0.5,
        top,
    }
}
