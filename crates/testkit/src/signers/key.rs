//! The key that a service keeps.

use alloy_primitives::{hex, keccak256};
use baton_model::Address;
use k256::ecdsa::{Signature, SigningKey, VerifyingKey};
use k256::pkcs8::EncodePublicKey;

use super::control::KeyFault;

/// A secp256k1 key that signs hashes.
#[derive(Clone, Debug)]
pub struct ServiceKey {
    key: SigningKey,
    other: SigningKey,
}

impl ServiceKey {
    /// From 64 hexadecimal digits, optionally after `0x`.
    ///
    /// # Panics
    /// When they are no key.
    pub fn from_hex(text: &str) -> Self {
        let bytes = hex::decode(text).expect("a key is given as hexadecimal digits");
        Self {
            key: SigningKey::from_slice(&bytes).expect("a key is given"),
            other: SigningKey::from_slice(&[0x42; 32]).expect("0x42… is a key"),
        }
    }

    /// The account.
    pub fn address(&self) -> Address {
        let hash = keccak256(&self.point()[1..]);
        Address::from_slice(&hash[12..])
    }

    /// The public key as an uncompressed point: `04`, x, y.
    pub fn point(&self) -> Vec<u8> {
        let point = self.public().to_sec1_point(false);
        point.as_bytes().to_vec()
    }

    pub(super) fn der(&self) -> Vec<u8> {
        let der = self.public().to_public_key_der();
        der.expect("a public key is encoded").into_vec()
    }

    pub(super) fn pem(&self) -> String {
        let pem = self.public().to_public_key_pem(k256::pkcs8::LineEnding::LF);
        pem.expect("a public key is encoded")
    }

    /// Signs as ASN.1 DER; `None` when the fault is to give no signature.
    pub(super) fn sign_der(&self, hash: &[u8], fault: Option<&KeyFault>) -> Option<Vec<u8>> {
        let signature = self.sign(hash, fault)?;
        Some(signature.to_der().as_bytes().to_vec())
    }

    /// Signs as `r` and `s`.
    pub(super) fn sign_fixed(&self, hash: &[u8], fault: Option<&KeyFault>) -> Option<Vec<u8>> {
        Some(self.sign(hash, fault)?.to_bytes().to_vec())
    }

    /// Services do not care about low `s`; this one gives the lower of both unless told otherwise,
    /// so that tests know what they test.
    fn sign(&self, hash: &[u8], fault: Option<&KeyFault>) -> Option<Signature> {
        if fault == Some(&KeyFault::NoSignature) {
            return None;
        }
        let key = if fault == Some(&KeyFault::OtherKey) {
            &self.other
        } else {
            &self.key
        };
        let (signature, _) = key.sign_prehash_recoverable(hash);
        let low = signature.normalize_s();
        if fault != Some(&KeyFault::HighS) {
            return Some(low);
        }
        let (r, s) = (low.r(), low.s());
        let high = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes());
        Some(high.expect("the other s is as good"))
    }

    fn public(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }
}
