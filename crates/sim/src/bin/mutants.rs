//! Makes each mistake of the list in a copy of the workspace and runs seeds until one of them finds it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use baton_sim::{MUTANTS, Mutant};
use tokio::time::Instant;

/// Longest time for the seeds of one mistake: a mistake may make a run endless, which no seed has found then.
const PATIENCE: Duration = Duration::from_mins(20);

/// What of the workspace is copied.
const COPIED: [&str; 3] = ["Cargo.toml", "Cargo.lock", "crates"];

/// What became of a mistake.
enum Verdict {
    /// Found: by which seed, and how.
    Caught {
        seed: String,
        how: String,
    },
    Survived,
    /// Its text does not stand in its file exactly once.
    Misplaced(usize),
    /// It does not compile.
    Unbuilt(String),
}

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let out = &mut io::stdout().lock();
    match run(&wanted, out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody reads any more.
            let _: io::Result<()> = writeln!(out, "mutants: {error}");
            ExitCode::from(2)
        }
    }
}

/// True when each was found.
fn run(wanted: &[String], out: &mut impl Write) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let place = root.join("target/mutants");
    let chosen = |mutant: &&Mutant| wanted.is_empty() || wanted.iter().any(|w| w == mutant.name);
    let mut table = Vec::new();
    for mutant in MUTANTS.iter().filter(chosen) {
        let started = Instant::now();
        let verdict = try_one(&root, &place, mutant)?;
        let seconds = started.elapsed().as_secs();
        let row = format!("{:<26} {}", mutant.name, verdict.text());
        writeln!(out, "{row} ({seconds} s)")?;
        out.flush()?;
        table.push((mutant, verdict, row));
    }
    let missed = table.iter().filter(|(_, verdict, _)| !verdict.is_caught());
    let missed: Vec<_> = missed.collect();
    writeln!(
        out,
        "\n{} of {} mistakes found",
        table.len() - missed.len(),
        table.len()
    )?;
    for (mutant, ..) in &missed {
        let Mutant {
            name,
            mistake,
            seeds,
            ..
        } = mutant;
        writeln!(out, "not found within {seeds} seeds: {name}: {mistake}")?;
    }
    Ok(!table.is_empty() && missed.is_empty())
}

fn try_one(root: &Path, place: &Path, mutant: &Mutant) -> io::Result<Verdict> {
    let tree = place.join("tree");
    fs::create_dir_all(&tree)?;
    for name in COPIED {
        copy(&root.join(name), &tree.join(name))?;
    }
    let file = tree.join(mutant.file);
    let text = fs::read_to_string(&file)?;
    let places = text.matches(mutant.find).count();
    if places != 1 {
        return Ok(Verdict::Misplaced(places));
    }
    fs::write(&file, text.replacen(mutant.find, mutant.replace, 1))?;
    let target = place.join("target");
    // As whoever calls this finds it, so that the same toolchain builds everything.
    let build = Command::new("cargo")
        .current_dir(&tree)
        .args(["build", "--locked", "-p", "baton-sim", "--bin", "soak"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()?;
    if !build.status.success() {
        let error = String::from_utf8_lossy(&build.stderr);
        let error = error.lines().find(|line| line.starts_with("error"));
        return Ok(Verdict::Unbuilt(error.unwrap_or_default().to_owned()));
    }
    soak(
        &target.join("debug/soak"),
        mutant.seeds,
        &place.join("soak.log"),
    )
}

fn soak(program: &Path, seeds: u32, log: &Path) -> io::Result<Verdict> {
    let mut child = Command::new(program)
        .args(["--seeds", &seeds.to_string()])
        .stdout(fs::File::create(log)?)
        .stderr(Stdio::null())
        .spawn()?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Verdict::Survived);
        }
        thread::park_timeout(Duration::from_millis(100));
    }
    let told = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let found = told.lines().rev().find_map(|line| {
        let (seed, how) = line.strip_prefix("seed ")?.split_once(" failed: ")?;
        Some(Verdict::Caught {
            seed: seed.to_owned(),
            how: how.chars().take(100).collect(),
        })
    });
    Ok(found.unwrap_or(Verdict::Survived))
}

/// Makes `to` what `from` is, and touches only what differs: cargo goes by the time of a file's last change.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let text = fs::read(from)?;
        if fs::read(to).ok().as_deref() != Some(&*text) {
            fs::write(to, text)?;
        }
        return Ok(());
    }
    fs::create_dir_all(to)?;
    let names = |folder: &Path| -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|e| e.path()))
            .collect()
    };
    let kept = names(from)?;
    for path in names(to)? {
        let gone = !kept.iter().any(|kept| kept.file_name() == path.file_name());
        if gone && path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if gone {
            fs::remove_file(&path)?;
        }
    }
    for path in kept {
        let name = path.file_name().unwrap_or(OsStr::new(""));
        copy(&path, &to.join(name))?;
    }
    Ok(())
}

impl Verdict {
    const fn is_caught(&self) -> bool {
        matches!(self, Self::Caught { .. })
    }

    fn text(&self) -> String {
        match self {
            Self::Caught { seed, how } => format!("seed {seed:<5} {how}"),
            Self::Survived => "NOT FOUND".to_owned(),
            Self::Misplaced(places) => format!("DOES NOT APPLY: its text is there {places} times"),
            Self::Unbuilt(error) => format!("DOES NOT BUILD: {error}"),
        }
    }
}
