//! Signatures that are refused before anything is computed.

use baton_pocket::keys::PublicKeyError;
use baton_pocket::ring::{
    self, RingError, RingFault, RingField, RingSignature, Verifier, VerifyError,
};

use crate::{both, hash, ring_of, secret, unhex};

const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

/// What a signature is made into, the field that the error must name, its offset, and the fault.
type Case = (&'static str, fn(&mut Vec<u8>), RingField, usize, RingFault);

const CASES: &[Case] = &[
    (
        "empty",
        |b| b.clear(),
        RingField::Count,
        0,
        RingFault::Truncated { needed: 4, left: 0 },
    ),
    (
        "n = 0",
        |b| b[3] = 0,
        RingField::Count,
        0,
        RingFault::Count(0),
    ),
    (
        "n = 1",
        |b| b[3] = 1,
        RingField::Count,
        0,
        RingFault::Count(1),
    ),
    (
        "oversize",
        |b| b[2] = 2,
        RingField::Count,
        0,
        RingFault::Count(514),
    ),
    (
        "huge",
        |b| b[..4].fill(0xff),
        RingField::Count,
        0,
        RingFault::Count(u32::MAX),
    ),
    (
        "cut in the challenge",
        |b| b.truncate(20),
        RingField::Challenge,
        4,
        RingFault::Truncated {
            needed: 32,
            left: 16,
        },
    ),
    (
        "challenge = order",
        |b| b[4..36].copy_from_slice(&unhex(ORDER)),
        RingField::Challenge,
        4,
        RingFault::Range,
    ),
    (
        "challenge = 0",
        |b| b[4..36].fill(0),
        RingField::Challenge,
        4,
        RingFault::Zero,
    ),
    (
        "image is uncompressed",
        |b| b[36] = 4,
        RingField::Image,
        36,
        RingFault::Point(PublicKeyError::Parity(4)),
    ),
    (
        "image is no point",
        |b| b[37..69].copy_from_slice(&hash(&format!("{:064x}", 5))),
        RingField::Image,
        36,
        RingFault::Point(PublicKeyError::Point),
    ),
    (
        "image above p",
        |b| b[37..69].fill(0xff),
        RingField::Image,
        36,
        RingFault::Point(PublicKeyError::Point),
    ),
    (
        "response = 0",
        |b| b[69..101].fill(0),
        RingField::Response(0),
        69,
        RingFault::Zero,
    ),
    (
        "response above the order",
        |b| b[134..166].fill(0xff),
        RingField::Response(1),
        134,
        RingFault::Range,
    ),
    (
        "member has parity 0",
        |b| b[166] = 0,
        RingField::Member(1),
        166,
        RingFault::Point(PublicKeyError::Parity(0)),
    ),
    (
        "cut in the last member",
        |b| b.truncate(198),
        RingField::Member(1),
        166,
        RingFault::Truncated {
            needed: 33,
            left: 32,
        },
    ),
    (
        "trailing byte",
        |b| b.push(0),
        RingField::End,
        199,
        RingFault::Trailing(1),
    ),
];

#[test]
fn malformed_signatures_are_refused_by_name() {
    let verifier = Verifier::new(0);
    let (ring, message) = (ring_of(2), [1; 32]);
    let good = ring::sign(&ring, &secret(0), &message, &[0; 32])
        .unwrap()
        .to_bytes();
    for (name, change, field, offset, fault) in CASES {
        let mut bytes = good.clone();
        change(&mut bytes);
        let expected = RingError {
            field: *field,
            offset: *offset,
            fault: *fault,
        };
        assert_eq!(RingSignature::parse(&bytes), Err(expected), "{name}");
        let answer = both(&verifier, &bytes, &message, &ring);
        assert_eq!(answer, Err(VerifyError::Malformed(expected)), "{name}");
        assert!(
            expected.to_string().contains(&format!("byte {offset}")),
            "{expected}"
        );
    }
    let mut bytes = good;
    bytes[134 + 32 + 1..].copy_from_slice(&hash(&format!("{:064x}", 5)));
    let error = RingSignature::parse(&bytes).unwrap_err();
    assert_eq!(
        (error.field, error.offset),
        (RingField::Member(1), 166),
        "{error}"
    );
}
