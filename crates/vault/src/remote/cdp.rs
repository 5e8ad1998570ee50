//! Coinbase Developer Platform: a token for each request, signed with the API key, and another for
//! signing, signed with the wallet secret.

use std::sync::Arc;

use alloy_primitives::hex;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::{Address, B256};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::{Method, Url};
use ring::digest::{SHA256, digest};
use ring::signature::Ed25519KeyPair;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::fault::{Fault, FaultKind};
use super::http::{Answer, Ask, Http, JSON, below, service_url};
use super::patience::Patience;
use super::public_key::RawSignature;
use super::signer::{RemoteSigner, Service};
use super::{CdpConfig, Clock, OpenError, RemoteOptions, jwt};
use crate::{Secret, Signer};

const ENDPOINT: &str = "https://api.cdp.coinbase.com";
/// How long a token is good for, in seconds: long enough for one request with clocks a little off.
const TOKEN_SECONDS: u64 = 120;

struct Cdp {
    http: Http,
    account: Url,
    api_key_id: String,
    api_key: ApiKey,
    wallet: SigningKey,
    clock: Clock,
}

enum ApiKey {
    Ed25519(Ed25519KeyPair),
    P256(SigningKey),
}

#[derive(Deserialize)]
struct Found {
    address: Address,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

/// Looks the account up.
pub(super) async fn open(
    id: &str,
    config: &CdpConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let endpoint = options.ambient.cdp_url.as_deref().unwrap_or(ENDPOINT);
    let base = service_url("BATON_COINBASE_URL", endpoint)?;
    let address = config.account_address;
    let path = ["platform", "v2", "evm", "accounts", &address.to_string()];
    let cdp = Cdp {
        http: Http::new(&options.limits)?,
        account: below(&base, path),
        api_key_id: config.api_key_id.clone(),
        api_key: ApiKey::new(&config.api_key_secret)?,
        wallet: wallet(&config.wallet_secret)?,
        clock: Clock::clone(&options.clock),
    };
    Patience::new(options.limits)
        .run(|| cdp.verify(address))
        .await?;
    Ok(Arc::new(RemoteSigner::new(
        "cdp", id, address, cdp, options,
    )))
}

fn wallet(secret: &Secret) -> Result<SigningKey, OpenError> {
    STANDARD
        .decode(secret.expose().trim())
        .ok()
        .map(Zeroizing::new)
        .and_then(|der| SigningKey::from_pkcs8_der(&der).ok())
        .ok_or_else(|| OpenError::Setting {
            field: "wallet_secret",
            rule: "must be a P-256 key (PKCS #8) in base64, as the portal shows it".to_owned(),
        })
}

impl ApiKey {
    fn new(secret: &Secret) -> Result<Self, OpenError> {
        // A line break that was escaped once more has stayed two characters.
        let text = Zeroizing::new(secret.expose().trim().replace("\\n", "\n"));
        let read = if text.starts_with("-----BEGIN") {
            p256::SecretKey::from_sec1_pem(&text)
                .ok()
                .or_else(|| p256::SecretKey::from_pkcs8_pem(&text).ok())
                .map(|key| Self::P256(SigningKey::from(key)))
        } else {
            let bytes = STANDARD.decode(text.as_bytes()).ok().map(Zeroizing::new);
            bytes.filter(|bytes| bytes.len() == 64).and_then(|bytes| {
                let (seed, public) = bytes.split_at(32);
                Ed25519KeyPair::from_seed_and_public_key(seed, public)
                    .ok()
                    .map(Self::Ed25519)
            })
        };
        read.ok_or_else(|| OpenError::Setting {
            field: "api_key_secret",
            rule: "must be an Ed25519 key (64 bytes) in base64, or a P-256 key as PEM".to_owned(),
        })
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(bytes).as_ref().to_vec(),
            Self::P256(key) => es256(key, bytes),
        }
    }
}

fn es256(key: &SigningKey, bytes: &[u8]) -> Vec<u8> {
    let signature: Signature = key.sign(bytes);
    signature.to_bytes().to_vec()
}

impl Cdp {
    async fn verify(&self, account: Address) -> Result<(), Fault> {
        let what = format!("CDP account {account}");
        let token = self.api_token("GET", &self.account)?;
        let ask = Ask::new(Method::GET, self.account.clone()).bearer(&token);
        let answer = self.ask(ask).await.map_err(|fault| fault.during(&what))?;
        let found: Found = answer.json().map_err(|fault| fault.during(&what))?;
        if found.address != account {
            let found = found.address;
            return Err(Fault::lasting(format!("{what} was found as {found}")));
        }
        Ok(())
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, Fault> {
        let answer = self.http.ask(ask).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let body = answer.value();
        let fault = answer.fault(body["errorMessage"].as_str().unwrap_or_default());
        Err(match (answer.status(), fault.kind) {
            (401 | 403, _) => fault.advise(
                "check api_key_id, api_key_secret, wallet_secret, the key's permissions and \
                 addresses, and this machine's clock",
            ),
            (404, _) => fault.advise("check account_address and the project of the API key"),
            // Limits of wallets are told like this too.
            (402, _) => Fault {
                kind: FaultKind::Lasting,
                ..fault
            },
            (_, _) => fault,
        })
    }

    /// Says who asks, for one request.
    fn api_token(&self, method: &str, url: &Url) -> Result<Secret, Fault> {
        let now = self.now();
        let header = json!({
            "alg": self.api_key.algorithm(),
            "kid": self.api_key_id,
            "typ": "JWT",
            "nonce": random_hex()?,
        });
        let claims = json!({
            "sub": self.api_key_id,
            "iss": "cdp",
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "uris": [target(method, url)],
        });
        jwt::encode(&header, &claims, |bytes| Ok(self.api_key.sign(bytes)))
    }

    /// Says that the wallet's owner wants exactly this body.
    fn wallet_token(&self, method: &str, url: &Url, body: &str) -> Result<Secret, Fault> {
        let now = self.now();
        let header = json!({ "alg": "ES256", "typ": "JWT" });
        let claims = json!({
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "jti": random_hex()?,
            "uris": [target(method, url)],
            "reqHash": hex::encode(digest(&SHA256, body.as_bytes())),
        });
        jwt::encode(&header, &claims, |bytes| Ok(es256(&self.wallet, bytes)))
    }

    fn now(&self) -> u64 {
        (self.clock)().as_millis() / 1000
    }
}

#[async_trait]
impl Service for Cdp {
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault> {
        // The hash is that of the body with its keys in order; there is one key.
        let body: Value = json!({ "hash": hash });
        let body = body.to_string();
        let url = below(&self.account, ["sign"]);
        let wallet_token = self.wallet_token("POST", &url, &body)?;
        let ask = Ask::new(Method::POST, url.clone())
            .bearer(&self.api_token("POST", &url)?)
            .secret_header("x-wallet-auth", &wallet_token)
            .body(JSON, body);
        let Signed { signature } = self.ask(ask).await?.json()?;
        let mut bytes = hex::decode(signature)
            .map_err(|_| Fault::passing("the signature is not hexadecimal digits"))?;
        // The recovery byte at the end is found again by trying.
        bytes.truncate(64);
        Ok(RawSignature::Fixed(bytes))
    }
}

/// What a token is good for: method, host and path.
fn target(method: &str, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{method} {host}:{port}{}", url.path()),
        None => format!("{method} {host}{}", url.path()),
    }
}

fn random_hex() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Fault::passing("no randomness from the operating system"))?;
    Ok(hex::encode(bytes))
}
