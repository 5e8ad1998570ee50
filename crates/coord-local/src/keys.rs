//! How lanes, values and logs are laid out in one ordered key space.
//!
//! Everything is in one key space, and so in one memory table and one journal of the underlying
//! store: whatever part of its files is lost, the store's own counter is lost with it and
//! [`crate::watermark`] notices.

use std::ops::Range;

use baton_coord::{Epoch, Position, Version};
use baton_model::LaneId;

/// The key of the store's own record.
pub(crate) const STORE_KEY: &[u8] = b"S";

const LANE: u8 = b'm';
const VALUE: u8 = b'v';
const LOG: u8 = b'l';
/// Ends a lane's name: no lane id holds it.
const END: u8 = 0;
/// Bytes of a lane's mark (see [`mark`]).
const MARK_BYTES: usize = 3;
/// First byte of a lane's record.
const LANE_FORMAT: u8 = 1;
const U64_BYTES: usize = size_of::<u64>();
const LANE_RECORD_BYTES: usize = 1 + 4 * U64_BYTES;

/// What a lane keeps besides its values and entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneRecord {
    /// The latest epoch given.
    pub(crate) epoch: Epoch,
    /// The last entry ever appended.
    pub(crate) last: Position,
    /// Entries up to here are gone for readers.
    pub(crate) trimmed: Position,
    /// Entries up to here are gone from the disk.
    pub(crate) swept: Position,
}

impl LaneRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LANE_RECORD_BYTES);
        bytes.push(LANE_FORMAT);
        for number in [self.epoch.0, self.last.0, self.trimmed.0, self.swept.0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (format, rest) = bytes.split_first().ok_or("lane record is empty")?;
        if *format != LANE_FORMAT || bytes.len() != LANE_RECORD_BYTES {
            return Err(format!(
                "lane record has format {format} and {} bytes, expected format {LANE_FORMAT} and \
                 {LANE_RECORD_BYTES} bytes",
                bytes.len()
            ));
        }
        let (numbers, _) = rest.as_chunks::<U64_BYTES>();
        let number = |index: usize| u64::from_be_bytes(numbers[index]);
        Ok(Self {
            epoch: Epoch(number(0)),
            last: Position(number(1)),
            trimmed: Position(number(2)),
            swept: Position(number(3)),
        })
    }
}

/// The key of a lane's record.
pub(crate) fn lane_key(lane: &LaneId) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + lane.as_str().len());
    key.push(LANE);
    key.extend_from_slice(lane.as_str().as_bytes());
    key
}

/// The keys of the records of all lanes beyond one.
pub(crate) fn lanes_beyond(after: Option<&LaneId>) -> Range<Vec<u8>> {
    let start = after.map_or_else(
        || vec![LANE],
        |after| {
            let mut key = lane_key(after);
            key.push(END);
            key
        },
    );
    start..vec![LANE + 1]
}

/// The lane whose record has this key.
pub(crate) fn lane_of(key: &[u8]) -> Option<LaneId> {
    let name = key.strip_prefix(&[LANE])?;
    LaneId::new(std::str::from_utf8(name).ok()?).ok()
}

/// The key of a value.
pub(crate) fn value_key(lane: &LaneId, key: &[u8]) -> Vec<u8> {
    within(VALUE, lane, key)
}

/// The name of the value that is stored under `stored`, a key of this lane.
pub(crate) fn name_of<'a>(lane: &LaneId, stored: &'a [u8]) -> &'a [u8] {
    stored
        .get(1 + MARK_BYTES + lane.as_str().len() + 1..)
        .unwrap_or_default()
}

/// The keys of all values of a lane whose name begins with `prefix`.
pub(crate) fn values_with(lane: &LaneId, prefix: &[u8]) -> Range<Vec<u8>> {
    let start = value_key(lane, prefix);
    let mut end = start.clone();
    // A lane's END is below 0xff, so there is always a byte to raise.
    while let Some(byte) = end.pop() {
        if byte < u8::MAX {
            end.push(byte + 1);
            break;
        }
    }
    start..end
}

/// The key of an entry of a log.
pub(crate) fn log_key(lane: &LaneId, position: Position) -> Vec<u8> {
    within(LOG, lane, &position.0.to_be_bytes())
}

/// The position of the entry with this key.
pub(crate) fn position_of(stored: &[u8]) -> Option<Position> {
    let bytes = stored.last_chunk::<U64_BYTES>()?;
    Some(Position(u64::from_be_bytes(*bytes)))
}

/// A value as it is stored: its version, then its content.
pub(crate) fn stored_value(version: Version, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(U64_BYTES + value.len());
    bytes.extend_from_slice(&version.0.to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// The version and content of a stored value.
pub(crate) fn split_value(stored: &[u8]) -> Option<(Version, &[u8])> {
    let (version, value) = stored.split_first_chunk::<U64_BYTES>()?;
    Some((Version(u64::from_be_bytes(*version)), value))
}

fn within(kind: u8, lane: &LaneId, rest: &[u8]) -> Vec<u8> {
    let lane = lane.as_str().as_bytes();
    let mut key = Vec::with_capacity(1 + MARK_BYTES + lane.len() + 1 + rest.len());
    key.push(kind);
    key.extend_from_slice(&mark(lane));
    key.extend_from_slice(lane);
    key.push(END);
    key.extend_from_slice(rest);
    key
}

/// Three bytes that tell most lanes apart. Lanes' names begin alike; the underlying store keeps the
/// first four bytes of a key at hand and needs to fetch the rest only where these are equal.
/// FNV-1a: part of the format, never to be changed.
fn mark(lane: &[u8]) -> [u8; MARK_BYTES] {
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let [_, mark @ ..] = lane.iter().fold(0x811c_9dc5, fold).to_be_bytes();
    mark
}
