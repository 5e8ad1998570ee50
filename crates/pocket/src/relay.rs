//! Relays: a gateway's request, a supplier's response, their hashes and what is kept of them.
//!
//! ```
//! use baton_pocket::keys::SupplierKey;
//! use baton_pocket::message::{Message, RelayRequest, RelayRequestMetadata, SessionHeader};
//! use baton_pocket::relay;
//!
//! # let header = SessionHeader {
//! #     application_address: "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4".into(),
//! #     service_id: "svc1".into(),
//! #     session_id: "afd00273055a4fddc0beb30074e14d474c07f9e895d2795db006a5139048d54b".into(),
//! #     session_start_block_height: 1,
//! #     session_end_block_height: 4,
//! # };
//! # let key = SupplierKey::parse("1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11")?;
//! # let supplier_operator_address = key.address().to_string();
//! # let meta = RelayRequestMetadata {
//! #     session_header: Some(header), signature: vec![1, 2, 3], supplier_operator_address,
//! # };
//! # let body = RelayRequest { meta, payload: b"hello".to_vec() }.encode_to_vec();
//! let request = relay::decode_request(&body)?;
//! relay::check_request(&request)?;
//! let hash = relay::request_hash(&request); // what the ring signature is over
//! assert_ne!(hash, [0; 32]);
//! let response = relay::respond(&request, b"the backend's answer".to_vec(), &key)?;
//! relay::verify_response(&response, &key.public_key())?;
//! let mined = relay::mine(&request, &response);
//! assert_eq!(relay::decode_relay(&mined.bytes)?.req, Some(request));
//! let answer = response.encode_to_vec(); // what the gateway gets
//! assert_eq!(relay::decode_response(&answer)?, response);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod decode;

use prost::Message;
use prost::encoding;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::keys::{PublicKey, SignatureError, SupplierKey};
use crate::message::{
    Relay, RelayMinerError, RelayRequest, RelayRequestMetadata, RelayResponse,
    RelayResponseMetadata,
};

pub(crate) use check::quote;
pub use check::{
    FieldError, SERVICE_ID_MAX, check_header, check_proven, check_request, check_response,
    check_same_header, check_service_id,
};
pub use decode::{decode_relay, decode_request, decode_response};

/// A relay as it is kept, claimed and proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinedRelay {
    /// The value of the trie's leaf: the request, and the response without its payload.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`: the key of the leaf, and what the difficulty compares.
    pub hash: [u8; 32],
}

/// Why there is no response to sign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RespondError {
    /// An answer without a payload has no payload hash, and without one it proves nothing.
    #[error("RelayResponse.payload: an empty payload cannot be hashed")]
    EmptyPayload,
}

/// Why an answer is not what the supplier signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The signature does not count.
    #[error("RelayResponse: {0}")]
    Signature(#[from] SignatureError),
    /// The supplier signed the hash of another payload.
    #[error("RelayResponse.payload_hash: is not the hash of the payload")]
    Payload,
}

/// What a ring signature is over: SHA-256 of the request with an empty signature.
#[must_use]
pub fn request_hash(request: &RelayRequest) -> [u8; 32] {
    let meta = &request.meta;
    let mut inner = Vec::with_capacity(512);
    if let Some(header) = &meta.session_header {
        encoding::message::encode(1, header, &mut inner);
    }
    if !meta.supplier_operator_address.is_empty() {
        encoding::string::encode(3, &meta.supplier_operator_address, &mut inner);
    }
    let mut hasher = Sha256::new();
    hasher.update(head(1, inner.len()).as_slice());
    hasher.update(&inner);
    if !request.payload.is_empty() {
        hasher.update(head(2, request.payload.len()).as_slice());
        hasher.update(&request.payload);
    }
    hasher.finalize().into()
}

/// What a supplier signs: SHA-256 of the response with an empty signature and, if it has a payload hash, with an empty
/// payload.
#[must_use]
pub fn response_hash(response: &RelayResponse) -> [u8; 32] {
    let mut unsigned = without_payload(response);
    unsigned.meta.supplier_operator_signature.clear();
    if response.payload_hash.is_empty() {
        unsigned.payload.clone_from(&response.payload);
    }
    Sha256::digest(unsigned.encode_to_vec()).into()
}

/// SHA-256 of a payload.
///
/// # Errors
///
/// If the payload is empty.
pub fn payload_hash(payload: &[u8]) -> Result<[u8; 32], RespondError> {
    if payload.is_empty() {
        return Err(RespondError::EmptyPayload);
    }
    Ok(Sha256::digest(payload).into())
}

/// The signed response to a request.
///
/// # Errors
///
/// If the payload is empty.
pub fn respond(
    request: &RelayRequest,
    payload: Vec<u8>,
    key: &SupplierKey,
) -> Result<RelayResponse, RespondError> {
    signed(request, payload, None, key)
}

/// The signed answer to a request that failed after it was found valid, for transports whose callers look for a
/// signature on every answer. Nobody is paid for it, so it is not mined.
///
/// # Errors
///
/// If the payload is empty.
pub fn respond_with_error(
    request: &RelayRequest,
    payload: Vec<u8>,
    error: RelayMinerError,
    key: &SupplierKey,
) -> Result<RelayResponse, RespondError> {
    signed(request, payload, Some(error), key)
}

/// Signs a response as it is, in the place of any signature that it has.
pub fn sign_response(response: &mut RelayResponse, key: &SupplierKey) {
    let signature = key.sign(&response_hash(response));
    response.meta.supplier_operator_signature = signature.to_vec();
}

/// The unsigned answer to a request that cannot be served. It earns nothing.
#[must_use]
pub fn refuse(request: Option<&RelayRequest>, error: RelayMinerError) -> RelayResponse {
    RelayResponse {
        meta: RelayResponseMetadata {
            session_header: request.and_then(|request| request.meta.session_header.clone()),
            supplier_operator_signature: Vec::new(),
        },
        payload: error.message.clone().into_bytes(),
        relay_miner_error: Some(error),
        payload_hash: Vec::new(),
    }
}

/// Checks the supplier's signature of a response, whether or not it has a payload hash.
///
/// The payload itself is not compared with its hash: a mined response has none. Whoever asked and has the payload calls
/// [`verify_answer`].
///
/// # Errors
///
/// If the signature is not 64 bytes of low-S ECDSA by that key over that response.
pub fn verify_response(response: &RelayResponse, key: &PublicKey) -> Result<(), SignatureError> {
    let signature = &response.meta.supplier_operator_signature;
    key.verify(&response_hash(response), signature)
}

/// Checks an answer as whoever asked gets it: the supplier's signature, and that the payload is the one that was
/// signed.
///
/// # Errors
///
/// If the signature is not that of the supplier, or the payload hash that of another payload.
pub fn verify_answer(response: &RelayResponse, key: &PublicKey) -> Result<(), AnswerError> {
    verify_response(response, key)?;
    // Without a payload hash the signature is over the payload itself.
    let hash: [u8; 32] = Sha256::digest(&response.payload).into();
    if response.payload_hash.is_empty() || response.payload_hash == hash {
        return Ok(());
    }
    Err(AnswerError::Payload)
}

/// What is kept of a relay. The response's payload goes: its hash stays. A response that has no payload hash, as old
/// relayers made them, proves nothing without its payload.
#[must_use]
pub fn mine(request: &RelayRequest, response: &RelayResponse) -> MinedRelay {
    let response = without_payload(response);
    let sizes =
        encoding::message::encoded_len(1, request) + encoding::message::encoded_len(2, &response);
    let mut bytes = Vec::with_capacity(sizes);
    encoding::message::encode(1, request, &mut bytes);
    encoding::message::encode(2, &response, &mut bytes);
    let hash = Sha256::digest(&bytes).into();
    MinedRelay { bytes, hash }
}

/// What is kept of a relay that came as one message. Both parts should be there: what is missing stays missing.
#[must_use]
pub fn mine_relay(relay: &Relay) -> MinedRelay {
    let kept = Relay {
        req: relay.req.clone(),
        res: relay.res.as_ref().map(without_payload),
    };
    let bytes = kept.encode_to_vec();
    let hash = Sha256::digest(&bytes).into();
    MinedRelay { bytes, hash }
}

/// A request that waits for its signature.
#[must_use]
pub fn unsigned_request(
    session_header: crate::message::SessionHeader,
    supplier_operator_address: String,
    payload: Vec<u8>,
) -> RelayRequest {
    RelayRequest {
        meta: RelayRequestMetadata {
            session_header: Some(session_header),
            signature: Vec::new(),
            supplier_operator_address,
        },
        payload,
    }
}

fn signed(
    request: &RelayRequest,
    payload: Vec<u8>,
    relay_miner_error: Option<RelayMinerError>,
    key: &SupplierKey,
) -> Result<RelayResponse, RespondError> {
    let hash = payload_hash(&payload)?;
    let mut response = RelayResponse {
        meta: RelayResponseMetadata {
            session_header: request.meta.session_header.clone(),
            supplier_operator_signature: Vec::new(),
        },
        payload,
        relay_miner_error,
        payload_hash: hash.to_vec(),
    };
    sign_response(&mut response, key);
    Ok(response)
}

fn without_payload(response: &RelayResponse) -> RelayResponse {
    RelayResponse {
        meta: response.meta.clone(),
        payload: Vec::new(),
        relay_miner_error: response.relay_miner_error.clone(),
        payload_hash: response.payload_hash.clone(),
    }
}

/// The key and the length before a field's bytes.
fn head(tag: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    encoding::encode_key(tag, encoding::WireType::LengthDelimited, &mut bytes);
    encoding::encode_varint(length as u64, &mut bytes);
    bytes
}
