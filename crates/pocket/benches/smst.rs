//! A session's trie of one million relays: root and proof, with one core unless said otherwise. The baseline is
//! SHA-256 over the same bytes and nodes and nothing else, in the same run. Times are of the processor, so that what
//! else runs on the machine counts little; only the row of two threads goes by the clock, as does its baseline.
//!
//! `cargo bench -p baton-pocket --bench smst [-- LEAVES]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use baton_pocket::gob;
use baton_pocket::smst::{Inline, Leaf, Path, Trie, Value, Values, Workers};
use mimalloc::MiMalloc;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

/// The allocator of the `baton` program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const LEAVES: usize = 1_000_000;
/// Bytes of a relay.
const VALUE: usize = 600;
/// Compute units of a relay.
const WEIGHT: u64 = 1_000;
/// The medians of so many rounds are printed. Each round takes the baseline and the trie in turn.
const ROUNDS: usize = 5;
const PROOFS: u8 = 21;

fn main() {
    let number = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let leaves = number.unwrap_or(LEAVES);
    let values = values(leaves);
    let paths = paths(&values);
    let inner = inner_nodes(paths);
    println!("{leaves} leaves of {VALUE} bytes, {inner} inner nodes; medians of {ROUNDS} rounds");
    println!("{:<52} {:>10} {:>9}", "", "ms", "ratio");
    let mut rounds: Vec<Round> = (0..ROUNDS).map(|_| round(&values, inner)).collect();
    let baseline = median(&mut rounds, |round| round.baseline);
    let row = |name: &str, time: Duration| {
        let ratio = time.as_secs_f64() / baseline.as_secs_f64();
        println!("{name:<52} {:>10.2} {ratio:>9.3}", time.as_secs_f64() * 1e3);
    };
    row("SHA-256 of the same bytes and nodes", baseline);
    row(
        "copying the values to fresh memory, nothing else",
        median(&mut rounds, |r| r.copied),
    );
    for (place, of) in [
        (
            "values left where they are",
            (|round| round.in_place) as fn(&Round) -> Built,
        ),
        ("values copied into the trie", |round| round.kept),
    ] {
        println!("{place}");
        row(
            "  leaves hashed and inserted, root",
            median(&mut rounds, |r| of(r).all()),
        );
        row(
            "    of it: hashing the leaves",
            median(&mut rounds, |r| of(r).hashed),
        );
        row(
            "    of it: inserting",
            median(&mut rounds, |r| of(r).inserted),
        );
        row(
            "    of it: the root of what was inserted",
            median(&mut rounds, |r| of(r).root),
        );
    }
    row(
        "root again after 1 % more leaves",
        median(&mut rounds, |r| r.grown),
    );
    row(
        "root again after one more leaf",
        median(&mut rounds, |r| r.one_more),
    );
    row(
        "proof for a path, root known",
        median(&mut rounds, |r| r.proof),
    );
    let one = median(&mut rounds, |r| r.one_thread);
    let two = median(&mut rounds, |r| r.two_threads);
    let gain = one.as_secs_f64() / two.as_secs_f64();
    println!("by the clock, two threads are {gain:.2} times as fast as one with all of it");
}

#[derive(Clone, Copy)]
struct Round {
    baseline: Duration,
    copied: Duration,
    in_place: Built,
    kept: Built,
    grown: Duration,
    one_more: Duration,
    one_thread: Duration,
    two_threads: Duration,
    proof: Duration,
}

#[derive(Clone, Copy, Default)]
struct Built {
    hashed: Duration,
    inserted: Duration,
    root: Duration,
}

impl Built {
    fn all(&self) -> Duration {
        self.hashed + self.inserted + self.root
    }
}

/// Values that somebody holds already.
struct InPlace<'a> {
    values: &'a [[u8; VALUE]],
    next: usize,
}

impl Values for InPlace<'_> {
    fn put(&mut self, _value: &[u8]) -> Option<u64> {
        self.next += 1;
        Some(self.next as u64 - 1)
    }

    fn get(&self, position: u64) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.values[usize::try_from(position).expect("it is an index")])
    }
}

fn round(values: &[[u8; VALUE]], inner: usize) -> Round {
    let (baseline, ()) = timed(|| hash_alone(values, inner));
    let (copied, copies) = timed(|| copy(values));
    drop(copies);
    let (in_place, trie) = build(values, Trie::over(InPlace { values, next: 0 }));
    drop(trie);
    let (kept, mut trie) = build(values, Trie::new());

    let more: Vec<Vec<u8>> = (0..=values.len() / 100).map(more).collect();
    let more: Vec<Leaf<'_>> = more
        .iter()
        .map(|value| Leaf::new(Value::new(value).expect("it is short"), WEIGHT))
        .collect();
    insert(&mut trie, &more[1..]);
    let (grown, _) = timed(|| trie.root(&Inline));
    insert(&mut trie, &more[..1]);
    let (one_more, _) = timed(|| trie.root(&Inline));
    let sealed = trie.seal(&Inline);
    let mut proofs: Vec<Duration> = (0..PROOFS)
        .map(|index| {
            let path: Path = Sha256::digest([index]).into();
            let proof = || gob::encode(&sealed.prove(&path).expect("it has leaves").compact());
            timed(proof).0
        })
        .collect();
    proofs.sort_unstable();
    drop(sealed);
    Round {
        baseline,
        copied,
        in_place,
        kept,
        grown,
        one_more,
        one_thread: timed_by_clock(|| one_thread(values)),
        two_threads: timed_by_clock(|| two_threads(values)),
        proof: proofs[proofs.len() / 2],
    }
}

fn build<V: Values + Sync>(values: &[[u8; VALUE]], mut trie: Trie<V>) -> (Built, Trie<V>) {
    let mut built = Built::default();
    // In batches, as a driver would, so that clocks cost nothing and leaves stay in the cache.
    for batch in values.chunks(256) {
        let (time, batch) = timed(|| leaves(batch));
        built.hashed += time;
        built.inserted += timed(|| insert(&mut trie, &batch)).0;
    }
    built.root = timed(|| trie.root(&Inline)).0;
    (built, trie)
}

/// What hashing costs with nothing around it: relay, relay hash, leaf, inner nodes.
fn hash_alone(values: &[[u8; VALUE]], inner: usize) {
    let mut leaf = vec![0; 33 + VALUE + 16];
    for value in values {
        let path = Sha256::digest(Sha256::digest(value));
        leaf[1..33].copy_from_slice(&path);
        leaf[33..33 + VALUE].copy_from_slice(value);
        black_box(Sha256::digest(&leaf));
    }
    let mut node = [1; 113];
    for _ in 0..inner {
        let hash = Sha256::digest(node);
        node[1..33].copy_from_slice(&hash);
    }
    black_box(node);
}

/// What a trie that keeps its values cannot do without: where memory is new to the process, the system takes longer to
/// hand it out than copying does.
fn copy(values: &[[u8; VALUE]]) -> Vec<Vec<u8>> {
    let chunks = values.chunks(437); // 256 KiB
    chunks.map(|chunk| chunk.as_flattened().to_vec()).collect()
}

fn leaf(value: &[u8; VALUE]) -> Leaf<'_> {
    Leaf::new(Value::new(value).expect("it is short"), WEIGHT)
}

fn leaves(values: &[[u8; VALUE]]) -> Vec<Leaf<'_>> {
    values.iter().map(leaf).collect()
}

fn insert(trie: &mut Trie<impl Values>, leaves: &[Leaf<'_>]) {
    for leaf in leaves {
        trie.insert(leaf).expect("there is room");
    }
}

fn one_thread(values: &[[u8; VALUE]]) {
    let mut trie = Trie::over(InPlace { values, next: 0 });
    for batch in values.chunks(256) {
        insert(&mut trie, &leaves(batch));
    }
    black_box(trie.root(&Inline));
}

/// Both cores hash leaves, one inserts them; both compute the root.
fn two_threads(values: &[[u8; VALUE]]) {
    let mut trie = Trie::over(InPlace { values, next: 0 });
    for batch in values.chunks(8192) {
        let (left, right) = batch.split_at(batch.len() / 2);
        let (left, right) = std::thread::scope(|scope| {
            let other = scope.spawn(|| leaves(right));
            (leaves(left), other.join().expect("hashing does not panic"))
        });
        insert(&mut trie, &left);
        insert(&mut trie, &right);
    }
    black_box(trie.root(&Threads));
}

struct Threads;

impl Workers for Threads {
    fn each<T: Send>(&self, items: &mut [T], work: &(impl Fn(&mut T) + Sync)) {
        let (left, right) = items.split_at_mut(items.len() / 2);
        std::thread::scope(|scope| {
            scope.spawn(|| left.iter_mut().for_each(work));
            right.iter_mut().for_each(work);
        });
    }
}

/// How many inner nodes a trie of these paths has: one for each prefix that two leaves share.
fn inner_nodes(mut paths: Vec<Path>) -> usize {
    paths.sort_unstable();
    let mut last = 0;
    let mut nodes = 0;
    for pair in paths.windows(2) {
        let shared = 1
            + (0..256)
                .take_while(|bit| (pair[0][bit / 8] ^ pair[1][bit / 8]) << (bit % 8) & 0x80 == 0)
                .count();
        nodes += shared.saturating_sub(last);
        last = shared;
    }
    nodes
}

fn paths(values: &[[u8; VALUE]]) -> Vec<Path> {
    values.iter().map(|value| *leaf(value).path()).collect()
}

/// Bytes that do not repeat.
fn values(leaves: usize) -> Vec<[u8; VALUE]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut values = vec![[0; VALUE]; leaves];
    for chunk in values.as_flattened_mut().chunks_exact_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        chunk.copy_from_slice(&state.to_be_bytes());
    }
    values
}

fn more(index: usize) -> Vec<u8> {
    let mut value = vec![0xaa; VALUE];
    value[..8].copy_from_slice(&(index as u64).to_be_bytes());
    value
}

/// How long work takes this thread, not counting the time in which it does not run.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it counts up");
    let start = now();
    let result = black_box(work());
    (now() - start, result)
}

/// How long work takes by the clock.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed_by_clock(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(rounds: &mut [Round], of: impl Fn(&Round) -> Duration) -> Duration {
    rounds.sort_unstable_by_key(&of);
    of(&rounds[rounds.len() / 2])
}
