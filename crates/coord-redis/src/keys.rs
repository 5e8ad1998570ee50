//! The names of keys and channels.

use baton_model::LaneId;

/// A cluster's slots.
pub(crate) const SLOTS: usize = 16_384;

/// Names under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// Hash of epoch, holder, expiry, version and last position.
    pub(crate) fn meta(&self, lane: &LaneId) -> String {
        self.of(lane, "meta")
    }

    /// Hash of values by name, each behind its version and a colon.
    pub(crate) fn values(&self, lane: &LaneId) -> String {
        self.of(lane, "values")
    }

    /// Sorted set of the names, all with one score, so that they are sorted by their bytes.
    pub(crate) fn names(&self, lane: &LaneId) -> String {
        self.of(lane, "names")
    }

    /// Stream of the log's entries; the first part of an id is the position.
    pub(crate) fn log(&self, lane: &LaneId) -> String {
        self.of(lane, "log")
    }

    /// Sorted set of the names of all lanes. A lane's id holds no exclamation mark, so no lane shares its tag.
    pub(crate) fn lanes(&self) -> String {
        format!("{}:{{!lanes}}", self.prefix)
    }

    /// Where appends to a lane's log are told.
    pub(crate) fn appended(&self, lane: &LaneId) -> String {
        self.of(lane, "appended")
    }

    /// Where a topic's publications are told.
    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("{}:wake:{topic}", self.prefix)
    }

    /// A channel that nobody publishes to.
    pub(crate) fn silence(&self) -> String {
        format!("{}:silence", self.prefix)
    }

    fn of(&self, lane: &LaneId, what: &str) -> String {
        format!("{}:{{{lane}}}:{what}", self.prefix)
    }
}

/// The slot of a lane's keys: of its id, which is their hash tag.
pub(crate) fn lane_slot(lane: &LaneId) -> u16 {
    slot(lane.as_str().as_bytes())
}

/// The slot of [`Keys::lanes`].
pub(crate) fn lanes_slot() -> u16 {
    slot(b"!lanes")
}

/// CRC16 (XMODEM) of a hash tag, as the cluster specification has it.
fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // CRC16 of "123456789" is 0x31c3; the others are what CLUSTER KEYSLOT of Redis 7.0 answers.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"user1000"), 3443);
    }

    #[test]
    fn all_keys_of_a_lane_have_its_tag_and_no_two_lanes_share_keys() {
        let keys = Keys::new("p");
        let lane = LaneId::new("tx/a").unwrap();
        assert_eq!(keys.meta(&lane), "p:{tx/a}:meta");
        assert_eq!(keys.values(&lane), "p:{tx/a}:values");
        assert_eq!(keys.names(&lane), "p:{tx/a}:names");
        assert_eq!(keys.log(&lane), "p:{tx/a}:log");
        assert!(LaneId::new("!lanes").is_err());
    }
}
