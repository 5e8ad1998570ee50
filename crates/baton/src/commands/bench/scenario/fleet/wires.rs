//! Slow wires to the store, and wires that lose everything: F11, F13.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use super::super::stage::Stage;
use super::super::{Form, Trial};
use super::{Ending, FLEET, PERSISTENT, setting};
use crate::commands::bench::load::Manner;
use crate::commands::bench::plan::Fleet;
use crate::commands::bench::stats::{Percentiles, float, milliseconds};

/// Round trip of a slow wire.
const SLOW: Duration = Duration::from_millis(50);
/// Most round trips that an acceptance takes, and time for a machine that others use too.
const TRIPS_MAX: f64 = 2.0;
const SHARED_MS: f64 = 50.0;
/// Leases that a partition lasts, by default 1.2 s each.
const LEASE: Duration = Duration::from_millis(1200);

/// F11: every round trip to the store takes 50 ms.
pub(in super::super) async fn slow_wire(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F11", "50 ms from and to Redis");
    let size = form.size((45, 4), (150, 60));
    let fleet = Fleet {
        wire: Some(SLOW),
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let times = played.records.iter();
    let times = times.map(|record| record.answered.duration_since(record.due));
    let times = Percentiles::of(times.collect()).context("nothing was answered")?;
    let tap = stage.tap()?;
    let to_node = played.records.iter().filter_map(|record| {
        let first = tap.first_broadcast(played.targets[record.index])?;
        Some(first.saturating_duration_since(record.due))
    });
    let to_node = Percentiles::of(to_node.collect()).context("nothing was sent")?;
    let trial = &mut stage.trial;
    trial.figure("accepted p50", times.p50, "ms");
    trial.figure("p99", times.p99, "ms");
    trial.figure("to the node p50", to_node.p50, "ms");
    trial.figure("p99", to_node.p99, "ms");
    let trip = milliseconds(SLOW);
    trial.require(times.p50 >= trip, || {
        format!(
            "posts were answered after {} ms: the wire is not slow",
            times.p50
        )
    });
    trial.require(times.p50 <= TRIPS_MAX * trip + SHARED_MS, || {
        format!(
            "a post waits for more than {TRIPS_MAX} round trips: {} ms",
            times.p50
        )
    });
    stage.close().await
}

/// F13: one instance after the other is cut off from the store, both ways, while its connections
/// stay open.
pub(in super::super) async fn partition(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F13", "an instance cut off from Redis");
    let size = form.size((45, 4), (150, 60));
    let fleet = Fleet {
        wire: Some(Duration::ZERO),
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let mut endings = Vec::new();
    let mut late = 0;
    let rounds = form.count(1, 6);
    for round in 0..rounds {
        stage.wait_for_blocks(2).await?;
        let relayer = usize::try_from(round)? % stage.world.accounts.len();
        let instance = stage.holder(relayer).await?;
        let accounts = stage.accounts_held(instance).await?;
        let at = Instant::now();
        stage.shared()?.wire(instance)?.hold();
        stage.wait_for_taken(instance, &accounts).await?;
        stage.wait_for_new(&accounts, at + LEASE).await?;
        let taken = Instant::now();
        sleep(form.span(2.0, 5)).await;
        late += stage.sent_by(instance, at + LEASE)?;
        stage.shared()?.wire(instance)?.release();
        // What it was about to say is heard now.
        let healed = Instant::now();
        stage.wait_for_blocks(2).await?;
        tracing::debug!(?taken, ?healed, "a partition is over");
        endings.push(Ending {
            at,
            accounts,
            instance,
            back: healed,
        });
    }
    running.end();
    let failures = running.load.failures();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("partitions", float(endings.len()), "");
    stage.trial.figure("posts that failed", float(failures), "");
    stage.tell_takeovers(&endings, form.silent_max())?;
    stage
        .trial
        .figure("sent by who was cut off after its lease", float(late), "");
    stage.trial.require(late == 0, || {
        format!("{late} transactions were sent by an instance whose lease had run out")
    });
    stage.close().await
}

impl Stage {
    /// Waits until other instances hold all lanes of these accounts.
    async fn wait_for_taken(&self, from: usize, accounts: &[baton_model::Address]) -> Result<()> {
        let of_accounts = |place: &usize| accounts.contains(&self.world.accounts[*place]);
        let relayers = 0..self.world.accounts.len();
        for relayer in relayers.filter(of_accounts) {
            let relayer = &self.world.api.relayers[relayer];
            self.wait_for("another instance holds the lane", async || {
                let holder = self.world.holder(relayer).await?;
                Ok(holder.is_some_and(|holder| holder != from))
            })
            .await?;
        }
        Ok(())
    }

    /// Transactions that an instance sent first after a moment.
    fn sent_by(&self, instance: usize, after: Instant) -> Result<usize> {
        let traces = self.tap()?.traces();
        let sent = traces[instance].broadcasts();
        Ok(sent.iter().filter(|sent| sent.first > after).count())
    }
}
