//! The protocol of Pocket Network, as relayers and miners speak it.
//!
//! A gateway asks an application's question and signs it; a supplier answers, signs and is paid for what it can prove.
//! Nothing here acts: no I/O, no `async`, no clock, no randomness that was not passed in. Heights, hashes of blocks and
//! parameters of the chain are arguments; amounts are in upokt, the smallest unit of the token, and work is in compute
//! units.
//!
//! | for | there is |
//! |---|---|
//! | what travels | [`message`], [`relay`], [`http`] inside relays, [`stream`]s of answers, error [`code`]s |
//! | who may | [`keys`] and addresses, [`ring`] signatures, [`activity`], [`session`]s, [`window`]s |
//! | what counts | [`difficulty`], the [`smst`] of a session with its proofs and their [`gob`] encoding |
//! | what it is worth | [`price`], [`coin`], the [`requirement`] of a proof and Go's random numbers ([`gorand`]) |
//!
//! All bytes that strangers send are read by decoders with stated limits on what they allocate, whose errors name the
//! field and its place: [`relay`] and [`http`] by [`DecodeError`], [`ring::RingError`], [`gob::GobError`],
//! [`keys::KeysError`], [`stream::StreamError`]. How large an input may be in the first place is the caller's to say.
//!
//! # Serve a relay
//!
//! A gateway sends a request with a ring signature; a relayer checks it, asks the backend, signs the answer and keeps
//! what it will prove.
//!
//! ```
//! use baton_pocket::keys::SupplierKey;
//! use baton_pocket::message::{PokthttpResponse, RelayResponse, SessionHeader};
//! use baton_pocket::relay::MinedRelay;
//! use baton_pocket::ring::{Ring, Verifier};
//! use baton_pocket::{http, relay};
//!
//! type Served = (RelayResponse, MinedRelay);
//! type Failed = Box<dyn std::error::Error>;
//!
//! fn serve(
//!     body: &[u8],
//!     session: &SessionHeader, // as the chain has it
//!     ring: &Ring,             // of the session's application
//!     verifier: &Verifier,     // one for all threads
//!     key: &SupplierKey,
//! ) -> Result<Served, Failed> {
//!     let request = relay::decode_request(body)?;
//!     relay::check_request(&request)?;
//!     let header = request.meta.session_header.as_ref().ok_or("no session")?;
//!     relay::check_same_header(header, session)?;
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
//! # use baton_pocket::message::{Message, PokthttpRequest};
//! # use baton_pocket::ring;
//! # let secrets = [1, 2].map(|key| SecretKey::parse(&format!("{key:064x}")).unwrap());
//! # let ring = Ring::new(secrets.iter().map(SecretKey::public_key).collect());
//! # let supplier = SupplierKey::parse(&format!("{:064x}", 3))?;
//! # let session = SessionHeader {
//! #     application_address: secrets[0].public_key().address().to_string(),
//! #     service_id: "svc1".to_owned(),
//! #     session_id: "ab".repeat(32),
//! #     session_start_block_height: 1,
//! #     session_end_block_height: 4,
//! # };
//! # let call = PokthttpRequest { body_bz: b"hello".to_vec(), ..PokthttpRequest::default() };
//! # let to = supplier.address().to_string();
//! # let mut request = relay::unsigned_request(session.clone(), to, http::encode_request(&call));
//! # let hash = relay::request_hash(&request);
//! # request.meta.signature = ring::sign(&ring, &secrets[1], &hash, &[5; 32])?.to_bytes();
//! # let body = request.encode_to_vec();
//! let verifier = Verifier::new(16 << 20);
//! let (response, mined) = serve(&body, &session, &ring, &verifier, &supplier)?;
//! // What the gateway checks.
//! relay::verify_answer(&response, &supplier.public_key())?;
//! // What the miner gets: the answer's payload is left out.
//! let kept = relay::decode_relay(&mined.bytes)?;
//! assert_eq!(kept.res.map(|response| response.payload), Some(Vec::new()));
//! # Ok::<(), Failed>(())
//! ```
//!
//! # Claim a session
//!
//! When the session's claim window opens, a miner puts the relays whose hashes are below the target into a trie, and
//! claims with its root if the claim is worth its fees. Leaves may come while the session runs, in any order and more
//! than once; a trie that is lost is built again from the relays, with the same root.
//!
//! ```
//! use baton_pocket::difficulty::Target;
//! use baton_pocket::message::SessionHeader;
//! use baton_pocket::message::pocket::proof::MsgCreateClaim;
//! use baton_pocket::message::pocket::shared::Params;
//! use baton_pocket::price::{self, Price};
//! use baton_pocket::smst::{Inline, Leaf, Sealed, Trie, Value};
//! use baton_pocket::window::Offsets;
//!
//! # type Failed = Box<dyn std::error::Error>;
//! struct Session {
//!     header: SessionHeader,
//!     at_start: Params, // the shared parameters at the session's first block,
//!     at_end: Params,   // and at its last
//!     target: Target,   // the service's difficulty and compute units at the first block
//!     compute_units_per_relay: u64,
//! }
//!
//! fn claim(
//!     session: &Session,
//!     relays: &[Vec<u8>],
//!     supplier: &str,
//!     next_height: i64,
//!     fees: u128,
//! ) -> Result<Option<(MsgCreateClaim, Sealed)>, Failed> {
//!     let windows = Offsets::new(&session.at_end)?.windows(session.header.session_end_block_height);
//!     if !windows.takes_claim(next_height) {
//!         return Ok(None);
//!     }
//!     let mut trie = Trie::new();
//!     for relay in relays {
//!         let value = Value::new(relay)?;
//!         if session.target.admits(value.key()) {
//!             trie.insert(&Leaf::new(value, session.compute_units_per_relay))?;
//!         }
//!     }
//!     let sealed = trie.seal(&Inline); // no leaf comes after the root was taken
//!     let root = sealed.root();
//!     if root.check_claimable().is_err() {
//!         return Ok(None);
//!     }
//!     price::check_sum(&root, session.compute_units_per_relay)?;
//!     let value = Price::new(&session.at_start)?.claim(&root, &session.target)?;
//!     if value.upokt <= fees {
//!         return Ok(None);
//!     }
//!     let message = MsgCreateClaim {
//!         supplier_operator_address: supplier.to_owned(),
//!         session_header: Some(session.header.clone()),
//!         root_hash: root.as_bytes().to_vec(),
//!     };
//!     Ok(Some((message, sealed)))
//! }
//! # let params = Params {
//! #     num_blocks_per_session: 4,
//! #     claim_window_open_offset_blocks: 1,
//! #     claim_window_close_offset_blocks: 4,
//! #     compute_units_to_tokens_multiplier: 42_000_000,
//! #     compute_unit_cost_granularity: 1_000_000,
//! #     ..Params::default()
//! # };
//! # let session = Session {
//! #     header: SessionHeader { session_end_block_height: 4, ..SessionHeader::default() },
//! #     at_start: params,
//! #     at_end: params,
//! #     target: Target::BASE,
//! #     compute_units_per_relay: 100,
//! # };
//! # let relays = [b"relay-0".to_vec(), b"relay-1".to_vec(), b"relay-0".to_vec()];
//!
//! // The session ends at height 4, so its claims may be in blocks 6 to 10.
//! assert!(claim(&session, &relays, "pokt1...", 5, 2)?.is_none());
//! let (message, sealed) = claim(&session, &relays, "pokt1...", 6, 2)?.ok_or("not worth it")?;
//! assert_eq!(message.root_hash, sealed.root().as_bytes());
//! assert_eq!((sealed.root().count(), sealed.root().sum()), (2, 200));
//! # Ok::<(), Failed>(())
//! ```
//!
//! # Prove it
//!
//! When the proof window opens, the hash of the block before decides whether a claim has to be proven, and with which
//! relay. Everything that the chain will check is checked first: a wrong proof costs stake.
//!
//! ```
//! use baton_pocket::keys::PublicKey;
//! use baton_pocket::message::pocket::proof::{Claim, MsgSubmitProof};
//! use baton_pocket::requirement::{Policy, Requirement, proof_path};
//! use baton_pocket::ring::{Ring, Verifier};
//! use baton_pocket::smst::Sealed;
//! use baton_pocket::{gob, relay};
//!
//! # type Failed = Box<dyn std::error::Error>;
//! fn prove(
//!     claim: &Claim, // as the chain has it
//!     claimed_upokt: u128,
//!     sealed: &Sealed,
//!     policy: &Policy,
//!     seed: &[u8; 32], // hash of the block at `window::seed_height`
//!     (verifier, ring, supplier): (&Verifier, &Ring, &PublicKey),
//! ) -> Result<Option<MsgSubmitProof>, Failed> {
//!     if policy.requirement(claim, claimed_upokt, seed) == Requirement::NotRequired {
//!         return Ok(None); // the chain would refuse a proof
//!     }
//!     let header = claim.session_header.as_ref().ok_or("no session")?;
//!     let path = proof_path(seed, &header.session_id);
//!     let proof = sealed.prove(&path)?;
//!     let root = claim.root_hash.as_slice().try_into()?;
//!     proof.verify(&root, &path)?;
//!
//!     let proven = relay::decode_relay(proof.value())?;
//!     let operator = &claim.supplier_operator_address;
//!     let (request, response) = relay::check_proven(&proven, header, operator)?;
//!     verifier.verify(&request.meta.signature, &relay::request_hash(request), ring)?;
//!     relay::verify_response(response, supplier)?;
//!
//!     Ok(Some(MsgSubmitProof {
//!         supplier_operator_address: operator.clone(),
//!         session_header: Some(header.clone()),
//!         proof: gob::encode(&proof.compact()),
//!     }))
//! }
//!
//! # use baton_pocket::keys::{SecretKey, SupplierKey};
//! # use baton_pocket::message::SessionHeader;
//! # use baton_pocket::ring;
//! # use baton_pocket::smst::{Inline, Leaf, Trie, Value};
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
//! # let mut trie = Trie::new();
//! # for call in 0..10 {
//! #     let to = supplier.address().to_string();
//! #     let mut request = relay::unsigned_request(header.clone(), to, vec![call]);
//! #     let hash = relay::request_hash(&request);
//! #     request.meta.signature = ring::sign(&ring, &secrets[1], &hash, &[5; 32])?.to_bytes();
//! #     let response = relay::respond(&request, b"answer".to_vec(), &supplier)?;
//! #     let mined = relay::mine(&request, &response);
//! #     trie.insert(&Leaf::new(Value::new(&mined.bytes)?, 100))?;
//! # }
//! # let sealed = trie.seal(&Inline);
//! # let claim = Claim {
//! #     supplier_operator_address: supplier.address().to_string(),
//! #     session_header: Some(header),
//! #     root_hash: sealed.root().as_bytes().to_vec(),
//! #     ..Claim::default()
//! # };
//! # let verifier = Verifier::new(0);
//! # let checks = (&verifier, &ring, &supplier.public_key());
//! // A claim of 42,000 upokt is above this threshold; one of 100 is below, and no claim is drawn.
//! let policy = Policy { probability: 0.0, threshold: 20_000 };
//! let message = prove(&claim, 42_000, &sealed, &policy, &[7; 32], checks)?.ok_or("not required")?;
//! assert_eq!(gob::decode(&message.proof)?.expand()?.path.len(), 32);
//! assert!(prove(&claim, 100, &sealed, &policy, &[7; 32], checks)?.is_none());
//! # Ok::<(), Failed>(())
//! ```

pub mod activity;
pub mod code;
pub mod coin;
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
