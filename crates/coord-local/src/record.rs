//! The store's own record.

const FORMAT: u8 = 1;
const U64_BYTES: usize = size_of::<u64>();
const RECORD_BYTES: usize = 1 + 2 * U64_BYTES;

/// Written with every group of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreRecord {
    /// Groups written so far.
    pub(crate) groups: u64,
    /// Batches applied so far, in all lanes: the latest version.
    pub(crate) commits: u64,
}

impl StoreRecord {
    pub(crate) fn encode(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [FORMAT; RECORD_BYTES];
        bytes[1..=U64_BYTES].copy_from_slice(&self.groups.to_be_bytes());
        bytes[1 + U64_BYTES..].copy_from_slice(&self.commits.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() != RECORD_BYTES || bytes[0] != FORMAT {
            return Err(format!(
                "the store's record has format {:?} and {} bytes, expected format {FORMAT} and \
                 {RECORD_BYTES} bytes",
                bytes.first(),
                bytes.len()
            ));
        }
        let (numbers, _) = bytes[1..].as_chunks::<U64_BYTES>();
        Ok(Self {
            groups: u64::from_be_bytes(numbers[0]),
            commits: u64::from_be_bytes(numbers[1]),
        })
    }
}
