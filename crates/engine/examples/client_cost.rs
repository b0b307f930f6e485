//! Measures what the client costs: CPU time a token, of this process alone.
//!
//! ```text
//! cargo build --release -p mxfp4-engine --features scripted --examples
//! target/release/examples/client_cost [--streams N] [--step-ms MS] [--tokens N]
//! ```
//!
//! The engine is the example `scripted_engine`, in a process of its own.

use mxfp4_engine::{Engine, EngineListener, Request, VARIABLE};
use std::error::Error;
use std::process::{Child, Command};
use std::time::Instant;

/// The kernel's ticks a second in `/proc`, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut streams, mut step, mut tokens) = (512_u32, "5".to_owned(), 1000_u32);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        match word.as_str() {
            "--streams" => streams = value.parse()?,
            "--step-ms" => step = value,
            "--tokens" => tokens = value.parse()?,
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    let listener = EngineListener::bind(&std::env::temp_dir())?;
    let program = std::env::current_exe()?.with_file_name("scripted_engine");
    let mut scripted = Command::new(program)
        .args(["--step-ms", &step])
        .env(VARIABLE, listener.path())
        .spawn()?;
    let engine = listener.engine().await?;
    run(&engine, streams, tokens / 10).await;

    let (own, other) = (cpu("self")?, cpu_of(&scripted)?);
    let begun = Instant::now();
    let steps = run(&engine, streams, tokens).await;
    let seconds = begun.elapsed().as_secs_f64();
    let count = f64::from(streams) * f64::from(tokens);
    let (own, other) = (cpu("self")? - own, cpu_of(&scripted)? - other);
    println!(
        "{streams} streams, {step} ms a step: {:.0} tokens/s, {:.2} tokens a read; \
         client {:.2} us a token, scripted engine {:.2}",
        count / seconds,
        count / f64::from(steps),
        own / count * 1e6,
        other / count * 1e6,
    );
    scripted.kill()?;
    scripted.wait()?;
    Ok(())
}

/// Reads so many answers at once, each in a task; returns how often one was read.
async fn run(engine: &Engine, streams: u32, tokens: u32) -> u32 {
    let mut tasks = Vec::new();
    for _ in 0..streams {
        let mut generation = engine.generate(Request {
            prompt: vec![1; 100],
            max_tokens: Some(tokens),
            ..Request::default()
        });
        tasks.push(tokio::spawn(async move {
            let (mut reads, mut count) = (0, 0);
            while let Some(step) = generation.next().await {
                reads += 1;
                count += step.expect("the engine is well").tokens.len();
            }
            (reads, count)
        }));
    }
    let mut reads = 0;
    for task in tasks {
        let (more, count) = task.await.expect("no reader panics");
        assert_eq!(count, tokens as usize);
        reads += more;
    }
    reads
}

fn cpu_of(child: &Child) -> Result<f64, Box<dyn Error>> {
    cpu(&child.id().to_string())
}

/// Seconds of CPU time, the user's and the system's, that a process has taken.
fn cpu(process: &str) -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").ok_or("no such format")?;
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}
