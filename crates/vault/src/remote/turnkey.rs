//! Turnkey: each request carries a stamp, the API key's signature of its body.

use std::sync::Arc;

use alloy_primitives::hex;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_model::{Address, B256};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::fault::{Fault, FaultKind};
use super::http::{Answer, Ask, Http, JSON, below, service_url};
use super::patience::Patience;
use super::public_key::{RawSignature, address_of_hex};
use super::signer::{RemoteSigner, Service};
use super::{Clock, OpenError, RemoteOptions, TurnkeyConfig};
use crate::{Secret, Signer};

const ENDPOINT: &str = "https://api.turnkey.com";
const SCHEME: &str = "SIGNATURE_SCHEME_TK_API_P256";
const ADVICE: &str = "check api_public_key, api_private_key and organization_id";

struct Turnkey {
    http: Http,
    base: Url,
    organization_id: String,
    private_key_id: String,
    api_public_key: String,
    api_key: SigningKey,
    clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyFound {
    private_key: PrivateKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrivateKey {
    public_key: String,
    curve: String,
}

#[derive(Deserialize)]
struct Done {
    activity: Activity,
}

#[derive(Deserialize)]
struct Activity {
    status: String,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    failure: Value,
}

/// Looks the key up, and compares it with the public key of the configuration.
pub(super) async fn open(
    id: &str,
    config: &TurnkeyConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let address = address_of_hex(&config.public_key).ok_or_else(|| OpenError::Setting {
        field: "public_key",
        rule: "must be a secp256k1 public key, as hexadecimal digits".to_owned(),
    })?;
    let endpoint = options.ambient.turnkey_url.as_deref().unwrap_or(ENDPOINT);
    let base = service_url("BATON_TURNKEY_URL", endpoint)?;
    let turnkey = Turnkey {
        http: Http::new(&options.limits)?,
        base: below(&base, ["public", "v1"]),
        organization_id: config.organization_id.clone(),
        private_key_id: config.private_key_id.clone(),
        api_public_key: config.api_public_key.trim().to_lowercase(),
        api_key: api_key(config)?,
        clock: Clock::clone(&options.clock),
    };
    Patience::new(options.limits)
        .run(|| turnkey.verify(address))
        .await?;
    Ok(Arc::new(RemoteSigner::new(
        "turnkey", id, address, turnkey, options,
    )))
}

/// Reads the API key, and checks that its halves belong together: the service would only say that
/// it does not know the stamp.
fn api_key(config: &TurnkeyConfig) -> Result<SigningKey, OpenError> {
    let refused = |field, rule: &str| OpenError::Setting {
        field,
        rule: rule.to_owned(),
    };
    let digits = config.api_private_key.expose().trim();
    let key = hex::decode(digits)
        .ok()
        .map(Zeroizing::new)
        .and_then(|bytes| SigningKey::from_slice(&bytes).ok())
        .ok_or_else(|| {
            let rule = "must be a P-256 private key, as 64 hexadecimal digits";
            refused("api_private_key", rule)
        })?;
    let public = key.verifying_key().to_sec1_point(true);
    let given = hex::decode(config.api_public_key.trim()).unwrap_or_default();
    if given != public.as_bytes() {
        let rule = "must be the compressed public key that belongs to api_private_key, as 66 \
                    hexadecimal digits";
        return Err(refused("api_public_key", rule));
    }
    Ok(key)
}

impl Turnkey {
    /// Whether the key is the one that the configuration says it is.
    async fn verify(&self, account: Address) -> Result<(), Fault> {
        if let Ok(named) = self.private_key_id.parse::<Address>() {
            // A wallet account goes by its address; what is left to check is the API key.
            if named != account {
                return Err(Fault::lasting(format!(
                    "private_key_id is the address {named}, and public_key that of {account}"
                )));
            }
            let body = json!({ "organizationId": self.organization_id });
            return self.call(&["query", "whoami"], &body).await.map(|_| ());
        }
        let what = format!("Turnkey private key {}", self.private_key_id);
        let body = json!({
            "organizationId": self.organization_id,
            "privateKeyId": self.private_key_id,
        });
        let answer = self.call(&["query", "get_private_key"], &body).await;
        let answer = answer.map_err(|fault| fault.during(&what))?;
        let KeyFound { private_key } = answer.json().map_err(|fault| fault.during(&what))?;
        if private_key.curve != "CURVE_SECP256K1" {
            return Err(Fault::lasting(format!(
                "{what} has curve {:?}; an EVM account needs CURVE_SECP256K1",
                private_key.curve
            )));
        }
        if address_of_hex(&private_key.public_key) != Some(account) {
            return Err(Fault::lasting(format!(
                "{what} has another public key than the setting public_key, which is account \
                 {account}'s"
            )));
        }
        Ok(())
    }

    async fn call(&self, path: &[&str], body: &Value) -> Result<Answer, Fault> {
        let body = body.to_string();
        let ask = Ask::new(Method::POST, below(&self.base, path.iter().copied()))
            .secret_header("x-stamp", &self.stamp(body.as_bytes()))
            .body(JSON, body);
        let answer = self.http.ask(ask).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let said = answer.value();
        let fault = answer.fault(said["message"].as_str().unwrap_or_default());
        Err(match answer.status() {
            401 | 403 => fault.advise(ADVICE),
            404 => fault.advise("check organization_id and private_key_id"),
            _ => fault,
        })
    }

    fn stamp(&self, body: &[u8]) -> Secret {
        let signature: Signature = self.api_key.sign(body);
        let stamp = json!({
            "publicKey": self.api_public_key,
            "signature": hex::encode(signature.to_der().as_bytes()),
            "scheme": SCHEME,
        });
        Secret::new(URL_SAFE_NO_PAD.encode(stamp.to_string()))
    }
}

#[async_trait]
impl Service for Turnkey {
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault> {
        let body = json!({
            "type": "ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_V2",
            "timestampMs": (self.clock)().as_millis().to_string(),
            "organizationId": self.organization_id,
            "parameters": {
                "signWith": self.private_key_id,
                "payload": hex::encode(hash),
                "encoding": "PAYLOAD_ENCODING_HEXADECIMAL",
                "hashFunction": "HASH_FUNCTION_NO_OP",
            },
        });
        let answer = self.call(&["submit", "sign_raw_payload"], &body).await?;
        let Done { activity } = answer.json()?;
        let kind = match activity.status.as_str() {
            "ACTIVITY_STATUS_COMPLETED" => return signature(&activity.result),
            "ACTIVITY_STATUS_CREATED" | "ACTIVITY_STATUS_PENDING" => FaultKind::Passing,
            _ => FaultKind::Lasting,
        };
        let said = activity.failure["message"].as_str().unwrap_or_default();
        let mut fault = Fault::lasting(format!("activity is {} {said}", activity.status));
        fault.kind = kind;
        if activity.status == "ACTIVITY_STATUS_CONSENSUS_NEEDED" {
            return Err(fault.advise("a policy must let this API key sign by itself"));
        }
        Err(fault)
    }
}

fn signature(result: &Value) -> Result<RawSignature, Fault> {
    let result = &result["signRawPayloadResult"];
    let mut bytes = Vec::with_capacity(64);
    for name in ["r", "s"] {
        let part = result[name].as_str().unwrap_or_default();
        let part = hex::decode(part).ok().filter(|part| part.len() == 32);
        let part = part.ok_or_else(|| Fault::passing(format!("{name} is not 32 bytes")))?;
        bytes.extend(part);
    }
    Ok(RawSignature::Fixed(bytes))
}
