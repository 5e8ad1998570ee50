//! Key stores of other tools open, ours open again, and broken ones say what is wrong.

use baton_vault::keystore::{self, KeystoreError};
use baton_vault::{LocalSigner, Secret, Signer};
use serde_json::{Value, json};

const FOUNDRY: &str = include_str!("fixtures/foundry.json");
const GETH: &str = include_str!("fixtures/geth-with-address.json");
const PBKDF2: &str = include_str!("fixtures/definition-pbkdf2.json");
/// The key of the format definition's examples, and its address.
const DEFINITION_KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const DEFINITION_ADDRESS: &str = "0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b";

#[test]
fn key_stores_of_other_tools_open() {
    let files = [
        (
            "eth-keyfile of Python, at the cost of geth",
            include_str!("fixtures/eth-keyfile.json"),
            "testpassword",
            DEFINITION_ADDRESS,
        ),
        (
            "the definition's scrypt example",
            include_str!("fixtures/definition-scrypt-r1.json"),
            "testpassword",
            DEFINITION_ADDRESS,
        ),
        (
            "the definition's PBKDF2 example",
            PBKDF2,
            "testpassword",
            DEFINITION_ADDRESS,
        ),
        (
            "cast wallet import",
            FOUNDRY,
            "Correct-Horse-7",
            "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F",
        ),
        (
            "geth, with an address",
            GETH,
            "",
            "0x45DeA0FB0bBA44f4fcF290bbA71Fd57d7117Cbb8",
        ),
    ];
    for (name, text, password, address) in files {
        let signer = keystore::open(text, &Secret::new(password))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(signer.address().to_string(), address, "{name}");
    }
}

#[test]
fn a_key_whose_leading_zeros_were_dropped_opens() {
    let short = include_str!("fixtures/geth-31-bytes.json");
    let opened = keystore::open(short, &Secret::new("foo")).unwrap();
    let key = "00fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35";
    assert_eq!(
        opened.address(),
        LocalSigner::from_hex(key).unwrap().address()
    );
}

#[test]
fn what_is_sealed_opens_with_the_same_password_only() {
    let signer = LocalSigner::from_hex(DEFINITION_KEY).unwrap();
    let password = Secret::new("pässwörd with ünicode");
    let text = keystore::seal(&signer, &password).unwrap();
    assert!(!text.contains(DEFINITION_KEY));
    let opened = keystore::open(&text, &password).unwrap();
    assert_eq!(opened.address(), signer.address());
    let refused = keystore::open(&text, &Secret::new("password with unicode"));
    assert_eq!(refused.unwrap_err(), KeystoreError::Mac);
}

#[test]
fn sealing_twice_shares_no_randomness() {
    let signer = LocalSigner::from_hex(DEFINITION_KEY).unwrap();
    let sealed: Vec<Value> = (0..2)
        .map(|_| keystore::seal(&signer, &Secret::new("p")).unwrap())
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect();
    for pointer in [
        "/id",
        "/crypto/cipherparams/iv",
        "/crypto/kdfparams/salt",
        "/crypto/ciphertext",
    ] {
        assert_ne!(
            sealed[0].pointer(pointer),
            sealed[1].pointer(pointer),
            "{pointer}"
        );
    }
}

#[test]
fn a_written_file_has_the_shape_of_the_reference() {
    let signer = LocalSigner::from_hex(DEFINITION_KEY).unwrap();
    let text = keystore::seal(&signer, &Secret::new("p")).unwrap();
    let mut written: Value = serde_json::from_str(&text).unwrap();
    let mut foundry: Value = serde_json::from_str(FOUNDRY).unwrap();
    for random in [
        "/id",
        "/crypto/cipherparams/iv",
        "/crypto/kdfparams/salt",
        "/crypto/ciphertext",
        "/crypto/mac",
    ] {
        let ours = written.pointer_mut(random).unwrap();
        let theirs = foundry.pointer_mut(random).unwrap();
        assert_eq!(
            ours.as_str().unwrap().len(),
            theirs.as_str().unwrap().len(),
            "{random}"
        );
        *ours = Value::Null;
        *theirs = Value::Null;
    }
    assert_eq!(written, foundry);
}

/// Which file, where, what is put there, and the whole error.
static BROKEN_FIELDS: &[(&str, &str, &str, &str)] = &[
    (GETH, "/version", "null", "version is missing"),
    (GETH, "/version", "1", "version must be 3; found 1"),
    (
        GETH,
        "/version",
        r#""3""#,
        "version must be a whole number, not negative; found a text",
    ),
    (GETH, "/crypto", "null", "crypto is missing"),
    (
        GETH,
        "/crypto",
        "[]",
        "crypto must be an object; found a list",
    ),
    (GETH, "/crypto/cipher", "null", "crypto.cipher is missing"),
    (
        GETH,
        "/crypto/cipher",
        r#""aes-128-cbc""#,
        "crypto.cipher must be aes-128-ctr; found \"aes-128-cbc\"",
    ),
    (
        GETH,
        "/crypto/cipherparams",
        "null",
        "crypto.cipherparams is missing",
    ),
    (
        GETH,
        "/crypto/cipherparams/iv",
        r#""00""#,
        "crypto.cipherparams.iv must be 32 hexadecimal digits; found 2 characters",
    ),
    (
        GETH,
        "/crypto/ciphertext",
        r#""xyz""#,
        "crypto.ciphertext must be 2 to 64 hexadecimal digits, an even number; \
             found 3 characters that are not such digits",
    ),
    (
        GETH,
        "/crypto/ciphertext",
        r#""000000000000000000000000000000000000000000000000000000000000000000""#,
        "crypto.ciphertext must be 2 to 64 hexadecimal digits, an even number; \
             found 66 characters",
    ),
    (
        GETH,
        "/crypto/mac",
        "5",
        "crypto.mac must be a text; found another number",
    ),
    (
        GETH,
        "/crypto/mac",
        r#""0000000000000000000000000000000000000000000000000000000000000000""#,
        "crypto.mac does not match: the password is wrong, or the file is damaged",
    ),
    (
        GETH,
        "/crypto/kdf",
        r#""argon2id""#,
        "crypto.kdf must be scrypt or pbkdf2; found \"argon2id\"",
    ),
    (
        GETH,
        "/crypto/kdfparams",
        "null",
        "crypto.kdfparams is missing",
    ),
    (
        GETH,
        "/crypto/kdfparams/salt",
        "null",
        "crypto.kdfparams.salt is missing",
    ),
    (
        GETH,
        "/crypto/kdfparams/dklen",
        "16",
        "crypto.kdfparams.dklen must be at least 32; found 16",
    ),
    (
        GETH,
        "/crypto/kdfparams/n",
        "null",
        "crypto.kdfparams.n is missing",
    ),
    (
        GETH,
        "/crypto/kdfparams/n",
        "3",
        "crypto.kdfparams.n must be a power of two, at least 2; found 3",
    ),
    (
        GETH,
        "/crypto/kdfparams/n",
        "-8",
        "crypto.kdfparams.n must be a whole number, not negative; found another number",
    ),
    (
        GETH,
        "/crypto/kdfparams/n",
        "1048576",
        "crypto.kdfparams.n must be so that 128 · n · r is at most 536870912 bytes; \
             found n 1048576, r 8",
    ),
    (
        GETH,
        "/crypto/kdfparams/n",
        "9223372036854775808",
        "crypto.kdfparams.n must be so that 128 · n · r is at most 536870912 bytes; \
             found n 9223372036854775808, r 8",
    ),
    (
        GETH,
        "/crypto/kdfparams/r",
        "0",
        "crypto.kdfparams.r must be at least 1; found 0",
    ),
    (
        GETH,
        "/crypto/kdfparams/p",
        "0",
        "crypto.kdfparams.p must be at least 1; found 0",
    ),
    (
        GETH,
        "/crypto/kdfparams/p",
        "18446744073709551615",
        "crypto.kdfparams.p must be so that n · r · p is at most 8388608; \
             found n 2, r 8, p 18446744073709551615",
    ),
    (
        PBKDF2,
        "/crypto/kdfparams/c",
        "0",
        "crypto.kdfparams.c must be from 1 to 10000000; found 0",
    ),
    (
        PBKDF2,
        "/crypto/kdfparams/c",
        "4000000000",
        "crypto.kdfparams.c must be from 1 to 10000000; found 4000000000",
    ),
    (
        PBKDF2,
        "/crypto/kdfparams/prf",
        r#""hmac-sha512""#,
        "crypto.kdfparams.prf must be hmac-sha256; found \"hmac-sha512\"",
    ),
    (
        GETH,
        "/address",
        r#""45dea0""#,
        "address must be 40 hexadecimal digits; found 6 characters",
    ),
    (
        GETH,
        "/address",
        r#""0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F""#,
        "address is 0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F, but the key in the file has \
             0x45DeA0FB0bBA44f4fcF290bbA71Fd57d7117Cbb8",
    ),
];

#[test]
fn a_broken_field_is_named_with_its_rule() {
    for (text, pointer, replacement, error) in BROKEN_FIELDS {
        let mut file: Value = serde_json::from_str(text).unwrap();
        *file.pointer_mut(pointer).unwrap() = serde_json::from_str(replacement).unwrap();
        let refused = keystore::open(&file.to_string(), &Secret::new("")).unwrap_err();
        assert_eq!(refused.to_string(), *error, "{pointer}");
    }
}

#[test]
fn a_file_that_is_no_key_store_is_not_repeated() {
    let texts = [
        String::new(),
        "{\"version\": 3".to_owned(),
        DEFINITION_KEY.to_owned(),
        format!("\"{DEFINITION_KEY}\""),
        format!("[\"{DEFINITION_KEY}\"]"),
        format!("{{\"version\": \"{DEFINITION_KEY}\"}}"),
        format!("{{\"version\": 3, \"crypto\": \"{DEFINITION_KEY}\"}}"),
        format!("{{\"version\": 3, \"crypto\": {{\"cipher\": {{\"{DEFINITION_KEY}\": 1}}}}}}"),
    ];
    for text in texts {
        let refused = keystore::open(&text, &Secret::new("swordfish")).unwrap_err();
        for shown in [refused.to_string(), format!("{refused:?}")] {
            assert!(!shown.contains(&DEFINITION_KEY[..8]), "{text}: {shown}");
            assert!(!shown.contains("swordfish"), "{text}: {shown}");
        }
    }
}

#[test]
fn a_name_in_an_error_is_cut_short() {
    let mut file: Value = serde_json::from_str(GETH).unwrap();
    file["crypto"]["kdf"] = json!("k".repeat(10_000));
    let refused = keystore::open(&file.to_string(), &Secret::new("")).unwrap_err();
    assert!(refused.to_string().len() < 100, "{refused}");
}
