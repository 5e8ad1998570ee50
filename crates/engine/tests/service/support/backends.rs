//! Signers and nodes for registries of tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use baton_chain::{ChainClient, Endpoint};
use baton_engine::registry::{Backends, CheckedSigner, SignerDef};
use baton_model::ChainProfile;
use baton_vault::{LocalSigner, Signer};
use serde::Deserialize;
use serde_json::json;

use super::chain::FakeChain;

/// Every connection is to the same chain.
pub(crate) struct FakeBackends {
    pub(crate) chain: Arc<FakeChain>,
    /// Keys of the file's signers, by id.
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) sealed: AtomicBool,
    /// Hosts connected to, in order.
    pub(crate) connected: Mutex<Vec<Vec<String>>>,
    /// Signers opened, in order.
    pub(crate) opened: Mutex<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    key: String,
}

#[async_trait]
impl Backends for FakeBackends {
    fn check_signer(&self, kind: &str, config: &str) -> Result<CheckedSigner, String> {
        if kind != "plain" {
            return Err(format!("type must be plain; found {kind:?}"));
        }
        let plain: Result<Plain, _> = serde_json::from_str(config);
        let plain = plain.map_err(|_| "config.key must be a string")?;
        LocalSigner::from_hex(&plain.key).map_err(|error| format!("config.key: {error}"))?;
        Ok(CheckedSigner {
            kind: "local".to_owned(),
            shown: json!({}),
            is_secret: true,
        })
    }

    async fn open_signer(&self, signer: &SignerDef) -> Result<Arc<dyn Signer>, String> {
        self.opened.lock().unwrap().push(signer.id.clone());
        let key = match &signer.config {
            Some(config) => {
                let plain: Plain = serde_json::from_str(config.expose()).unwrap();
                plain.key
            }
            None => self.keys.get(&signer.id).cloned().ok_or("it is away")?,
        };
        let opened = LocalSigner::from_hex(&key).map_err(|error| error.to_string())?;
        Ok(Arc::new(opened))
    }

    fn check_node(&self, url: &str) -> Result<(), String> {
        if url.contains("metadata") {
            return Err("host metadata is a cloud metadata service".to_owned());
        }
        Ok(())
    }

    async fn connect(
        &self,
        _: &ChainProfile,
        nodes: &[Endpoint],
    ) -> Result<Arc<dyn ChainClient>, String> {
        let urls: Vec<String> = nodes.iter().map(|node| node.url.clone()).collect();
        if urls.iter().any(|url| url.contains("other-chain")) {
            return Err("endpoint other-chain serves chain 5".to_owned());
        }
        self.connected.lock().unwrap().push(urls);
        let chain = self.chain.clone();
        Ok(chain)
    }

    fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::SeqCst)
    }
}
