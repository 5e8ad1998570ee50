//! The protocol of Pocket Network, as relayers and miners speak it.
//!
//! Pure: no I/O, no `async`, no clock, no randomness that was not passed in.
//!
//! # Serve a relay
//!
//! A gateway sends a request, signed with a ring signature; a relayer checks it, asks the backend, signs the answer and
//! keeps what it will prove.
//!
//! ```
//! use baton_pocket::keys::SupplierKey;
//! use baton_pocket::message::{PokthttpResponse, RelayResponse};
//! use baton_pocket::relay::MinedRelay;
//! use baton_pocket::ring::{Ring, Verifier};
//! use baton_pocket::{http, relay};
//!
//! type Served = (RelayResponse, MinedRelay);
//! type Failed = Box<dyn std::error::Error>;
//!
//! fn serve(
//!     body: &[u8],
//!     ring: &Ring,
//!     verifier: &Verifier,
//!     key: &SupplierKey,
//! ) -> Result<Served, Failed> {
//!     let request = relay::decode_request(body)?;
//!     relay::check_request(&request)?;
//!     let hash = relay::request_hash(&request);
//!     verifier.verify(&request.meta.signature, &hash, ring)?;
//!     let call = http::decode_request(&request.payload)?;
//!     let answer = PokthttpResponse {
//!         status_code: 200,
//!         body_bz: call.body_bz, // a backend that echoes
//!         ..PokthttpResponse::default()
//!     };
//!     let response = relay::respond(&request, http::encode_response(&answer), key)?;
//!     let mined = relay::mine(&request, &response);
//!     Ok((response, mined))
//! }
//!
//! # use baton_pocket::keys::SecretKey;
//! # use baton_pocket::message::{PokthttpRequest, SessionHeader};
//! # use baton_pocket::ring;
//! # use prost::Message;
//! # let secrets = [1, 2].map(|key| SecretKey::parse(&format!("{key:064x}")).unwrap());
//! # let ring = Ring::new(secrets.iter().map(SecretKey::public_key).collect());
//! # let supplier = SupplierKey::parse(&format!("{:064x}", 3))?;
//! # let header = SessionHeader {
//! #     application_address: secrets[0].public_key().address().to_string(),
//! #     service_id: "svc1".to_owned(),
//! #     session_id: "ab".repeat(32),
//! #     session_start_block_height: 1,
//! #     session_end_block_height: 4,
//! # };
//! # let call = PokthttpRequest { body_bz: b"hello".to_vec(), ..PokthttpRequest::default() };
//! # let to = supplier.address().to_string();
//! # let mut request = relay::unsigned_request(header, to, http::encode_request(&call));
//! # let hash = relay::request_hash(&request);
//! # request.meta.signature = ring::sign(&ring, &secrets[1], &hash, &[5; 32])?.to_bytes();
//! # let body = request.encode_to_vec();
//! let (response, mined) = serve(&body, &ring, &Verifier::new(16 << 20), &supplier)?;
//! relay::verify_response(&response, &supplier.public_key())?;
//! let kept = relay::decode_relay(&mined.bytes)?;
//! assert_eq!(kept.res.map(|response| response.payload), Some(Vec::new()));
//! # Ok::<(), Failed>(())
//! ```

pub mod code;
mod curve;
pub mod difficulty;
pub mod gob;
pub mod gorand;
pub mod http;
pub mod keys;
pub mod message;
pub mod price;
pub mod relay;
pub mod requirement;
pub mod ring;
pub mod session;
pub mod smst;
pub mod stream;
pub mod window;
mod wire;

pub use wire::{DecodeError, Fault};
