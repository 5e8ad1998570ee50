//! Sessions, windows, requirements and prices: against the chain's numbers, and against exact models.

use baton_pocket::gorand::GoRand;
use baton_pocket::message::pocket::proof::{self, Claim, ClaimProofStatus};
use baton_pocket::message::pocket::shared::Params;
use baton_pocket::message::{Coin, SessionHeader};
use baton_pocket::price::{Price, PriceError};
use baton_pocket::requirement::{Policy, Requirement, Settlement, proof_path, settlement};
use baton_pocket::session::{Grid, Session, SessionKey};
use baton_pocket::smst::{Digest, Inline, Leaf, Trie, Value};
use baton_pocket::window::{Offsets, Spread, Windows, seed_height};
use proptest::prelude::*;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

mod price;

const APP: &str = "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4";
const SUPPLIER: &str = "pokt1duatelq8yutj6eflsdhc4vpavuspz5gk8htla9";
const ID: &str = "afd00273055a4fddc0beb30074e14d474c07f9e895d2795db006a5139048d54b";

/// What a new chain starts with.
fn defaults() -> Params {
    Params {
        num_blocks_per_session: 10,
        grace_period_end_offset_blocks: 1,
        claim_window_open_offset_blocks: 1,
        claim_window_close_offset_blocks: 4,
        proof_window_open_offset_blocks: 0,
        proof_window_close_offset_blocks: 4,
        compute_units_to_tokens_multiplier: 42_000_000,
        compute_unit_cost_granularity: 1_000_000,
        session_grid_anchor_height: 1,
        session_number_at_anchor: 1,
        ..Params::default()
    }
}

/// What the main network had.
fn mainnet() -> Params {
    Params {
        num_blocks_per_session: 20,
        grace_period_end_offset_blocks: 10,
        claim_window_open_offset_blocks: 11,
        claim_window_close_offset_blocks: 10,
        proof_window_open_offset_blocks: 1,
        proof_window_close_offset_blocks: 10,
        compute_units_to_tokens_multiplier: 145_990,
        ..defaults()
    }
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex");
    std::array::from_fn(byte)
}

fn root(sum: u64, count: u64) -> Digest {
    let mut bytes = [7; 48];
    bytes[32..40].copy_from_slice(&sum.to_be_bytes());
    bytes[40..].copy_from_slice(&count.to_be_bytes());
    Digest::new(bytes)
}

#[test]
fn session_ids_are_the_chains() {
    let hashes: [[u8; 32]; 3] = [
        hex("1b1051b7bf236fea13efa65b6be678514fa5b6ea0ae9a7a4b68d45f95e4f18e0"),
        hex("261594ddc3c8afc5b4c63f59ee58e89d3a115bcd164c83fd79349de0b1ffd21d"),
        hex("251665c7cf286a30fbd98acd983c63e9a34efc16496511373405e24eb02a8fb9"),
    ];
    let a = "pokt1mdccn4u38eyjdxkk4h0jaddw4n3c72u82m5m9e";
    let b = "pokt133amv5suh75zwkxxcq896azvmmwszg99grvk9f";
    let cases = [
        (a, "svc1", 1, ID),
        (
            a,
            "svc1",
            5,
            "e161348f2153bb41092040c3c287596f8daf98e90986475be21412a1ded945ed",
        ),
        (
            a,
            "svc12",
            5,
            "c01eb8924dbb9dae7cab8ed56016ce8fdd2d23542f9e0b7ca8d6972d3fb45ce5",
        ),
        (
            b,
            "svc12",
            5,
            "f6dbe4961afd8ff0e444a1159d02bc645f9ded3daaa605c187e6bd7ee2232a68",
        ),
        (
            a,
            "svc1",
            9,
            "fea5d6f7544ff6d8af5c22529b2ccf01ed7930b3d454d42dda5ccc0b65b6ebfd",
        ),
    ];
    for (application_address, service_id, start, id) in cases {
        let block_hash = &hashes[usize::try_from(start / 4).unwrap()];
        let key = SessionKey {
            block_hash,
            service_id,
            application_address,
            start,
        };
        assert_eq!(key.id(), id);
    }
}

#[test]
fn a_session_before_the_first_block_has_no_hash_in_its_id() {
    let key = |block_hash| SessionKey {
        block_hash,
        service_id: "svc1",
        application_address: APP,
        start: 0,
    };
    assert_eq!(key(&[1; 32]).id(), key(&[2; 32]).id());
}

#[test]
fn suppliers_are_drawn_only_when_there_are_too_many() {
    let names: Vec<String> = (0..40)
        .map(|index| format!("pokt1supplier{index}"))
        .collect();
    let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
    let key = SessionKey {
        block_hash: &[9; 32],
        service_id: "svc1",
        application_address: APP,
        start: 21,
    };
    assert_eq!(key.suppliers(&candidates, 40), candidates);
    let drawn = key.suppliers(&candidates, 15);
    assert_eq!(drawn.len(), 15);
    let mut reversed = candidates.clone();
    reversed.reverse();
    assert_eq!(
        key.suppliers(&reversed, 15),
        drawn,
        "their order before does not matter"
    );
    let start = 21_u64.to_le_bytes();
    let rank = |name: &str| {
        let text = [
            &[9; 32][..],
            b".svc1.",
            APP.as_bytes(),
            b".",
            &start,
            b".",
            name.as_bytes(),
        ];
        let hash = <sha3::Sha3_256 as sha3::Digest>::digest(text.concat());
        i64::from_be_bytes(hash[..8].try_into().unwrap())
    };
    let mut expected = candidates.clone();
    expected.sort_by_key(|name| rank(name));
    assert_eq!(drawn, expected[..15]);
    assert!(rank(drawn[0]) < 0, "ranks have a sign");
}

#[test]
fn grids_follow_their_anchor() {
    let grid = |anchor_height, anchor_number| {
        Grid::new(&Params {
            num_blocks_per_session: 4,
            session_grid_anchor_height: anchor_height,
            session_number_at_anchor: anchor_number,
            ..defaults()
        })
        .unwrap()
    };
    let at = |grid: Grid, height| {
        let Session { start, end, number } = grid.session_at(height);
        (start, end, number)
    };
    let plain = grid(0, 0);
    for (height, expected) in [
        (-5, (0, 0, 0)),
        (0, (0, 0, 0)),
        (1, (1, 4, 1)),
        (4, (1, 4, 1)),
        (5, (5, 8, 2)),
        (i64::MAX, (i64::MAX - 2, i64::MAX, (i64::MAX - 1) / 4 + 1)),
    ] {
        assert_eq!(at(plain, height), expected, "height {height}");
    }
    let anchored = grid(103, 11);
    for (height, expected) in [
        (102, (101, 104, 26)),
        (103, (103, 106, 11)),
        (106, (103, 106, 11)),
        (107, (107, 110, 12)),
    ] {
        assert_eq!(at(anchored, height), expected, "height {height}");
    }
    assert_eq!(at(grid(103, 0), 103), (103, 106, 1));
}

#[test]
fn impossible_parameters_are_named() {
    let none = Params {
        num_blocks_per_session: 0,
        ..defaults()
    };
    let refusal = Grid::new(&none).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "num_blocks_per_session: 0, it must be from 1 to 68719476736"
    );
    let far = Params {
        proof_window_open_offset_blocks: u64::MAX,
        ..defaults()
    };
    let refusal = Offsets::new(&far).unwrap_err();
    assert_eq!(refusal.parameter, "proof_window_open_offset_blocks");
    let free = Params {
        compute_unit_cost_granularity: 0,
        ..defaults()
    };
    let parameter = "compute_unit_cost_granularity";
    assert_eq!(Price::new(&free), Err(PriceError::Zero { parameter }));
}

#[test]
fn windows_are_the_chains() {
    let expected = Windows {
        grace_end: 11,
        claim_open: 12,
        claim_close: 16,
        proof_open: 16,
        proof_close: 20,
        settlement: 20,
    };
    let offsets = Offsets::new(&defaults()).unwrap();
    assert_eq!(offsets.windows(10), expected);
    assert_eq!(
        offsets.pending_sessions(&Grid::new(&defaults()).unwrap()),
        1
    );
    let expected = Windows {
        grace_end: 110,
        claim_open: 112,
        claim_close: 122,
        proof_open: 123,
        proof_close: 133,
        settlement: 133,
    };
    let offsets = Offsets::new(&mainnet()).unwrap();
    let windows = offsets.windows(100);
    assert_eq!(windows, expected);
    assert_eq!(offsets.pending_sessions(&Grid::new(&mainnet()).unwrap()), 2);

    assert!(!windows.grace_elapsed(110) && windows.grace_elapsed(111));
    let claimable: Vec<i64> = (100..140)
        .filter(|height| windows.takes_claim(*height))
        .collect();
    let provable: Vec<i64> = (100..140)
        .filter(|height| windows.takes_proof(*height))
        .collect();
    assert_eq!(claimable, (112..=122).collect::<Vec<_>>());
    assert_eq!(provable, (123..=133).collect::<Vec<_>>());
}

#[test]
fn suppliers_begin_with_the_window_unless_they_are_spread() {
    let windows = Offsets::new(&mainnet()).unwrap().windows(100);
    assert_eq!(windows.earliest_claim(&Spread::None), 112);
    assert_eq!(windows.earliest_proof(&Spread::None), 123);
    assert_eq!(seed_height(123), 122);
    let mut seen = std::collections::BTreeSet::new();
    for index in 0..100 {
        let supplier = format!("pokt1{index}");
        let spread = Spread::BySupplier {
            open_block_hash: &[3; 32],
            supplier: &supplier,
        };
        let drawn = GoRand::from_parts(&[&[3; 32], supplier.as_bytes()]).int63();
        assert_eq!(windows.earliest_claim(&spread), 112 + drawn % 10);
        assert_eq!(windows.earliest_proof(&spread), 123 + drawn % 10);
        seen.insert(drawn % 10);
    }
    assert_eq!(seen.len(), 10, "all heights but the last are used");
    let closed = Windows {
        claim_close: 112,
        ..windows
    };
    let spread = Spread::BySupplier {
        open_block_hash: &[3; 32],
        supplier: SUPPLIER,
    };
    assert_eq!(closed.earliest_claim(&spread), 112);
}

#[test]
fn the_proof_path_is_the_chains() {
    let block_hash: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let expected = hex("5905a1020ea593462fcf56b908801a3ab85e461c28a88e20eb23e5457e06c42c");
    assert_eq!(proof_path(&block_hash, ID), expected);
}

fn claim() -> Claim {
    let mut trie = Trie::new();
    trie.insert(&Leaf::new(
        Value::new(b"relay-0").expect("there is room"),
        100,
    ))
    .expect("the leaf is valid");
    Claim {
        supplier_operator_address: SUPPLIER.to_owned(),
        session_header: Some(SessionHeader {
            application_address: APP.to_owned(),
            service_id: "svc1".to_owned(),
            session_id: ID.to_owned(),
            session_start_block_height: 1,
            session_end_block_height: 4,
        }),
        root_hash: trie.root(&Inline).as_bytes().to_vec(),
        proof_validation_status: 0,
    }
}

#[test]
fn the_claim_is_hashed_as_the_chain_hashes_it() {
    let hash: [u8; 32] = Sha256::digest(claim().encode_to_vec()).into();
    let expected = hex("88ef002f1ab9d4c2956937a726bad394f8422dfea3a7b8ac84c91a89ce82489c");
    assert_eq!(hash, expected);
}

#[test]
fn proofs_are_required_by_worth_or_by_chance() {
    let hash = Sha256::digest(claim().encode_to_vec());
    let sample = GoRand::from_parts(&[&hash, &[5; 32]]).float64();
    assert!(0.0 < sample && sample < 1.0);
    let required = |probability, claimed, status: ClaimProofStatus| {
        let policy = Policy {
            probability,
            threshold: 1_000,
        };
        let claim = Claim {
            proof_validation_status: status.into(),
            ..claim()
        };
        policy.requirement(&claim, claimed, &[5; 32])
    };
    let pending = ClaimProofStatus::PendingValidation;
    assert_eq!(required(0.0, 1_000, pending), Requirement::Threshold);
    assert_eq!(required(0.0, 999, pending), Requirement::NotRequired);
    assert_eq!(required(1.0, 999, pending), Requirement::Probabilistic);
    assert_eq!(
        required(sample, 0, pending),
        Requirement::Probabilistic,
        "at most"
    );
    let below = f64::from_bits(sample.to_bits() - 1);
    assert_eq!(required(below, 0, pending), Requirement::NotRequired);
    let invalid = ClaimProofStatus::Invalid;
    assert_eq!(
        required(sample, 0, invalid),
        Requirement::Probabilistic,
        "the status is left out"
    );
    assert_eq!(required(below, 0, invalid), Requirement::NotRequired);
}

#[test]
fn a_policy_comes_from_the_chains_parameters() {
    let params = |probability, amount: &str| proof::Params {
        proof_request_probability: probability,
        proof_requirement_threshold: Some(Coin {
            denom: "upokt".to_owned(),
            amount: amount.to_owned(),
        }),
        ..proof::Params::default()
    };
    let policy = Policy {
        probability: 0.25,
        threshold: 20_000_000,
    };
    assert_eq!(Policy::new(&params(0.25, "20000000")), Ok(policy));
    for wrong in [-0.1, 1.1, f64::NAN] {
        let refusal = Policy::new(&params(wrong, "1")).unwrap_err().to_string();
        let expected = format!("proof_request_probability: must be from 0 to 1, not {wrong}");
        assert_eq!(refusal, expected);
    }
    let refusal = Policy::new(&params(0.25, "x")).unwrap_err().to_string();
    assert!(
        refusal.starts_with("proof_requirement_threshold: "),
        "{refusal}"
    );
    let missing = Policy::new(&proof::Params::default())
        .unwrap_err()
        .to_string();
    assert_eq!(missing, "proof_requirement_threshold: is missing");
}

#[test]
fn the_share_of_drawn_claims_is_the_probability() {
    let policy = Policy {
        probability: 0.25,
        threshold: u128::MAX,
    };
    let drawn = (0..4_000_u32)
        .filter(|index| {
            let block_hash = Sha256::digest(index.to_be_bytes()).into();
            policy.requirement(&claim(), 1, &block_hash) == Requirement::Probabilistic
        })
        .count();
    assert!((900..1_100).contains(&drawn), "{drawn} of 4000");
}

#[test]
fn settlement_goes_by_requirement_and_status() {
    use ClaimProofStatus::{Invalid, PendingValidation, Validated};
    let cases = [
        (
            Requirement::NotRequired,
            PendingValidation,
            Settlement::Settled,
        ),
        (Requirement::NotRequired, Invalid, Settlement::Settled),
        (Requirement::Threshold, Validated, Settlement::Settled),
        (Requirement::Probabilistic, Validated, Settlement::Settled),
        (
            Requirement::Threshold,
            PendingValidation,
            Settlement::ProofMissing,
        ),
        (
            Requirement::Probabilistic,
            PendingValidation,
            Settlement::ProofMissing,
        ),
        (
            Requirement::Probabilistic,
            Invalid,
            Settlement::ProofInvalid,
        ),
    ];
    for (requirement, status, expected) in cases {
        assert_eq!(settlement(requirement, status), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sessions_tile_the_chain(
        blocks in 1_u64..500,
        anchor in 0_u64..2_000,
        number in 0_u64..300,
        height in 1_i64..5_000,
    ) {
        let grid = Grid::new(&Params {
            num_blocks_per_session: blocks,
            session_grid_anchor_height: anchor,
            session_number_at_anchor: number,
            ..defaults()
        }).unwrap();
        let session = grid.session_at(height);
        prop_assert!(session.start <= height && height <= session.end);
        prop_assert_eq!(session.end - session.start + 1, grid.blocks());
        let beyond_anchor = anchor == 0 || session.start >= anchor.cast_signed();
        if session.start > 1 && beyond_anchor && session.start != anchor.cast_signed() {
            let before = grid.session_at(session.start - 1);
            prop_assert_eq!(before.end + 1, session.start);
            prop_assert_eq!(before.number + 1, session.number);
        }
    }
}
