//! What a server keeps on disk, and how it is damaged the way crashes damage it.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{RedisError, RedisServer};

/// Where Redis 7 keeps what it appends, and how the file that it appends to now ends.
const APPEND_FOLDER: &str = "appendonlydir";
const APPEND_FILE: &str = ".incr.aof";
const SNAPSHOT: &str = "dump.rdb";

impl RedisServer {
    /// Bytes in the file that the server appends its writes to. What it keeps in memory until the disk is free, while
    /// a flush is under way, is waited for: everything that was answered before the call is within them.
    ///
    /// # Errors
    /// When the server does not answer, or appends to no file.
    pub async fn appended_bytes(&self) -> Result<u64, RedisError> {
        for _ in 0..super::START_LOOKS {
            let info = self.command(&["INFO", "persistence"]).await?;
            if info.lines().any(|line| line == "aof_buffer_length:0") {
                return Ok(fs::metadata(self.append_file()?)?.len());
            }
            tokio::time::sleep(super::START_POLL).await;
        }
        let log = "what is appended is not written".to_owned();
        Err(RedisError::NotReady { log })
    }

    /// Cuts what a killed server has appended down to so many bytes, as the crash of its machine does: what had not
    /// been flushed is gone. Returns how many bytes were lost.
    ///
    /// # Errors
    /// When the server runs, or there is no such file.
    pub fn cut_appended(&self, bytes: u64) -> Result<u64, RedisError> {
        self.require_ended()?;
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.append_file()?)?;
        let before = file.metadata()?.len();
        file.set_len(bytes.min(before))?;
        Ok(before.saturating_sub(bytes))
    }

    /// Removes everything that a killed server has kept.
    ///
    /// # Errors
    /// When the server runs, or a file cannot be removed.
    pub fn erase(&self) -> Result<(), RedisError> {
        self.require_ended()?;
        let folder = self.directory().join(APPEND_FOLDER);
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let snapshot = self.directory().join(SNAPSHOT);
        if snapshot.exists() {
            fs::remove_file(snapshot)?;
        }
        Ok(())
    }

    fn require_ended(&self) -> io::Result<()> {
        match self.supervisor {
            None => Ok(()),
            Some(_) => Err(io::Error::other("the server has to be killed before")),
        }
    }

    fn append_file(&self) -> io::Result<PathBuf> {
        let folder = fs::read_dir(self.directory().join(APPEND_FOLDER))?;
        let paths = folder.flatten().map(|entry| entry.path());
        // While it is rewritten there are two; the server appends to the one with the higher number.
        let appended = paths.filter(|path| path.to_string_lossy().ends_with(APPEND_FILE));
        appended
            .max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
            .ok_or_else(|| io::Error::other("the server appends to no file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_appended_last_can_be_lost_and_everything_can() {
        let lines = ["appendonly yes", "aof-load-truncated yes"];
        let mut server = RedisServer::start(&lines).await.unwrap();
        let mut session = server.session().await.unwrap();
        session.command(&["SET", "early", "1"]).await.unwrap();
        let kept = server.appended_bytes().await.unwrap();
        session.command(&["SET", "late", "1"]).await.unwrap();
        assert!(server.cut_appended(0).is_err(), "it runs");
        server.kill().unwrap();
        // In the middle of a command, as a crash may do it.
        assert!(server.cut_appended(kept + 3).unwrap() > 0);
        server.restart().await.unwrap();
        assert_eq!(server.command(&["KEYS", "*"]).await.unwrap(), "early");
        server.kill().unwrap();
        server.erase().unwrap();
        server.restart().await.unwrap();
        assert_eq!(server.command(&["DBSIZE"]).await.unwrap(), "0");
    }
}
