//! Streams and compact proofs that are refused, and what the refusal says.

use baton_pocket::gob;
use baton_pocket::smst::{CompactError, CompactProof};

use crate::sealed_of;

/// Where the value begins.
const VALUE: usize = 287;

fn proof() -> CompactProof {
    let sealed = sealed_of([(&b"relay-0"[..], 100), (b"relay-1", 100), (b"relay-2", 100)]);
    sealed.prove(&[0x77; 32]).expect("it has leaves").compact()
}

/// The stream with `new` where `old` first stands at or after `from`, and where that is.
fn replaced(stream: &[u8], from: usize, old: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
    let found = stream[from..]
        .windows(old.len())
        .position(|part| part == old);
    let at = from + found.expect("the stream holds the bytes");
    let changed = [&stream[..at], new, &stream[at + old.len()..]].concat();
    (changed, at)
}

fn assert_refused(stream: &[u8], field: &str, at: usize, rule: &str) {
    let error = gob::decode(stream).expect_err(rule);
    assert_eq!(
        error.to_string(),
        format!("gob: {field} at byte {at}: {rule}")
    );
}

#[test]
fn other_types_than_the_proofs_are_refused() {
    let stream = gob::encode(&proof());
    let name = "another name is there";
    let (changed, at) = replaced(&stream, 0, b"ClosestPath", b"ClosestPatz");
    assert_refused(&changed, "ClosestPath", at - 1, name);
    let (changed, at) = replaced(&stream, 0, b"[][]uint8", b"[][]uint9");
    assert_refused(&changed, "[][]uint8", at - 1, name);
    let (changed, at) = replaced(&stream, 0, b"Depth\x01\x0a", b"Depth\x01\x0c");
    assert_refused(&changed, "Depth", at + 6, "not defined as the proof's type");
    let (changed, _) = replaced(&stream, 0, b"\xff\x83", b"\xff\x81");
    assert_refused(&changed, "type ids", 165, "two types have one id");
    let (changed, at) = replaced(&stream, 0, b"\xff\x81", b"\xff\x82");
    assert_refused(&changed, "type id", at, "not that of a defined type");
    let (changed, at) = replaced(&stream, VALUE, b"\xff\x82", b"\xff\x84");
    assert_refused(&changed, "value type", at, "not the proof's type");
}

/// What follows the number of the value's type; field, place and rule of the refusal.
const BODIES: [(&[u8], &str, usize, &str); 14] = [
    (&[1, 0, 0], "Path", 1, "empty is left out, not written"),
    (&[1, 0xff, 5, 0], "Path", 1, "a number in too many bytes"),
    (
        &[1, 0xfe, 0, 200, 0],
        "Path",
        1,
        "a number in too many bytes",
    ),
    (&[1, 0xf0, 0], "Path", 1, "a number of more than 8 bytes"),
    (&[1, 9, 7], "Path", 1, "longer than what is left"),
    (&[7, 0], "field number", 0, "beyond the last field"),
    (&[0], "ClosestProof", 1, "missing"),
    (
        &[2, 0, 0],
        "FlippedBits",
        1,
        "empty is left out, not written",
    ),
    (
        &[2, 0xfe, 1, 2, 0],
        "FlippedBits",
        1,
        "more entries than a path has bits",
    ),
    (&[2, 2, 1, 7], "FlippedBits", 4, "ends too early"),
    (
        &[6, 4, 0, 0, 0],
        "NumSideNodes",
        2,
        "0 is left out, not written",
    ),
    (&[6, 6, 0, 0], "field number", 1, "beyond the last field"),
    (&[6, 0, 0, 9], "value", 3, "bytes follow its end"),
    (&[6, 0], "field number", 2, "ends too early"),
];

#[test]
fn other_values_than_go_writes_are_refused() {
    let stream = gob::encode(&proof());
    let mut longer = stream.clone();
    longer.push(0);
    assert_refused(&longer, "stream", stream.len(), "bytes follow its end");
    assert_refused(&stream[..VALUE], "value", VALUE, "ends too early");
    let shorter = &stream[..stream.len() - 1];
    assert_refused(shorter, "value", VALUE, "longer than what is left");
    let with_body = |body: &[u8]| {
        let length = u8::try_from(body.len() + 2).unwrap();
        [&stream[..VALUE], &[length, 0xff, 0x82], body].concat()
    };
    for (body, field, place, rule) in BODIES {
        assert_refused(&with_body(body), field, VALUE + 3 + place, rule);
    }
    assert_eq!(
        gob::decode(&with_body(&[6, 0, 0])),
        Ok(CompactProof::default())
    );
}

#[test]
fn no_beginning_of_a_stream_is_a_stream() {
    let stream = gob::encode(&proof());
    for length in 0..stream.len() {
        let error = gob::decode(&stream[..length]).unwrap_err();
        assert!(error.offset() <= length, "{error}");
    }
    let long = vec![0; (80 << 20) + 1];
    let error = gob::decode(&long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gob: stream at byte 0: longer than 80 MiB"
    );
}

#[test]
fn numbers_of_all_sizes_come_back() {
    for number in [1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
        let proof = CompactProof {
            num_side_nodes: number,
            path: vec![1; 70_000],
            ..CompactProof::default()
        };
        assert_eq!(gob::decode(&gob::encode(&proof)), Ok(proof));
    }
}

#[test]
fn refused_compact_proofs_say_which_field() {
    let good = proof();
    assert!(good.expand().is_ok());
    assert!(good.num_side_nodes > 0 && good.side_nodes.len() < 8);
    let changed = |change: &dyn Fn(&mut CompactProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof.expand().unwrap_err()
    };
    let length = |field, found, expected| CompactError::Length {
        field,
        found,
        expected,
    };
    assert_eq!(changed(&|p| p.path.truncate(31)), length("path", 31, 32));
    assert_eq!(
        changed(&|p| p.closest_path.push(0)),
        length("closest path", 33, 32)
    );
    assert_eq!(
        changed(&|p| p.side_nodes[0].truncate(47)),
        length("side node", 47, 48)
    );
    assert_eq!(changed(&|p| p.bit_mask.push(0)), length("bit mask", 2, 1));
    for depth in [&[][..], &[0, 1], &[1, 1], &[0, 0, 1]] {
        let number = CompactError::Number { field: "depth" };
        assert_eq!(changed(&|p| p.depth = depth.to_vec()), number);
    }
    let number = CompactError::Number {
        field: "flipped bits",
    };
    assert_eq!(changed(&|p| p.flipped_bits = vec![vec![2, 0]]), number);
    for found in [-1, 257, i64::MIN, i64::MAX] {
        let count = CompactError::Count {
            field: "number of side nodes",
            found,
        };
        assert_eq!(changed(&|p| p.num_side_nodes = found), count);
    }
    let nodes = good.side_nodes.len();
    let mismatch = CompactError::SideNodes {
        found: nodes + 1,
        expected: nodes,
    };
    assert_eq!(changed(&|p| p.side_nodes.push(vec![1; 48])), mismatch);
    assert_eq!(
        changed(&|p| p.side_nodes[0] = vec![0; 48]),
        CompactError::Mask
    );
    assert_eq!(changed(&|p| p.bit_mask[0] |= 1), CompactError::Mask);
    let refusal = changed(&|p| p.non_membership_leaf = vec![7; 3]).to_string();
    assert_eq!(
        refusal,
        "non-membership leaf: 3 bytes, a closest proof has none"
    );

    let mut deep = good.clone();
    deep.depth = vec![1, 0];
    assert_eq!(deep.expand().unwrap().depth, 256);
}
