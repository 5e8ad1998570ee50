//! Relays: the specification's numbers, the agreement with prost, and every way to refuse one.

mod refused;

use baton_pocket::keys::{SignatureError, SupplierKey};
use baton_pocket::message::pocket::proof::Claim;
use baton_pocket::message::{
    Relay, RelayMinerError, RelayRequest, RelayRequestMetadata, RelayResponse,
    RelayResponseMetadata, SessionHeader,
};
use baton_pocket::relay::{self, AnswerError, RespondError};
use proptest::prelude::*;
use prost::Message;
use sha2::{Digest, Sha256};

const APP: &str = "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4";
const SUPPLIER: &str = "pokt1duatelq8yutj6eflsdhc4vpavuspz5gk8htla9";
const SUPPLIER_KEY: &str = "1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11";
const REQUEST: &str = concat!(
    "0aa8010a790a2b706f6b74316d7271743566377168387578733237636a6d397437763965373461397676646e7135",
    "6a7661341204737663311a4061666430303237333035356134666464633062656233303037346531346434373463",
    "30376639653839356432373935646230303661353133393034386435346220012804",
    "1a2b706f6b743164756174656c71387975746a3665666c7364686334767061767573707a35676b3868746c613912",
    "0d68656c6c6f2d72657175657374",
);

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header() -> SessionHeader {
    SessionHeader {
        application_address: APP.to_owned(),
        service_id: "svc1".to_owned(),
        session_id: "afd00273055a4fddc0beb30074e14d474c07f9e895d2795db006a5139048d54b".to_owned(),
        session_start_block_height: 1,
        session_end_block_height: 4,
    }
}

fn request() -> RelayRequest {
    relay::unsigned_request(header(), SUPPLIER.to_owned(), b"hello-request".to_vec())
}

fn supplier() -> SupplierKey {
    SupplierKey::parse(SUPPLIER_KEY).expect("a key")
}

#[test]
fn the_specifications_relay_comes_out() {
    let mut request = request();
    assert_eq!(hex(&request.encode_to_vec()), REQUEST);
    assert_eq!(relay::decode_request(&unhex(REQUEST)), Ok(request.clone()));
    let hash = "0ae2a4d1e7eccee5aa665b7c0655feca2946baa61121bac82ea2cd8203bdffcc";
    assert_eq!(hex(&relay::request_hash(&request)), hash);
    request.meta.signature = vec![1, 2, 3];
    assert_eq!(
        hex(&relay::request_hash(&request)),
        hash,
        "the signature does not count"
    );

    let key = supplier();
    assert_eq!(key.address().to_string(), SUPPLIER);
    let response = relay::respond(&request, b"hello-response".to_vec(), &key).unwrap();
    let payload_hash = "28e92d933e7c5df3d68ab85b4be686a30f9873ba4f2a06c5f8c7b12d107fa463";
    assert_eq!(hex(&response.payload_hash), payload_hash);
    let hash = "5f705b5bdf1a06c12e139abf40f94c40e8b33df7be145c935100e80e11d64e09";
    assert_eq!(hex(&relay::response_hash(&response)), hash);
    let signature = concat!(
        "c1ae6c9fcac5a1d69b2f940473afabe6d633bf2bbdebcb215b56dd7a0e4f4e84",
        "3d64f75ee3a4b491c5d66172783b5c746e4c324e10c7b67dae6090c48482c7fa",
    );
    assert_eq!(hex(&response.meta.supplier_operator_signature), signature);

    let mined = relay::mine(&request, &response);
    let hash = "da49e369dd15f2f45037a1e1f83df4567d028ea3dacba39d0970c2ab97309a9a";
    assert_eq!(hex(&mined.hash), hash);
    let path = "2afca3026cca8f4332cbf4e8f03cbc0c926b01c19c029858e37969b021abd2af";
    assert_eq!(hex(&Sha256::digest(mined.hash)), path);
    let kept = relay::decode_relay(&mined.bytes).unwrap();
    assert_eq!(kept.req.as_ref(), Some(&request));
    assert_eq!(
        relay::mine_relay(&kept),
        mined,
        "dehydrating twice changes nothing"
    );
    let dehydrated = kept.res.unwrap();
    assert!(dehydrated.payload.is_empty());
    assert_eq!(
        relay::verify_response(&dehydrated, &key.public_key()),
        Ok(())
    );
    let whole = Relay {
        req: Some(request),
        res: Some(response),
    };
    assert_eq!(relay::mine_relay(&whole), mined);
}

#[test]
fn the_specifications_claim_comes_out() {
    let root = "f56b96f291ee6cf96bcfbe62af9570972c16ac048cc134cfab0534721476fdb6";
    let claim = Claim {
        supplier_operator_address: SUPPLIER.to_owned(),
        session_header: Some(header()),
        root_hash: unhex(&format!("{root}{:016x}{:016x}", 100, 1)),
        proof_validation_status: 0,
    };
    let hash = "88ef002f1ab9d4c2956937a726bad394f8422dfea3a7b8ac84c91a89ce82489c";
    assert_eq!(hex(&Sha256::digest(claim.encode_to_vec())), hash);
}

#[test]
fn what_is_non_null_is_always_on_the_wire() {
    assert_eq!(RelayRequest::default().encode_to_vec(), [0x0a, 0]);
    assert_eq!(RelayResponse::default().encode_to_vec(), [0x0a, 0]);
    let decoded = relay::decode_request(b"\x12\x01x").unwrap();
    assert_eq!(decoded.encode_to_vec(), b"\x0a\x00\x12\x01x");
    assert!(RelayRequestMetadata::default().encode_to_vec().is_empty());
    assert!(Relay::default().encode_to_vec().is_empty());
}

#[test]
fn hashes_are_of_what_is_encoded_again() {
    // Payload first, with a length in more bytes than it needs, an unknown field, the metadata in two parts, a field
    // twice.
    let mut bytes = b"\x12\x85\x80\x00first\x3a\x02??".to_vec();
    let meta = RelayRequestMetadata {
        supplier_operator_address: SUPPLIER.to_owned(),
        ..RelayRequestMetadata::default()
    };
    let later = RelayRequestMetadata {
        session_header: Some(header()),
        ..RelayRequestMetadata::default()
    };
    for part in [meta, later] {
        bytes.push(0x0a);
        part.encode_length_delimited(&mut bytes).unwrap();
    }
    bytes.extend_from_slice(b"\x12\x0dhello-request");
    let decoded = relay::decode_request(&bytes).unwrap();
    assert_eq!(decoded, request());
    assert_eq!(
        relay::request_hash(&decoded),
        relay::request_hash(&request())
    );
}

#[test]
fn old_responses_are_signed_over_their_payload() {
    let key = supplier();
    let mut response = relay::respond(&request(), b"answer".to_vec(), &key).unwrap();
    response.payload_hash.clear();
    let before = relay::response_hash(&response);
    relay::sign_response(&mut response, &key);
    assert_eq!(relay::verify_response(&response, &key.public_key()), Ok(()));
    response.payload.push(b'!');
    assert_ne!(relay::response_hash(&response), before);
    let answer = relay::verify_response(&response, &key.public_key());
    assert_eq!(answer, Err(SignatureError::Mismatch));
}

#[test]
fn an_answer_is_checked_with_its_payload() {
    let key = supplier();
    let public = key.public_key();
    let good = relay::respond(&request(), b"answer".to_vec(), &key).unwrap();
    assert_eq!(relay::verify_answer(&good, &public), Ok(()));
    let mut other = good.clone();
    other.payload = b"another".to_vec();
    assert_eq!(relay::verify_response(&other, &public), Ok(()));
    let answer = relay::verify_answer(&other, &public);
    assert_eq!(answer, Err(AnswerError::Payload));
    other.payload_hash = relay::payload_hash(&other.payload).unwrap().to_vec();
    let answer = relay::verify_answer(&other, &public);
    assert_eq!(answer, Err(SignatureError::Mismatch.into()));
    let mut old = good;
    old.payload_hash.clear();
    relay::sign_response(&mut old, &key);
    assert_eq!(relay::verify_answer(&old, &public), Ok(()));

    let error = RelayMinerError {
        code: 10,
        ..RelayMinerError::default()
    };
    let answer = relay::respond_with_error(&request(), b"late".to_vec(), error.clone(), &key);
    let failed = answer.unwrap();
    assert_eq!(failed.relay_miner_error, Some(error));
    assert_eq!(relay::verify_answer(&failed, &public), Ok(()));
}

#[test]
fn an_empty_payload_cannot_be_answered_with() {
    let answer = relay::respond(&request(), Vec::new(), &supplier());
    assert_eq!(answer, Err(RespondError::EmptyPayload));
    let error = RelayMinerError {
        codespace: "relayer_proxy".to_owned(),
        code: 10,
        message: "too late".to_owned(),
        ..RelayMinerError::default()
    };
    let refusal = relay::refuse(Some(&request()), error.clone());
    assert_eq!(refusal.payload, b"too late");
    assert_eq!(refusal.relay_miner_error, Some(error.clone()));
    assert_eq!(refusal.meta.session_header, Some(header()));
    assert!(refusal.meta.supplier_operator_signature.is_empty());
    assert_eq!(relay::refuse(None, error).meta.session_header, None);
}

fn headers() -> impl Strategy<Value = SessionHeader> {
    (".{0,8}", ".{0,8}", ".{0,8}", any::<i64>(), any::<i64>()).prop_map(
        |(application_address, service_id, session_id, start, end)| SessionHeader {
            application_address,
            service_id,
            session_id,
            session_start_block_height: start,
            session_end_block_height: end,
        },
    )
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn requests() -> impl Strategy<Value = RelayRequest> {
    (prop::option::of(headers()), bytes(), ".{0,8}", bytes()).prop_map(
        |(session_header, signature, supplier_operator_address, payload)| RelayRequest {
            meta: RelayRequestMetadata {
                session_header,
                signature,
                supplier_operator_address,
            },
            payload,
        },
    )
}

fn responses() -> impl Strategy<Value = RelayResponse> {
    let errors = (".{0,8}", any::<u32>(), ".{0,8}", ".{0,8}").prop_map(
        |(codespace, code, description, message)| RelayMinerError {
            codespace,
            code,
            description,
            message,
        },
    );
    let meta = (prop::option::of(headers()), bytes());
    (meta, bytes(), prop::option::of(errors), bytes()).prop_map(
        |((session_header, signature), payload, relay_miner_error, payload_hash)| RelayResponse {
            meta: RelayResponseMetadata {
                session_header,
                supplier_operator_signature: signature,
            },
            payload,
            relay_miner_error,
            payload_hash,
        },
    )
}

fn relays() -> impl Strategy<Value = Relay> {
    (prop::option::of(requests()), prop::option::of(responses()))
        .prop_map(|(req, res)| Relay { req, res })
}

/// Changes that keep bytes close to a message.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 0..4)
}

fn damaged(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (index, kind, value) in changes {
        let at = index.index(bytes.len() + 1);
        match kind {
            0 => bytes.insert(at, *value),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] = *value,
            _ if at < bytes.len() => bytes[at] ^= 1 << (value % 8),
            _ => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decoding_is_prosts(relay in relays(), changes in damage()) {
        let bytes = damaged(relay.encode_to_vec(), &changes);
        prop_assert_eq!(relay::decode_relay(&bytes).ok(), Relay::decode(bytes.as_slice()).ok());
        let own = relay::decode_request(&bytes).ok();
        prop_assert_eq!(own, RelayRequest::decode(bytes.as_slice()).ok());
        let own = relay::decode_response(&bytes).ok();
        prop_assert_eq!(own, RelayResponse::decode(bytes.as_slice()).ok());
    }

    #[test]
    fn hashes_are_of_the_edited_message(request in requests(), response in responses()) {
        let mut edited = request.clone();
        edited.meta.signature.clear();
        let expected: [u8; 32] = Sha256::digest(edited.encode_to_vec()).into();
        prop_assert_eq!(relay::request_hash(&request), expected);

        let mut edited = response.clone();
        edited.meta.supplier_operator_signature.clear();
        if !edited.payload_hash.is_empty() {
            edited.payload.clear();
        }
        let expected: [u8; 32] = Sha256::digest(edited.encode_to_vec()).into();
        prop_assert_eq!(relay::response_hash(&response), expected);

        let mut kept = Relay { req: Some(request.clone()), res: Some(response.clone()) };
        kept.res.as_mut().unwrap().payload.clear();
        prop_assert_eq!(relay::mine(&request, &response).bytes, kept.encode_to_vec());
    }
}
