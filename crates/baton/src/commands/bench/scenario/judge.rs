//! What has to hold after every scenario: what callers were told, what the relayer says, and what
//! the chain holds have to be one story.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::json;

use super::oracle::Sends;
use super::stage::{Loss, Played, Stage};
use super::trial::Trial;
use crate::commands::bench::load::{Outcome, Record};
use crate::commands::bench::stats::float;
use crate::commands::bench::step::count;

/// Most requests or nonces that a problem names.
const NAMED_MAX: usize = 3;
/// Statuses of requests that end without having been executed.
const UNDONE: [&str; 3] = ["failed", "expired", "canceled"];
/// Transactions on a page of a relayer's list.
const PAGE: usize = 100;

/// Accepted requests of which a store that lost something knows nothing any more.
#[derive(Debug, Default)]
struct Forgotten {
    executed: usize,
    unexecuted: usize,
    /// Those that it must not have forgotten: they were answered at another time.
    wrongly: Vec<usize>,
}

impl Stage {
    pub(super) async fn judge(&mut self, played: &Played) -> Result<()> {
        let mut counts = count(&played.records, &played.balances);
        let executed = played.balances.iter().filter(|b| !b.is_zero()).count();
        let forgotten = self.forgotten(played).await?;
        counts.lost -= forgotten.unexecuted.min(counts.lost);
        counts.forgotten = forgotten.unexecuted;
        self.trial.counts = counts;
        let mut confirmed = 0;
        for relayer in &self.world.api.relayers {
            confirmed += self.total(relayer, "confirmed").await?;
            for status in UNDONE {
                let total = self.total(relayer, status).await?;
                self.trial
                    .require(total == 0, || format!("{total} requests are {status}"));
            }
        }
        let pool = self.world.rpc.call("txpool_status", json!([])).await?;
        let trial = &mut self.trial;
        trial.require(counts.is_exact(), || format!("{counts:?}"));
        trial.require(counts.accepted > 0, || "nothing was accepted".to_owned());
        let known = executed.saturating_sub(forgotten.executed);
        trial.require(usize::try_from(confirmed).ok() == Some(known), || {
            format!("{known} requests that are known were executed, and {confirmed} are confirmed")
        });
        trial.require(pool["pending"] == "0x0" && pool["queued"] == "0x0", || {
            format!("the node's pool is not empty: {pool}")
        });
        trial.judge_nonces(played, executed, !self.losses.is_empty());
        trial.judge_sends(&played.sends);
        if !self.losses.is_empty() {
            trial.tell_forgotten(&forgotten);
        }
        Ok(())
    }

    /// Compares what was accepted with what the relayer lists, if its store has lost anything.
    async fn forgotten(&self, played: &Played) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        if self.losses.is_empty() {
            return Ok(forgotten);
        }
        let known = self.listed().await?;
        let is_known = |record: &Record| record.id.as_ref().is_some_and(|id| known.contains(&**id));
        let accepted = played
            .records
            .iter()
            .filter(|r| r.outcome == Outcome::Accepted);
        for record in accepted.filter(|record| !is_known(record)) {
            let mut losses = self.losses.iter();
            // An answer may be read some time after the store gave it.
            let was_under_way =
                |loss: &Loss| record.sent <= loss.until && record.answered >= loss.from;
            if !losses.any(was_under_way) {
                forgotten.wrongly.push(record.index);
            } else if played.balances[record.index].is_zero() {
                forgotten.unexecuted += 1;
            } else {
                forgotten.executed += 1;
            }
        }
        Ok(forgotten)
    }

    /// The ids of all transactions that the relayer knows.
    async fn listed(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for relayer in &self.world.api.relayers {
            for page in 1.. {
                let path = format!("/relayers/{relayer}/transactions?page={page}&per_page={PAGE}");
                let found = self.get(&path).await?;
                let listed = found["data"].as_array().context("a list has no data")?;
                let named = listed.iter().filter_map(|one| one["id"].as_str());
                ids.extend(named.map(str::to_owned));
                if listed.len() < PAGE {
                    break;
                }
            }
        }
        Ok(ids)
    }
}

impl Trial {
    /// Every nonce that was used did one request's work. After a loss an operator has nonces of
    /// forgotten requests skipped by transfers of nothing.
    fn judge_nonces(&mut self, played: &Played, executed: usize, has_lost: bool) {
        let used: u64 = played.nonces.iter().sum();
        let used = usize::try_from(used).unwrap_or(usize::MAX);
        let skipped = if has_lost { played.sends.no_ops } else { 0 };
        let fits = (executed..=executed + skipped).contains(&used);
        self.require(fits, || {
            format!("{used} nonces were used for {executed} requests, with {skipped} skipped")
        });
        self.require(has_lost || played.sends.no_ops == 0, || {
            format!("{} nonces were filled with nothing", played.sends.no_ops)
        });
    }

    fn judge_sends(&mut self, sends: &Sends) {
        let Sends {
            shared,
            moved,
            low_bids,
            ..
        } = sends;
        self.require(shared.is_empty(), || {
            let some = &shared[..shared.len().min(NAMED_MAX)];
            format!(
                "{} nonces were signed for several requests: {some:?}",
                shared.len()
            )
        });
        self.require(moved.is_empty(), || {
            let some = &moved[..moved.len().min(NAMED_MAX)];
            format!(
                "{} requests were signed under several nonces: {some:?}",
                moved.len()
            )
        });
        self.require(low_bids.is_empty(), || {
            let some = &low_bids[..low_bids.len().min(NAMED_MAX)];
            format!(
                "{} nonces have bids that displace nothing: {some:?}",
                low_bids.len()
            )
        });
    }

    fn tell_forgotten(&mut self, forgotten: &Forgotten) {
        self.figure("forgotten", float(forgotten.unexecuted), "");
        let executed = float(forgotten.executed);
        self.figure("executed and then forgotten", executed, "");
        let wrongly = &forgotten.wrongly;
        self.require(wrongly.is_empty(), || {
            let some = &wrongly[..wrongly.len().min(NAMED_MAX)];
            format!(
                "{} requests were forgotten that the store had kept: {some:?}",
                wrongly.len()
            )
        });
    }
}
