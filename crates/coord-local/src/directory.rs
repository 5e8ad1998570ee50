//! A store's directory: whose it is, and whether it is a store at all.
//!
//! ```text
//! LOCK       locked by the process that has the store open; says who that is
//! BATON      the format of the store; written last: a store without it was not made completely
//! acked      what was acknowledged (see `watermark`)
//! data/      the files of the underlying store
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use baton_model::Timestamp;

use crate::error::OpenError;
use crate::watermark::Watermark;

/// The file that says what the directory is.
pub(crate) const MARKER: &str = "BATON";
/// What it says.
pub(crate) const FORMAT: &str = "baton-store 1";

const LOCK: &str = "LOCK";
/// Present while a store is being made.
const MAKING: &str = "BATON.making";
const ACKED: &str = "acked";
const DATA: &str = "data";
/// Longest part of the lock or marker file that is read: both are one short line.
const LINE_BYTES_MAX: u64 = 512;

/// A locked directory. The lock ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// What a locked directory holds.
pub(crate) enum Content {
    /// Nothing yet: a store is to be made.
    Fresh,
    /// A store, with the number of the last group of commits that was acknowledged.
    Store { watermark: Watermark, acked: u64 },
}

impl Directory {
    /// Makes the directory if there is none, and locks it for this process.
    pub(crate) fn lock(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(|source| io_error("create", path, source))?;
        refuse_foreign(path)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| io_error("open", &lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    directory: path.to_owned(),
                    holder: holder_of(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &lock_path, source)),
        }
        name_holder(&mut lock, now).map_err(|source| io_error("write", &lock_path, source))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Looks at what is there. What a crash left of a store in the making is removed: nothing in it
    /// was acknowledged.
    pub(crate) fn content(&self) -> Result<Content, OpenError> {
        let marker = self.path.join(MARKER);
        let found = match read_line(&marker) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.begin_making()?;
                return Ok(Content::Fresh);
            }
            Err(source) => return Err(io_error("read", &marker, source)),
        };
        if found != FORMAT {
            return Err(OpenError::Format {
                directory: self.path.clone(),
                found,
            });
        }
        if !self.data().is_dir() {
            return Err(self.damaged(format!("directory {DATA:?} is missing")));
        }
        match Watermark::open(&self.path.join(ACKED)) {
            Ok((watermark, acked)) => Ok(Content::Store { watermark, acked }),
            Err(error) => Err(self.damaged(format!("file {ACKED:?}: {error}"))),
        }
    }

    /// Declares the store complete.
    pub(crate) fn finish_making(&self) -> Result<Watermark, OpenError> {
        let acked = self.path.join(ACKED);
        let watermark =
            Watermark::create(&acked).map_err(|source| io_error("create", &acked, source))?;
        let making = self.path.join(MAKING);
        let marker = self.path.join(MARKER);
        fs::rename(&making, &marker).map_err(|source| io_error("create", &marker, source))?;
        self.flush_names()?;
        Ok(watermark)
    }

    /// Where the underlying store lives.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// An error about this directory.
    pub(crate) fn damaged(&self, reason: String) -> OpenError {
        OpenError::Damaged {
            directory: self.path.clone(),
            reason,
        }
    }

    fn begin_making(&self) -> Result<(), OpenError> {
        let data = self.data();
        match fs::remove_dir_all(&data) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(io_error("remove", &data, source)),
        }
        let making = self.path.join(MAKING);
        let written = File::create(&making).and_then(|mut file| {
            writeln!(file, "{FORMAT}")?;
            file.sync_all()
        });
        written.map_err(|source| io_error("write", &making, source))?;
        self.flush_names()
    }

    fn flush_names(&self) -> Result<(), OpenError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| io_error("flush", &self.path, source))
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Refuses a directory that holds something but neither a store nor the beginning of one.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    let mut other = None;
    for item in fs::read_dir(path).map_err(|source| io_error("list", path, source))? {
        let name = item
            .map_err(|source| io_error("list", path, source))?
            .file_name();
        let name = name.to_string_lossy().into_owned();
        if name == MARKER || name == MAKING {
            return Ok(());
        }
        // A crash right after the lock file was made leaves it alone in the directory.
        if name != LOCK {
            other = Some(name);
        }
    }
    other.map_or(Ok(()), |found| {
        Err(OpenError::NotAStore {
            directory: path.to_owned(),
            found,
        })
    })
}

fn name_holder(lock: &mut File, now: Timestamp) -> io::Result<()> {
    let host = read_line(Path::new("/proc/sys/kernel/hostname"));
    let host = host.unwrap_or_else(|_| "unknown host".to_owned());
    let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let since = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    lock.set_len(0)?;
    lock.rewind()?;
    write!(
        lock,
        "process {} on {host} since {since}",
        std::process::id()
    )
}

/// Who wrote the lock file; the reader does not have the lock, so it may find it half written.
fn holder_of(lock: &mut File) -> String {
    let mut line = String::new();
    match lock.take(LINE_BYTES_MAX).read_to_string(&mut line) {
        Ok(_) if !line.trim().is_empty() => line.trim().to_owned(),
        Ok(_) | Err(_) => "a process that did not name itself".to_owned(),
    }
}

fn read_line(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LINE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
