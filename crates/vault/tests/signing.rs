//! Local keys sign as every other wallet does, and refuse what is no key.

use std::path::Path;

use alloy_primitives::b256;
use baton_model::{B256, U256};
use baton_vault::{LoadError, LocalSigner, Secret, Signer};
use k256::ecdsa::{RecoveryId, VerifyingKey};
use proptest::prelude::*;

/// Key of the example in EIP-155.
const KEY: &str = "4646464646464646464646464646464646464646464646464646464646464646";

#[tokio::test]
async fn the_example_of_eip_155_is_reproduced() {
    let signer = LocalSigner::from_hex(KEY).unwrap();
    let hash = b256!("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
    let signature = signer.sign_hash(hash).await.unwrap();
    let r = "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276";
    let s = "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";
    assert_eq!(signature.r, U256::from_str_radix(r, 16).unwrap());
    assert_eq!(signature.s, U256::from_str_radix(s, 16).unwrap());
    assert!(!signature.y_parity);
    assert_eq!(
        signer.address().to_string(),
        "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
    );
}

proptest! {
    #[test]
    fn a_signature_is_low_and_recovers_its_signer(
        key in any::<[u8; 32]>(),
        hash in any::<[u8; 32]>(),
    ) {
        let Ok(signer) = LocalSigner::from_bytes(&key) else { return Ok(()) };
        let signature = signer.sign(B256::from(hash));
        let half = U256::from_str_radix(
            "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0",
            16,
        ).unwrap();
        prop_assert!(signature.s <= half);
        let bytes = k256::ecdsa::Signature::from_scalars(
            signature.r.to_be_bytes::<32>(),
            signature.s.to_be_bytes::<32>(),
        ).unwrap();
        let recovered = VerifyingKey::recover_from_prehash(
            &hash,
            &bytes,
            RecoveryId::new(signature.y_parity, false),
        ).unwrap();
        let expected = k256::ecdsa::SigningKey::from_slice(&key).unwrap();
        prop_assert_eq!(&recovered, expected.verifying_key());
        prop_assert_eq!(signer.sign(B256::from(hash)), signature);
    }
}

#[test]
fn keys_are_read_with_and_without_prefix_and_white_space() {
    let plain = LocalSigner::from_hex(KEY).unwrap().address();
    for text in [
        format!("0x{KEY}"),
        format!("0X{KEY}"),
        format!("  {KEY}\n"),
        format!("0x{KEY}\r\n"),
    ] {
        assert_eq!(
            LocalSigner::from_hex(&text).unwrap().address(),
            plain,
            "{text:?}"
        );
    }
}

#[test]
fn what_is_no_key_is_refused_without_being_repeated() {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let below = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
    assert!(LocalSigner::from_hex(below).is_ok());
    let cases = [
        (
            "",
            "a key is 64 hexadecimal digits, optionally after 0x; 0 characters were given",
        ),
        (
            "0x",
            "a key is 64 hexadecimal digits, optionally after 0x; 0 characters were given",
        ),
        (
            &KEY[1..],
            "a key is 64 hexadecimal digits, optionally after 0x; 63 characters were given",
        ),
        (
            "0x0x4646464646464646464646464646464646464646464646464646464646464646",
            "a key is 64 hexadecimal digits, optionally after 0x; 66 characters were given",
        ),
        (
            "464646464646464646464646464646464646464646464646464646464646464g",
            "a key is 64 hexadecimal digits; the character at position 64 is not one",
        ),
        (
            "é646464646464646464646464646464646464646464646464646464646464646",
            "a key is 64 hexadecimal digits; the character at position 1 is not one",
        ),
        (
            "0000000000000000000000000000000000000000000000000000000000000000",
            "a key must not be zero",
        ),
        (order, "a key must be below the order of secp256k1"),
    ];
    for (text, error) in cases {
        let refused = LocalSigner::from_env("SIGNER_KEY", Some(text)).err();
        let expected = if text.is_empty() {
            "environment variable SIGNER_KEY is not set".to_owned()
        } else {
            format!("environment variable SIGNER_KEY: {error}")
        };
        assert_eq!(refused.unwrap().to_string(), expected, "{text:?}");
        assert_eq!(
            LocalSigner::from_hex(text).unwrap_err().to_string(),
            error,
            "{text:?}"
        );
    }
}

#[test]
fn a_signer_shows_its_address_and_nothing_else() {
    let shown = format!("{:?}", LocalSigner::from_hex(KEY).unwrap());
    assert_eq!(
        shown,
        "LocalSigner { address: 0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f, .. }"
    );
}

#[test]
fn keys_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, format!("0x{KEY}\n")).unwrap();
    let signer = LocalSigner::from_file(&path).unwrap();
    assert_eq!(
        signer.address(),
        LocalSigner::from_hex(KEY).unwrap().address()
    );

    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foundry.json");
    let opened = LocalSigner::from_keystore(&store, &Secret::new("Correct-Horse-7")).unwrap();
    assert_eq!(opened.address(), signer.address());
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let name = path.display().to_string();
    let password = Secret::new("p");

    let missing = LocalSigner::from_file(&path).unwrap_err();
    assert!(matches!(missing, LoadError::File { .. }));
    assert!(missing.to_string().contains(&name), "{missing}");
    let missing = LocalSigner::from_keystore(&path, &password).unwrap_err();
    assert!(missing.to_string().contains(&name), "{missing}");

    std::fs::write(&path, vec![b'4'; 64 * 1024 + 1]).unwrap();
    let large = LocalSigner::from_file(&path).unwrap_err();
    assert_eq!(
        large.to_string(),
        format!("key file {name} has more than 65536 bytes")
    );

    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let binary = LocalSigner::from_file(&path).unwrap_err();
    assert_eq!(
        binary.to_string(),
        format!("key file {name} is not UTF-8 text")
    );

    std::fs::write(&path, KEY).unwrap();
    let raw = LocalSigner::from_keystore(&path, &password).unwrap_err();
    assert!(
        raw.to_string().starts_with(&format!("key store {name}: ")),
        "{raw}"
    );
    assert!(!raw.to_string().contains("4646"), "{raw}");
}
