//! Streams: a backend's lines, batched into signed responses that a delimiter ends.
//!
//! There is no length prefix: a consumer splits at the delimiter. So a response whose own bytes would be split cannot
//! be sent, and [`frame`] says so.

use thiserror::Error;

/// What ends every response of a stream, the last one included.
pub const DELIMITER: &[u8; 15] = b"||POKT_STREAM||";

/// Most bytes of a line. The reference relayer ends a stream with a longer one.
pub const LINE_MAX: usize = 256 * 1024;

/// A batch of so many bytes is sent: it keeps the share of signatures and headers small.
pub const BATCH_BYTES: usize = 100 * 1024;

/// A batch of so many lines is sent.
pub const BATCH_LINES: usize = 100;

/// A batch that is so old is sent, in milliseconds: the driver's clock tells, with [`Lines::flush`].
pub const BATCH_MILLIS: u64 = 100;

/// Why a stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// A line is too long.
    #[error("line at byte {offset} of the stream: more than {LINE_MAX} bytes without an end")]
    Line {
        /// Where the line begins, in bytes from the start of the backend's body.
        offset: u64,
    },
    /// A response is too long, or the delimiter is missing.
    #[error("response at byte {offset} of the stream: more than {limit} bytes without a delimiter")]
    Response {
        /// Where the response begins, in bytes from the start of the stream.
        offset: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A response ends without the delimiter.
    #[error(
        "response at byte {offset} of the stream: ends after {length} bytes without a delimiter"
    )]
    Unfinished {
        /// Where the response begins, in bytes from the start of the stream.
        offset: u64,
        /// How many bytes of it there are.
        length: usize,
    },
    /// A response holds the delimiter, and a consumer would split it there.
    #[error("response, byte {offset}: would be split at a delimiter among its own bytes")]
    Ambiguous {
        /// Where the delimiter begins.
        offset: usize,
    },
}

/// An encoded response with the delimiter behind it.
///
/// # Errors
///
/// If a consumer would find a delimiter before the end.
pub fn frame(response: &[u8]) -> Result<Vec<u8>, StreamError> {
    let mut bytes = Vec::with_capacity(response.len() + DELIMITER.len());
    bytes.extend_from_slice(response);
    bytes.extend_from_slice(DELIMITER);
    match find(&bytes, 0) {
        Some(offset) if offset < response.len() => Err(StreamError::Ambiguous { offset }),
        _ => Ok(bytes),
    }
}

/// Splits a stream into encoded responses.
///
/// Holds one unfinished response: at most the limit and the bytes of one call. What a call gives out is a copy of that,
/// so together no more than eight times these bytes and 4 KiB are allocated.
#[derive(Debug)]
pub struct Responses {
    held: Vec<u8>,
    /// Bytes of `held` in which no delimiter begins.
    searched: usize,
    offset: u64,
    limit: usize,
    failed: Option<StreamError>,
}

impl Responses {
    /// Splits responses of at most `limit` bytes each.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            held: Vec::new(),
            searched: 0,
            offset: 0,
            limit,
            failed: None,
        }
    }

    /// Takes in bytes as they come, and gives the responses that they complete.
    ///
    /// # Errors
    ///
    /// If a response is too long; then the stream is lost, with what came before in the same call, and every later call
    /// says so again.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.held.extend_from_slice(bytes);
        let mut complete = Vec::new();
        let mut start = 0;
        while let Some(end) = find(&self.held, self.searched.max(start)) {
            self.check(end - start, start)?;
            complete.push(self.held[start..end].to_vec());
            start = end + DELIMITER.len();
        }
        let open = self.held.len() - start;
        self.check(open.saturating_sub(DELIMITER.len() - 1), start)?;
        self.held.drain(..start);
        self.offset += start as u64;
        self.searched = self.held.len().saturating_sub(DELIMITER.len() - 1);
        Ok(complete)
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// If a response was not finished.
    pub fn finish(self) -> Result<(), StreamError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.held.is_empty() => Ok(()),
            None => Err(StreamError::Unfinished {
                offset: self.offset,
                length: self.held.len(),
            }),
        }
    }

    fn check(&mut self, length: usize, start: usize) -> Result<(), StreamError> {
        if length <= self.limit {
            return Ok(());
        }
        let error = StreamError::Response {
            offset: self.offset + start as u64,
            limit: self.limit,
        };
        self.failed = Some(error.clone());
        self.held = Vec::new();
        Err(error)
    }
}

/// Splits a backend's body into lines and gathers them into batches.
///
/// A `\r` before a `\n` is dropped, and a last line without an end gets one, as the reference relayer does; what is
/// relayed may differ from the backend's body in these bytes. Holds one batch and one unfinished line, and a call gives
/// out the batches that it fills: together no more than eight times these bytes and 4 KiB are allocated.
#[derive(Debug, Default)]
pub struct Lines {
    batch: Vec<u8>,
    lines: usize,
    line: Vec<u8>,
    offset: u64,
    failed: Option<StreamError>,
}

impl Lines {
    /// Takes in a part of the body, and gives the batches that it fills.
    ///
    /// # Errors
    ///
    /// If a line is too long; then the stream is lost, and every later call says so again. The whole lines before it
    /// are still there for [`Self::finish`].
    pub fn push(&mut self, body: &[u8]) -> Result<Vec<Vec<u8>>, StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut full = Vec::new();
        for part in body.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            if self.line.len() + text.len() > LINE_MAX {
                let error = StreamError::Line {
                    offset: self.offset,
                };
                self.failed = Some(error.clone());
                // What came before is still the backend's answer.
                full.push(std::mem::take(&mut self.batch));
                self.batch = full.concat();
                self.line = Vec::new();
                return Err(error);
            }
            self.line.extend_from_slice(text);
            if ends {
                self.offset += self.line.len() as u64 + 1;
                full.extend(self.end_line());
            }
        }
        Ok(full)
    }

    /// Gives the batch so far, when [`BATCH_MILLIS`] have passed since its first line.
    #[must_use]
    pub fn flush(&mut self) -> Option<Vec<u8>> {
        self.lines = 0;
        let batch = std::mem::take(&mut self.batch);
        (!batch.is_empty()).then_some(batch)
    }

    /// Ends the body, and gives what is left.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if !self.line.is_empty() && self.failed.is_none() {
            let full = self.end_line();
            if full.is_some() {
                return full;
            }
        }
        self.flush()
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        self.line.push(b'\n');
        self.batch.append(&mut self.line);
        self.lines += 1;
        if self.lines >= BATCH_LINES || self.batch.len() >= BATCH_BYTES {
            return self.flush();
        }
        None
    }
}

/// Where the first delimiter at or after `from` begins.
fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| *byte == b'|') {
        at += step;
        if bytes[at..].starts_with(DELIMITER) {
            return Some(at);
        }
        at += 1;
    }
    None
}
