//! The trie node by node, with extensions, as the specification words it: insertion, digests, proofs. Slow and plain.

use sha2::{Digest as _, Sha256};

type Path = [u8; 32];
pub(crate) type Digest = [u8; 48];

const EMPTY: Digest = [0; 48];

pub(crate) enum Node {
    Empty,
    Leaf {
        path: Path,
        value: Vec<u8>,
    },
    Inner {
        sides: Box<[Node; 2]>,
    },
    Extension {
        start: usize,
        end: usize,
        path: Path,
        child: Box<Node>,
    },
}

/// What a walk collects.
pub(crate) struct Proof {
    pub(crate) flipped_bits: Vec<u16>,
    pub(crate) depth: u16,
    pub(crate) closest_path: Path,
    pub(crate) closest_value: Vec<u8>,
    pub(crate) side_nodes: Vec<Digest>,
    pub(crate) sibling: Option<Vec<u8>>,
}

impl Node {
    pub(crate) fn insert(self, value: &[u8], weight: u64) -> Self {
        let path = Sha256::digest(Sha256::digest(value)).into();
        let mut full = value.to_vec();
        full.extend(weight.to_be_bytes());
        full.extend(1_u64.to_be_bytes());
        self.update(0, path, full)
    }

    fn update(self, depth: usize, path: Path, value: Vec<u8>) -> Self {
        match self {
            Self::Empty => Self::Leaf { path, value },
            Self::Leaf { path: old, .. } if old == path => Self::Leaf { path, value },
            Self::Leaf { path: old, .. } => {
                let parting = (0..256)
                    .find(|i| bit(&old, *i) != bit(&path, *i))
                    .expect("other paths differ");
                let inner = inner(bit(&path, parting), Self::Leaf { path, value }, self);
                extended(depth, parting, path, inner)
            }
            Self::Inner { mut sides } => {
                let side = usize::from(bit(&path, depth));
                let below = std::mem::replace(&mut sides[side], Self::Empty);
                sides[side] = below.update(depth + 1, path, value);
                Self::Inner { sides }
            }
            Self::Extension {
                start,
                end,
                path: old,
                child,
            } => {
                let Some(parting) = (start..end).find(|i| bit(&old, *i) != bit(&path, *i)) else {
                    let child = Box::new(child.update(end, path, value));
                    return Self::Extension {
                        start,
                        end,
                        path: old,
                        child,
                    };
                };
                let rest = extended(parting + 1, end, old, *child);
                let inner = inner(bit(&old, parting), rest, Self::Empty);
                extended(start, parting, old, inner.update(parting, path, value))
            }
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Empty => EMPTY,
            Self::Leaf { .. } | Self::Inner { .. } => digest_of(&self.encoding()),
            Self::Extension {
                start,
                end,
                path,
                child,
            } => (*start..*end).rev().fold(child.digest(), |below, index| {
                digest_of(&if bit(path, index) {
                    encode_inner(&EMPTY, &below)
                } else {
                    encode_inner(&below, &EMPTY)
                })
            }),
        }
    }

    pub(crate) fn encoding(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Leaf { path, value } => [&[0][..], path, value].concat(),
            Self::Inner { sides } => encode_inner(&sides[0].digest(), &sides[1].digest()),
            Self::Extension {
                start,
                end,
                path,
                child,
            } => {
                let child = child.digest();
                let bounds = [*start, *end].map(|b| u8::try_from(b).expect("a byte"));
                [&[2], &bounds[..], path, &child, &child[32..]].concat()
            }
        }
    }

    pub(crate) fn prove(&self, path: &Path) -> Proof {
        let mut working = *path;
        let mut flipped_bits = Vec::new();
        let mut siblings: Vec<(Digest, Vec<u8>)> = Vec::new();
        let mut depth = 0;
        let mut node = self;
        loop {
            match node {
                Self::Empty => panic!("an empty trie proves nothing"),
                Self::Leaf { path, value } => {
                    return Proof {
                        flipped_bits,
                        depth: to_u16(depth),
                        closest_path: *path,
                        closest_value: value.clone(),
                        sibling: siblings.last().map(|(_, encoding)| encoding.clone()),
                        side_nodes: siblings
                            .into_iter()
                            .rev()
                            .map(|(digest, _)| digest)
                            .collect(),
                    };
                }
                Self::Extension {
                    start,
                    end,
                    path,
                    child,
                } => {
                    for index in *start..*end {
                        siblings.push((EMPTY, Vec::new()));
                        if bit(&working, index) != bit(path, index) {
                            working[index / 8] ^= 0x80 >> (index % 8);
                            flipped_bits.push(to_u16(index));
                        }
                    }
                    depth = *end;
                    node = child;
                }
                Self::Inner { sides } => {
                    let side = usize::from(bit(&working, depth));
                    let other = &sides[1 - side];
                    siblings.push((other.digest(), other.encoding()));
                    node = &sides[side];
                    depth += 1;
                }
            }
        }
    }
}

fn inner(first_is_right: bool, first: Node, second: Node) -> Node {
    let sides = if first_is_right {
        [second, first]
    } else {
        [first, second]
    };
    Node::Inner {
        sides: Box::new(sides),
    }
}

fn extended(start: usize, end: usize, path: Path, child: Node) -> Node {
    if start == end {
        return child;
    }
    Node::Extension {
        start,
        end,
        path,
        child: Box::new(child),
    }
}

fn encode_inner(left: &Digest, right: &Digest) -> Vec<u8> {
    let number = |digest: &Digest, at: usize| {
        u64::from_be_bytes(digest[at..at + 8].try_into().expect("8 bytes"))
    };
    let total = |at| {
        number(left, at)
            .wrapping_add(number(right, at))
            .to_be_bytes()
    };
    [&[1][..], left, right, &total(32), &total(40)].concat()
}

fn digest_of(encoding: &[u8]) -> Digest {
    let mut digest = EMPTY;
    digest[..32].copy_from_slice(&Sha256::digest(encoding));
    digest[32..].copy_from_slice(&encoding[encoding.len() - 16..]);
    digest
}

fn to_u16(depth: usize) -> u16 {
    u16::try_from(depth).expect("a path has 256 bits")
}

fn bit(path: &Path, index: usize) -> bool {
    path[index / 8] >> (7 - index % 8) & 1 == 1
}
