//! Runs seeds of the simulator until it is stopped, or one fails.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use baton_sim::{Coverage, Outcome, run};
use tokio::time::Instant;

/// Seeds after which everything that can happen has to have happened.
const COVERED_AFTER: u64 = 2_000;

/// Between two lines about how far it is.
const REPORT: Duration = Duration::from_secs(5);

/// Lines of a failed run's trace that are shown; the whole comes with its replay.
const TAIL: usize = 200;

const USAGE: &str = "\
usage: soak [--seed N | [--from N] [--seeds K] [--threads T]]

  --seed N     run one seed and print everything that happens in it
  --from N     the first seed (default 0)
  --seeds K    how many seeds (default: until stopped)
  --threads T  how many at a time (default: one for each processor)
";

struct Options {
    seed: Option<u64>,
    from: u64,
    seeds: u64,
    threads: u64,
}

fn main() -> ExitCode {
    let stdout = &mut io::stdout().lock();
    let code = match Options::read(std::env::args().skip(1)) {
        Ok(Options {
            seed: Some(seed), ..
        }) => replay(seed, stdout),
        Ok(options) => soak(&options, stdout),
        Err(error) => {
            let stderr = io::stderr();
            write!(stderr.lock(), "soak: {error}\n\n{USAGE}").map(|()| ExitCode::from(2))
        }
    };
    // Nobody reads any more.
    code.unwrap_or(ExitCode::FAILURE)
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let mut options = Self {
            seed: None,
            from: 0,
            seeds: u64::MAX,
            threads: cores,
        };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?;
            let number: u64 = value
                .parse()
                .map_err(|_| format!("{name} must be a whole number; found {value:?}"))?;
            match name.as_str() {
                "--seed" => options.seed = Some(number),
                "--from" => options.from = number,
                "--seeds" => options.seeds = number,
                "--threads" => options.threads = number.max(1),
                _ => return Err(format!("{name} is not an option")),
            }
        }
        Ok(options)
    }
}

fn replay(seed: u64, out: &mut impl Write) -> io::Result<ExitCode> {
    let outcome = run(seed, true);
    out.write_all(outcome.trace.as_bytes())?;
    let seconds = outcome.simulated_ms / 1000;
    match outcome.failure {
        Some(failure) => {
            writeln!(
                out,
                "seed {seed} failed after {seconds} s of its world: {failure}"
            )?;
            Ok(ExitCode::FAILURE)
        }
        None => {
            writeln!(out, "seed {seed} held for {seconds} s of its world")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What the threads have done so far.
struct Progress {
    next: AtomicU64,
    done: AtomicU64,
    simulated_ms: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<Outcome>>,
    coverage: Mutex<Coverage>,
}

fn soak(options: &Options, out: &mut impl Write) -> io::Result<ExitCode> {
    let progress = Progress {
        next: AtomicU64::new(options.from),
        done: AtomicU64::new(0),
        simulated_ms: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        failure: Mutex::new(None),
        coverage: Mutex::new(Coverage::expected()),
    };
    let end = options.from.saturating_add(options.seeds);
    let started = Instant::now();
    let told = thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads)
            .map(|_| scope.spawn(|| work(&progress, end)))
            .collect();
        let mut told = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::park_timeout(Duration::from_millis(20));
            if told.elapsed() >= REPORT {
                told = Instant::now();
                tell(&progress, started, out)?;
            }
        }
        tell(&progress, started, out)
    });
    told?;
    conclude(&progress, out)
}

fn work(progress: &Progress, end: u64) {
    loop {
        let seed = progress.next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || progress.failed.load(Ordering::Relaxed) {
            return;
        }
        let outcome = run(seed, false);
        lock(&progress.coverage).add(&outcome.coverage);
        progress.done.fetch_add(1, Ordering::Relaxed);
        let simulated = &progress.simulated_ms;
        simulated.fetch_add(outcome.simulated_ms, Ordering::Relaxed);
        if outcome.failure.is_some() {
            progress.failed.store(true, Ordering::Relaxed);
            lock(&progress.failure).get_or_insert(outcome);
        }
    }
}

fn tell(progress: &Progress, started: Instant, out: &mut impl Write) -> io::Result<()> {
    let done = progress.done.load(Ordering::Relaxed);
    let hours = progress.simulated_ms.load(Ordering::Relaxed) / 3_600_000;
    let seconds = started.elapsed().as_secs_f64();
    let tenths = u128::from(done) * 10_000 / started.elapsed().as_millis().max(1);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    writeln!(
        out,
        "{done} seeds in {seconds:.0} s: {whole}.{tenth} seeds/s, {hours} h of simulated time"
    )
}

fn conclude(progress: &Progress, out: &mut impl Write) -> io::Result<ExitCode> {
    if let Some(Outcome {
        seed,
        failure: Some(failure),
        ..
    }) = &*lock(&progress.failure)
    {
        let trace = run(*seed, true).trace;
        let lines: Vec<&str> = trace.lines().collect();
        let from = lines.len().saturating_sub(TAIL);
        for line in &lines[from..] {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "seed {seed} failed: {failure}")?;
        writeln!(out, "replay it with: make soak ARGS=\"--seed {seed}\"")?;
        return Ok(ExitCode::FAILURE);
    }
    let coverage = lock(&progress.coverage);
    write!(out, "{coverage}")?;
    let missing = coverage.missing();
    if !missing.is_empty() {
        writeln!(out, "never happened: {}", missing.join(", "))?;
        if progress.done.load(Ordering::Relaxed) >= COVERED_AFTER {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Counts and outcomes are whole, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
