//! A key of the transit engine. HashiCorp's own has no secp256k1 keys; servers and plugins with the
//! same API that have them are what this is for, and all others are told so.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::{Address, B256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::login::VaultServer;
use crate::Signer;
use crate::remote::fault::Fault;
use crate::remote::patience::Patience;
use crate::remote::public_key::{RawSignature, address_of_hex, address_of_pem};
use crate::remote::signer::{RemoteSigner, Service};
use crate::remote::{OpenError, RemoteOptions, TransitConfig};

/// Where the engine is mounted, unless the configuration says otherwise.
const MOUNT: &str = "transit";

#[derive(Deserialize)]
struct Read {
    data: Key,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    /// Public keys by version; a number for each version of a symmetric key.
    keys: BTreeMap<u64, Value>,
}

#[derive(Deserialize)]
struct Signed {
    data: SignedData,
}

#[derive(Deserialize)]
struct SignedData {
    signature: String,
}

struct Transit {
    server: VaultServer,
    mount: String,
    key_name: String,
    version: u64,
}

/// Finds the version of the key that the configuration names by its public half.
pub(in crate::remote) async fn open_transit(
    id: &str,
    config: &TransitConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let address = address_of_hex(&config.pubkey).ok_or_else(|| OpenError::Setting {
        field: "pubkey",
        rule: "must be a secp256k1 public key, as hexadecimal digits".to_owned(),
    })?;
    let vault = &config.vault;
    let mount = vault.mount_point.as_deref().unwrap_or(MOUNT);
    let mut transit = Transit {
        server: VaultServer::new(vault, options)?,
        mount: mount.to_owned(),
        key_name: vault.key_name.clone(),
        version: 0,
    };
    transit.version = Patience::new(options.limits)
        .run(|| transit.find(address))
        .await?;
    let signer = RemoteSigner::new("vault_transit", id, address, transit, options);
    Ok(Arc::new(signer))
}

impl Transit {
    async fn find(&self, account: Address) -> Result<u64, Fault> {
        let what = format!("transit key {}/{}", self.mount, self.key_name);
        let answer = self
            .server
            .read(&[&self.mount, "keys", &self.key_name])
            .await
            .map_err(|fault| {
                fault
                    .during(&what)
                    .advise("the key must exist, and the role's policy must allow to read it")
            })?;
        let Read { data: key } = answer.json().map_err(|fault| fault.during(&what))?;
        let mut on_curve = false;
        for (version, public) in &key.keys {
            let pem = public["public_key"].as_str().unwrap_or_default();
            let found = address_of_pem(pem).ok();
            on_curve |= found.is_some();
            if found == Some(account) {
                return Ok(*version);
            }
        }
        let reason = if on_curve {
            format!("{what} has no version with the public key of the setting pubkey ({account})")
        } else {
            format!(
                "{what} is of type {:?}, and an EVM account needs a secp256k1 key: HashiCorp's \
                 transit engine has none, so keep the key as a secret and use type `vault`",
                key.kind
            )
        };
        Err(Fault::lasting(reason))
    }
}

#[async_trait]
impl Service for Transit {
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault> {
        let body = json!({
            "input": STANDARD.encode(hash),
            "prehashed": true,
            "hash_algorithm": "sha2-256",
            "marshaling_algorithm": "asn1",
            "key_version": self.version,
        });
        let path = [&self.mount, "sign", self.key_name.as_str()];
        let answer = self.server.write(&path, &body).await.map_err(|fault| {
            fault.advise("the role's policy must allow to update the key's sign path")
        })?;
        let Signed { data } = answer.json()?;
        // `vault:v<version>:<base64>`.
        let encoded = data.signature.rsplit(':').next().unwrap_or_default();
        STANDARD
            .decode(encoded)
            .map(RawSignature::Der)
            .map_err(|_| Fault::passing("the signature is not base64"))
    }
}
