//! Chains that forget, get expensive and change their mind, and accounts that run dry: S4, S9, S10,
//! S13.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_model::U256;
use baton_testkit::PoolRules;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use super::stage::{Played, Setting, Stage};
use super::{Form, Trial};
use crate::commands::bench::load::{Manner, Record};
use crate::commands::bench::rpc::Rpc;
use crate::commands::bench::stats::{Percentiles, float, ratio};
use crate::commands::bench::world::FUNDS;

/// Blocks within which a chain goes on after its lowest transaction was dropped: three until it is
/// offered again and two for it to be mined, as three seconds are the least that is waited.
const RECOVERY: Duration = Duration::from_secs(8);
/// Wei per gas before the spike.
const BASE_FEE: u128 = 1_000_000_000;
/// How many times that in it: tenfold is what first bids have room for, so what is under way then
/// has to be out-bid.
const SPIKE: u128 = 12;
/// The most that a base fee rises from block to block, in thousandths.
const RISE_PERMILLE: u128 = 1125;
/// Blocks that go on rising like this after the spike.
const RISING_BLOCKS: u32 = 6;
/// How often the base fee is set: several times in each block.
const PRICE_EVERY: Duration = Duration::from_millis(40);
/// Blocks that each reorganisation takes back, and how many there are.
const DEPTH: u64 = 3;
const REORGANISATIONS: usize = 3;
/// Blocks after which a request is final in S10: more than are taken back.
const DEEP: u32 = 6;
/// Transactions on a page of the relayer's list.
const PAGE: usize = 100;

/// S4: the node forgets the lowest transaction while no block comes.
pub(super) async fn dropped_transaction(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S4", "lowest transaction dropped");
    let size = form.size((40, 1), (200, 5));
    let setting = Setting {
        paused: true,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let running = stage.load(Manner::Once)?;
    let count = running.load.targets().len();
    let pool = stage.world.rpc.clone();
    let full = format!("{count:#x}");
    let pooled = async || Ok(pool.call("txpool_status", json!([])).await?["pending"] == full);
    stage
        .wait_for("everything is in the node's pool", pooled)
        .await?;

    let account = stage.world.accounts[0];
    let sent = stage.trace()?.broadcasts();
    let lowest = sent.iter().find(|sent| sent.nonce == Some(0));
    let lowest = lowest.context("nonce 0 was not sent")?.hash;
    pool.call("anvil_dropTransaction", json!([lowest])).await?;
    let left = pool.call("txpool_status", json!([])).await?;
    ensure!(left["pending"] != full, "the node dropped nothing: {left}");
    let resumed = Instant::now();
    let block = stage.block_number().await?;
    let mining = tokio::spawn(mine(pool.clone(), form.block));
    stage
        .wait_for("the dropped nonce is mined", async || {
            Ok(stage.nonce(account).await? > 0)
        })
        .await?;
    let recovery = resumed.elapsed();
    let blocks = stage.block_number().await? - block;
    let played = stage.finish(running).await?;
    mining.abort();
    stage.require_all_accepted(&played);
    let blocks = usize::try_from(blocks).map_or(0.0, float);
    stage.trial.figure("recovery", blocks, "blocks");
    stage.trial.figure("that is", recovery.as_secs_f64(), "s");
    stage.trial.require(recovery <= RECOVERY, || {
        format!("the dropped nonce was mined after {recovery:?}")
    });
    let replaced = played.sends.replacements;
    stage.trial.require(replaced == 0, || {
        format!("{replaced} higher bids where the same bytes were enough")
    });
    stage.close().await
}

/// S9: the base fee rises more than tenfold from one block to the next, and on from there.
pub(super) async fn fee_spike(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S9", "base fee twelvefold within a block");
    let size = form.size((40, 4), (50, 60));
    let mut stage = Stage::start(form, trial, size, Setting::default()).await?;
    let rules = PoolRules {
        executable_max: None,
        ..PoolRules::default()
    };
    stage.control()?.pool_rules(Some(rules));
    let spike = form.span(5.0, 20);
    let quiet = tokio::spawn(hold_base_fee(stage.world.rpc.clone(), BASE_FEE, 0));
    let running = stage.load_until_ended(Manner::Once)?;
    stage.wait_for_blocks(6).await?;
    let from = stage.block_number().await?;
    // In the middle between two blocks, when transactions wait for the next one.
    sleep(form.block / 2).await;
    quiet.abort();
    let high = hold_base_fee(stage.world.rpc.clone(), BASE_FEE * SPIKE, RISING_BLOCKS);
    let high = tokio::spawn(high);
    sleep(spike).await;
    high.abort();
    let quiet = tokio::spawn(hold_base_fee(stage.world.rpc.clone(), BASE_FEE, 0));
    running.end();
    let played = stage.finish(running).await?;
    quiet.abort();
    stage.require_all_accepted(&played);
    let paid = Paid::since(&stage, from).await?;
    let rise = ratio(paid.highest, paid.lowest).unwrap_or(0.0);
    stage.trial.figure("base fee rose", rise, "fold");
    stage
        .trial
        .figure("higher bids", float(played.sends.replacements), "");
    stage
        .trial
        .figure("paid above base fees", paid.above_percent, "%");
    if let Some(times) = Percentiles::of(played.to_mined(|_| true)) {
        stage.trial.figure("to mined at most", times.max, "ms");
    }
    let spiked = usize::try_from(SPIKE).map_or(0.0, float);
    stage.trial.require(rise >= spiked, || {
        format!("the base fee rose only {rise:.1} fold")
    });
    stage.close().await
}

/// S10: the chain takes back its last blocks, again and again.
pub(super) async fn reorganisations(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S10", "3 reorganisations, 3 blocks deep");
    let size = form.size((30, 4), (50, 60));
    let setting = Setting {
        confirmations: DEEP,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let running = stage.load_until_ended(Manner::Once)?;
    let mut undone = 0;
    for _ in 0..REORGANISATIONS {
        stage.wait_for_blocks(DEPTH + 3).await?;
        let account = stage.world.accounts[0];
        let before = stage.nonce(account).await?;
        let rpc = &stage.world.rpc;
        rpc.call("anvil_reorg", json!([DEPTH, []])).await?;
        undone += before.saturating_sub(stage.nonce(account).await?);
    }
    stage.wait_for_blocks(2).await?;
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let wrong = wrong_statuses(&stage).await?;
    stage.trial.figure(
        "transactions taken back",
        usize::try_from(undone).map_or(0.0, float),
        "",
    );
    stage
        .trial
        .figure("statuses that disagree", float(wrong.len()), "");
    stage
        .trial
        .require(undone > 0, || "no transaction was taken back".to_owned());
    stage.trial.require(wrong.is_empty(), || {
        format!("not as the chain has them: {wrong:?}")
    });
    stage.close().await
}

/// S13: one relayer's account runs dry, another's does not.
pub(super) async fn dry_account(form: &Form) -> Result<Trial> {
    let trial = Trial::new("S13", "one of two senders runs dry");
    let size = form.size((40, 4), (100, 60));
    let setting = Setting {
        relayers: 2,
        ..Setting::default()
    };
    let mut stage = Stage::start(form, trial, size, setting).await?;
    let (rpc, account) = (stage.world.rpc.clone(), stage.world.accounts[0]);
    let running = stage.load_until_ended(Manner::Once)?;
    stage.wait_for_blocks(3).await?;
    let drained = Instant::now();
    rpc.call("anvil_setBalance", json!([account, "0x0"]))
        .await?;
    let relayer = stage.world.api.relayers[0].clone();
    stage
        .wait_for("the relayer says that its account runs dry", async || {
            let status = stage.get(&format!("/relayers/{relayer}/status")).await?;
            Ok(status["data"]["alarms"].to_string().contains("low_balance"))
        })
        .await?;
    let dry = Instant::now();
    sleep(form.span(2.0, 20)).await;
    let funded = Instant::now();
    rpc.call("anvil_setBalance", json!([account, FUNDS]))
        .await?;
    let resumed = time_to_mine(&stage, account).await?;
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let own = |record: &Record| record.index.is_multiple_of(2);
    let meanwhile = |record: &Record| record.due > dry && record.due < funded;
    let held = played
        .records
        .iter()
        .filter(|r| own(r) && meanwhile(r))
        .count();
    let early = mined_between(&played, dry, funded, own);
    stage.trial.figure("held", float(held), "");
    stage
        .trial
        .figure("resumed after", resumed.as_secs_f64(), "s");
    stage
        .trial
        .require(held > 0, || "nothing was held".to_owned());
    stage
        .trial
        .require(early == 0, || format!("{early} were mined without funds"));
    let before = Percentiles::of(played.to_mined(|r| !own(r) && r.due < drained));
    let during = Percentiles::of(played.to_mined(|r| !own(r) && meanwhile(r)));
    let (before, during) = before
        .zip(during)
        .context("the other sender sent nothing")?;
    stage
        .trial
        .figure("other sender to mined p50, before", before.p50, "ms");
    stage.trial.figure("meanwhile", during.p50, "ms");
    let unharmed = during.p50 <= 2.0 * before.p50 + 2000.0 * form.block.as_secs_f64();
    stage.trial.require(unharmed, || {
        format!(
            "the other sender got slow: {} ms, before {} ms",
            during.p50, before.p50
        )
    });
    stage.close().await
}

/// Makes a block every so often.
pub(super) async fn mine(rpc: Rpc, every: Duration) {
    let mut blocks = interval(every);
    loop {
        blocks.tick().await;
        if let Err(error) = rpc.call("anvil_mine", json!(["0x1"])).await {
            tracing::warn!(%error, "no block was made");
        }
    }
}

/// Keeps the base fee of every next block at a price, or lets so many blocks rise from there as
/// fast as they can.
async fn hold_base_fee(rpc: Rpc, wei: u128, rising: u32) {
    let first = rpc.number("eth_blockNumber").await.unwrap_or(0);
    let mut ticks = interval(PRICE_EVERY);
    loop {
        ticks.tick().await;
        let now = rpc.number("eth_blockNumber").await.unwrap_or(first);
        let risen = u32::try_from(now.saturating_sub(first)).unwrap_or(u32::MAX);
        let steps = 0..risen.min(rising);
        let price = steps.fold(wei, |price, _| price * RISE_PERMILLE / 1000);
        let asked = json!([format!("{price:#x}")]);
        if let Err(error) = rpc.call("anvil_setNextBlockBaseFeePerGas", asked).await {
            tracing::warn!(%error, "the base fee was not set");
        }
    }
}

/// What blocks cost.
struct Paid {
    lowest: f64,
    highest: f64,
    /// How much more was paid than the base fees.
    above_percent: f64,
}

impl Paid {
    async fn since(stage: &Stage, from: u64) -> Result<Self> {
        let rpc = &stage.world.rpc;
        let (mut lowest, mut highest) = (f64::MAX, 0.0_f64);
        let (mut paid, mut least) = (0.0, 0.0);
        for number in from..=stage.block_number().await? {
            let number = json!(format!("{number:#x}"));
            let block = rpc
                .call("eth_getBlockByNumber", json!([number, false]))
                .await?;
            let base = wei(&block["baseFeePerGas"])?;
            (lowest, highest) = (lowest.min(base), highest.max(base));
            let receipts = rpc.call("eth_getBlockReceipts", json!([number])).await?;
            for receipt in receipts.as_array().into_iter().flatten() {
                let gas = wei(&receipt["gasUsed"])?;
                paid += gas * wei(&receipt["effectiveGasPrice"])?;
                least += gas * base;
            }
        }
        Ok(Self {
            lowest,
            highest,
            above_percent: 100.0 * ratio(paid - least, least).unwrap_or(0.0),
        })
    }
}

fn wei(value: &Value) -> Result<f64> {
    let number: U256 = serde_json::from_value(value.clone()).context("not a quantity")?;
    Ok(f64::from(number))
}

/// Requests whose status, block or hash is not what the chain says.
async fn wrong_statuses(stage: &Stage) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for relayer in &stage.world.api.relayers {
        for page in 1.. {
            let path = format!("/relayers/{relayer}/transactions?page={page}&per_page={PAGE}");
            let found = stage.get(&path).await?;
            let listed = found["data"].as_array().context("a list has no data")?;
            for request in listed {
                let hash = json!([request["hash"]]);
                let rpc = &stage.world.rpc;
                let receipt = rpc.call("eth_getTransactionReceipt", hash).await?;
                let agrees = request["status"] == "confirmed"
                    && request["block_hash"] == receipt["blockHash"]
                    && receipt["status"] == "0x1";
                if !agrees {
                    wrong.push(format!("{} {}", request["id"], request["status"]));
                }
            }
            if listed.len() < PAGE {
                break;
            }
        }
    }
    Ok(wrong)
}

/// How long it takes from now until a transaction of an account is mined.
async fn time_to_mine(stage: &Stage, account: baton_model::Address) -> Result<Duration> {
    let start = Instant::now();
    let before = stage.nonce(account).await?;
    stage
        .wait_for("the account goes on", async || {
            Ok(stage.nonce(account).await? > before)
        })
        .await?;
    Ok(start.elapsed())
}

/// Requests of a kind that were mined between two moments.
fn mined_between(
    played: &Played,
    from: Instant,
    until: Instant,
    kind: impl Fn(&Record) -> bool,
) -> usize {
    let mined = |record: &Record| played.mined.get(record.index).copied().flatten();
    let within = |at: Instant| at > from && at < until;
    let of_kind = played.records.iter().filter(|record| kind(record));
    of_kind
        .filter(|record| mined(record).is_some_and(within))
        .count()
}
