//! Several instances on a shared store: they are killed, drained and cut off, and the store is
//! killed, damaged, moved, filled and slowed down, under load: F1 to F13.

mod failover;
mod instances;
mod loss;
mod pressure;
mod tour;
mod wires;

use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use tokio::time::{Instant, sleep};

pub(super) use failover::{cluster_failovers, sentinel_failovers, slot_moves};
pub(super) use instances::{kills, rolling_restart, steady};
pub(super) use loss::{empty_restart, lost_tail, store_kills};
pub(super) use pressure::{floods, full_memory, pauses};
pub(super) use tour::tour;
pub(super) use wires::{partition, slow_wire};

use super::Form;
use super::stage::{Setting, Stage};
use crate::commands::bench::keys::draw;
use crate::commands::bench::load::Manner;
use crate::commands::bench::plan::{Entry, Fleet, SharedKind};
use crate::commands::bench::stats::{Percentiles, float, milliseconds};

/// Instances, and relayers: as many, so that each instance has a lane to run.
const INSTANCES: u16 = 3;
/// How long a caller repeats a request that was not answered.
const REPEAT_MAX: Duration = Duration::from_secs(120);
/// Callers that go to all instances in turn and repeat what was not answered at the next.
const PERSISTENT: Manner = Manner::Until(REPEAT_MAX);
/// How often it is looked at what is asked for less often than every block.
const LOOK: Duration = Duration::from_millis(100);
/// Longest pause between two troubles in the short and in the long form.
const BETWEEN_SHORT: Duration = Duration::from_millis(500);
const BETWEEN_LONG: Duration = Duration::from_secs(3);

/// Longest silence of a lane whose holder is gone: a lease, and time to take it over and start. The
/// short form is played on machines that others use too, by a program that is not optimised.
const SILENT_LONG: Duration = Duration::from_secs(3);
const SILENT_SHORT: Duration = Duration::from_secs(30);

/// Three instances on one server, called one after another.
const FLEET: Fleet = Fleet {
    instances: INSTANCES,
    store: SharedKind::Alone,
    lines: &[],
    entry: Entry::Instances,
    wire: None,
    drain_delay: None,
};

/// A time at which lanes lost who ran them, and so have to be sent for by somebody else.
#[derive(Clone, Debug)]
struct Ending {
    at: Instant,
    /// Accounts of the lanes.
    accounts: Vec<Address>,
    /// The instance that ended, and when its successor under the same number was started.
    instance: usize,
    back: Instant,
}

/// A fleet with a lane for each instance.
fn setting(fleet: Fleet) -> Setting {
    Setting {
        relayers: INSTANCES,
        fleet: Some(fleet),
        ..Setting::default()
    }
}

/// Waits for a time that only the seed knows.
async fn live(form: &Form, name: &str, number: u64) {
    let most = if form.short {
        BETWEEN_SHORT
    } else {
        BETWEEN_LONG
    };
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    sleep(Duration::from_micros(
        draw(form.plan.seed, name, number) % micros,
    ))
    .await;
}

impl Form {
    /// A count of troubles, in the short and in the long form.
    fn count(&self, short: u64, long: u64) -> u64 {
        if self.short { short } else { long }
    }

    fn silent_max(&self) -> Duration {
        if self.short {
            SILENT_SHORT
        } else {
            SILENT_LONG
        }
    }
}

impl Stage {
    /// The instance that holds a relayer's lane, once one does.
    async fn holder(&self, relayer: usize) -> Result<usize> {
        let relayer = &self.world.api.relayers[relayer];
        let mut found = None;
        self.wait_for("somebody holds the lane", async || {
            found = self.world.holder(relayer).await?;
            Ok(found.is_some())
        })
        .await?;
        found.context("the lane has a holder")
    }

    /// Accounts of the lanes that an instance holds.
    async fn accounts_held(&self, instance: usize) -> Result<Vec<Address>> {
        let mut held = Vec::new();
        for (relayer, account) in self.world.api.relayers.iter().zip(&self.world.accounts) {
            if self.world.holder(relayer).await? == Some(instance) {
                held.push(*account);
            }
        }
        Ok(held)
    }

    /// Epochs of all lanes.
    async fn epochs(&self) -> Result<Vec<u64>> {
        let shared = self.shared()?;
        let mut epochs = Vec::new();
        for relayer in &self.world.api.relayers {
            epochs.push(shared.baton(relayer).await?.epoch);
        }
        Ok(epochs)
    }

    /// Waits until each of these accounts has sent a request that had not been sent before a
    /// moment.
    async fn wait_for_new(&self, accounts: &[Address], since: Instant) -> Result<()> {
        self.wait_for_new_by(accounts, since, |_| true).await
    }

    /// The same, by some of the instances.
    async fn wait_for_new_by(
        &self,
        accounts: &[Address],
        since: Instant,
        instances: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + self.drain_max();
        while !self.has_sent(accounts, since, &instances)? {
            anyhow::ensure!(
                Instant::now() < deadline,
                "not every lane sent something new within {:?}",
                self.drain_max()
            );
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Whether each of these accounts has sent a request, by some of the instances, that none of
    /// these had sent before a moment.
    fn has_sent(
        &self,
        accounts: &[Address],
        since: Instant,
        instances: impl Fn(usize) -> bool,
    ) -> Result<bool> {
        let traces = self.tap()?.traces();
        let traces = traces.iter().enumerate();
        let traces = traces.filter(|(number, _)| instances(*number));
        let sent: Vec<_> = traces.flat_map(|(_, trace)| trace.broadcasts()).collect();
        let is_new = |account: &Address| {
            let mut sent = sent.iter().filter(|sent| sent.to != sent.from);
            sent.any(|sent| sent.from == Some(*account) && sent.first > since)
        };
        Ok(accounts.iter().all(is_new))
    }

    /// How long it took from each end until each of its lanes sent something again: by another
    /// instance, or by the one that was started in its place.
    fn takeovers(&self, endings: &[Ending]) -> Result<Vec<Duration>> {
        let traces = self.tap()?.traces();
        let sent: Vec<_> = traces.iter().map(|trace| trace.broadcasts()).collect();
        let mut times = Vec::new();
        for ending in endings {
            for account in &ending.accounts {
                let of_instance = sent.iter().enumerate().flat_map(|(number, sent)| {
                    let from = if number == ending.instance {
                        ending.back
                    } else {
                        ending.at
                    };
                    sent.iter().filter_map(move |sent| {
                        let is_own = sent.from == Some(*account) && sent.to != sent.from;
                        let after = is_own && sent.first > from;
                        after.then_some(sent.first)
                    })
                });
                let next = of_instance.min().context("a lane never sent again")?;
                times.push(next.duration_since(ending.at));
            }
        }
        Ok(times)
    }

    /// Tells how long lanes were silent; longer than this, they should not be.
    fn tell_takeovers(&mut self, endings: &[Ending], longest: Duration) -> Result<()> {
        let times = self.takeovers(endings)?;
        let trial = &mut self.trial;
        trial.figure("lanes taken over", float(times.len()), "");
        let Some(times) = Percentiles::of(times) else {
            trial.problems.push("no lane was taken over".to_owned());
            return Ok(());
        };
        trial.figure("to the next broadcast p50", times.p50, "ms");
        trial.figure("at most", times.max, "ms");
        trial.require(times.max <= milliseconds(longest), || {
            format!("a lane was silent for {:.0} ms", times.max)
        });
        Ok(())
    }
}
