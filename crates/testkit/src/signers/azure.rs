//! Azure Key Vault, Entra ID's token service, and a machine's metadata service.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::control::{KeyFault, Step};
use super::key::ServiceKey;
use super::server::{Asked, Fake, Given, KeyService, form};

const SCOPE: &str = "https://vault.azure.net/.default";
const RESOURCE: &str = "resource=https%3A%2F%2Fvault.azure.net";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the vault is set up with.
#[derive(Clone, Debug)]
pub struct AzureFake {
    /// Versions of each key, by name; the last is the latest.
    pub keys: BTreeMap<String, Vec<(String, ServiceKey)>>,
    /// Curve of all of them, as shown.
    pub curve: &'static str,
    /// How long a token is told to last, in seconds.
    pub token_seconds: u64,
}

struct Server {
    setup: AzureFake,
    issued: AtomicU64,
}

impl AzureFake {
    /// The directory.
    pub const TENANT_ID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// The application.
    pub const CLIENT_ID: &str = "6731de76-14a6-49ae-97bc-6eba6914391e";
    /// Its password.
    pub const CLIENT_SECRET: &str = "qWg~dYA+mab0/YSkuL1qKv5bPX=";
    /// What a cluster gives its programs to show.
    pub const FEDERATED_TOKEN: &str = "header.federated.signature";

    /// One version of one key.
    pub fn with_key(name: &str, version: &str, key: ServiceKey) -> Self {
        Self {
            keys: BTreeMap::from([(name.to_owned(), vec![(version.to_owned(), key)])]),
            curve: "P-256K",
            token_seconds: 3599,
        }
    }

    /// Starts the vault; the token service is at the same address, the machine's at `/identity`.
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
        if !asked.path.starts_with("/keys/") {
            Step::Login
        } else if asked.path.ends_with("/sign") {
            Step::Sign
        } else {
            Step::Read
        }
    }

    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        if asked.path == "/identity" {
            return self.machine(asked);
        }
        if asked.path == format!("/{}/oauth2/v2.0/token", AzureFake::TENANT_ID) {
            return self.application(asked);
        }
        if !self.takes(asked.header("authorization")) {
            return self.error(401, "AKV10000: Request is missing a Bearer or PoP token.");
        }
        if asked.query != "api-version=7.4" {
            return self.error(400, "The specified version is not recognized.");
        }
        let path: Vec<&str> = asked.path.split('/').skip(1).collect();
        match path[..] {
            ["keys", name] => self.key(asked, name, None),
            ["keys", name, version] => self.key(asked, name, Some(version)),
            ["keys", name, version, "sign"] => self.sign(name, version, &asked.json(), fault),
            _ => self.error(404, "no such method"),
        }
    }

    fn error(&self, status: u16, text: &str) -> Given {
        let name = match status {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "KeyNotFound",
            429 => "Throttled",
            _ => "BadParameter",
        };
        Given::json(
            status,
            &json!({ "error": { "code": name, "message": text } }),
        )
    }
}

impl Server {
    fn application(&self, asked: &Asked) -> Given {
        let fields = form(&asked.body);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let by_secret = field("client_secret") == AzureFake::CLIENT_SECRET;
        let by_token = field("client_assertion_type") == ASSERTION
            && field("client_assertion") == AzureFake::FEDERATED_TOKEN;
        let fits = field("grant_type") == "client_credentials"
            && field("client_id") == AzureFake::CLIENT_ID
            && field("scope") == SCOPE;
        if !fits || !(by_secret || by_token) {
            let text = "AADSTS7000215: Invalid client secret provided.";
            let body = json!({ "error": "invalid_client", "error_description": text });
            return Given::json(401, &body);
        }
        self.token(&json!(self.setup.token_seconds))
    }

    fn machine(&self, asked: &Asked) -> Given {
        let pairs: Vec<&str> = asked.query.split('&').collect();
        let wanted = ["api-version=2018-02-01", RESOURCE];
        let named = pairs
            .iter()
            .find_map(|pair| pair.strip_prefix("client_id="));
        let fits = asked.header("metadata") == "true"
            && wanted.iter().all(|pair| pairs.contains(pair))
            && named.is_none_or(|id| id == AzureFake::CLIENT_ID);
        if !fits {
            let body = json!({
                "error": "invalid_request", "error_description": "Identity not found",
            });
            return Given::json(400, &body);
        }
        self.token(&json!(self.setup.token_seconds.to_string()))
    }

    fn token(&self, seconds: &Value) -> Given {
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({
            "access_token": format!("eyJ0.token-{number}"), "token_type": "Bearer",
            "expires_in": seconds,
        });
        Given::json(200, &body)
    }

    fn takes(&self, header: &str) -> bool {
        let number = header.strip_prefix("Bearer eyJ0.token-");
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        number.is_some_and(|number| (1..=self.issued.load(Ordering::SeqCst)).contains(&number))
    }

    fn find(&self, name: &str, version: Option<&str>) -> Option<&(String, ServiceKey)> {
        let versions = self.setup.keys.get(name)?;
        match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|(found, _)| found == version),
        }
    }

    fn key(&self, asked: &Asked, name: &str, version: Option<&str>) -> Given {
        let Some((version, key)) = self.find(name, version) else {
            return self.error(404, &format!("A key with (name/id) {name} was not found."));
        };
        let point = key.point();
        let key = json!({
            "kid": format!("https://{}/keys/{name}/{version}", asked.header("host")),
            "kty": "EC-HSM", "key_ops": ["sign", "verify"], "crv": self.setup.curve,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        });
        Given::json(
            200,
            &json!({ "key": key, "attributes": { "enabled": true } }),
        )
    }

    fn sign(&self, name: &str, version: &str, body: &Value, fault: Option<&KeyFault>) -> Given {
        let Some((version, key)) = self.find(name, Some(version)) else {
            return self.error(404, &format!("A key with (name/id) {name} was not found."));
        };
        let value = URL_SAFE_NO_PAD.decode(body["value"].as_str().unwrap_or_default());
        let value = value.ok().filter(|value| value.len() == 32);
        let Some(hash) = value.filter(|_| body["alg"] == "ES256K") else {
            return self.error(400, "Property has invalid value");
        };
        let signature = key.sign_fixed(&hash, fault).unwrap_or_else(|| vec![7; 12]);
        let kid = format!("https://vault.example/keys/{name}/{version}");
        Given::json(
            200,
            &json!({ "kid": kid, "value": URL_SAFE_NO_PAD.encode(signature) }),
        )
    }
}
