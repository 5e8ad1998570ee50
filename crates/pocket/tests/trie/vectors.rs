//! Vectors of the network's own library.

use baton_pocket::gob;
use baton_pocket::smst::{Digest, Inline, Trie};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{Threads, bytes, hex, leaf, path, sealed_of, trie_of};

#[derive(Deserialize)]
struct Vector {
    leaves: Vec<VectorLeaf>,
    root: String,
    sum: u64,
    count: u64,
    proofs: Vec<VectorProof>,
}

#[derive(Deserialize)]
struct VectorLeaf {
    value: String,
    weight: u64,
}

#[derive(Deserialize)]
struct VectorProof {
    path: String,
    depth: u16,
    closest_path: String,
    gob: String,
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../data/smst.json")).expect("vectors");
    assert_eq!(vectors.len(), 22);
    vectors
}

impl Vector {
    fn values(&self) -> Vec<(Vec<u8>, u64)> {
        let values = self.leaves.iter();
        values
            .map(|leaf| (bytes(&leaf.value), leaf.weight))
            .collect()
    }
}

#[test]
fn roots_sums_and_counts() {
    for vector in vectors() {
        let values = vector.values();
        let mut trie = trie_of(values.iter().map(|(value, weight)| (&value[..], *weight)));
        assert_eq!((trie.count(), trie.sum()), (vector.count, vector.sum));
        let root = trie.root(&Threads(3));
        assert_eq!(root.to_string(), vector.root);
        assert_eq!((root.count(), root.sum()), (vector.count, vector.sum));
    }
}

#[test]
fn roots_after_every_insertion_are_those_of_a_fresh_trie() {
    for vector in vectors().iter().filter(|vector| vector.count <= 32) {
        let values = vector.values();
        let mut growing = Trie::new();
        for (index, (value, weight)) in values.iter().enumerate() {
            growing.insert(&leaf(value, *weight)).unwrap();
            let so_far = values[..=index].iter();
            let fresh = sealed_of(so_far.map(|(value, weight)| (&value[..], *weight)));
            assert_eq!(growing.root(&Inline), fresh.root());
        }
    }
}

#[test]
fn proofs_are_made_byte_for_byte() {
    let mut proofs = 0;
    for vector in vectors() {
        let values = vector.values();
        let sealed = sealed_of(values.iter().map(|(value, weight)| (&value[..], *weight)));
        for expected in &vector.proofs {
            let proof = sealed.prove(&path(&expected.path)).unwrap();
            assert_eq!(proof.depth, expected.depth);
            assert_eq!(hex(&proof.closest_path), expected.closest_path);
            assert_eq!(hex(&gob::encode(&proof.compact())), expected.gob);
            proofs += 1;
        }
    }
    assert_eq!(proofs, 88);
}

#[test]
fn proofs_decode_and_verify() {
    for vector in vectors() {
        let root = Digest::try_from(&bytes(&vector.root)[..]).unwrap();
        for given in &vector.proofs {
            let stream = bytes(&given.gob);
            let compact = gob::decode(&stream).unwrap();
            assert_eq!(gob::encode(&compact), stream);
            let proof = compact.expand().unwrap();
            assert_eq!(proof.compact(), compact);
            assert_eq!(proof.verify(&root, &path(&given.path)), Ok(()));
            assert_eq!(proof.verify_as_chain(&root), Ok(()));
            let value = hex(proof.value());
            assert!(vector.leaves.iter().any(|leaf| leaf.value == value));
        }
    }
}

/// Section 19.4 of the specification: number of leaves, root, value message.
#[test]
fn the_numbers_of_the_specification() {
    let cases = [
        (
            1,
            "f56b96f291ee6cf96bcfbe62af9570972c16ac048cc134cfab0534721476fdb600000000000000640000000000000001",
            concat!(
                "65ff820120e79f01394781e0db5ea2a66dfc74f66276e0cc1e22e30977fee72584196656530201000120a7098ae6",
                "903dd7330f37323d99043fa485ea9bbe126d99bbffa0e5caa061277f011772656c61792d30000000000000006400",
                "00000000000001010000",
            ),
        ),
        (
            2,
            "635e00824a902d71454d2907765aef1a42279a85c220a440221e5a4b9c16bbfb00000000000000c80000000000000002",
            concat!(
                "ffd7ff820120e79f01394781e0db5ea2a66dfc74f66276e0cc1e22e30977fee72584196656530201010120a7098a",
                "e6903dd7330f37323d99043fa485ea9bbe126d99bbffa0e5caa061277f011772656c61792d300000000000000064",
                "00000000000000010101013026559018e8f00df88eeb99795f9e20cc7c5d56fa593c37ddf65c7f40a2bf92fb0000",
                "0000000000640000000000000001020100010201380020042f314f91692e748aa331d96f9afbcae0e04893c4a330",
                "fcf06b39ac1e080372656c61792d31000000000000006400000000000000010000",
            ),
        ),
        (
            3,
            "e3a0bdc646fa235930608083409c8e4fb5f315d2cfd35096fd836095aba34de8000000000000012c0000000000000003",
            concat!(
                "fe0102ff820120e79f01394781e0db5ea2a66dfc74f66276e0cc1e22e30977fee72584196656530201010120a709",
                "8ae6903dd7330f37323d99043fa485ea9bbe126d99bbffa0e5caa061277f011772656c61792d3000000000000000",
                "64000000000000000101010130685fb0a05b8228306728d8a52a254dbff90e9bffe377dc91fd3ed351672cc5d700",
                "000000000000c80000000000000002020100010201630201033a7269e77fc4e99122bc221f8ac4a8910583c40139",
                "77430b0d3af1889f4eb9476028d40559f8d5ece5cca0f59282401b8ccf2e2637813dd088f9d8ea54be8a3d000000",
                "00000000c8000000000000000200000000000000c800000000000000020000",
            ),
        ),
        (
            5,
            "905d8d2062cbdf8238f23872004bf254122458ab2c4e86a7044548beb33a80d900000000000001f40000000000000005",
            concat!(
                "fe010cff820120e79f01394781e0db5ea2a66dfc74f66276e0cc1e22e30977fee725841966565301010101010103",
                "0120a7098ae6903dd7330f37323d99043fa485ea9bbe126d99bbffa0e5caa061277f011772656c61792d30000000",
                "0000000064000000000000000101010230c6d029109cf807604a37d706583597fba7266ab24e619668b507cffd1c",
                "7e9fd60000000000000064000000000000000130b629283f2673f3e47f319bf7b6b73b92c6de25d851487b99408c",
                "8cd52f4a84a7000000000000012c000000000000000302014001060138008b640ef4eba5fbae3f613e1f9dabc3f7",
                "3f5a25c6f8b209d90b4a71f700f8525572656c61792d34000000000000006400000000000000010000",
            ),
        ),
    ];
    let seed = Sha256::digest("path-seed").into();
    for (leaves, root, message) in cases {
        let values: Vec<String> = (0..leaves).map(|index| format!("relay-{index}")).collect();
        let sealed = sealed_of(values.iter().map(|value| (value.as_bytes(), 100)));
        assert_eq!(sealed.root().to_string(), root);
        let stream = gob::encode(&sealed.prove(&seed).unwrap().compact());
        assert_eq!(hex(&stream[287..]), message, "{leaves} leaves");
    }
}
