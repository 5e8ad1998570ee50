//! Opening after a write that a loss of power cut short.
//!
//! The underlying store drops an unfinished batch at the end of its journal by itself, but refuses
//! to open when the disk kept the end of the batch and lost a part of its middle. Such a batch was
//! never acknowledged. So the journal is cut where the damage begins, and the watermark decides
//! whether that lost anything that was acknowledged: if so, the journal is put back as it was, and
//! the store stays closed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::directory::{Directory, io_error};
use crate::error::OpenError;

const JOURNAL: &str = "jnl";
/// The journal as it was found, kept for whoever wants to look at it.
const KEPT: &str = "jnl-torn";

/// Whether this failure to open can come from a torn end of the journal.
pub(crate) fn is_torn(error: &fjall::Error) -> bool {
    matches!(error, fjall::Error::JournalRecovery(_))
}

/// Cuts the journal to the longest beginning with which `open` succeeds, and returns what it gave.
/// `complete` says whether everything acknowledged is there.
pub(crate) fn open_cut<T>(
    directory: &Directory,
    open: impl Fn() -> Result<T, fjall::Error>,
    complete: impl Fn(&T) -> Result<(), OpenError>,
) -> Result<T, OpenError> {
    let damaged = |error: &fjall::Error| directory.damaged(format!("journal: {error}"));
    let Some(journal) = last_journal(&directory.data())? else {
        return Err(directory.damaged("the journal is missing".to_owned()));
    };
    let kept = journal.with_extension(KEPT);
    fs::copy(&journal, &kept).map_err(|source| io_error("copy the journal to", &kept, source))?;
    let mut content = fs::read(&kept).map_err(|source| io_error("read", &kept, source))?;
    // The unused rest of a journal is zeros.
    content.truncate(
        content
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1),
    );
    let opened = longest(content.len(), |bytes| {
        write(&journal, &content[..bytes])?;
        match open() {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if is_torn(&error) => Ok(None),
            Err(error) => Err(damaged(&error)),
        }
    });
    let checked = opened.and_then(|opened| {
        let opened = opened
            .ok_or_else(|| directory.damaged("the journal is damaged throughout".to_owned()))?;
        complete(&opened).map(|()| opened)
    });
    if checked.is_ok() {
        tracing::warn!(
            kept = %kept.display(),
            "dropped a torn write, which nobody was told of, from the end of the journal"
        );
    } else {
        fs::rename(&kept, &journal).map_err(|source| io_error("restore", &journal, source))?;
    }
    checked
}

/// What `attempt` gives for the greatest number below `length` for which it gives something, if it
/// gives something for every number below that.
fn longest<T>(
    length: usize,
    attempt: impl Fn(usize) -> Result<Option<T>, OpenError>,
) -> Result<Option<T>, OpenError> {
    let (mut works, mut fails) = (0, length);
    while fails - works > 1 {
        let middle = works + (fails - works) / 2;
        match attempt(middle)? {
            Some(_) => works = middle,
            None => fails = middle,
        }
    }
    attempt(works)
}

fn write(journal: &Path, content: &[u8]) -> Result<(), OpenError> {
    let write = || {
        let mut file = File::create(journal)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|source| io_error("cut", journal, source))
}

/// The journal that is written to: the one with the highest number.
fn last_journal(data: &Path) -> Result<Option<PathBuf>, OpenError> {
    let list = || {
        fs::read_dir(data)?
            .map(|item| Ok(item?.path()))
            .collect::<std::io::Result<_>>()
    };
    let paths: Vec<PathBuf> = list().map_err(|source| io_error("list", data, source))?;
    let number = |path: &PathBuf| -> Option<u64> {
        let journal = path
            .extension()
            .is_some_and(|extension| extension == JOURNAL);
        path.file_stem().filter(|_| journal)?.to_str()?.parse().ok()
    };
    Ok(paths
        .into_iter()
        .filter(|path| number(path).is_some())
        .max_by_key(number))
}
