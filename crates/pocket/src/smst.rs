//! The sparse Merkle sum trie of a session, its root, and closest proofs.
//!
//! A leaf is a relay: its path is the hash of its hash, and its weight the compute units that it earned. The root
//! binds the relays, the sum of their weights and their count; it does not depend on the order of insertion. A
//! supplier claims with the root, and later proves with the leaf that is closest to a path nobody could choose.
//!
//! [`Trie`] grows leaf by leaf and keeps the hashes of the leaves, so a root costs the inner nodes of what changed.
//! [`Trie::seal`] ends its growth; only a [`Sealed`] trie proves, so what is proven is what was claimed.
//!
//! A trie that is lost or handed over is built again from its relays, in any order and with any repetitions: the root
//! is the same, and a million relays take about one and a half times as long as hashing them. A clone is a checkpoint;
//! with [`Values`] that only refer to relays elsewhere it takes some 46 bytes a leaf.
//!
//! ```
//! use baton_pocket::smst::{Inline, Leaf, Trie, Value};
//!
//! let mut trie = Trie::new();
//! for relay in [&b"relay-0"[..], b"relay-1", b"relay-2"] {
//!     trie.insert(&Leaf::new(Value::new(relay)?, 100))?;
//! }
//! let sealed = trie.seal(&Inline);
//! let root = sealed.root();
//! assert_eq!((root.sum(), root.count()), (300, 3));
//!
//! let path = [7; 32];
//! let proof = sealed.prove(&path)?;
//! proof.verify(&root, &path)?;
//! let on_chain = baton_pocket::gob::encode(&proof.compact());
//! assert_eq!(baton_pocket::gob::decode(&on_chain)?.expand()?, proof);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bucket;
mod compact;
mod digest;
mod leaf;
mod proof;
mod prove;
mod shelf;
mod trie;
mod values;
mod workers;

pub use compact::{CompactError, CompactProof};
pub use digest::{DIGEST_LEN, Digest, DigestError};
pub use leaf::{Leaf, Value};
pub use proof::{ClosestProof, ProofError};
pub use trie::{Inserted, Sealed, Trie, TrieError};
pub use values::{Kept, Values};
pub use workers::{Inline, Workers};

/// Bits of a path: the most levels that a trie can have.
pub const PATH_BITS: usize = 256;

/// A leaf's place in the trie, or the place that a proof has to come close to.
pub type Path = [u8; 32];

/// Bit `index` of a path, the most significant bit of the first byte first.
fn bit(path: &Path, index: usize) -> bool {
    path[index / 8] >> (7 - index % 8) & 1 == 1
}

/// How many leading bits two paths share.
fn common_bits(a: &Path, b: &Path) -> usize {
    for (index, (x, y)) in a.iter().zip(b).enumerate() {
        if x != y {
            return index * 8 + (x ^ y).leading_zeros() as usize;
        }
    }
    PATH_BITS
}
