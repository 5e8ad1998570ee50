//! Tries, roots and closest proofs: against the vectors of the network's own library, against a trie built node by node
//! as the chain describes it, and by their properties.

mod plain;
mod properties;
mod refusals;
mod vectors;

use baton_pocket::smst::{Inline, Leaf, Path, Sealed, Trie, Value, Workers};

/// Threads of a driver, as a test needs them.
struct Threads(usize);

impl Workers for Threads {
    fn each<T: Send>(&self, items: &mut [T], work: &(impl Fn(&mut T) + Sync)) {
        let share = items.len().div_ceil(self.0).max(1);
        std::thread::scope(|scope| {
            for part in items.chunks_mut(share) {
                scope.spawn(move || part.iter_mut().for_each(work));
            }
        });
    }
}

fn leaf(value: &[u8], weight: u64) -> Leaf<'_> {
    Leaf::new(Value::new(value).expect("test data"), weight)
}

fn trie_of<'a>(leaves: impl IntoIterator<Item = (&'a [u8], u64)>) -> Trie {
    let mut trie = Trie::new();
    for (value, weight) in leaves {
        trie.insert(&leaf(value, weight)).expect("test data");
    }
    trie
}

fn sealed_of<'a>(leaves: impl IntoIterator<Item = (&'a [u8], u64)>) -> Sealed {
    trie_of(leaves).seal(&Inline)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("test data"))
        .collect()
}

fn path(hex: &str) -> Path {
    bytes(hex).try_into().expect("test data")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
