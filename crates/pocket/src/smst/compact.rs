//! The compact form of closest proofs: empty side nodes become bits of a mask, numbers become minimal bytes.

use super::{ClosestProof, DIGEST_LEN, Digest, PATH_BITS, Path};

/// A closest proof as it is encoded: nothing in it is checked yet but what [`Self::expand`] checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactProof {
    /// The path that was asked for: 32 bytes.
    pub path: Vec<u8>,
    /// Flipped bits, each in minimal big-endian bytes; 0 has one byte.
    pub flipped_bits: Vec<Vec<u8>>,
    /// Depth, in minimal big-endian bytes.
    pub depth: Vec<u8>,
    /// The leaf's path: 32 bytes.
    pub closest_path: Vec<u8>,
    /// The leaf's value, weight and count.
    pub closest_value: Vec<u8>,
    /// Digests of the side nodes that are not empty, the deepest first.
    pub side_nodes: Vec<Vec<u8>>,
    /// Never used by closest proofs.
    pub non_membership_leaf: Vec<u8>,
    /// One bit for each side node, the most significant first; 1 means empty.
    pub bit_mask: Vec<u8>,
    /// Number of side nodes, the empty ones included.
    pub num_side_nodes: i64,
    /// Encoding of the first side node; empty when there is none.
    pub sibling: Vec<u8>,
}

/// Why a compact proof is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// A field has the wrong length.
    #[error("{field}: {found} bytes, it must have {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The right length.
        expected: usize,
    },
    /// A number is too large, or has more bytes than it needs.
    #[error("{field}: must be a number up to {PATH_BITS} in as few bytes as it needs")]
    Number {
        /// The field.
        field: &'static str,
    },
    /// A count is out of range.
    #[error("{field}: {found}, it must be from 0 to {PATH_BITS}")]
    Count {
        /// The field.
        field: &'static str,
        /// The number given.
        found: i64,
    },
    /// Mask and side nodes do not fit together.
    #[error("side nodes: {found}, the mask says {expected}")]
    SideNodes {
        /// How many there are.
        found: usize,
        /// How many the mask leaves.
        expected: usize,
    },
    /// An empty side node that the mask does not mark, or bits of the mask beyond the last side node.
    #[error("bit mask: must mark the empty side nodes and nothing else")]
    Mask,
    /// The leaf of a proof of non-membership.
    #[error("non-membership leaf: {found} bytes, a closest proof has none")]
    NonMembership {
        /// Its length.
        found: usize,
    },
}

impl CompactProof {
    pub(super) fn of(proof: &ClosestProof) -> Self {
        let sides = &proof.side_nodes;
        let mut bit_mask = vec![0; sides.len().div_ceil(8)];
        for (index, _) in sides.iter().enumerate().filter(|(_, side)| side.is_empty()) {
            bit_mask[index / 8] |= 0x80 >> (index % 8);
        }
        Self {
            path: proof.path.to_vec(),
            flipped_bits: proof.flipped_bits.iter().map(|bit| minimal(*bit)).collect(),
            depth: minimal(proof.depth),
            closest_path: proof.closest_path.to_vec(),
            closest_value: proof.closest_value.clone(),
            side_nodes: sides
                .iter()
                .filter(|side| !side.is_empty())
                .map(|side| side.as_bytes().to_vec())
                .collect(),
            non_membership_leaf: Vec::new(),
            bit_mask,
            num_side_nodes: i64::try_from(sides.len()).unwrap_or(i64::MAX),
            sibling: proof.sibling.clone().unwrap_or_default(),
        }
    }

    /// The proof in full. Stricter than the chain: every proof has one compact form, and only that is taken.
    ///
    /// # Errors
    /// When a field breaks its rule.
    pub fn expand(&self) -> Result<ClosestProof, CompactError> {
        if !self.non_membership_leaf.is_empty() {
            return Err(CompactError::NonMembership {
                found: self.non_membership_leaf.len(),
            });
        }
        let flipped_bits = self.flipped_bits.iter();
        Ok(ClosestProof {
            path: path("path", &self.path)?,
            flipped_bits: flipped_bits
                .map(|bytes| number("flipped bits", bytes))
                .collect::<Result<_, _>>()?,
            depth: number("depth", &self.depth)?,
            closest_path: path("closest path", &self.closest_path)?,
            closest_value: self.closest_value.clone(),
            side_nodes: self.expand_side_nodes()?,
            sibling: (!self.sibling.is_empty()).then(|| self.sibling.clone()),
        })
    }

    fn expand_side_nodes(&self) -> Result<Vec<Digest>, CompactError> {
        let total = usize::try_from(self.num_side_nodes)
            .ok()
            .filter(|total| *total <= PATH_BITS)
            .ok_or(CompactError::Count {
                field: "number of side nodes",
                found: self.num_side_nodes,
            })?;
        check_length("bit mask", &self.bit_mask, total.div_ceil(8))?;
        let marked = |index: usize| self.bit_mask[index / 8] << (index % 8) & 0x80 != 0;
        if (total..self.bit_mask.len() * 8).any(marked) {
            return Err(CompactError::Mask);
        }
        let expected = (0..total).filter(|index| !marked(*index)).count();
        if self.side_nodes.len() != expected {
            return Err(CompactError::SideNodes {
                found: self.side_nodes.len(),
                expected,
            });
        }
        let mut given = self.side_nodes.iter();
        (0..total)
            .map(|index| {
                if marked(index) {
                    return Ok(Digest::EMPTY);
                }
                let bytes = given.next().map_or(&[][..], Vec::as_slice);
                check_length("side node", bytes, DIGEST_LEN)?;
                let digest = Digest::try_from(bytes).map_err(|_| CompactError::Mask)?;
                (!digest.is_empty())
                    .then_some(digest)
                    .ok_or(CompactError::Mask)
            })
            .collect()
    }
}

fn minimal(number: u16) -> Vec<u8> {
    match number.to_be_bytes() {
        [0, low] => vec![low],
        bytes => bytes.to_vec(),
    }
}

fn number(field: &'static str, bytes: &[u8]) -> Result<u16, CompactError> {
    match bytes {
        [low] => Ok(u16::from(*low)),
        [1, 0] => Ok(256),
        _ => Err(CompactError::Number { field }),
    }
}

fn path(field: &'static str, bytes: &[u8]) -> Result<Path, CompactError> {
    check_length(field, bytes, 32)?;
    let mut path = [0; 32];
    path.copy_from_slice(bytes);
    Ok(path)
}

fn check_length(field: &'static str, bytes: &[u8], expected: usize) -> Result<(), CompactError> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(CompactError::Length {
        field,
        found: bytes.len(),
        expected,
    })
}
