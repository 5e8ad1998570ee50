//! Who signed a transaction.

use alloy_primitives::keccak256;
use baton_chain::tx::{DecodedTx, signing_hash};
use baton_model::Address;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

/// The account that signed; `None` when the signature is none. About 0.1 ms of computation.
pub(super) fn sender(decoded: &DecodedTx) -> Option<Address> {
    let hash = signing_hash(&decoded.tx);
    let (r, s) = (decoded.r.to_be_bytes::<32>(), decoded.s.to_be_bytes::<32>());
    let signature = Signature::from_scalars(r, s).ok()?;
    let id = RecoveryId::new(decoded.y_parity, false);
    let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, id).ok()?;
    let point = key.to_sec1_point(false);
    // The first byte tells that the point is not compressed and is no part of the address.
    let hash = keccak256(&point.as_bytes()[1..]);
    Some(Address::from_slice(&hash[12..]))
}
