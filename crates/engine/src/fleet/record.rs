//! What instances tell each other: two records of each, in a lane of their own.
//!
//! The beat is small and changes all the time; what an instance holds and wants changes rarely, and is read by the
//! others only when the beat says so. Both are written in one batch.

use std::fmt;

use alloy_primitives::hex;
use baton_coord::{Epoch, HolderId, Key};
use baton_lanes::record::Record;
use baton_model::{LaneId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The lane.
const LANE: &str = "fleet/main";
/// Topic that is published when the others should look.
pub(super) const TOPIC: &str = "fleet";
/// Before the keys of beats.
pub(super) const BEATS: &str = "b/";
/// Before the keys of what is held.
const DUTIES: &str = "h/";
/// Longest holder that names its records as it is: as long as host name, process and a random id are, and well below
/// what a key may have.
const NAME_BYTES_MAX: usize = 200;

/// The lane of the fleet's records.
pub(super) fn lane() -> LaneId {
    LaneId::new(LANE).expect("the name is one")
}

/// Who an instance is to the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InstanceId(String);

impl InstanceId {
    /// The holder's text, or a digest of it where that is no good name.
    pub(super) fn of(holder: &HolderId) -> Self {
        let text = &holder.0;
        let is_name = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name {
            return Self(text.clone());
        }
        Self(hex::encode(Sha256::digest(text.as_bytes())))
    }

    /// From the key of a beat. `None` when it is not text.
    pub(super) fn of_beat(key: &Key) -> Option<Self> {
        let name = key.strip_prefix(BEATS.as_bytes())?;
        Some(Self(std::str::from_utf8(name).ok()?.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn beat_key(&self) -> Key {
        format!("{BEATS}{}", self.0).into()
    }

    pub(super) fn duties_key(&self) -> Key {
        format!("{DUTIES}{}", self.0).into()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// That an instance lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// Rises by one with each beat.
    pub(super) sequence: u64,
    /// When it was written, by the writer's clock: for people.
    pub(super) at: Timestamp,
    /// How long the instance's batons last, in milliseconds: it beats four times as often.
    pub(super) lease_ms: u64,
    /// Whether it gives up its lanes.
    pub(super) draining: bool,
    /// How many lanes it holds.
    pub(super) lanes: u64,
    /// Of its [`Duties`]: they are read again when it has changed.
    pub(super) generation: u64,
}

impl Record for Beat {
    const WHAT: &'static str = "fleet beat";
}

/// What an instance is and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Duties {
    /// Rises each time they are written.
    pub(super) generation: u64,
    /// What the instance is called.
    pub(super) name: String,
    /// The release that it runs.
    pub(super) version: String,
    /// When it started, by its own clock.
    pub(super) started_at: Timestamp,
    /// What it holds, in order.
    pub(super) holds: Vec<Hold>,
    /// What it asks for, in order.
    pub(super) wants: Vec<LaneId>,
    /// What could not run on it lately, in order.
    #[serde(default)]
    pub(super) shuns: Vec<LaneId>,
}

impl Record for Duties {
    const WHAT: &'static str = "fleet duties";
}

/// A lane that an instance holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    /// Which.
    pub(super) lane: LaneId,
    /// Under which epoch.
    pub(super) epoch: Epoch,
    /// Since when, by the instance's clock.
    pub(super) since: Timestamp,
}
