//! Random operations on a backend and on the reference model: both must answer alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_model::LaneId;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use proptest::{option, prop_assert_eq};

use super::{TTL, holder, key, lane, text};
use crate::memory::MemoryStore;
use crate::{
    Batch, CommitError, Entry, Epoch, Key, LeaseError, ManualClock, Position, Precondition, Scan,
    Store, Version,
};

/// Operations in one sequence: enough to lease, lose, write, trim and reread a lane.
const STEPS: usize = 60;
const LANES: usize = 2;
/// Few keys, so that operations meet.
const KEYS: u8 = 5;

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        lane: usize,
        holder: u8,
    },
    Renew {
        lane: usize,
        epoch: Given,
    },
    Release {
        lane: usize,
        epoch: Given,
    },
    Advance {
        seconds: u64,
    },
    Commit {
        lane: usize,
        batch: Plan,
    },
    Scan {
        lane: usize,
        scan: Scan,
    },
    Read {
        lane: usize,
        after: u64,
        limit: usize,
    },
}

/// Which of the epochs that a lane has given.
#[derive(Clone, Copy, Debug)]
enum Given {
    Latest,
    Previous,
    Never,
}

/// A batch in terms of the state that it meets.
#[derive(Clone, Debug)]
struct Plan {
    fence: Option<Given>,
    require: Vec<(u8, Expect)>,
    puts: Vec<(u8, u8)>,
    deletes: Vec<u8>,
    appends: Vec<u8>,
    /// How far before or behind the end of the log.
    trim: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    Absent,
    /// The version that the key has; [`Expect::Absent`] if it has none.
    Current,
    Stale,
}

/// One store under comparison. Epochs and versions are its own; only their order has to agree.
struct Side<S> {
    store: S,
    epochs: BTreeMap<usize, Vec<Epoch>>,
}

/// An answer without what may differ between stores.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Held(String, Duration),
    Lost,
    Committed(Option<Position>),
    Fenced,
    Precondition(usize, Key),
    Invalid,
    Values(Vec<(Key, bytes::Bytes)>),
    Entries(Vec<(Position, bytes::Bytes)>),
    Failed(String),
}

/// Runs `cases` random sequences on `store`, whose leases run by `clock`, and on the reference
/// model. Each sequence has lanes of its own. Must not be called from within a runtime.
pub fn compare<S: Store + Clone>(
    runtime: &tokio::runtime::Runtime,
    store: &S,
    clock: &Arc<ManualClock>,
    cases: u32,
) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let sequence = AtomicU64::new(0);
    let outcome = TestRunner::new(config).run(&vec(step(), 1..STEPS), |steps| {
        let number = sequence.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("model-{number}");
        runtime.block_on(same_answers(store.clone(), clock, &prefix, steps))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

async fn same_answers<S: Store>(
    store: S,
    clock: &Arc<ManualClock>,
    prefix: &str,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let lanes: Vec<LaneId> = (0..LANES).map(|n| lane(&format!("{prefix}/{n}"))).collect();
    let mut real = Side::new(store);
    let mut model = Side::new(MemoryStore::new(Arc::<ManualClock>::clone(clock)));
    for (index, step) in steps.iter().enumerate() {
        if let Step::Advance { seconds } = step {
            clock.advance(Duration::from_secs(*seconds));
            continue;
        }
        let got = real.answer(&lanes, step).await;
        let expected = model.answer(&lanes, step).await;
        prop_assert_eq!(got, expected, "step {}: {:?}", index, step);
    }
    for (index, _) in lanes.iter().enumerate() {
        let last = [
            Step::Scan {
                lane: index,
                scan: Scan::prefix("", 100),
            },
            Step::Read {
                lane: index,
                after: 0,
                limit: 1000,
            },
        ];
        for step in &last {
            let got = real.answer(&lanes, step).await;
            prop_assert_eq!(
                got,
                model.answer(&lanes, step).await,
                "at the end: {:?}",
                step
            );
        }
    }
    Ok(())
}

impl<S: Store> Side<S> {
    fn new(store: S) -> Self {
        let epochs = BTreeMap::new();
        Self { store, epochs }
    }

    fn epoch(&self, lane: usize, which: Given) -> Epoch {
        let given = self.epochs.get(&lane).map_or(&[][..], Vec::as_slice);
        let chosen = match which {
            Given::Latest => given.last(),
            Given::Previous => given.iter().rev().nth(1),
            Given::Never => None,
        };
        chosen.copied().unwrap_or(Epoch(u64::MAX))
    }

    async fn answer(&mut self, lanes: &[LaneId], step: &Step) -> Answer {
        match step {
            Step::Acquire { lane, holder: by } => {
                let by = holder(&format!("holder-{by}"));
                let acquired = self.store.acquire(&lanes[*lane], &by, TTL).await;
                lease_answer(acquired.map(|acquired| {
                    let given = self.epochs.entry(*lane).or_default();
                    assert!(
                        given.last().is_none_or(|last| *last < acquired.epoch),
                        "epochs rise"
                    );
                    given.push(acquired.epoch);
                }))
            }
            Step::Renew { lane, epoch } => {
                let epoch = self.epoch(*lane, *epoch);
                lease_answer(self.store.renew(&lanes[*lane], epoch, TTL).await)
            }
            Step::Release { lane, epoch } => {
                let epoch = self.epoch(*lane, *epoch);
                lease_answer(self.store.release(&lanes[*lane], epoch).await)
            }
            Step::Advance { .. } => Answer::Done,
            Step::Commit { lane, batch } => self.commit(*lane, &lanes[*lane], batch).await,
            Step::Scan { lane, scan } => match self.store.scan(&lanes[*lane], scan).await {
                Ok(found) => Answer::Values(found.into_iter().map(named).collect()),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Step::Read { lane, after, limit } => {
                let after = Position(*after);
                let read = self
                    .store
                    .read(&lanes[*lane], after, *limit, Duration::ZERO)
                    .await;
                match read {
                    Ok(found) => {
                        Answer::Entries(found.into_iter().map(|e| (e.position, e.value)).collect())
                    }
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
        }
    }

    async fn commit(&self, index: usize, lane: &LaneId, plan: &Plan) -> Answer {
        let mut batch = Batch::new(lane.clone());
        batch.fence = plan.fence.map(|which| self.epoch(index, which));
        for (name, expect) in &plan.require {
            let name = key_of(*name);
            let found = self.store.get(lane, &name).await;
            let version = found.ok().flatten().map(|entry| entry.version);
            batch.require.push(match (expect, version) {
                (Expect::Current, Some(version)) => Precondition::At(name, version),
                (Expect::Absent, _) | (Expect::Current, None) => Precondition::Absent(name),
                (Expect::Stale, _) => Precondition::At(name, Version(0)),
            });
        }
        batch.puts = plan
            .puts
            .iter()
            .map(|(k, v)| (key_of(*k), text(&v.to_string())))
            .collect();
        batch.deletes = plan.deletes.iter().map(|name| key_of(*name)).collect();
        batch.appends = plan
            .appends
            .iter()
            .map(|value| text(&value.to_string()))
            .collect();
        let last = self.store.last(lane).await.map_or(0, |last| last.0);
        batch.trim = plan
            .trim
            .map(|offset| Position(last.saturating_add_signed(offset)));
        match self.store.commit(batch).await {
            Ok(done) => Answer::Committed(done.last),
            Err(CommitError::Fenced { .. }) => Answer::Fenced,
            Err(CommitError::Precondition { index, key }) => Answer::Precondition(index, key),
            Err(CommitError::Invalid { .. }) => Answer::Invalid,
            Err(error @ (CommitError::Unavailable { .. } | CommitError::Unknown { .. })) => {
                Answer::Failed(error.to_string())
            }
        }
    }
}

fn lease_answer(answer: Result<(), LeaseError>) -> Answer {
    match answer {
        Ok(()) => Answer::Done,
        Err(LeaseError::Held { holder, remaining }) => Answer::Held(holder.0, remaining),
        Err(LeaseError::Lost) => Answer::Lost,
        Err(LeaseError::Store(error)) => Answer::Failed(error.to_string()),
    }
}

fn named(entry: Entry) -> (Key, bytes::Bytes) {
    (entry.key, entry.value)
}

fn key_of(index: u8) -> Key {
    // One key is the beginning of another.
    key(["a", "a/1", "a/2", "b", "b\u{ff}"][usize::from(index % KEYS)])
}

fn step() -> impl Strategy<Value = Step> {
    let lane = 0..LANES;
    prop_oneof![
        3 => (lane.clone(), 0..3u8).prop_map(|(lane, holder)| Step::Acquire { lane, holder }),
        1 => (lane.clone(), given()).prop_map(|(lane, epoch)| Step::Renew { lane, epoch }),
        1 => (lane.clone(), given()).prop_map(|(lane, epoch)| Step::Release { lane, epoch }),
        1 => (0..12u64).prop_map(|seconds| Step::Advance { seconds }),
        8 => (lane.clone(), plan()).prop_map(|(lane, batch)| Step::Commit { lane, batch }),
        3 => (lane.clone(), scan()).prop_map(|(lane, scan)| Step::Scan { lane, scan }),
        2 => (lane, 0..20u64, 1..6usize)
            .prop_map(|(lane, after, limit)| Step::Read { lane, after, limit }),
    ]
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![4 => Just(Given::Latest), 1 => Just(Given::Previous), 1 => Just(Given::Never)]
}

fn plan() -> impl Strategy<Value = Plan> {
    let expect = prop_oneof![
        3 => Just(Expect::Current), 1 => Just(Expect::Absent), 1 => Just(Expect::Stale)
    ];
    (
        option::of(given()),
        vec((0..KEYS, expect), 0..2),
        vec((0..KEYS, any::<u8>()), 0..4),
        vec(0..KEYS, 0..2),
        vec(any::<u8>(), 0..4),
        option::weighted(0.2, -3..3i64),
    )
        .prop_map(|(fence, require, puts, deletes, appends, trim)| Plan {
            fence,
            require,
            puts,
            deletes,
            appends,
            trim,
        })
}

fn scan() -> impl Strategy<Value = Scan> {
    let prefix = prop_oneof![Just(""), Just("a"), Just("a/"), Just("b"), Just("zz")];
    (
        prefix,
        option::of(0..KEYS),
        0..3usize,
        1..5usize,
        any::<bool>(),
    )
        .prop_map(|(prefix, after, skip, limit, reverse)| Scan {
            prefix: key(prefix),
            after: after.map(key_of),
            skip,
            limit,
            reverse,
        })
}
