//! AWS KMS: JSON over HTTP, signed with Signature Version 4.

mod credentials;
mod sigv4;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::B256;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::credentials::Provider;
use self::sigv4::{Credentials, Signable};
use super::fault::{Fault, FaultKind};
use super::http::{Answer, Ask, Http, service_url};
use super::patience::Patience;
use super::public_key::{RawSignature, address_of_der};
use super::signer::{RemoteSigner, Service};
use super::token::Held;
use super::{AwsKmsConfig, Clock, OpenError, RemoteOptions};
use crate::{Secret, Signer};

const AMZ_JSON: &str = "application/x-amz-json-1.1";

struct Kms {
    http: Http,
    url: Url,
    region: String,
    /// As the configuration says until the key was read, then the ARN: an alias may move.
    key_id: String,
    provider: Provider,
    credentials: Held<Arc<Credentials>>,
    clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKey {
    key_id: String,
    public_key: String,
    key_spec: Option<String>,
    key_usage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

/// Reads the public key.
pub(super) async fn open(
    id: &str,
    config: &AwsKmsConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let http = Http::new(&options.limits)?;
    let url = match &options.ambient.aws.kms_endpoint {
        Some(endpoint) => service_url("AWS_ENDPOINT_URL_KMS", endpoint)?,
        None => regional("kms", &config.region)?,
    };
    let provider = Provider::new(&config.region, http.clone(), options)?;
    let mut kms = Kms {
        http,
        url,
        region: config.region.clone(),
        key_id: config.key_id.clone(),
        provider,
        credentials: Held::new(Clock::clone(&options.clock)),
        clock: Clock::clone(&options.clock),
    };
    let (arn, der) = Patience::new(options.limits)
        .run(|| kms.public_key())
        .await?;
    let address = address_of_der(&der).map_err(|fault| fault.during(&kms.what()))?;
    kms.key_id = arn;
    Ok(Arc::new(RemoteSigner::new(
        "aws_kms", id, address, kms, options,
    )))
}

/// The address of a service in a region. China's are elsewhere.
fn regional(service: &str, region: &str) -> Result<Url, OpenError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.is_empty() || !region.chars().all(plain) {
        return Err(OpenError::Setting {
            field: "region",
            rule: "must be the name of an AWS region, such as eu-west-1".to_owned(),
        });
    }
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    service_url("region", &format!("https://{service}.{region}.{domain}/"))
}

impl Kms {
    async fn public_key(&self) -> Result<(String, Vec<u8>), Fault> {
        let body = json!({ "KeyId": self.key_id });
        let key: PublicKey = self.call("GetPublicKey", &body).await.map_err(|fault| {
            let fault = fault.during(&self.what());
            advise(fault, "kms:GetPublicKey")
        })?;
        let spec = key.key_spec.as_deref().unwrap_or_default();
        let usage = key.key_usage.as_deref().unwrap_or_default();
        if spec != "ECC_SECG_P256K1" || usage != "SIGN_VERIFY" {
            return Err(Fault::lasting(format!(
                "{} has spec {spec:?} and usage {usage:?}; an EVM account needs ECC_SECG_P256K1 \
                 and SIGN_VERIFY",
                self.what()
            )));
        }
        let der = STANDARD.decode(key.public_key);
        let der = der.map_err(|_| Fault::passing("the public key is not base64"))?;
        Ok((key.key_id, der))
    }

    async fn call<T: DeserializeOwned>(&self, action: &str, body: &Value) -> Result<T, Fault> {
        let lent = self.credentials.get(self.provider.fetch()).await?;
        let target = format!("TrentService.{action}");
        let body = body.to_string();
        let headers = sigv4::sign(
            &Signable {
                method: "POST",
                url: &self.url,
                headers: &[("content-type", AMZ_JSON), ("x-amz-target", &target)],
                body: body.as_bytes(),
                region: &self.region,
                service: "kms",
            },
            &lent.value,
            (self.clock)(),
        );
        let mut ask = Ask::new(Method::POST, self.url.clone())
            .header("x-amz-target", target)
            .header("x-amz-date", headers.date)
            .secret_header("authorization", &Secret::new(headers.authorization))
            .hide(&lent.value.secret_access_key)
            .body(AMZ_JSON, body);
        if let Some(token) = &lent.value.session_token {
            ask = ask.secret_header("x-amz-security-token", token);
        }
        let answer = self.http.ask(ask).await?;
        if answer.is_success() {
            return answer.json();
        }
        let fault = failure(&answer);
        if fault.kind == FaultKind::Credentials {
            self.credentials.refuse(&lent).await;
        }
        Err(fault)
    }

    fn what(&self) -> String {
        format!("AWS KMS key {}", self.key_id)
    }
}

#[async_trait]
impl Service for Kms {
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault> {
        let body = json!({
            "KeyId": self.key_id,
            "Message": STANDARD.encode(hash),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        let signed = self.call("Sign", &body).await;
        let Signed { signature } = signed.map_err(|fault| advise(fault, "kms:Sign"))?;
        STANDARD
            .decode(signature)
            .map(RawSignature::Der)
            .map_err(|_| Fault::passing("the signature is not base64"))
    }
}

/// What an error means; its name stands in the body, and many share status 400.
fn failure(answer: &Answer) -> Fault {
    let body = answer.value();
    let name = body["__type"].as_str().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    let message = body["message"].as_str().or(body["Message"].as_str());
    let said = match message {
        Some(message) if !name.is_empty() => format!("{name}: {message}"),
        Some(message) => message.to_owned(),
        None => name.to_owned(),
    };
    let mut fault = answer.fault(&said);
    fault.kind = match name {
        "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            FaultKind::Credentials
        }
        "ThrottlingException"
        | "LimitExceededException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "KeyUnavailableException"
        | "ServiceUnavailable"
        | "RequestTimeout" => FaultKind::Passing,
        _ => fault.kind,
    };
    match name {
        "InvalidSignatureException" | "RequestExpired" => {
            fault.advise("check the secret access key, and this machine's clock")
        }
        "NotFoundException" => fault.advise("check key_id and region"),
        "DisabledException" | "KMSInvalidStateException" => fault.advise("enable the key"),
        _ => fault,
    }
}

fn advise(fault: Fault, permission: &str) -> Fault {
    if fault.kind != FaultKind::Passing && fault.reason.contains("AccessDenied") {
        return fault.advise(&format!(
            "allow {permission} on the key to these credentials"
        ));
    }
    fault
}
