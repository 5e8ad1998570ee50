//! Azure Key Vault and managed HSMs: a token from Entra ID or the machine, then the REST API.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_model::B256;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::{Fault, FaultKind};
use super::http::{Answer, Ask, Http, below, service_url};
use super::patience::Patience;
use super::public_key::{RawSignature, address_of_point};
use super::signer::{RemoteSigner, Service};
use super::token::{Fresh, Held};
use super::{AzureAmbient, AzureConfig, AzureIdentity, Clock, OpenError, RemoteOptions};
use crate::{Secret, Signer};

const API_VERSION: &str = "7.4";
const IDENTITY_API_VERSION: &str = "2018-02-01";
/// Where a machine is told its identity.
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Clouds: the end of a vault's host name, who is asked for, and who gives tokens.
const CLOUDS: [(&str, &str, &str); 5] = [
    (
        ".managedhsm.azure.net",
        "https://managedhsm.azure.net",
        "https://login.microsoftonline.com",
    ),
    (
        ".vault.azure.cn",
        "https://vault.azure.cn",
        "https://login.chinacloudapi.cn",
    ),
    (
        ".vault.usgovcloudapi.net",
        "https://vault.usgovcloudapi.net",
        "https://login.microsoftonline.us",
    ),
    (
        ".vault.azure.net",
        "https://vault.azure.net",
        "https://login.microsoftonline.com",
    ),
    // Anything else: an address of one's own before a vault of the public cloud.
    (
        "",
        "https://vault.azure.net",
        "https://login.microsoftonline.com",
    ),
];

struct Vault {
    http: Http,
    /// Of the key version that signs, once the key was read.
    key: Url,
    identity: Identity,
    token_url: Url,
    resource: &'static str,
    token: Held<Secret>,
    clock: Clock,
}

/// Who asks, with nothing left open.
enum Identity {
    Application {
        tenant_id: String,
        client_id: String,
        proof: Proof,
    },
    Machine {
        client_id: Option<String>,
    },
}

enum Proof {
    Secret(Secret),
    /// A cluster renews it, so it is read again for each login.
    TokenFile(String),
}

#[derive(Deserialize)]
struct Token {
    access_token: Secret,
    /// Seconds; a number from Entra ID, a text from the machine.
    expires_in: Value,
}

#[derive(Deserialize)]
struct Bundle {
    key: Key,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Signed {
    value: String,
}

/// Reads the public key.
pub(super) async fn open(
    id: &str,
    config: &AzureConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let base = service_url("vault_url", &config.vault_url)?;
    let (resource, authority) = cloud(&base);
    let identity = identity(&config.identity, &options.ambient.azure)?;
    let mut path = vec!["keys", config.key_name.as_str()];
    path.extend(config.key_version.as_deref());
    let mut vault = Vault {
        http: Http::new(&options.limits)?,
        key: below(&base, path),
        token_url: token_url(&identity, &options.ambient.azure, authority)?,
        identity,
        resource,
        token: Held::new(Clock::clone(&options.clock)),
        clock: Clock::clone(&options.clock),
    };
    let (version, point) = Patience::new(options.limits)
        .run(|| vault.public_key())
        .await?;
    let address = address_of_point(&point).map_err(|fault| fault.during(&vault.what()))?;
    // Pinned: a rotated key is another account.
    vault.key = below(&base, ["keys", config.key_name.as_str(), &version]);
    Ok(Arc::new(RemoteSigner::new(
        "azure_key_vault",
        id,
        address,
        vault,
        options,
    )))
}

fn cloud(vault: &Url) -> (&'static str, &'static str) {
    let host = vault.host_str().unwrap_or_default();
    let found = CLOUDS.iter().find(|(end, ..)| host.ends_with(end));
    let (_, resource, authority) = found.unwrap_or(&CLOUDS[CLOUDS.len() - 1]);
    (resource, authority)
}

/// Completes an identity with what the environment says.
fn identity(config: &AzureIdentity, ambient: &AzureAmbient) -> Result<Identity, OpenError> {
    let either = |given: &Option<String>, ambient: &Option<String>, field, variable: &str| {
        let value = given.as_ref().or(ambient.as_ref());
        value.cloned().ok_or_else(|| OpenError::Setting {
            field,
            rule: format!("must be given, or {variable} must be set"),
        })
    };
    Ok(match config {
        AzureIdentity::ClientSecret {
            tenant_id,
            client_id,
            client_secret,
        } => Identity::Application {
            tenant_id: tenant_id.clone(),
            client_id: client_id.clone(),
            proof: Proof::Secret(client_secret.clone()),
        },
        AzureIdentity::WorkloadIdentity {
            tenant_id,
            client_id,
            federated_token_file: file,
        } => Identity::Application {
            tenant_id: either(
                tenant_id,
                &ambient.tenant_id,
                "tenant_id",
                "AZURE_TENANT_ID",
            )?,
            client_id: either(
                client_id,
                &ambient.client_id,
                "client_id",
                "AZURE_CLIENT_ID",
            )?,
            proof: Proof::TokenFile(either(
                file,
                &ambient.federated_token_file,
                "federated_token_file",
                "AZURE_FEDERATED_TOKEN_FILE",
            )?),
        },
        AzureIdentity::ManagedIdentity { client_id } => Identity::Machine {
            client_id: client_id.clone(),
        },
    })
}

fn token_url(
    identity: &Identity,
    ambient: &AzureAmbient,
    authority: &str,
) -> Result<Url, OpenError> {
    match identity {
        Identity::Machine { .. } => {
            let url = ambient.token_url.as_deref().unwrap_or(METADATA);
            service_url("AZURE_IMDS_TOKEN_URL", url)
        }
        Identity::Application { tenant_id, .. } => {
            let authority = ambient.authority_host.as_deref().unwrap_or(authority);
            let base = service_url("AZURE_AUTHORITY_HOST", authority)?;
            Ok(below(&base, [tenant_id, "oauth2", "v2.0", "token"]))
        }
    }
}

impl Vault {
    /// The version and the point of the key.
    async fn public_key(&self) -> Result<(String, Vec<u8>), Fault> {
        let answer = self.ask(Method::GET, &self.key, None).await;
        let answer = answer.map_err(|fault| advise(fault.during(&self.what()), "get"))?;
        let Bundle { key } = answer.json().map_err(|fault| fault.during(&self.what()))?;
        let curve = key.crv.as_deref().unwrap_or_default();
        if !matches!(curve, "P-256K" | "SECP256K1") {
            return Err(Fault::lasting(format!(
                "{} is of type {:?} and curve {curve:?}; an EVM account needs EC and P-256K",
                self.what(),
                key.kty
            )));
        }
        let mut point = vec![4];
        for coordinate in [key.x, key.y] {
            let bytes = URL_SAFE_NO_PAD.decode(coordinate.unwrap_or_default());
            let bytes = bytes.ok().filter(|bytes| bytes.len() <= 32);
            let bytes = bytes.ok_or_else(|| Fault::passing("a coordinate is not base64url"))?;
            point.extend(std::iter::repeat_n(0, 32 - bytes.len()));
            point.extend(bytes);
        }
        let version = key.kid.rsplit('/').next().unwrap_or_default().to_owned();
        Ok((version, point))
    }

    async fn ask(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, Fault> {
        let token = self.token.get(self.log_in()).await?;
        let mut url = url.clone();
        url.set_query(Some(&format!("api-version={API_VERSION}")));
        let mut ask = Ask::new(method, url).bearer(&token.value);
        if let Some(body) = body {
            ask = ask.json(body);
        }
        let answer = self.http.ask(ask).await?;
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
        let what = "Azure token";
        let ask = self.token_request().map_err(|fault| fault.during(what))?;
        let answer = self.http.ask(ask).await.map_err(|f| f.during(what))?;
        if !answer.is_success() {
            let body = answer.value();
            let said = body["error_description"]
                .as_str()
                .or(body["error"].as_str());
            let mut fault = answer.fault(said.unwrap_or_default()).during(what);
            if fault.kind != FaultKind::Passing {
                fault.kind = FaultKind::Lasting;
                fault = fault.advise(self.login_advice());
            }
            return Err(fault);
        }
        let token: Token = answer.json().map_err(|fault| fault.during(what))?;
        let in_text = token.expires_in.as_str().and_then(|text| text.parse().ok());
        let seconds = in_text.or_else(|| token.expires_in.as_u64());
        let seconds = seconds
            .ok_or_else(|| Fault::passing("expires_in is not a number of seconds").during(what))?;
        Ok(Fresh::lasting(token.access_token, &self.clock, seconds))
    }

    fn token_request(&self) -> Result<Ask, Fault> {
        match &self.identity {
            Identity::Application {
                client_id, proof, ..
            } => {
                let scope = format!("{}/.default", self.resource);
                let shown = match proof {
                    Proof::Secret(secret) => secret.clone(),
                    Proof::TokenFile(path) => read_token(path)?,
                };
                let mut fields = vec![
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id.as_str()),
                    ("scope", &scope),
                ];
                match proof {
                    Proof::Secret(_) => fields.push(("client_secret", shown.expose())),
                    Proof::TokenFile(_) => fields.extend([
                        ("client_assertion_type", ASSERTION),
                        ("client_assertion", shown.expose()),
                    ]),
                }
                let ask = Ask::new(Method::POST, self.token_url.clone());
                Ok(ask.hide(&shown).form(&fields))
            }
            Identity::Machine { client_id } => {
                let mut url = self.token_url.clone();
                url.query_pairs_mut()
                    .append_pair("api-version", IDENTITY_API_VERSION)
                    .append_pair("resource", self.resource)
                    .extend_pairs(client_id.as_ref().map(|id| ("client_id", id)));
                Ok(Ask::new(Method::GET, url).header("metadata", "true"))
            }
        }
    }

    fn login_advice(&self) -> &'static str {
        match &self.identity {
            Identity::Application {
                proof: Proof::Secret(_),
                ..
            } => "check tenant_id, client_id and client_secret",
            Identity::Application {
                proof: Proof::TokenFile(_),
                ..
            } => "check tenant_id, client_id, and that the application trusts the cluster's token",
            Identity::Machine { .. } => {
                "check that this machine has a managed identity, and client_id if there are several"
            }
        }
    }

    fn what(&self) -> String {
        format!("Azure key {}", self.key)
    }
}

fn read_token(path: &str) -> Result<Secret, Fault> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::lasting(format!("token file {path}: {error}")))?;
    Ok(Secret::new(text.trim()))
}

#[async_trait]
impl Service for Vault {
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault> {
        let body = json!({ "alg": "ES256K", "value": URL_SAFE_NO_PAD.encode(hash) });
        let url = below(&self.key, ["sign"]);
        let answer = self.ask(Method::POST, &url, Some(&body)).await;
        let Signed { value } = answer.map_err(|fault| advise(fault, "sign"))?.json()?;
        URL_SAFE_NO_PAD
            .decode(value)
            .map(RawSignature::Fixed)
            .map_err(|_| Fault::passing("the signature is not base64url"))
    }
}

fn advise(fault: Fault, permission: &str) -> Fault {
    if fault.kind == FaultKind::Lasting && fault.reason.contains("HTTP status 403") {
        return fault.advise(&format!(
            "allow the identity to {permission} keys (role Key Vault Crypto User)"
        ));
    }
    if fault.kind == FaultKind::Lasting && fault.reason.contains("HTTP status 404") {
        return fault.advise("check vault_url, key_name and key_version");
    }
    fault
}
