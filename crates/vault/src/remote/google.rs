//! Google Cloud KMS: a service account's signed assertion gets a token, the token signs.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::B256;
use k256::pkcs8::der::pem;
use reqwest::{Method, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::fault::{Fault, FaultKind};
use super::http::{Answer, Ask, Http, below, service_url};
use super::patience::Patience;
use super::public_key::{RawSignature, address_of_pem};
use super::signer::{RemoteSigner, Service};
use super::token::{Fresh, Held};
use super::{Clock, GoogleKmsConfig, GoogleServiceAccount, OpenError, RemoteOptions, jwt};
use crate::{Secret, Signer};

const ALGORITHM: &str = "EC_SIGN_SECP256K1_SHA256";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good for: Google's maximum, in seconds.
const ASSERTION_SECONDS: u64 = 3600;
const LOGIN_ADVICE: &str = "check the service account's client_email, private_key_id and private_key, and this \
     machine's clock";

struct Kms {
    http: Http,
    account: ServiceAccount,
    key: Url,
    name: String,
    token: Held<Secret>,
    clock: Clock,
}

struct ServiceAccount {
    client_email: String,
    private_key_id: String,
    key: RsaKeyPair,
    token_url: Url,
}

#[derive(Deserialize)]
struct Token {
    access_token: Secret,
    expires_in: u64,
}

#[derive(Deserialize)]
struct PublicKey {
    pem: String,
    algorithm: String,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

/// Reads the public key.
pub(super) async fn open(
    id: &str,
    config: &GoogleKmsConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let account = &config.service_account;
    let version = config.key_version.to_string();
    let path = [
        "projects",
        &account.project_id,
        "locations",
        &config.location,
        "keyRings",
        &config.key_ring_id,
        "cryptoKeys",
        &config.key_id,
        "cryptoKeyVersions",
        &version,
    ];
    let base = service(&account.universe_domain)?;
    let kms = Kms {
        http: Http::new(&options.limits)?,
        account: ServiceAccount::new(account)?,
        key: below(&base, ["v1"].iter().chain(&path).copied()),
        name: path.join("/"),
        token: Held::new(Clock::clone(&options.clock)),
        clock: Clock::clone(&options.clock),
    };
    let pem = Patience::new(options.limits)
        .run(|| kms.public_key())
        .await?;
    let address = address_of_pem(&pem).map_err(|fault| fault.during(&kms.what()))?;
    Ok(Arc::new(RemoteSigner::new(
        "google_cloud_kms",
        id,
        address,
        kms,
        options,
    )))
}

fn service(universe: &str) -> Result<Url, OpenError> {
    let whole = universe.starts_with("http://") || universe.starts_with("https://");
    if whole {
        return service_url("service_account.universe_domain", universe);
    }
    let url = format!("https://cloudkms.{universe}/");
    service_url("service_account.universe_domain", &url)
}

impl Kms {
    async fn public_key(&self) -> Result<String, Fault> {
        let ask = Ask::new(Method::GET, suffixed(&self.key, "/publicKey"));
        let answer = self.ask(ask).await.map_err(|fault| {
            let fault = fault.during(&self.what());
            advise(fault, "cloudkms.cryptoKeyVersions.viewPublicKey")
        })?;
        let key: PublicKey = answer.json().map_err(|fault| fault.during(&self.what()))?;
        if key.algorithm != ALGORITHM {
            return Err(Fault::lasting(format!(
                "{} has algorithm {:?}; an EVM account needs {ALGORITHM}",
                self.what(),
                key.algorithm
            )));
        }
        Ok(key.pem)
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, Fault> {
        let token = self.token.get(self.log_in()).await?;
        let answer = self.http.ask(ask.bearer(&token.value)).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let body = answer.value();
        let fault = answer.fault(body["error"]["message"].as_str().unwrap_or_default());
        if fault.kind == FaultKind::Credentials {
            self.token.refuse(&token).await;
        }
        Err(fault)
    }

    async fn log_in(&self) -> Result<Fresh<Secret>, Fault> {
        let what = "Google token";
        let assertion = self.account.assertion((self.clock)().as_millis() / 1000)?;
        let ask = Ask::new(Method::POST, self.account.token_url.clone())
            .hide(&assertion)
            .form(&[("grant_type", GRANT), ("assertion", assertion.expose())]);
        let answer = self.http.ask(ask).await.map_err(|f| f.during(what))?;
        if !answer.is_success() {
            let body = answer.value();
            let said = body["error_description"]
                .as_str()
                .or(body["error"].as_str());
            let mut fault = answer.fault(said.unwrap_or_default()).during(what);
            if fault.kind != FaultKind::Passing {
                fault.kind = FaultKind::Lasting;
                fault = fault.advise(LOGIN_ADVICE);
            }
            return Err(fault);
        }
        let token: Token = answer.json().map_err(|fault| fault.during(what))?;
        Ok(Fresh::lasting(
            token.access_token,
            &self.clock,
            token.expires_in,
        ))
    }

    fn what(&self) -> String {
        format!("Google Cloud KMS key {}", self.name)
    }
}

impl ServiceAccount {
    fn new(config: &GoogleServiceAccount) -> Result<Self, OpenError> {
        let refused = || OpenError::Setting {
            field: "service_account.private_key",
            rule: "must be an RSA key of 2048 to 4096 bits as PEM (PKCS #8), as in the service \
                   account's key file"
                .to_owned(),
        };
        // Key files are JSON; a line break that was escaped once more has stayed two characters.
        let text = Zeroizing::new(config.private_key.expose().replace("\\n", "\n"));
        let (label, der) = pem::decode_vec(text.trim().as_bytes()).map_err(|_| refused())?;
        let der = Zeroizing::new(der);
        if label != "PRIVATE KEY" {
            return Err(refused());
        }
        Ok(Self {
            client_email: config.client_email.clone(),
            private_key_id: config.private_key_id.clone(),
            key: RsaKeyPair::from_pkcs8(&der).map_err(|_| refused())?,
            token_url: service_url("service_account.token_uri", &config.token_uri)?,
        })
    }

    fn assertion(&self, now: u64) -> Result<Secret, Fault> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.private_key_id });
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_url.as_str(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        jwt::encode(&header, &claims, |bytes| {
            let mut signature = vec![0; self.key.public().modulus_len()];
            self.key
                .sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    bytes,
                    &mut signature,
                )
                .map_err(|_| Fault::passing("no randomness from the operating system"))?;
            Ok(signature)
        })
    }
}

#[async_trait]
impl Service for Kms {
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault> {
        let body = json!({ "digest": { "sha256": STANDARD.encode(hash) } });
        let url = suffixed(&self.key, ":asymmetricSign");
        let ask = Ask::new(Method::POST, url).json(&body);
        let answer = self.ask(ask).await;
        let answer =
            answer.map_err(|fault| advise(fault, "cloudkms.cryptoKeyVersions.useToSign"))?;
        let Signed { signature } = answer.json()?;
        STANDARD
            .decode(signature)
            .map(RawSignature::Der)
            .map_err(|_| Fault::passing("the signature is not base64"))
    }
}

fn suffixed(url: &Url, suffix: &str) -> Url {
    let mut url = url.clone();
    let path = format!("{}{suffix}", url.path());
    url.set_path(&path);
    url
}

fn advise(fault: Fault, permission: &str) -> Fault {
    if fault.kind == FaultKind::Lasting && fault.reason.contains("HTTP status 403") {
        return fault.advise(&format!("give the service account {permission} on the key"));
    }
    if fault.kind == FaultKind::Lasting && fault.reason.contains("HTTP status 404") {
        return fault.advise("check project_id, location, key_ring_id, key_id and key_version");
    }
    fault
}
