//! Kills, restarts, drains: what was accepted is executed once, what was refused is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use baton_model::{Address, U256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{
    Api, LONGEST, Setup, World, fresh_addresses, plain_transfer, transfer, until,
};

/// Callers at work at the same time.
const CALLERS: usize = 8;
/// Pause before a request without an answer is repeated.
const RETRY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn five_kills_at_random_points_lose_nothing_and_double_nothing() {
    let seed = 0x00ba_7011;
    let mut random = StdRng::seed_from_u64(seed);
    let world = Setup::default().accounts(2).world().await;
    let chain = world.chain();
    let targets = fresh_addresses(300);
    let api = world.api();
    let load = Load::start(&api, &targets);

    let mut engine = world.launch(&[]).await;
    for kill in 1..=5 {
        api.connect(&engine.api().url());
        let at = kill * 50 + random.random_range(0..40);
        until("the load gets on", async || {
            (load.accepted() >= at).then_some(())
        })
        .await;
        engine.kill().await;
        engine = world.launch(&[]).await;
    }
    api.connect(&engine.api().url());
    let ids = load.finish().await;

    assert_eq!(ids.len(), targets.len());
    engine.api().all_reach(&ids, "confirmed").await;
    chain.assert_each_once(&targets).await;
    let used = chain.nonce(world.account(0)).await + chain.nonce(world.account(1)).await;
    assert_eq!(
        used, 300,
        "no nonce was used for anything else (seed {seed:#x})"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_drain_under_load_answers_truthfully() {
    let world = World::new().await;
    let engine = world.engine().await;
    let targets = fresh_addresses(2000);
    let stopped = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (api, targets) = (engine.api(), targets.clone());
        let (stopped, done) = (Arc::clone(&stopped), Arc::clone(&done));
        callers.spawn(async move {
            let mut outcomes = Vec::new();
            for index in (caller..targets.len()).step_by(CALLERS) {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let answer = api.try_post(&plain_transfer(targets[index]), None).await;
                done.fetch_add(1, Ordering::Relaxed);
                outcomes.push((index, answer.ok().map(|answer| answer.status)));
            }
            outcomes
        });
    }
    until("the load gets on", async || {
        (done.load(Ordering::Relaxed) >= 100).then_some(())
    })
    .await;
    engine.stop().await;
    stopped.store(true, Ordering::Relaxed);
    let outcomes: Vec<_> = callers.join_all().await.into_iter().flatten().collect();

    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    until("everything that was accepted is final", async || {
        let status = api.status().await;
        let pool = chain.pool().await;
        (status["pending_transactions_count"] == 0 && pool == (0, 0)).then_some(())
    })
    .await;
    let balances = chain.balances(&targets).await;
    let mut executed = 0;
    for (index, status) in outcomes {
        let balance = balances[index];
        match status {
            Some(200) => assert_eq!(balance, U256::ONE, "accepted, so executed once"),
            Some(status) => assert_eq!(balance, U256::ZERO, "answered {status}, so not executed"),
            // Without an answer the caller does not know.
            None => assert!(balance <= U256::ONE, "executed {balance} times"),
        }
        executed += u64::from(!balance.is_zero());
    }
    assert!(executed >= 100);
    assert_eq!(chain.nonce(world.account(0)).await, executed);
    engine.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_start() {
    let world = World::new().await;
    // The node does not answer the question for its chain id.
    world.anvil.pause().unwrap();
    let mut engine = world.spawn();
    let lock = world.data_dir().join("LOCK");
    until("the store is open", async || lock.exists().then_some(())).await;

    engine.terminate();
    let asked = Instant::now();
    let status = engine.ended().await;
    assert!(status.success(), "{status}");
    let took = asked.elapsed();
    assert!(
        took < Duration::from_secs(2),
        "{took:?}, longer than the question takes"
    );
    world.anvil.resume().unwrap();
    // Nothing is left behind.
    world.engine().await.stop().await;
}

#[tokio::test]
async fn a_second_engine_on_the_same_directory_is_told_who_has_it() {
    let world = World::new().await;
    let engine = world.engine().await;

    let error = world.refusal().await;
    let directory = world.data_dir();
    let expected = format!("store {} is in use by process ", directory.display());
    assert!(error.contains(&expected), "{error}");

    let id = engine.api().send(&transfer(fresh_addresses(1)[0])).await;
    engine.api().reaches(&id, "confirmed").await;
    engine.stop().await;
}

#[tokio::test]
async fn five_hundred_open_nonces_are_offered_again_after_a_restart() {
    let setup = Setup::default()
        .blocks_on_request()
        .network("in_flight_max", json!(1000));
    let world = setup.world().await;
    let chain = world.chain();
    let targets = fresh_addresses(500);
    let bodies: Vec<Value> = targets.iter().map(|to| plain_transfer(*to)).collect();
    let engine = world.engine().await;
    let mut ids = Vec::new();
    for some in bodies.chunks(100) {
        ids.extend(engine.api().send_all(some).await);
    }
    chain.pool_has(500).await;
    engine.kill().await;
    // The node has forgotten all of them.
    world.anvil.drop_all_transactions().await.unwrap();
    assert_eq!(chain.pool().await, (0, 0));

    let started = Instant::now();
    let engine = world.launch(&[]).await;
    chain.pool_has(500).await;
    eprintln!("restart to 500 offered again: {:?}", started.elapsed());

    chain.mine(3).await;
    engine.api().all_reach(&ids, "confirmed").await;
    chain.assert_each_once(&targets).await;
    assert_eq!(chain.nonce(world.account(0)).await, 500);
    engine.stop().await;
}

/// Callers that do not give up: each repeats a post with its idempotency key until it is accepted.
struct Load {
    accepted: Arc<AtomicUsize>,
    callers: JoinSet<Vec<String>>,
}

impl Load {
    fn start(api: &Api, targets: &[Address]) -> Self {
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let own = targets.iter().enumerate().skip(caller).step_by(CALLERS);
            let own: Vec<(usize, Address)> = own.map(|(index, to)| (index, *to)).collect();
            let (api, accepted) = (api.clone(), Arc::clone(&accepted));
            callers.spawn(async move {
                let mut ids = Vec::new();
                for (index, to) in own {
                    ids.push(persist(&api, index, to).await);
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
                ids
            });
        }
        Self { accepted, callers }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    async fn finish(self) -> Vec<String> {
        let all = tokio::time::timeout(LONGEST, self.callers.join_all()).await;
        all.expect("everything is accepted")
            .into_iter()
            .flatten()
            .collect()
    }
}

async fn persist(api: &Api, index: usize, to: Address) -> String {
    loop {
        let key = format!("load-{index}");
        match api.try_post(&transfer(to), Some(&key)).await {
            Ok(answer) if answer.status < 500 => {
                return answer.data()["id"].as_str().unwrap().to_owned();
            }
            Ok(_) | Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}
