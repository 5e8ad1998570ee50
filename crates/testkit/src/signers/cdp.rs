//! Coinbase Developer Platform: accounts behind tokens of an API key and of a wallet secret.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use alloy_primitives::hex;
use baton_model::Address;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, VerificationAlgorithm};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::control::{KeyFault, Step};
use super::jwt::Token;
use super::key::ServiceKey;
use super::server::{Asked, Fake, Given, KeyService, now};

/// Longest life of a token, in seconds.
const TOKEN_SECONDS_MAX: u64 = 120;
const ACCOUNTS: &str = "/platform/v2/evm/accounts/";

/// What the service is set up with.
#[derive(Clone, Debug)]
pub struct CdpFake {
    /// The accounts.
    pub accounts: BTreeMap<Address, ServiceKey>,
}

struct Server {
    setup: CdpFake,
    /// Ids of the wallet tokens that were used: each is good once.
    used: Mutex<BTreeSet<String>>,
}

impl CdpFake {
    /// The API key of the Ed25519 kind.
    pub const API_KEY_ID: &str = "3f8c2d7e-5a3b-4a6e-9f6c-0c1b2d3e4f50";
    /// Its secret. All secrets here were made for these tests and open nothing else.
    pub const API_KEY_SECRET: &str = "TUFzEx8pXnMZjbVM3KbY7jTIdgy92jEaTYCW/mR+P7wz\
                                      DhAnBuwW9FLI5trE6J3ToTB/Dv2JGVu/+KkLaojcow==";
    /// The API key of the P-256 kind.
    pub const API_KEY_ID_P256: &str = "organizations/1/apiKeys/2";
    /// Its secret.
    pub const API_KEY_SECRET_P256: &str = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIIlwg7DjLDdrC8VVwOFVBx3CM0go/v9Usz5gihKfivc0oAoGCCqGSM49\n\
        AwEHoUQDQgAESHwX5CUBCXOtVvV0sJcLB9Zh0RiDGlTbnDYtGBHkZQfqRfbkKceA\n\
        dIyY9yiKhU//KYCPSpCHyO5An94+7nvwlA==\n\
        -----END EC PRIVATE KEY-----\n";
    /// The wallet secret.
    pub const WALLET_SECRET: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQge6tVBqOVQwi3\
                                     tevzMSYg3sTo1GeZ0NymKhOUYrxkhkuhRANCAATcqZnf2dyg3Mi6in+JCN8K\
                                     dfiiH8YR/UWRqiPeyELhKHPVXuEpBI2LNlnO5Mi9m1rt7uKDd/8B/M1Bhgr+\
                                     AH7r";
    const API_POINT: &str = "330e102706ec16f452c8e6dac4e89dd3a1307f0efd89195bbff8a90b6a88dca3";
    const API_POINT_P256: &str = "04487c17e425010973ad56f574b0970b07d661d118831a54db9c362d1811e465\
                                  07ea45f6e429c780748c98f7288a854fff29808f4a9087c8ee409fde3eee7bf0\
                                  94";
    const WALLET_POINT: &str = "04dca999dfd9dca0dcc8ba8a7f8908df0a75f8a21fc611fd4591aa23dec842e128\
                                73d55ee129048d8b3659cee4c8bd9b5aedeee28377ff01fccd41860afe007eeb";

    /// One account.
    pub fn with_key(key: ServiceKey) -> Self {
        Self {
            accounts: BTreeMap::from([(key.address(), key)]),
        }
    }

    /// Starts the service.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(self) -> io::Result<KeyService> {
        KeyService::start(Server {
            setup: self,
            used: Mutex::default(),
        })
        .await
    }
}

impl Fake for Server {
    fn step(&self, asked: &Asked) -> Step {
        if asked.path.ends_with("/sign") {
            Step::Sign
        } else {
            Step::Read
        }
    }

    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        if !is_callers(asked) {
            return self.error(401, "Unauthorized.");
        }
        let path = asked.path.strip_prefix(ACCOUNTS).unwrap_or_default();
        let (address, signs) = match path.strip_suffix("/sign") {
            Some(address) => (address, true),
            None => (path, false),
        };
        let address: Option<Address> = address.parse().ok();
        let found = address.and_then(|address| self.setup.accounts.get(&address));
        let Some(key) = found else {
            return self.error(404, "EVM account with the given address not found.");
        };
        if !signs {
            return Given::json(200, &json!({ "address": key.address(), "name": "hot" }));
        }
        if !self.is_wallets(asked) {
            return self.error(401, "Wallet authentication error.");
        }
        let hash = hex::decode(asked.json()["hash"].as_str().unwrap_or_default());
        let Some(hash) = hash.ok().filter(|hash| hash.len() == 32) else {
            return self.error(400, "hash must be 32 bytes.");
        };
        let mut signature = key.sign_fixed(&hash, fault).unwrap_or_default();
        // The recovery byte; nobody may rely on it.
        signature.push(27);
        let signature = hex::encode_prefixed(signature);
        Given::json(200, &json!({ "signature": signature }))
    }

    fn error(&self, status: u16, text: &str) -> Given {
        let kind = match status {
            400 => "invalid_request",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not_found",
            429 => "rate_limit_exceeded",
            _ => "internal_server_error",
        };
        let body = json!({ "errorType": kind, "errorMessage": text, "correlationId": "1" });
        Given::json(status, &body)
    }
}

impl Server {
    fn is_wallets(&self, asked: &Asked) -> bool {
        let algorithm = &ECDSA_P256_SHA256_FIXED;
        let key = point(CdpFake::WALLET_POINT);
        let Some(token) = Token::verify(asked.header("x-wallet-auth"), algorithm, &key) else {
            return false;
        };
        let body = hex::encode(Sha256::digest(&asked.body));
        let id = token.claims["jti"].as_str().unwrap_or_default().to_owned();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        token.header["alg"] == "ES256"
            && token.claims["reqHash"] == body.as_str()
            && token.claims["uris"] == json!([target(asked)])
            && token.is_timely("nbf", now(), TOKEN_SECONDS_MAX)
            && !id.is_empty()
            && used.insert(id)
    }
}

fn is_callers(asked: &Asked) -> bool {
    let header = asked.header("authorization");
    let text = header.strip_prefix("Bearer ").unwrap_or_default();
    let kinds: [(&str, &str, &'static dyn VerificationAlgorithm, &str); 2] = [
        (CdpFake::API_KEY_ID, "EdDSA", &ED25519, CdpFake::API_POINT),
        (
            CdpFake::API_KEY_ID_P256,
            "ES256",
            &ECDSA_P256_SHA256_FIXED,
            CdpFake::API_POINT_P256,
        ),
    ];
    kinds.into_iter().any(|(id, name, algorithm, key)| {
        Token::verify(text, algorithm, &point(key)).is_some_and(|token| {
            token.header["alg"] == name
                && token.header["kid"] == id
                && token.header["nonce"].is_string()
                && token.claims["sub"] == id
                && token.claims["iss"] == "cdp"
                && token.claims["uris"] == json!([target(asked)])
                && token.is_timely("nbf", now(), TOKEN_SECONDS_MAX)
        })
    })
}

fn target(asked: &Asked) -> String {
    format!("{} {}{}", asked.method, asked.header("host"), asked.path)
}

fn point(digits: &str) -> Vec<u8> {
    hex::decode(digits).expect("the point is hexadecimal digits")
}
