//! What one instance has seen of the others.
//!
//! Whether another lives is judged by one's own clock only: it does for as long as its beat goes on changing.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_coord::limits::LEASE_TTL_MAX;
use baton_coord::{Entry, Epoch, Key, Version};
use baton_lanes::record::decode;
use baton_model::LaneId;

use super::plan::Member;
use super::record::{Beat, Duties, InstanceId};

/// Most instances that are seen: ten times what a fleet has, so that those that died lately have room beside them.
pub(super) const INSTANCES_MAX: usize = 1024;
/// How many instances may have died before their records are removed early.
const CROWD: usize = INSTANCES_MAX / 2;
/// How long the records of an instance that is silent are kept: for whoever wonders what it was.
const KEPT: Duration = Duration::from_secs(600);
/// Records removed at once: what one look may cost.
const REMOVED_AT_ONCE: usize = 16;
/// Share of a lease after which one that does not beat is taken for dead: three beats were missed then, and its leases
/// are about to run out, so whoever is to take its lanes asks for them in time.
const SILENT: (u32, u32) = (2, 3);

/// All that were seen.
#[derive(Debug)]
pub(super) struct Sight {
    me: InstanceId,
    lease: Duration,
    /// Without this instance.
    others: BTreeMap<InstanceId, Seen>,
}

#[derive(Debug)]
struct Seen {
    version: Version,
    /// For how long it has not changed while this instance was looking.
    silent: Duration,
    is_live: bool,
    /// Its lease; this instance's own when it cannot be read.
    lease: Duration,
    /// Of what it says that it does.
    generation: u64,
    /// Of what was read of it; `None` before anything was.
    read: Option<u64>,
    /// Whether this release can read its beat.
    has_beat: bool,
    /// Whether this release can read what it says that it does.
    has_duties: bool,
    member: Member,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether anything that a plan depends on has changed.
    pub(super) is_news: bool,
    /// Whose duties have to be read.
    pub(super) unread: Vec<InstanceId>,
    /// Whose records may be removed, as they are.
    pub(super) gone: Vec<(InstanceId, Version)>,
}

impl Sight {
    pub(super) const fn new(me: InstanceId, lease: Duration) -> Self {
        let others = BTreeMap::new();
        Self { me, lease, others }
    }

    /// Takes in all beats as they are now. `passed` is how long ago the look before this one was.
    pub(super) fn look(&mut self, beats: &[Entry], passed: Duration) -> Found {
        // Whoever did not look does not know that the others were silent, whether it stood still or the store did.
        let passed = passed.min(self.lease / 2);
        let mut found = Found::default();
        let mut others = std::mem::take(&mut self.others);
        let ids = beats.iter().filter_map(|beat| {
            let id = InstanceId::of_beat(&beat.key)?;
            (id != self.me).then_some((id, beat))
        });
        for (id, beat) in ids.take(INSTANCES_MAX) {
            let mut seen = others.remove(&id).unwrap_or_else(|| {
                found.is_news = true;
                Seen::new(self.lease)
            });
            found.is_news |= seen.take(&id, beat, passed, self.lease);
            if seen.is_live && seen.has_beat && seen.read != Some(seen.generation) {
                found.unread.push(id.clone());
            }
            self.others.insert(id, seen);
        }
        found.is_news |= others.values().any(|left| left.is_live);
        found.gone = self.gone();
        found
    }

    /// Takes in what an instance says that it does. True when that changes anything.
    pub(super) fn read(&mut self, id: &InstanceId, duties: Option<&Entry>) -> bool {
        let Some(seen) = self.others.get_mut(id) else {
            return false;
        };
        let before = (seen.has_duties, seen.member.clone());
        let decoded = duties.map(|entry| decode::<Duties>(&entry.value));
        match decoded {
            Some(Ok(duties)) => {
                seen.read = Some(duties.generation);
                seen.has_duties = true;
                let holds = duties.holds.into_iter();
                seen.member.holds = holds.map(|hold| (hold.lane, hold.epoch)).collect();
                seen.member.wants = duties.wants.into_iter().collect();
                seen.member.shuns = duties.shuns.into_iter().collect();
            }
            Some(Err(error)) => {
                tracing::debug!(instance = %id, %error, "cannot read what an instance does");
                seen.read = Some(seen.generation);
                seen.has_duties = false;
            }
            None => {
                seen.read = Some(seen.generation);
                let is_draining = seen.member.is_draining;
                seen.member = Member {
                    is_draining,
                    ..Member::default()
                };
            }
        }
        before != (seen.has_duties, seen.member.clone())
    }

    /// Notes that an instance holds a lane, which the store said, when its own word cannot be read. True when that is
    /// news.
    pub(super) fn heard(&mut self, id: &InstanceId, lane: &LaneId) -> bool {
        let seen = self.others.get_mut(id);
        let Some(seen) = seen.filter(|seen| !seen.is_readable()) else {
            return false;
        };
        seen.member.holds.insert(lane.clone(), Epoch(0)).is_none()
    }

    /// Forgets what the store said of those whose own word cannot be read. True when there was anything.
    pub(super) fn forget_heard(&mut self) -> bool {
        let mut is_news = false;
        for seen in self.others.values_mut().filter(|seen| !seen.is_readable()) {
            is_news |= !seen.member.holds.is_empty();
            seen.member.holds.clear();
        }
        is_news
    }

    /// Forgets everybody. True when there was anybody.
    pub(super) fn forget(&mut self) -> bool {
        !std::mem::take(&mut self.others).is_empty()
    }

    /// Those that live.
    pub(super) fn live(&self) -> impl Iterator<Item = (&InstanceId, &Member)> {
        let live = self.others.iter().filter(|(_, seen)| seen.is_live);
        live.map(|(id, seen)| (id, &seen.member))
    }

    fn gone(&self) -> Vec<(InstanceId, Version)> {
        let dead = || self.others.iter().filter(|(_, seen)| !seen.is_live);
        let kept = if dead().count() > CROWD {
            self.lease * 10
        } else {
            KEPT
        };
        let gone = dead().filter(|(_, seen)| seen.silent >= kept.max(seen.lease));
        gone.map(|(id, seen)| (id.clone(), seen.version))
            .take(REMOVED_AT_ONCE)
            .collect()
    }
}

impl Seen {
    fn new(lease: Duration) -> Self {
        Self {
            version: Version::default(),
            silent: Duration::ZERO,
            is_live: true,
            lease,
            generation: 0,
            read: None,
            has_beat: true,
            has_duties: true,
            member: Member::default(),
        }
    }

    /// True when anything that a plan depends on has changed.
    fn take(&mut self, id: &InstanceId, entry: &Entry, passed: Duration, lease: Duration) -> bool {
        let before = (self.is_live, self.has_beat, self.member.is_draining);
        if entry.version == self.version {
            self.silent += passed;
        } else {
            self.version = entry.version;
            self.silent = Duration::ZERO;
            match decode::<Beat>(&entry.value) {
                Ok(beat) => {
                    self.has_beat = true;
                    let given = Duration::from_millis(beat.lease_ms);
                    self.lease = given.clamp(lease, LEASE_TTL_MAX.max(lease));
                    self.generation = beat.generation;
                    self.member.is_draining = beat.draining;
                }
                Err(error) => {
                    tracing::debug!(instance = %id, %error, "cannot read the beat of an instance");
                    self.lease = lease;
                    self.has_beat = false;
                }
            }
        }
        self.is_live = self.silent < self.lease * SILENT.0 / SILENT.1;
        before != (self.is_live, self.has_beat, self.member.is_draining)
    }

    const fn is_readable(&self) -> bool {
        self.has_beat && self.has_duties
    }
}

/// Which keys are removed for one that is gone.
pub(super) fn records_of(id: &InstanceId) -> [Key; 2] {
    [id.beat_key(), id.duties_key()]
}
