//! Closest proofs and their verification.

use super::digest::{EXTENSION, EXTENSION_LEN, INNER, INNER_LEN, LEAF, encode_inner};
use super::leaf::encode_leaf;
use super::{CompactProof, DIGEST_LEN, Digest, PATH_BITS, Path, bit};

/// Bytes of weight and count at the end of a leaf's value and of every encoding.
const WEIGHT_LEN: usize = 16;

/// Shows which leaf of a trie is closest to a path, and that it is in the trie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosestProof {
    /// The path that was asked for.
    pub path: Path,
    /// Bits of the path that lead to an empty side, so that the other side was taken. Growing.
    pub flipped_bits: Vec<u16>,
    /// How deep the leaf is: 0 to 256.
    pub depth: u16,
    /// The leaf's path.
    pub closest_path: Path,
    /// The leaf's value, its weight and its count, which is 1.
    pub closest_value: Vec<u8>,
    /// Digests of the other sides along the way, the deepest first. Empty sides have [`Digest::EMPTY`].
    pub side_nodes: Vec<Digest>,
    /// Encoding of the node whose digest is the first side node. None when the leaf is the whole trie.
    pub sibling: Option<Vec<u8>>,
}

/// What is wrong with a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is for another path.
    #[error("path: not the one that the claim has to be proven for")]
    OtherPath,
    /// Deeper than a path is long.
    #[error("depth: {found}, at most {PATH_BITS} is possible")]
    Depth {
        /// The depth given.
        found: u16,
    },
    /// A flipped bit is out of range or out of order.
    #[error("flipped bit {index}: {found} is out of range or order")]
    FlippedBit {
        /// Which of the flipped bits.
        index: usize,
        /// The bit given.
        found: u16,
    },
    /// The walk leads elsewhere.
    #[error("closest path: differs from the flipped path within the first {depth} bits")]
    Elsewhere {
        /// The depth of the proof.
        depth: u16,
    },
    /// The value lacks weight and count, or its count is not 1.
    #[error(
        "closest value: must end in a weight and the count 1, after at most {PATH_BITS} levels"
    )]
    Value,
    /// Too many side nodes, or not one for each level.
    #[error("side nodes: {found}, the depth is {depth}")]
    SideNodes {
        /// How many were given.
        found: usize,
        /// The depth of the proof.
        depth: u16,
    },
    /// The sibling's encoding is not that of the first side node.
    #[error("sibling: its encoding is not that of the first side node")]
    Sibling,
    /// The proof is of another trie.
    #[error("root: the proof leads to {found}")]
    Root {
        /// The root that the proof leads to.
        found: Digest,
    },
}

impl ClosestProof {
    /// Checks a proof before it is submitted: all that the chain checks against a claim, and that the proof has the one
    /// form in which a trie makes it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, root: &Digest, path: &Path) -> Result<(), ProofError> {
        if self.path != *path {
            return Err(ProofError::OtherPath);
        }
        self.check_form()?;
        self.verify_as_chain(root)
    }

    /// Checks what the chain checks of a proof against a claimed root, and no more. Left open by the chain: the path
    /// beyond the depth, the depth itself where the flipped bits allow it, parts of an extension as the sibling.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify_as_chain(&self, root: &Digest) -> Result<(), ProofError> {
        self.check_depth()?;
        self.check_walk()?;
        if self.side_nodes.len() > PATH_BITS {
            return Err(self.side_nodes_error());
        }
        if self.closest_value.len() < WEIGHT_LEN {
            return Err(ProofError::Value);
        }
        if let (Some(sibling), Some(first)) = (&self.sibling, self.side_nodes.first())
            && digest_of(sibling) != Some(*first)
        {
            return Err(ProofError::Sibling);
        }
        let found = self.root();
        if found == *root {
            Ok(())
        } else {
            Err(ProofError::Root { found })
        }
    }

    /// The bytes of the leaf that is proven: a relay.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        let end = self.closest_value.len().saturating_sub(WEIGHT_LEN);
        &self.closest_value[..end]
    }

    /// The form in which the proof goes on chain.
    #[must_use]
    pub fn compact(&self) -> CompactProof {
        CompactProof::of(self)
    }

    /// The root that leaf and side nodes lead to.
    fn root(&self) -> Digest {
        let leaf = encode_leaf(&self.closest_path, &self.closest_value);
        let levels = self.side_nodes.len();
        let with_side = |below: Digest, (index, side): (usize, &Digest)| {
            if bit(&self.closest_path, levels - 1 - index) {
                Digest::inner(side, &below)
            } else {
                Digest::inner(&below, side)
            }
        };
        self.side_nodes
            .iter()
            .enumerate()
            .fold(Digest::of_encoding(&leaf), with_side)
    }

    /// Whether the path, with its bits flipped, leads to the leaf.
    fn check_walk(&self) -> Result<(), ProofError> {
        let mut flipped = self.path;
        for (index, &found) in self.flipped_bits.iter().enumerate() {
            if found > self.depth {
                return Err(ProofError::FlippedBit { index, found });
            }
            let at = usize::from(found);
            if at < PATH_BITS {
                flipped[at / 8] ^= 0x80 >> (at % 8);
            }
        }
        if super::common_bits(&flipped, &self.closest_path) < usize::from(self.depth) {
            return Err(ProofError::Elsewhere { depth: self.depth });
        }
        Ok(())
    }

    fn check_depth(&self) -> Result<usize, ProofError> {
        let depth = usize::from(self.depth);
        if depth > PATH_BITS {
            return Err(ProofError::Depth { found: self.depth });
        }
        Ok(depth)
    }

    fn check_form(&self) -> Result<(), ProofError> {
        let depth = self.check_depth()?;
        if self.side_nodes.len() != depth {
            return Err(self.side_nodes_error());
        }
        for (index, &found) in self.flipped_bits.iter().enumerate() {
            let in_order = index == 0 || self.flipped_bits[index - 1] < found;
            if !in_order || found >= self.depth {
                return Err(ProofError::FlippedBit { index, found });
            }
            // A bit is flipped because the side that it led to is empty.
            if !self.side_nodes[depth - 1 - usize::from(found)].is_empty() {
                return Err(ProofError::FlippedBit { index, found });
            }
        }
        if !self.closest_value.ends_with(&1_u64.to_be_bytes()) {
            return Err(ProofError::Value);
        }
        match &self.sibling {
            Some(sibling) if depth > 0 && self.is_form_of_sibling(sibling) => Ok(()),
            None if depth == 0 => Ok(()),
            Some(_) | None => Err(ProofError::Sibling),
        }
    }

    /// Whether a sibling's encoding is as a trie makes it: its own sums are right, and an extension starts where the
    /// sibling is. What its path says below the extension's last bit is left open.
    fn is_form_of_sibling(&self, encoding: &[u8]) -> bool {
        match encoding {
            [EXTENSION, start, end, rest @ ..] if encoding.len() == EXTENSION_LEN => {
                let (path, child) = rest.split_at(32);
                let mut place = self.closest_path;
                let last = usize::from(self.depth) - 1;
                place[last / 8] ^= 0x80 >> (last % 8);
                let shared = path
                    .try_into()
                    .map_or(0, |path| super::common_bits(path, &place));
                shared >= usize::from(*start)
                    && usize::from(*start) == usize::from(self.depth)
                    && start < end
                    && child[32..DIGEST_LEN] == child[DIGEST_LEN..]
            }
            [INNER, children @ ..] if encoding.len() == INNER_LEN => {
                let side = |at: usize| Digest::try_from(&children[at..at + DIGEST_LEN]);
                match (side(0), side(DIGEST_LEN)) {
                    (Ok(left), Ok(right)) => encode_inner(&left, &right)[..] == *encoding,
                    (Err(_), _) | (_, Err(_)) => false,
                }
            }
            [LEAF, ..] => encoding.ends_with(&1_u64.to_be_bytes()),
            _ => false,
        }
    }

    fn side_nodes_error(&self) -> ProofError {
        ProofError::SideNodes {
            found: self.side_nodes.len(),
            depth: self.depth,
        }
    }
}

/// The digest of a node's encoding; none when it is the encoding of no node.
fn digest_of(encoding: &[u8]) -> Option<Digest> {
    match encoding {
        [LEAF, rest @ ..] if rest.len() >= 32 + WEIGHT_LEN => Some(Digest::of_encoding(encoding)),
        [INNER, ..] if encoding.len() == INNER_LEN => Some(Digest::of_encoding(encoding)),
        [EXTENSION, start, end, rest @ ..] if encoding.len() == EXTENSION_LEN => {
            let path: &Path = rest[..32].try_into().ok()?;
            let child = Digest::try_from(&rest[32..32 + DIGEST_LEN]).ok()?;
            Some(child.lifted(path, usize::from(*start), usize::from(*end)))
        }
        _ => None,
    }
}
