//! The JSON of a key store, read field by field: a general deserialiser would repeat values in its
//! errors, and somebody will one day point at a file that holds a raw key.

use baton_model::Address;
use serde_json::Value;

use super::kdf::{Kdf, SALT_BYTES_MAX};
use super::{IV_BYTES, KEY_BYTES, KeystoreError};

pub(super) const CIPHER: &str = "aes-128-ctr";
pub(super) const VERSION: u64 = 3;
const PRF: &str = "hmac-sha256";
const MAC_BYTES: usize = 32;
/// Most characters of a name (cipher, kdf, prf) repeated in an error.
const SHOWN_CHARS_MAX: usize = 32;

/// A key store whose fields were checked.
pub(super) struct Document {
    pub(super) kdf: Kdf,
    pub(super) iv: [u8; IV_BYTES],
    /// 1 to 32 bytes.
    pub(super) ciphertext: Vec<u8>,
    pub(super) mac: Vec<u8>,
    pub(super) address: Option<Address>,
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, KeystoreError> {
        let json: Value = serde_json::from_str(text).map_err(|error| KeystoreError::NotJson {
            line: error.line(),
            column: error.column(),
        })?;
        if !json.is_object() {
            return Err(KeystoreError::NotJson { line: 1, column: 1 });
        }
        let version = number(&json["version"], "version")?;
        if version != VERSION {
            return Err(refuse("version", "3", version.to_string()));
        }
        // Some writers capitalise the name.
        let crypto = json.get("crypto").unwrap_or(&json["Crypto"]);
        object(crypto, "crypto")?;
        name(&crypto["cipher"], "crypto.cipher", CIPHER)?;
        object(&crypto["cipherparams"], "crypto.cipherparams")?;
        let iv = bytes(
            &crypto["cipherparams"]["iv"],
            "crypto.cipherparams.iv",
            IV_BYTES..=IV_BYTES,
        )?;
        let ciphertext = bytes(&crypto["ciphertext"], "crypto.ciphertext", 1..=KEY_BYTES)?;
        Ok(Self {
            kdf: kdf(crypto)?,
            iv: iv.try_into().expect("the length was checked"),
            ciphertext,
            mac: bytes(&crypto["mac"], "crypto.mac", MAC_BYTES..=MAC_BYTES)?,
            address: address(&json["address"])?,
        })
    }
}

fn kdf(crypto: &Value) -> Result<Kdf, KeystoreError> {
    let kdf = string(&crypto["kdf"], "crypto.kdf")?;
    let params = &crypto["kdfparams"];
    object(params, "crypto.kdfparams")?;
    let salt = bytes(&params["salt"], "crypto.kdfparams.salt", 0..=SALT_BYTES_MAX)?;
    let length = number(&params["dklen"], "crypto.kdfparams.dklen")?;
    if length < KEY_BYTES as u64 {
        return Err(refuse(
            "crypto.kdfparams.dklen",
            "at least 32",
            length.to_string(),
        ));
    }
    match kdf {
        "scrypt" => Kdf::scrypt(
            number(&params["n"], "crypto.kdfparams.n")?,
            number(&params["r"], "crypto.kdfparams.r")?,
            number(&params["p"], "crypto.kdfparams.p")?,
            salt,
        ),
        "pbkdf2" => {
            name(&params["prf"], "crypto.kdfparams.prf", PRF)?;
            Kdf::pbkdf2(number(&params["c"], "crypto.kdfparams.c")?, salt)
        }
        other => Err(refuse("crypto.kdf", "scrypt or pbkdf2", quoted(other))),
    }
}

/// The address some writers add, as hexadecimal digits with or without `0x`; empty where they hide
/// it.
fn address(value: &Value) -> Result<Option<Address>, KeystoreError> {
    if value.is_null() || value.as_str() == Some("") {
        return Ok(None);
    }
    let bytes = bytes(value, "address", 20..=20)?;
    Ok(Some(Address::from_slice(&bytes)))
}

fn object(value: &Value, field: &'static str) -> Result<(), KeystoreError> {
    if value.is_object() {
        return Ok(());
    }
    Err(unexpected(value, field, "an object"))
}

fn number(value: &Value, field: &'static str) -> Result<u64, KeystoreError> {
    match value.as_u64() {
        Some(number) => Ok(number),
        None => Err(unexpected(value, field, "a whole number, not negative")),
    }
}

fn string<'a>(value: &'a Value, field: &'static str) -> Result<&'a str, KeystoreError> {
    match value.as_str() {
        Some(text) => Ok(text),
        None => Err(unexpected(value, field, "a text")),
    }
}

fn name(value: &Value, field: &'static str, wanted: &str) -> Result<(), KeystoreError> {
    let found = string(value, field)?;
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(refuse(field, wanted, quoted(found)))
}

fn bytes(
    value: &Value,
    field: &'static str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<Vec<u8>, KeystoreError> {
    let text = string(value, field)?;
    let rule = if lengths.start() == lengths.end() {
        format!("{} hexadecimal digits", 2 * lengths.start())
    } else {
        format!(
            "{} to {} hexadecimal digits, an even number",
            2 * lengths.start(),
            2 * lengths.end()
        )
    };
    match alloy_primitives::hex::decode(text) {
        Ok(bytes) if lengths.contains(&bytes.len()) => Ok(bytes),
        Ok(_) => {
            let found = format!("{} characters", text.chars().count());
            Err(refuse(field, &rule, found))
        }
        Err(_) => {
            let found = format!(
                "{} characters that are not such digits",
                text.chars().count()
            );
            Err(refuse(field, &rule, found))
        }
    }
}

fn unexpected(value: &Value, field: &'static str, rule: &str) -> KeystoreError {
    let found = match value {
        Value::Null => return KeystoreError::Missing { field },
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "another number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    refuse(field, rule, found.to_owned())
}

fn refuse(field: &'static str, rule: &str, found: String) -> KeystoreError {
    KeystoreError::Field {
        field,
        rule: rule.to_owned(),
        found,
    }
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{shown:?}")
}
