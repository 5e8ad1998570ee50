//! HashiCorp Vault: AppRole login, the key-value engine (version 2), the transit engine.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::{Value, json};

use super::control::{KeyFault, Step};
use super::key::ServiceKey;
use super::server::{Asked, Fake, Given, KeyService};

/// What a server is set up with.
#[derive(Clone, Debug, Default)]
pub struct VaultFake {
    /// Only requests with this namespace find anything.
    pub namespace: Option<String>,
    /// Seconds that a token lasts, as told; 0 for ever.
    pub lease_seconds: u64,
    /// Requests that a token is good for; `None` for any number.
    pub token_uses: Option<u32>,
    /// Secrets of the engine mounted at `secret`, by path; the fields are those of the latest
    /// version, null when it was deleted.
    pub secrets: BTreeMap<String, Value>,
    /// Keys of the engine mounted at `transit`, by name.
    pub transit: BTreeMap<String, VaultKey>,
}

/// A key of the transit engine.
#[derive(Clone, Debug)]
pub enum VaultKey {
    /// secp256k1 keys by version, from 1: what HashiCorp's own server does not have.
    Secp256k1(Vec<ServiceKey>),
    /// A key of another type, with its public half as the server shows it.
    Other {
        /// Type.
        kind: &'static str,
        /// Public key.
        public_key: String,
    },
}

struct Server {
    setup: VaultFake,
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    issued: u64,
    /// Requests left to each; those without a number have no limit.
    valid: BTreeMap<String, Option<u32>>,
}

impl VaultFake {
    /// The role's id.
    pub const ROLE_ID: &str = "db02de05-fa39-4855-059b-67221c5c2f63";
    /// The role's secret id.
    pub const SECRET_ID: &str = "6a174c20-f6de-a53c-74d2-6018fcceff64";

    /// Starts a server.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(self) -> io::Result<KeyService> {
        KeyService::start(Server {
            setup: self,
            tokens: Mutex::default(),
        })
        .await
    }
}

impl Fake for Server {
    fn step(&self, asked: &Asked) -> Step {
        if asked.path.starts_with("/v1/auth/") {
            Step::Login
        } else if asked.path.contains("/sign/") {
            Step::Sign
        } else {
            Step::Read
        }
    }

    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        let namespace = asked.header("x-vault-namespace");
        if namespace != self.setup.namespace.as_deref().unwrap_or_default() {
            return self.error(404, "no handler for route");
        }
        if asked.path == "/v1/auth/approle/login" {
            return self.log_in(asked);
        }
        let token = asked.header("x-vault-token");
        if !self.takes(token) {
            return self.error(403, "permission denied");
        }
        if asked.path == "/v1/auth/token/revoke-self" {
            self.tokens().valid.remove(token);
            return Given::json(204, &Value::Null);
        }
        if let Some(path) = asked.path.strip_prefix("/v1/secret/data/") {
            return self.secret(path);
        }
        if let Some(name) = asked.path.strip_prefix("/v1/transit/keys/") {
            return self.key(name);
        }
        match asked.path.strip_prefix("/v1/transit/sign/") {
            Some(name) if asked.method == Method::POST => self.sign(name, &asked.json(), fault),
            Some(_) | None => self.error(404, "no handler for route"),
        }
    }

    fn error(&self, status: u16, text: &str) -> Given {
        Given::json(status, &json!({ "errors": [text] }))
    }
}

impl Server {
    fn log_in(&self, asked: &Asked) -> Given {
        let sent = asked.json();
        if sent["role_id"] != VaultFake::ROLE_ID || sent["secret_id"] != VaultFake::SECRET_ID {
            return self.error(400, "invalid role or secret ID");
        }
        let mut tokens = self.tokens();
        tokens.issued += 1;
        let token = format!("hvs.token-{}", tokens.issued);
        tokens.valid.insert(token.clone(), self.setup.token_uses);
        let auth = json!({
            "client_token": token, "accessor": "accessor", "policies": ["default"],
            "token_type": "service", "renewable": true,
            "lease_duration": self.setup.lease_seconds,
        });
        Given::json(
            200,
            &json!({ "request_id": "1", "lease_id": "", "data": null, "auth": auth }),
        )
    }

    fn takes(&self, token: &str) -> bool {
        let mut tokens = self.tokens();
        match tokens.valid.get_mut(token) {
            None | Some(Some(0)) => false,
            Some(None) => true,
            Some(Some(left)) => {
                *left -= 1;
                true
            }
        }
    }

    fn secret(&self, path: &str) -> Given {
        let Some(fields) = self.setup.secrets.get(path) else {
            return Given::json(404, &json!({ "errors": [] }));
        };
        let metadata = json!({ "version": 1, "destroyed": false });
        let data = json!({ "data": { "data": fields, "metadata": metadata } });
        Given::json(if fields.is_null() { 404 } else { 200 }, &data)
    }

    fn key(&self, name: &str) -> Given {
        let (kind, keys) = match self.setup.transit.get(name) {
            None => return Given::json(404, &json!({ "errors": [] })),
            Some(VaultKey::Other { kind, public_key }) => {
                (*kind, json!({ "1": { "public_key": public_key } }))
            }
            Some(VaultKey::Secp256k1(versions)) => {
                let keys = versions.iter().enumerate().map(|(index, key)| {
                    let public = json!({ "name": "secp256k1", "public_key": key.pem() });
                    ((index + 1).to_string(), public)
                });
                ("ecdsa-secp256k1", Value::Object(keys.collect()))
            }
        };
        let data = json!({ "type": kind, "name": name, "latest_version": 1, "keys": keys });
        Given::json(200, &json!({ "data": data }))
    }

    fn sign(&self, name: &str, body: &Value, fault: Option<&KeyFault>) -> Given {
        let Some(VaultKey::Secp256k1(versions)) = self.setup.transit.get(name) else {
            return self.error(400, "signing key not found");
        };
        let version = body["key_version"]
            .as_u64()
            .unwrap_or(versions.len() as u64);
        let key = usize::try_from(version)
            .ok()
            .and_then(|version| versions.get(version.checked_sub(1)?));
        let input = STANDARD.decode(body["input"].as_str().unwrap_or_default());
        let (Some(key), Ok(hash)) = (key, input) else {
            return self.error(400, "unable to decode input as base64, or no such version");
        };
        let prehashed = body["prehashed"] == true && body["hash_algorithm"] == "sha2-256";
        if !prehashed || hash.len() != 32 || body["marshaling_algorithm"] != "asn1" {
            return self.error(400, "not a SHA-256 hash to be signed in ASN.1");
        }
        let signature = key.sign_der(&hash, fault).unwrap_or_else(|| vec![0; 70]);
        let signature = format!("vault:v{version}:{}", STANDARD.encode(signature));
        Given::json(
            200,
            &json!({ "data": { "signature": signature, "key_version": version } }),
        )
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
