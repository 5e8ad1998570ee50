//! Ring signatures against the vectors of the network's own libraries, and against the plain verifier.

mod malformed;

use baton_pocket::keys::{PublicKey, SecretKey};
use baton_pocket::message::Application;
use baton_pocket::message::pocket::application::UndelegatingGatewayList;
use baton_pocket::ring::{
    self, REPEATS_MAX, RING_MAX, Ring, RingAccounts, RingAccountsError, RingSignature, SignError,
    Verifier, VerifyError, hash_to_point, hash_to_scalar, plain,
};
use proptest::prelude::*;
use serde::Deserialize;

const APP: &str = "2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a";
const GATEWAY: &str = "1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11";

/// Ring of app and gateway, signed by the gateway; c_0 is one of the short scalars.
const SIGNATURE_A: &str = concat!(
    "00000002c0ea96932d3b14680992b8e2bfbed0d97030d25eb6549766f740cd592e73f20002c82a2efdba0348c63e",
    "87377a0fb0d882a4fc696744aec6b6991bcbe1b2364536d3dbfd7ac8d6bfc5ea916cacd17050533b7fa12fdd5ed5",
    "210374d516525055c40397896e9b106df70124a856861cc9be52fac9980e2c7a118a36c19d0198692cc5b761113f",
    "3cd7bf2e3174677e3e78da873a595da82218322837d9c3cc3ad9c95302bbbf99abdcddac27350bca272d7146187c",
    "091aacfc1c6f90819c9b6daf4fe846",
);
const MESSAGE_A: &str = "b4f04102a8698e28ecf9464873f6e27fad5de9ec8c235b913299975d601d0062";
/// The same ring and signer, with no short scalar.
const SIGNATURE_B: &str = concat!(
    "0000000293671e1a0ff4fdbfd3d9a5f43e2e4b4090b16741fd091155ec989154533e3e4b02c82a2efdba0348c63e",
    "87377a0fb0d882a4fc696744aec6b6991bcbe1b23645364ae939a625e0286df5cc25a9028accc7faac1d08745802",
    "45203a56593178292f0397896e9b106df70124a856861cc9be52fac9980e2c7a118a36c19d0198692cc5d361904b",
    "8169a5f61ae649887a29a324e993aa9abe717580501305a101319e5702bbbf99abdcddac27350bca272d7146187c",
    "091aacfc1c6f90819c9b6daf4fe846",
);
const MESSAGE_B: &str = "7771a6d9145146024e8808b1749077b4c1ab7fd1935de7396561d059ba583b8f";

#[derive(Deserialize)]
struct Vector {
    name: String,
    ring: Vec<String>,
    signer: usize,
    msg: String,
    sig: String,
    valid: bool,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../data/ring-signatures.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hash(text: &str) -> [u8; 32] {
    unhex(text).try_into().expect("32 bytes")
}

fn key(text: &str) -> PublicKey {
    text.parse().expect("a public key")
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_known_text(&format!("test key {seed}"))
}

fn ring_of(count: u8) -> Ring {
    Ring::new((0..count).map(|seed| secret(seed).public_key()).collect())
}

fn both(
    verifier: &Verifier,
    signature: &[u8],
    message: &[u8; 32],
    ring: &Ring,
) -> Result<(), VerifyError> {
    let fast = verifier.verify(signature, message, ring);
    assert_eq!(
        fast,
        plain::verify(signature, message, ring),
        "both verifiers agree"
    );
    fast
}

#[test]
fn every_vector_gets_the_answer_of_the_network() {
    // Cold, warm, and with tables: the third and later rounds come after the fourth appearance.
    let verifier = Verifier::new(64 << 20);
    let mut valid = 0;
    for _ in 0..6 {
        for vector in vectors() {
            let ring = Ring::new(vector.ring.iter().map(|text| key(text)).collect());
            let answer = both(&verifier, &unhex(&vector.sig), &hash(&vector.msg), &ring);
            assert_eq!(answer.is_ok(), vector.valid, "{}: {answer:?}", vector.name);
            valid += usize::from(answer.is_ok());
        }
    }
    assert_eq!(valid, 6 * 32, "half of the vectors are valid");
}

#[test]
fn valid_vectors_survive_parsing_and_list_their_ring() {
    for vector in vectors().iter().filter(|vector| vector.valid) {
        let bytes = unhex(&vector.sig);
        let signature = RingSignature::parse(&bytes).expect(&vector.name);
        assert_eq!(signature.to_bytes(), bytes, "{}", vector.name);
        let members: Vec<String> = signature.members().map(|key| key.to_string()).collect();
        assert_eq!(members, vector.ring, "{}", vector.name);
        assert!(vector.signer < members.len());
    }
}

#[test]
fn the_specifications_signatures_verify() {
    let ring = Ring::new(
        [APP, GATEWAY]
            .map(|text| SecretKey::parse(text).unwrap().public_key())
            .to_vec(),
    );
    let verifier = Verifier::new(0);
    for (signature, message) in [(SIGNATURE_A, MESSAGE_A), (SIGNATURE_B, MESSAGE_B)] {
        assert_eq!(
            both(&verifier, &unhex(signature), &hash(message), &ring),
            Ok(())
        );
    }
    let swapped = both(&verifier, &unhex(SIGNATURE_A), &hash(MESSAGE_B), &ring);
    assert_eq!(swapped, Err(VerifyError::Mismatch));
    // The image depends on the signer only.
    let gateway = SecretKey::parse(GATEWAY).unwrap();
    let own = ring::sign(&ring, &gateway, &hash(MESSAGE_A), &[1; 32]).unwrap();
    let theirs = RingSignature::parse(&unhex(SIGNATURE_A)).unwrap();
    assert_eq!(own.image(), theirs.image());
}

#[test]
fn the_specifications_hashes_come_out() {
    let [app, gateway] = [APP, GATEWAY].map(|text| SecretKey::parse(text).unwrap().public_key());
    let hashed = [app, gateway].map(|key| hash_to_point(&key).to_string());
    assert_eq!(
        hashed,
        [
            "02f72a1f27fa696323f979f608a525372567ad7c532736465db78c7d7118ce46e0",
            "02703716bd1d384b39442d0fe0a121ef050bd663d6a2a297902db45fd5874e0ed2",
        ]
    );
    let ordinary = hash("43913f269ab77ad581e23102878c906eacd55fd9e973714f0ebbe9b55ad56fef");
    assert_eq!(hash_to_scalar(b"pocket"), ordinary);
    let short = hash("bd133cd1452701ae1d3910e3ad3fb1a3dddd7fc62cce0521503d6f6e658dd600");
    assert_eq!(hash_to_scalar(b"relay-msg-349"), short, "moved to the left");
}

#[test]
fn everybody_in_a_ring_can_sign() {
    let verifier = Verifier::new(64 << 20);
    for count in [2, 3, 13] {
        let ring = ring_of(count);
        for signer in 0..count {
            let message = [signer; 32];
            let signature = ring::sign(&ring, &secret(signer), &message, &[7; 32]).unwrap();
            let bytes = signature.to_bytes();
            assert_eq!(
                both(&verifier, &bytes, &message, &ring),
                Ok(()),
                "{signer} of {count}"
            );
            assert_eq!(RingSignature::parse(&bytes).unwrap(), signature);
            assert_eq!(bytes.len(), 69 + 65 * usize::from(count));
        }
    }
}

#[test]
fn entropy_and_message_change_a_signature_and_nothing_repeats_a_nonce() {
    let ring = ring_of(2);
    let sign =
        |message, entropy| ring::sign(&ring, &secret(0), &[message; 32], &[entropy; 32]).unwrap();
    assert_eq!(sign(1, 1), sign(1, 1));
    assert_ne!(sign(1, 1).to_bytes()[..36], sign(1, 2).to_bytes()[..36]);
    assert_ne!(sign(1, 1).to_bytes()[..36], sign(2, 1).to_bytes()[..36]);
}

#[test]
fn a_signer_needs_a_place_in_a_ring_of_a_size_that_counts() {
    let sign = |ring: &Ring| ring::sign(ring, &secret(0), &[0; 32], &[0; 32]).map(|_| ());
    assert_eq!(sign(&ring_of(0)), Err(SignError::Size(0)));
    assert_eq!(sign(&ring_of(1)), Err(SignError::Size(1)));
    let large = Ring::new(vec![secret(0).public_key(); RING_MAX + 1]);
    assert_eq!(sign(&large), Err(SignError::Size(RING_MAX + 1)));
    let others = Ring::new(vec![secret(1).public_key(), secret(2).public_key()]);
    assert_eq!(
        sign(&others),
        Err(SignError::NotMember(secret(0).public_key()))
    );
    let debug = format!("{:?} {}", secret(0), sign(&others).unwrap_err());
    assert!(
        debug.starts_with("SecretKey(..) ring: does not hold"),
        "{debug}"
    );
}

#[test]
fn members_are_a_set_to_the_verifier() {
    let (verifier, message) = (Verifier::new(0), [3; 32]);
    let twice = Ring::new(vec![secret(0).public_key(); 2]);
    let bytes = ring::sign(&twice, &secret(0), &message, &[0; 32])
        .unwrap()
        .to_bytes();
    for _ in 0..6 {
        assert_eq!(
            both(&verifier, &bytes, &message, &ring_of(3)),
            Ok(()),
            "a subset, repeated"
        );
    }
    let often = |count| {
        let ring = Ring::new(vec![secret(0).public_key(); count]);
        let signature = ring::sign(&ring, &secret(0), &message, &[0; 32]);
        both(
            &verifier,
            &signature.unwrap().to_bytes(),
            &message,
            &ring_of(1),
        )
    };
    assert_eq!(often(REPEATS_MAX), Ok(()));
    let (found, ring) = (REPEATS_MAX + 1, 1);
    assert_eq!(often(found), Err(VerifyError::Repeated { found, ring }));
    let bytes = ring::sign(&ring_of(3), &secret(0), &message, &[0; 32])
        .unwrap()
        .to_bytes();
    let answer = both(&verifier, &bytes, &message, &ring_of(2));
    let stranger = VerifyError::Stranger {
        index: 2,
        key: *secret(2).public_key().as_bytes(),
    };
    assert_eq!(answer, Err(stranger));
    let text = answer.unwrap_err().to_string();
    assert!(
        text.contains("member[2]") && text.contains(&secret(2).public_key().to_string()),
        "{text}"
    );
}

#[test]
fn an_application_without_gateways_shares_its_ring_with_the_placeholder() {
    let secret = SecretKey::from_known_text(ring::PLACEHOLDER_TEXT);
    let known = "60c6cbe6b5011807d6486f351cbde6f964356df1d0bc1b04f8589cead5ab5206";
    assert_eq!(secret, SecretKey::parse(known).unwrap());
    let placeholder = key("021066f293709356a33e9c13017867586baf52513e845bc4335233a15ed1e00baf");
    assert_eq!(secret.public_key(), placeholder);
    let bytes: String = placeholder
        .address()
        .as_bytes()
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    assert_eq!(bytes, "6178B12D0711F3A930A6133C39AE3B89E9E79A04");

    let app = SecretKey::parse(APP).unwrap().public_key();
    let application = Application {
        address: app.address().to_string(),
        ..Application::default()
    };
    let accounts = RingAccounts::of(&application, 10);
    assert!(accounts.has_placeholder());
    let ring = accounts.ring(|_| Some(app)).unwrap();
    assert_eq!(ring.members(), [placeholder, app]);
}

#[test]
fn gateways_that_left_count_until_the_session_that_ends_their_delegation() {
    let keys: Vec<PublicKey> = (0..5).map(|seed| secret(seed).public_key()).collect();
    let address = |index: usize| keys[index].address().to_string();
    let list = |index| UndelegatingGatewayList {
        gateway_addresses: vec![address(index)],
    };
    let application = Application {
        address: address(0),
        delegatee_gateway_addresses: vec![address(1), address(1)],
        pending_undelegations: [(9, list(2)), (10, list(3)), (11, list(4))].into(),
        ..Application::default()
    };
    let find = |wanted: &str| {
        keys.iter()
            .copied()
            .find(|key| key.address().to_string() == wanted)
    };
    let ring = RingAccounts::of(&application, 10).ring(find).unwrap();
    let mut expected = vec![keys[0], keys[1], keys[3], keys[4]];
    expected.sort_by_key(|key| key.address().to_string());
    assert_eq!(ring.members(), expected);
    assert!(
        !ring.contains(&keys[2]),
        "its delegation ended before the session"
    );

    let later = RingAccounts::of(&application, 12);
    assert!(!later.has_placeholder());
    assert_eq!(later.addresses().count(), 2);
    let missing = later.ring(|wanted| find(wanted).filter(|key| *key != keys[1]));
    assert_eq!(missing, Err(RingAccountsError::NoKey(address(1))));

    let crowd = Application {
        address: address(0),
        delegatee_gateway_addresses: (0..RING_MAX).map(|n| format!("gateway {n}")).collect(),
        ..Application::default()
    };
    let answer = RingAccounts::of(&crowd, 1).ring(|_| Some(keys[0]));
    assert_eq!(answer, Err(RingAccountsError::TooMany(RING_MAX + 1)));
}

#[test]
fn kept_tables_stay_within_the_bound() {
    let limit = ring::VERIFIER_MEMORY_MIN;
    let verifier = Verifier::new(0);
    let mut most = 0;
    for first in 0..24u8 {
        let ring = Ring::new(vec![
            secret(first).public_key(),
            secret(first + 1).public_key(),
        ]);
        for round in 0..5 {
            let message = [round; 32];
            let bytes = ring::sign(&ring, &secret(first), &message, &[0; 32])
                .unwrap()
                .to_bytes();
            assert_eq!(verifier.verify(&bytes, &message, &ring), Ok(()));
            most = most.max(verifier.memory());
            assert!(
                verifier.memory() <= limit,
                "{} of {limit}",
                verifier.memory()
            );
        }
    }
    assert!(most > limit / 2, "the bound was reached: {most} of {limit}");
}

/// Every bit of one signature and of its message, where the property below tries some bits of many.
#[test]
fn no_bit_can_be_flipped() {
    let (verifier, ring) = (Verifier::new(0), ring_of(2));
    let signature = ring::sign(&ring, &secret(1), &[5; 32], &[6; 32]).unwrap();
    let good = signature.to_bytes();
    for _ in 0..4 {
        assert_eq!(verifier.verify(&good, &[5; 32], &ring), Ok(()));
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let answer = verifier.verify(&bytes, &[5; 32], &ring);
        assert!(answer.is_err(), "bit {bit}");
    }
    for bit in 0..256 {
        let mut message = [5; 32];
        message[bit / 8] ^= 1 << (bit % 8);
        let answer = verifier.verify(&good, &message, &ring);
        assert_eq!(answer, Err(VerifyError::Mismatch), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_flipped_bit_survives(
        count in 2u8..5,
        signer in any::<prop::sample::Index>(),
        message in any::<[u8; 32]>(),
        entropy in any::<[u8; 32]>(),
        bit in any::<prop::sample::Index>(),
        warm in 0usize..6,
    ) {
        let verifier = Verifier::new(0);
        let ring = ring_of(count);
        let signer = u8::try_from(signer.index(count.into())).unwrap();
        let mut bytes = ring::sign(&ring, &secret(signer), &message, &entropy).unwrap().to_bytes();
        for _ in 0..=warm {
            prop_assert_eq!(both(&verifier, &bytes, &message, &ring), Ok(()));
        }
        let bit = bit.index(bytes.len() * 8 + 256);
        let mut message = message;
        if bit < bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
        } else {
            message[(bit - bytes.len() * 8) / 8] ^= 1 << (bit % 8);
        }
        prop_assert!(both(&verifier, &bytes, &message, &ring).is_err());
    }

    #[test]
    fn hashing_to_a_point_is_what_k256_finds(seed in any::<u64>()) {
        let key = SecretKey::from_known_text(&seed.to_string()).public_key();
        prop_assert_eq!(hash_to_point(&key), plain::hash(&key));
    }
}
