//! Where log lines go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config::{Log, LogFormat, LogTarget};
use crate::traces::Traced;

/// Starts logging for this process, once, and traces if they are wanted. What is traced last is lost unless
/// [`Traced::finish`] is called.
pub fn start(log: &Log) -> Result<Traced> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("LOG_LEVEL {:?} is not a log filter", log.filter))?;
    let (writer, colour) = writer(&log.target)?;
    let layer = fmt::layer().with_ansi(colour).with_writer(writer);
    let layer = match log.format {
        LogFormat::Compact => layer.compact().with_filter(filter).boxed(),
        LogFormat::Pretty => layer.pretty().with_filter(filter).boxed(),
        LogFormat::Json => layer.json().with_filter(filter).boxed(),
    };
    let (traced, exported) = Traced::start(log.traces.as_ref())?;
    let started = registry().with(layer).with(exported).try_init();
    started.map_err(|error| anyhow::anyhow!("logging has been started already: {error}"))?;
    Ok(traced)
}

fn writer(target: &LogTarget) -> Result<(BoxMakeWriter, bool)> {
    match target {
        LogTarget::Stdout => {
            let colour = io::IsTerminal::is_terminal(&io::stdout());
            Ok((BoxMakeWriter::new(io::stdout), colour))
        }
        LogTarget::Files {
            directory,
            bytes_max,
        } => {
            let file = RollingFile::open(directory, *bytes_max)
                .with_context(|| format!("cannot write logs to {}", directory.display()))?;
            Ok((BoxMakeWriter::new(Mutex::new(file)), false))
        }
    }
}

/// A log file that is set aside, under the day's name, when it has grown to its limit.
struct RollingFile {
    directory: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl RollingFile {
    fn open(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(current(directory))?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            directory: directory.to_owned(),
            file,
            bytes,
            bytes_max,
        })
    }

    fn roll(&mut self) -> io::Result<()> {
        let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let aside = (1_u32..)
            .map(|number| self.directory.join(format!("relayer-{day}.{number}.log")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| self.directory.join(format!("relayer-{day}.log")));
        fs::rename(current(&self.directory), aside)?;
        *self = Self::open(&self.directory, self.bytes_max)?;
        Ok(())
    }
}

impl Write for RollingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.bytes_max {
            self.roll()?;
        }
        let written = self.file.write(line)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn current(directory: &Path) -> PathBuf {
    directory.join("relayer.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_set_aside_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RollingFile::open(directory.path(), 10).unwrap();
        for line in ["first line\n", "second\n", "third\n", "fourth\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        let mut contents: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        contents.sort();
        assert_eq!(contents, ["first line\n", "fourth\n", "second\nthird\n"]);
    }
}
