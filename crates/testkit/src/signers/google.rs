//! Google Cloud KMS, and the place where a service account's assertion gets a token.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use serde_json::{Value, json};

use super::control::{KeyFault, Step};
use super::jwt::Token;
use super::key::ServiceKey;
use super::server::{Asked, Fake, Given, KeyService, form, now};

/// Longest life of an assertion, in seconds.
const ASSERTION_SECONDS_MAX: u64 = 3600;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What the service is set up with.
#[derive(Clone, Debug)]
pub struct GoogleFake {
    /// The key of each key version, by resource name.
    pub keys: BTreeMap<String, ServiceKey>,
    /// Algorithm of all of them, as shown.
    pub algorithm: &'static str,
    /// How long a token is told to last, in seconds.
    pub token_seconds: u64,
}

struct Server {
    setup: GoogleFake,
    issued: AtomicU64,
}

impl GoogleFake {
    /// The service account.
    pub const CLIENT_EMAIL: &str = "baton@test-project.iam.gserviceaccount.com";
    /// Id of its key.
    pub const PRIVATE_KEY_ID: &str = "0123456789abcdef0123456789abcdef01234567";
    /// Its key. It was made for these tests and opens nothing else.
    pub const PRIVATE_KEY: &str = include_str!("data/service_account.pem");

    /// One key version under a resource name.
    pub fn with_key(name: &str, key: ServiceKey) -> Self {
        Self {
            keys: BTreeMap::from([(name.to_owned(), key)]),
            algorithm: "EC_SIGN_SECP256K1_SHA256",
            token_seconds: 3599,
        }
    }

    /// Starts the service; tokens are given at `/token`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(self) -> io::Result<KeyService> {
        KeyService::start(Server {
            setup: self,
            issued: AtomicU64::new(0),
        })
        .await
    }
}

impl Fake for Server {
    fn step(&self, asked: &Asked) -> Step {
        if asked.path == "/token" {
            Step::Login
        } else if asked.path.ends_with(":asymmetricSign") {
            Step::Sign
        } else {
            Step::Read
        }
    }

    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        if asked.path == "/token" {
            return self.token(asked);
        }
        let token = asked
            .header("authorization")
            .strip_prefix("Bearer ya29.token-");
        let number: Option<u64> = token.and_then(|number| number.parse().ok());
        if !number.is_some_and(|number| (1..=self.issued.load(Ordering::SeqCst)).contains(&number))
        {
            return self.error(401, "Request had invalid authentication credentials.");
        }
        let path = asked.path.strip_prefix("/v1/").unwrap_or_default();
        if let Some(name) = path.strip_suffix("/publicKey") {
            return self.public_key(name);
        }
        match path.strip_suffix(":asymmetricSign") {
            Some(name) if asked.method == "POST" => self.sign(name, &asked.json(), fault),
            Some(_) | None => self.error(404, "no such method"),
        }
    }

    fn error(&self, status: u16, text: &str) -> Given {
        let name = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            500.. => "INTERNAL",
            _ => "INVALID_ARGUMENT",
        };
        let error = json!({ "code": status, "message": text, "status": name });
        Given::json(status, &json!({ "error": error }))
    }
}

impl Server {
    fn token(&self, asked: &Asked) -> Given {
        let refuse = |text: &str| {
            let body = json!({ "error": "invalid_grant", "error_description": text });
            Given::json(400, &body)
        };
        let fields = form(&asked.body);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let key = include_bytes!("data/service_account_public.der");
        let token = Token::verify(field("assertion"), &RSA_PKCS1_2048_8192_SHA256, key);
        let Some(token) = token else {
            return refuse("Invalid JWT Signature.");
        };
        let (header, claims) = (&token.header, &token.claims);
        let own = format!("http://{}/token", asked.header("host"));
        if field("grant_type") != GRANT
            || header["alg"] != "RS256"
            || header["kid"] != GoogleFake::PRIVATE_KEY_ID
            || claims["iss"] != GoogleFake::CLIENT_EMAIL
            || claims["aud"] != own.as_str()
        {
            return refuse("Invalid JWT: Failed audience, issuer or key check.");
        }
        let scope = claims["scope"].as_str().unwrap_or_default();
        if !scope.ends_with("/auth/cloudkms") && !scope.ends_with("/auth/cloud-platform") {
            return refuse("Invalid OAuth scope.");
        }
        if !token.is_timely("iat", now(), ASSERTION_SECONDS_MAX) {
            return refuse("Invalid JWT: Token must be a short-lived token (60 minutes).");
        }
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({
            "access_token": format!("ya29.token-{number}"), "token_type": "Bearer",
            "expires_in": self.setup.token_seconds,
        });
        Given::json(200, &body)
    }

    fn public_key(&self, name: &str) -> Given {
        let Some(key) = self.setup.keys.get(name) else {
            return self.error(404, &format!("CryptoKeyVersion {name} not found."));
        };
        let body = json!({
            "pem": key.pem(), "algorithm": self.setup.algorithm, "pemCrc32c": "0",
            "name": name, "protectionLevel": "HSM",
        });
        Given::json(200, &body)
    }

    fn sign(&self, name: &str, body: &Value, fault: Option<&KeyFault>) -> Given {
        let Some(key) = self.setup.keys.get(name) else {
            return self.error(404, &format!("CryptoKeyVersion {name} not found."));
        };
        let digest = STANDARD.decode(body["digest"]["sha256"].as_str().unwrap_or_default());
        let Some(hash) = digest.ok().filter(|hash| hash.len() == 32) else {
            return self.error(400, "The digest has an invalid length.");
        };
        let signature = key.sign_der(&hash, fault).unwrap_or_default();
        let signature = STANDARD.encode(signature);
        Given::json(
            200,
            &json!({ "signature": signature, "name": name, "protectionLevel": "HSM" }),
        )
    }
}
