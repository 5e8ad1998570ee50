//! Public keys in the forms that services give them, and signatures made fit for a chain.

use alloy_primitives::hex;
use baton_model::{Address, B256, U256};
use k256::PublicKey;
use k256::ecdsa::{RecoveryId, Signature as Ecdsa, VerifyingKey};
use k256::pkcs8::DecodePublicKey;

use super::fault::Fault;
use crate::Signature;
use crate::local::address_of;

/// A signature as a service gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RawSignature {
    /// ASN.1 DER, as X9.62 has it.
    Der(Vec<u8>),
    /// `r` and `s`, 32 bytes each.
    Fixed(Vec<u8>),
}

/// The account of a public key given as SubjectPublicKeyInfo in DER.
pub(super) fn address_of_der(der: &[u8]) -> Result<Address, Fault> {
    PublicKey::from_public_key_der(der)
        .map(|key| account(&key))
        .map_err(|_| not_a_key())
}

/// The account of a public key given as SubjectPublicKeyInfo in PEM.
pub(super) fn address_of_pem(pem: &str) -> Result<Address, Fault> {
    PublicKey::from_public_key_pem(pem.trim())
        .map(|key| account(&key))
        .map_err(|_| not_a_key())
}

/// The account of a point (SEC 1, compressed or not).
pub(super) fn address_of_point(point: &[u8]) -> Result<Address, Fault> {
    PublicKey::from_sec1_bytes(point)
        .map(|key| account(&key))
        .map_err(|_| not_a_key())
}

/// The account of a point written as hexadecimal digits, with or without `0x`, and without the
/// leading `04` too.
pub(super) fn address_of_hex(text: &str) -> Option<Address> {
    let mut point = hex::decode(text.trim()).ok()?;
    if point.len() == 64 {
        point.insert(0, 4);
    }
    address_of_point(&point).ok()
}

/// Makes a signature fit for a chain: low `s`, and the parity with which the account comes out.
/// When it does not come out, another key signed, or another hash.
pub(super) fn finish(raw: &RawSignature, hash: B256, account: Address) -> Result<Signature, Fault> {
    let parsed = match raw {
        RawSignature::Der(der) => Ecdsa::from_der(der),
        RawSignature::Fixed(bytes) => Ecdsa::from_slice(bytes),
    };
    let signature = parsed
        .map_err(|_| Fault::passing("the answer is not an ECDSA signature"))?
        .normalize_s();
    let parity = [false, true].into_iter().find(|parity| {
        let id = RecoveryId::new(*parity, false);
        VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, id)
            .is_ok_and(|key| address_of(&key) == account)
    });
    let y_parity = parity.ok_or_else(|| {
        Fault::lasting(format!(
            "the signature is not by the key of account {account}"
        ))
    })?;
    let (r, s) = signature.split_bytes();
    Ok(Signature {
        r: U256::from_be_slice(&r),
        s: U256::from_be_slice(&s),
        y_parity,
    })
}

fn account(key: &PublicKey) -> Address {
    address_of(&VerifyingKey::from(key))
}

fn not_a_key() -> Fault {
    Fault::lasting("the key is not a secp256k1 key, which an EVM account needs")
}
