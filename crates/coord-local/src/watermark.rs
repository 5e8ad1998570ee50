//! How much was acknowledged.
//!
//! A journal that ends early looks the same whether a crash tore a write that nobody was told of,
//! or something cut off commits that were acknowledged. The watermark tells the two apart: after
//! each durable group of commits, and before anybody hears of it, the group's number is written
//! into a small file. A store that opens with less than that has lost acknowledged commits, or was
//! replaced by an older copy, and says so.
//!
//! It is flushed like the journal, which is a second, small flush for each group: otherwise a loss
//! of power could leave an older number, and with it a journal that was damaged behind that number
//! would pass.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const NUMBER_BYTES: usize = size_of::<u64>();
/// The number, and its complement to notice damage.
const FILE_BYTES: usize = 2 * NUMBER_BYTES;

/// The open file.
#[derive(Debug)]
pub(crate) struct Watermark(File);

impl Watermark {
    /// Makes a file that says that nothing was acknowledged yet.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let mark = Self(file);
        mark.raise(0)?;
        Ok(mark)
    }

    /// Opens the file and reads its number; [`io::ErrorKind::InvalidData`] if it is damaged.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = [0; FILE_BYTES];
        let whole = file.metadata()?.len() == FILE_BYTES as u64;
        let number = if whole {
            file.read_exact_at(&mut bytes, 0)?;
            decode(bytes)
        } else {
            None
        };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "not a watermark");
        number
            .map(|number| (Self(file), number))
            .ok_or_else(damaged)
    }

    /// Writes a higher number, durably.
    pub(crate) fn raise(&self, number: u64) -> io::Result<()> {
        let mut bytes = [0; FILE_BYTES];
        bytes[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
        bytes[NUMBER_BYTES..].copy_from_slice(&(!number).to_be_bytes());
        self.0.write_all_at(&bytes, 0)?;
        self.0.sync_data()
    }
}

fn decode(bytes: [u8; FILE_BYTES]) -> Option<u64> {
    let (number, complement) = bytes.split_first_chunk::<NUMBER_BYTES>()?;
    let number = u64::from_be_bytes(*number);
    let complement = u64::from_be_bytes(*complement.first_chunk()?);
    (complement == !number).then_some(number)
}
