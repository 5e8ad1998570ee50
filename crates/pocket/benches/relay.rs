//! What one core does with relays: decoding, hashing, signing. SHA-256 over the same bytes, prost's own decoder and
//! k256's signer are measured in the same run.

use std::hint::black_box;

use baton_pocket::http;
use baton_pocket::keys::{SecretKey, SupplierKey};
use baton_pocket::message::{
    PokthttpRequest, RelayRequest, RelayRequestMetadata, RelayResponse, SessionHeader,
};
use baton_pocket::relay;
use divan::Bencher;
use k256::ecdsa::signature::Signer;
use k256::ecdsa::{Signature, SigningKey};
use prost::Message;
use sha2::{Digest, Sha256};

/// Bytes of an ordinary relay request: session header, ring signature of 199 bytes, a small JSON-RPC call.
const REQUEST_BYTES: usize = 600;
const KEY: &str = "1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11";

fn main() {
    divan::main();
}

#[divan::bench_group]
mod request {
    use super::*;

    #[divan::bench]
    fn decode_and_hash(bencher: Bencher<'_, '_>) {
        let bytes = encoded();
        bencher.bench(|| {
            let request = relay::decode_request(black_box(&bytes)).expect("a request");
            relay::request_hash(&request)
        });
    }

    #[divan::bench]
    fn decode_and_hash_with_prost(bencher: Bencher<'_, '_>) {
        let bytes = encoded();
        bencher.bench(|| {
            let mut request = RelayRequest::decode(black_box(bytes.as_slice())).expect("a request");
            request.meta.signature.clear();
            Sha256::digest(request.encode_to_vec())
        });
    }

    #[divan::bench]
    fn sha_256_of_the_bytes(bencher: Bencher<'_, '_>) {
        let bytes = encoded();
        bencher.bench(|| Sha256::digest(black_box(&bytes)));
    }

    #[divan::bench]
    fn check(bencher: Bencher<'_, '_>) {
        let request = request();
        bencher.bench(|| relay::check_request(black_box(&request)));
    }

    #[divan::bench]
    fn decode_http(bencher: Bencher<'_, '_>) {
        let payload = request().payload;
        bencher.bench(|| http::decode_request(black_box(&payload)).expect("a payload"));
    }
}

#[divan::bench_group]
mod response {
    use super::*;

    #[divan::bench]
    fn sign(bencher: Bencher<'_, '_>) {
        let key = SupplierKey::parse(KEY).expect("a key");
        bencher.bench(|| key.sign(black_box(&[7; 32])));
    }

    #[divan::bench]
    fn sign_with_k256(bencher: Bencher<'_, '_>) {
        let secret: [u8; 32] = std::array::from_fn(|at| {
            u8::from_str_radix(&KEY[2 * at..2 * at + 2], 16).expect("hexadecimal")
        });
        let key = SigningKey::from_slice(&secret).expect("a key");
        bencher.bench(|| -> Signature { key.sign(black_box(&[7; 32])) });
    }

    #[divan::bench]
    fn verify(bencher: Bencher<'_, '_>) {
        let key = SecretKey::parse(KEY).expect("a key");
        let signature = SupplierKey::new(&key).sign(&[7; 32]);
        let public = key.public_key();
        bencher.bench(|| public.verify(black_box(&[7; 32]), &signature));
    }

    #[divan::bench]
    fn respond_with_1_kilobyte(bencher: Bencher<'_, '_>) {
        let (request, key) = (request(), SupplierKey::parse(KEY).expect("a key"));
        bencher
            .with_inputs(|| vec![7; 1_000])
            .bench_values(|payload| relay::respond(&request, payload, &key).expect("a payload"));
    }

    #[divan::bench]
    fn mine(bencher: Bencher<'_, '_>) {
        let request = request();
        let response = response(&request);
        bencher.bench(|| relay::mine(black_box(&request), &response));
    }
}

fn encoded() -> Vec<u8> {
    request().encode_to_vec()
}

fn request() -> RelayRequest {
    let call = PokthttpRequest {
        method: "POST".to_owned(),
        url: "/".to_owned(),
        body_bz: br#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#.to_vec(),
        ..PokthttpRequest::default()
    };
    let mut call = call;
    http::add_header(&mut call.header, "content-type", "application/json");
    let mut request = RelayRequest {
        meta: RelayRequestMetadata {
            session_header: Some(SessionHeader {
                application_address: "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4".to_owned(),
                service_id: "eth".to_owned(),
                session_id: "afd00273055a4fddc0beb30074e14d474c07f9e895d2795db006a5139048d54b"
                    .to_owned(),
                session_start_block_height: 700_001,
                session_end_block_height: 700_060,
            }),
            signature: vec![7; 199],
            supplier_operator_address: "pokt1duatelq8yutj6eflsdhc4vpavuspz5gk8htla9".to_owned(),
        },
        payload: http::encode_request(&call),
    };
    while request.encoded_len() < REQUEST_BYTES {
        call.body_bz.push(b' ');
        request.payload = http::encode_request(&call);
    }
    request
}

fn response(request: &RelayRequest) -> RelayResponse {
    let key = SupplierKey::parse(KEY).expect("a key");
    relay::respond(request, vec![7; 1_000], &key).expect("a payload")
}
