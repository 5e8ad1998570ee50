//! What an instance does all the time: look at the others, decide, tell.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use baton_coord::{
    Batch, CommitError, Entry, Precondition, Scan, StoreError, Version, WakeEvent, Wakeups,
};
use baton_lanes::record::{decode, encode};
use baton_model::LaneId;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout};

use super::Fleet;
use super::record::{BEATS, Beat, Duties, InstanceId, TOPIC, lane};
use super::sight::{Found, INSTANCES_MAX, records_of};
use super::state::Said;

/// Beats within one lease.
const BEATS_PER_LEASE: u32 = 4;
/// How long what happens here is gathered at least before it is told: many lanes move at the same time. A process with
/// many lanes has more to tell each time, so it gathers for longer than it took the last time.
const GATHER: Duration = Duration::from_millis(10);
/// Least time between looks because of wake-ups: many may tell something at the same time.
const LOOK_GAP: Duration = Duration::from_millis(30);
/// Records read at the same time.
const READS_AT_ONCE: usize = 16;

const LOOK: &str = "look at the other instances";
const TELL: &str = "tell the others of this instance";
const SILENCE: &str = "no answer in time";

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Told {
    sequence: u64,
    generation: u64,
    /// `None` when it is not known whether it was written.
    said: Option<Said>,
    is_draining: bool,
    /// The version of the last beat that was acknowledged.
    version: Option<Version>,
}

/// Why something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It is time for a beat.
    Beat,
    /// Somebody told something.
    Heard,
    /// Something changed here.
    Changed,
}

impl Fleet {
    /// Beats, looks, decides.
    pub(super) async fn rounds(&self) -> Infallible {
        let beat = self.options.lease / BEATS_PER_LEASE;
        let mut next_beat = Instant::now();
        let mut next_look = next_beat;
        let mut gather = GATHER;
        let mut wakeups = None;
        loop {
            if wakeups.is_none() {
                wakeups = self.listen(TOPIC).await;
            }
            let decide_at = self.lock().decide_at().unwrap_or(next_beat);
            let cause = tokio::select! {
                biased;
                () = sleep_until(next_beat) => Cause::Beat,
                () = sleep_until(decide_at) => Cause::Changed,
                heard = heard(&mut wakeups) => {
                    if heard.is_none() {
                        wakeups = None;
                    }
                    sleep_until(next_look.min(next_beat)).await;
                    Cause::Heard
                }
                () = self.changed.notified() => {
                    sleep_until((Instant::now() + gather).min(next_beat)).await;
                    Cause::Changed
                }
            };
            if cause == Cause::Beat {
                // Late beats are not made up for.
                next_beat = (next_beat + beat).max(Instant::now());
            }
            match cause {
                // A look that takes long must not make this instance look dead.
                Cause::Beat => {
                    tokio::join!(self.look(), self.tell());
                }
                Cause::Heard => self.look().await,
                Cause::Changed => {}
            }
            next_look = match cause {
                Cause::Beat | Cause::Heard => Instant::now() + LOOK_GAP,
                Cause::Changed => next_look,
            };
            let began = Instant::now();
            self.decide();
            if self.has_news().await {
                self.tell().await;
            }
            gather = GATHER.max(began.elapsed() * 2);
        }
    }

    /// Tells the others how things stand, and wakes them when that matters to them at once.
    pub(super) async fn tell(&self) {
        let mut told = self.told.lock().await;
        let (said, is_draining, needs_others, lanes) = {
            let state = self.lock();
            let said = state.said(Instant::now());
            (said, state.is_draining, state.needs_others, state.held())
        };
        told.sequence += 1;
        let is_news = told.said.as_ref() != Some(&said);
        let mut batch = Batch::new(lane());
        if is_news {
            told.generation += 1;
            let duties = self.duties(told.generation, said.clone());
            let key = self.me.duties_key();
            batch.puts.push((key, encode(&duties).into()));
        }
        let beat = Beat {
            sequence: told.sequence,
            at: self.clock.now(),
            lease_ms: u64::try_from(self.options.lease.as_millis()).unwrap_or(u64::MAX),
            draining: is_draining,
            lanes: lanes as u64,
            generation: told.generation,
        };
        batch.puts.push((self.me.beat_key(), encode(&beat).into()));
        if is_news {
            // Not known until it is known to be written.
            told.said = None;
        }
        let written = self.write(&mut told, batch).await;
        let is_told = written.is_ok();
        self.note(&self.is_mute, TELL, written);
        if !is_told {
            return;
        }
        let leaves = is_draining != told.is_draining;
        told.is_draining = is_draining;
        if is_news {
            told.said = Some(said);
        }
        if leaves || is_news && needs_others {
            self.publish(TOPIC).await;
        }
    }

    /// Writes a beat on top of the last one that was acknowledged. Where that is not there any more the store has lost
    /// something, or was slow.
    async fn write(&self, told: &mut Told, batch: Batch) -> Result<(), String> {
        loop {
            let mut batch = batch.clone();
            let required = told.version;
            let key = self.me.beat_key();
            batch
                .require
                .extend(required.map(|version| Precondition::At(key, version)));
            match timeout(self.op_max(), self.store.commit(batch)).await {
                Ok(Ok(committed)) => {
                    told.version = Some(committed.version);
                    self.acknowledged
                        .fetch_max(told.sequence, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Err(CommitError::Precondition { .. })) if required.is_some() => {
                    if self.examine().await? {
                        // The others believe what it says of generations.
                        told.said = None;
                    }
                    told.version = None;
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(SILENCE.to_owned()),
            }
        }
    }

    /// Looks whether the last beat that was acknowledged is there, or one after it. True when the store is found to
    /// have lost it.
    async fn examine(&self) -> Result<bool, String> {
        let sequence = self.acknowledged.load(Ordering::Relaxed);
        let (lane, key) = (lane(), self.me.beat_key());
        let found = match timeout(self.op_max(), self.store.get(&lane, &key)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(SILENCE.to_owned()),
        };
        let is_kept = match found.map(|entry| decode::<Beat>(&entry.value)) {
            Some(Ok(beat)) => beat.sequence >= sequence,
            // Whatever it is, it was not lost.
            Some(Err(_)) => true,
            None => sequence == 0,
        };
        if is_kept {
            return Ok(false);
        }
        // Told once: the next beat is a new beginning.
        let is_first =
            self.acknowledged
                .compare_exchange(sequence, 0, Ordering::Relaxed, Ordering::Relaxed);
        if is_first.is_ok() {
            tracing::warn!(
                "the shared store has lost what it had acknowledged: it was emptied, or went back in time; lanes \
                 whose accounts it does not know any more wait for a person"
            );
            self.lock().lost();
        }
        Ok(true)
    }

    /// Whether the store is known to have lost what a lane had written, as of now. One question answers all that asked
    /// before it was asked.
    ///
    /// # Errors
    /// When the store does not say.
    pub(crate) async fn has_lost(&self, lane: &LaneId) -> Result<bool, String> {
        let asked = Instant::now();
        let mut examined = self.examined.lock().await;
        if examined.is_none_or(|began| began < asked) {
            let began = Instant::now();
            self.examine().await?;
            *examined = Some(began);
        }
        drop(examined);
        Ok(self.lock().has_lost(lane))
    }

    /// Takes this instance's records away.
    pub(super) async fn withdraw(&self) {
        let _turn = self.told.lock().await;
        let mut batch = Batch::new(lane());
        batch.deletes.extend(records_of(&self.me));
        let removed = timeout(self.op_max(), self.store.commit(batch)).await;
        if matches!(removed, Ok(Ok(_))) {
            self.publish(TOPIC).await;
        } else {
            tracing::warn!("cannot take back what was told of this instance; others forget it");
        }
    }

    fn duties(&self, generation: u64, said: Said) -> Duties {
        Duties {
            generation,
            name: self.options.name.clone(),
            version: self.options.version.clone(),
            started_at: self.started_at,
            holds: said.holds,
            wants: said.wants,
            shuns: said.shuns,
        }
    }

    async fn has_news(&self) -> bool {
        let told = self.told.lock().await;
        let state = self.lock();
        told.said.as_ref() != Some(&state.said(Instant::now()))
            || told.is_draining != state.is_draining
    }

    /// Looks at all others. What cannot be read stays as it was.
    async fn look(&self) {
        let scan = Scan::prefix(BEATS, INSTANCES_MAX + 1);
        let scanned = timeout(self.op_max(), self.store.scan(&lane(), &scan)).await;
        let beats = match scanned {
            Ok(Ok(beats)) => beats,
            Ok(Err(error)) => {
                self.note(&self.is_blind, LOOK, Err(error.to_string()));
                return self.blinded(&error);
            }
            Err(_) => return self.note(&self.is_blind, LOOK, Err(SILENCE.to_owned())),
        };
        self.note(&self.is_blind, LOOK, Ok(()));
        let now = Instant::now();
        let found = {
            let mut state = self.lock();
            // Who cannot tell of itself learns nothing from the silence of others: the store takes nobody's beats.
            let is_mute = self.is_mute.load(Ordering::Relaxed);
            let passed = if is_mute {
                Duration::ZERO
            } else {
                state.since_look(now)
            };
            state.sight.look(&beats, passed)
        };
        let Found {
            mut is_news,
            unread,
            gone,
        } = found;
        let reads = stream::iter(unread).map(|id| async move {
            let duties = self.duties_of(&id).await;
            (id, duties)
        });
        let read: Vec<(InstanceId, Option<Option<Entry>>)> =
            reads.buffer_unordered(READS_AT_ONCE).collect().await;
        {
            let mut state = self.lock();
            for (id, duties) in read {
                if let Some(duties) = duties {
                    is_news |= state.sight.read(&id, duties.as_ref());
                }
            }
            state.looked(is_news, now);
            self.instances.send_if_modified(|known| {
                let count = state.instances();
                std::mem::replace(known, count) != count
            });
        }
        self.remove(gone).await;
    }

    /// A store that cannot be reached has no leases to give either. One that can, but whose records of the fleet cannot
    /// be read, must not keep lanes from running: then nobody else is taken to be there.
    fn blinded(&self, error: &StoreError) {
        match error {
            StoreError::Unavailable { .. } => {}
            StoreError::Damaged { .. } | StoreError::Invalid { .. } => {
                let mut state = self.lock();
                let is_news = state.sight.forget();
                state.looked(is_news, Instant::now());
            }
        }
    }

    /// `None` when they cannot be read now.
    async fn duties_of(&self, id: &InstanceId) -> Option<Option<Entry>> {
        let (lane, key) = (lane(), id.duties_key());
        let read = timeout(self.op_max(), self.store.get(&lane, &key)).await;
        read.ok()?.ok()
    }

    /// Removes what is left of those that have been dead for long. One that has come back in the meantime keeps its
    /// records.
    async fn remove(&self, gone: Vec<(InstanceId, Version)>) {
        for (id, version) in gone {
            let mut batch = Batch::new(lane());
            batch.require.push(Precondition::At(id.beat_key(), version));
            batch.deletes.extend(records_of(&id));
            let removed = timeout(self.op_max(), self.store.commit(batch)).await;
            if matches!(removed, Ok(Ok(_))) {
                tracing::info!(instance = %id, "removed the records of an instance that is gone");
            }
        }
    }
}

/// The next wake-up; `None` when there will be no more. Without a subscription there are none.
async fn heard(wakeups: &mut Option<Box<dyn Wakeups>>) -> Option<WakeEvent> {
    match wakeups {
        Some(wakeups) => wakeups.next().await,
        None => std::future::pending().await,
    }
}
