//! Keys, addresses, suppliers' signatures and files of keys.

use baton_pocket::keys::{
    Address, AddressError, FILE_MAX, KEYS_MAX, KeysFault, PublicKey, PublicKeyError, SecretKey,
    SecretKeyError, SignatureError, SupplierKey, parse_key_file, parse_keys_file,
};
use k256::ecdsa::signature::Signer;
use k256::ecdsa::{Signature, SigningKey};
use k256::elliptic_curve::PrimeField;
use proptest::prelude::*;

const APP: &str = "2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a";
const APP_ADDRESS: &str = "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4";
const GATEWAY: &str = "1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11";
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

#[test]
fn the_specifications_keys_come_out() {
    let public = SecretKey::parse(APP).unwrap().public_key();
    let known = "0397896e9b106df70124a856861cc9be52fac9980e2c7a118a36c19d0198692cc5";
    assert_eq!(public.to_string(), known);
    assert_eq!(known.parse(), Ok(public));
    assert_eq!(public.address().to_string(), APP_ADDRESS);
    assert_eq!(APP_ADDRESS.parse(), Ok(public.address()));
    let gateway = SecretKey::parse(&format!("0x{}", GATEWAY.to_uppercase())).unwrap();
    let known = "02bbbf99abdcddac27350bca272d7146187c091aacfc1c6f90819c9b6daf4fe846";
    assert_eq!(gateway.public_key().to_string(), known);
}

#[test]
fn what_is_no_secret_key_is_refused_without_showing_it() {
    let cases = [
        ("", SecretKeyError::Length(0)),
        (&APP[1..], SecretKeyError::Length(63)),
        (&format!("0X{APP}"), SecretKeyError::Length(66)),
        (&APP.replace('7', "g"), SecretKeyError::Digit(7)),
        (
            &format!("0x{}", APP.replacen('2', "+", 1)),
            SecretKeyError::Digit(2),
        ),
        (&"0".repeat(64), SecretKeyError::Range),
        (ORDER, SecretKeyError::Range),
    ];
    for (text, expected) in cases {
        assert_eq!(SecretKey::parse(text), Err(expected), "{text}");
    }
    let below = ORDER.replace("4141", "4140");
    let secret = SecretKey::parse(&below).expect("the largest key");
    assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    let shown = format!("{:?}", SupplierKey::parse(APP).unwrap());
    assert_eq!(shown, format!("SupplierKey({APP_ADDRESS})"));
}

#[test]
fn what_is_no_public_key_is_refused() {
    let good = *SecretKey::parse(APP).unwrap().public_key().as_bytes();
    let mut parity = good;
    parity[0] = 4;
    let mut point = [0; 33];
    (point[0], point[32]) = (2, 5);
    for (bytes, expected) in [
        (good[1..].to_vec(), PublicKeyError::Length(32)),
        (parity.to_vec(), PublicKeyError::Parity(4)),
        (point.to_vec(), PublicKeyError::Point),
        ([vec![3], vec![0xff; 32]].concat(), PublicKeyError::Point),
    ] {
        assert_eq!(PublicKey::from_bytes(&bytes), Err(expected));
    }
    assert_eq!(
        "zz".repeat(33).parse::<PublicKey>(),
        Err(PublicKeyError::Digit(0))
    );
    for (text, bytes) in [("02", 2), (&"0".repeat(67), 67)] {
        assert_eq!(
            text.parse::<PublicKey>(),
            Err(PublicKeyError::Digits(bytes))
        );
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let typo = APP_ADDRESS.replace("jva4", "jva5");
    let cases = [
        (String::new(), AddressError::Length(0)),
        (APP_ADDRESS[..42].to_owned(), AddressError::Length(42)),
        (typo, AddressError::Checksum),
        (APP_ADDRESS.to_uppercase(), AddressError::Prefix),
        (
            APP_ADDRESS.replacen("pokt", "POKT", 1),
            AddressError::Checksum,
        ),
        (foreign("pokt", 19), AddressError::Length(42)),
        (foreign("pokt", 32), AddressError::Length(63)),
        (foreign("akash", 19), AddressError::Prefix),
        (foreign("cosm", 20), AddressError::Prefix),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Address>(), Err(expected), "{text}");
    }
}

fn foreign(prefix: &str, bytes: usize) -> String {
    let prefix = bech32::Hrp::parse(prefix).expect("a prefix");
    bech32::encode::<bech32::Bech32>(prefix, &vec![7; bytes]).expect("short enough")
}

#[test]
fn signatures_that_verifiers_of_the_network_refuse_are_refused() {
    let key = SupplierKey::parse(GATEWAY).unwrap();
    let (public, hash) = (key.public_key(), [9; 32]);
    let good = key.sign(&hash);
    assert_eq!(public.verify(&hash, &good), Ok(()));
    assert_eq!(
        public.verify(&[8; 32], &good),
        Err(SignatureError::Mismatch)
    );
    let other = SecretKey::parse(APP).unwrap().public_key();
    assert_eq!(other.verify(&hash, &good), Err(SignatureError::Mismatch));
    assert_eq!(
        public.verify(&hash, &good[..63]),
        Err(SignatureError::Length(63))
    );
    let long = [&good[..], &[0]].concat();
    assert_eq!(public.verify(&hash, &long), Err(SignatureError::Length(65)));

    // The other s of the same signature.
    let mut high = good;
    let s: [u8; 32] = good[32..].try_into().unwrap();
    let s = k256::Scalar::from_repr(s.into()).unwrap();
    high[32..].copy_from_slice(&(-s).to_repr());
    assert_eq!(public.verify(&hash, &high), Err(SignatureError::HighS));

    for (range, offset) in [(0..32, 0), (32..64, 32)] {
        for fill in [0, 0xff] {
            let mut bytes = good;
            bytes[range.clone()].fill(fill);
            let answer = public.verify(&hash, &bytes);
            assert_eq!(
                answer,
                Err(SignatureError::Range(offset)),
                "{fill:02x} at {offset}"
            );
        }
    }
}

#[test]
fn a_file_of_keys_is_read() {
    let text =
        format!("# suppliers\nversion: [1, {{a: b}}]\nkeys:\n  - {APP}\n  - \"0x{GATEWAY}\"\n");
    let keys = parse_keys_file(&text).unwrap();
    assert_eq!(
        keys,
        [APP, GATEWAY].map(|key| SecretKey::parse(key).unwrap())
    );
    let json = format!("{{\"keys\": [\"{APP}\"]}}");
    assert_eq!(parse_keys_file(&json).unwrap().len(), 1);
}

#[test]
fn a_file_with_one_key_is_read() {
    let yaml = format!("operator_address: {APP_ADDRESS}\nprivate_key_hex: {APP}\n");
    let json =
        format!("{{\"private_key_hex\": \"{APP}\", \"operator_address\": \"{APP_ADDRESS}\"}}");
    for text in [yaml, json] {
        assert_eq!(
            parse_key_file(&text),
            Ok(SecretKey::parse(APP).unwrap()),
            "{text}"
        );
    }
}

/// A file, and the field, the line and column, and the fault of the error.
type Case = (String, &'static str, (usize, usize), KeysFault);

fn files_of_another_shape() -> Vec<Case> {
    vec![
        (
            String::new(),
            "file",
            (1, 1),
            KeysFault::Kind("a mapping of fields"),
        ),
        (
            "- a".to_owned(),
            "file",
            (1, 1),
            KeysFault::Kind("a mapping of fields"),
        ),
        ("x: 1\n".to_owned(), "keys", (2, 1), KeysFault::Missing),
        ("keys:\n".to_owned(), "keys", (1, 1), KeysFault::Empty),
        ("keys: []\n".to_owned(), "keys", (1, 1), KeysFault::Empty),
        (
            "keys: abc\n".to_owned(),
            "keys",
            (1, 7),
            KeysFault::Kind("a list of keys"),
        ),
        (
            "keys:\n- [a]\n".to_owned(),
            "keys[0]",
            (2, 3),
            KeysFault::Kind("text"),
        ),
    ]
}

fn files_with_something_wrong_in_them() -> Vec<Case> {
    let many: String = (0..=KEYS_MAX)
        .map(|n| format!("- {:064x}\n", n + 1))
        .collect();
    let deep = "[".repeat(40);
    vec![
        (
            format!("keys:\n- {APP}\n- {}\n", &APP[1..]),
            "keys[1]",
            (3, 3),
            KeysFault::Key(SecretKeyError::Length(63)),
        ),
        (
            format!("keys:\n- {APP}\n- 0x{APP}\n"),
            "keys[1]",
            (3, 3),
            KeysFault::SameKey(0),
        ),
        (
            format!("keys: [{APP}]\nkeys: [{GATEWAY}]\n"),
            "keys",
            (2, 1),
            KeysFault::Repeated,
        ),
        (
            format!("keys:\n{many}"),
            "keys[10000]",
            (10_002, 3),
            KeysFault::TooMany,
        ),
        (
            format!("keys: &a [{APP}]\n"),
            "keys",
            (1, 7),
            KeysFault::Unsupported,
        ),
        (
            format!("a: !!str x\nkeys: [{APP}]\n"),
            "file",
            (1, 4),
            KeysFault::Unsupported,
        ),
        (format!("x: {deep}"), "file", (1, 20), KeysFault::Depth),
        (
            format!("keys: [{APP}]\n---\nkeys: [{APP}]\n"),
            "file",
            (2, 1),
            KeysFault::Document,
        ),
        (
            " ".repeat(FILE_MAX + 1),
            "file",
            (1, 1),
            KeysFault::Size(FILE_MAX + 1),
        ),
    ]
}

#[test]
fn broken_files_are_refused_by_field_and_place() {
    let mut cases = files_of_another_shape();
    cases.extend(files_with_something_wrong_in_them());
    for (text, field, (line, column), fault) in cases {
        let shown: String = text.chars().take(60).collect();
        let error = parse_keys_file(&text).expect_err(&shown);
        let found = (
            error.field.as_str(),
            (error.line, error.column),
            error.fault.clone(),
        );
        assert_eq!(found, (field, (line, column), fault), "{shown}");
        assert!(!error.to_string().contains(&APP[1..]), "{error}");
    }
    let error = parse_keys_file("keys: [").unwrap_err();
    assert_eq!(error.fault, KeysFault::Syntax, "{error}");
}

#[test]
fn broken_files_with_one_key_are_refused() {
    let address = format!("operator_address: {APP_ADDRESS}\n");
    let key = format!("private_key_hex: {APP}\n");
    let own = SecretKey::parse(GATEWAY).unwrap().public_key().address();
    let cases = [
        (address.clone(), "private_key_hex", KeysFault::Missing),
        (key.clone(), "operator_address", KeysFault::Missing),
        (
            format!("{key}{address}{key}"),
            "private_key_hex",
            KeysFault::Repeated,
        ),
        (
            format!("{address}{address}{key}"),
            "operator_address",
            KeysFault::Repeated,
        ),
        (
            format!("{address}private_key_hex: [1]\n"),
            "private_key_hex",
            KeysFault::Kind("text"),
        ),
        (
            format!("{address}private_key_hex: {GATEWAY}\n"),
            "operator_address",
            KeysFault::Address(own),
        ),
        (
            format!("{address}private_key_hex: {GATEWAY}0\n"),
            "private_key_hex",
            KeysFault::Key(SecretKeyError::Length(65)),
        ),
    ];
    for (text, field, fault) in cases {
        let error = parse_key_file(&text).expect_err(&text);
        assert_eq!(
            (error.field.as_str(), error.fault.clone()),
            (field, fault),
            "{text}"
        );
        assert!(!error.to_string().contains(&GATEWAY[1..]), "{error}");
    }
}

proptest! {
    #[test]
    fn signatures_are_k256s(seed in any::<u64>(), hash in any::<[u8; 32]>()) {
        let secret = SecretKey::from_known_text(&seed.to_string());
        let key = SupplierKey::new(&secret);
        let digits = known_text_key(&seed.to_string());
        let twin = SigningKey::from_slice(&digits).unwrap();
        let signature: Signature = twin.sign(&hash);
        prop_assert_eq!(key.sign(&hash).to_vec(), signature.normalize_s().to_bytes().to_vec());
        prop_assert_eq!(key.public_key().verify(&hash, &key.sign(&hash)), Ok(()));
    }

    #[test]
    fn no_flipped_bit_of_a_signature_survives(hash in any::<[u8; 32]>(), bit in 0usize..512) {
        let key = SupplierKey::parse(GATEWAY).unwrap();
        let mut signature = key.sign(&hash);
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(key.public_key().verify(&hash, &signature).is_err());
    }

    #[test]
    fn addresses_survive_their_text(bytes in any::<[u8; 20]>(), at in 0usize..43, to in "[a-z0-9]") {
        let address = Address::from_bytes(bytes);
        let mut text = address.to_string();
        prop_assert_eq!(text.parse(), Ok(address));
        if text[at..=at] != to {
            text.replace_range(at..=at, &to);
            prop_assert!(text.parse::<Address>().is_err(), "{}", text);
        }
    }
}

/// The derivation once more, with big numbers.
fn known_text_key(text: &str) -> Vec<u8> {
    use num_bigint::BigUint;
    use sha2::Digest;
    let order = BigUint::parse_bytes(ORDER.as_bytes(), 16).expect("hexadecimal");
    let digest = BigUint::from_bytes_be(&sha2::Sha256::digest(text));
    let key = digest % (order - 1u8) + 1u8;
    let bytes = key.to_bytes_be();
    [vec![0; 32 - bytes.len()], bytes].concat()
}
