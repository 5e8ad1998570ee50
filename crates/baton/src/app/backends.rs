//! What the registry needs of this program: signers and clients of nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use baton_chain::{ChainClient, ChainIdError, Endpoint, EvmClient, EvmClientConfig, RpcObserver};
use baton_engine::registry::{Backends, CheckedSigner, SignerDef};
use baton_model::ChainProfile;
use baton_vault::Signer;
use baton_vault::remote::Ambient;
use tokio::time::timeout;

use super::signers::{self, Signers};
use crate::config::{ApiSigner, NodeAccess, Rpc, Settings, SignerSource};

/// Longest wait for nodes to tell their chain: a caller waits for it, and nodes that are slow or down are no reason to
/// refuse.
const CHAIN_ID_MAX: Duration = Duration::from_secs(10);

/// Opens signers and connects to nodes, as the settings say.
pub(super) struct AppBackends {
    /// Signers that were opened already, to see that they can be.
    opened: Signers,
    sources: BTreeMap<String, SignerSource>,
    ambient: Ambient,
    access: NodeAccess,
    rpc: Rpc,
    observer: Arc<dyn RpcObserver>,
    is_sealed: bool,
    /// Whatever runs: it is ended in peace with the process.
    clients: Mutex<Vec<Weak<EvmClient>>>,
}

impl AppBackends {
    pub(super) fn new(
        settings: &Settings,
        opened: Signers,
        observer: Arc<dyn RpcObserver>,
    ) -> Self {
        Self {
            opened,
            sources: settings.signers.clone(),
            ambient: settings.ambient.clone(),
            access: NodeAccess::new(&settings.rpc),
            rpc: settings.rpc.clone(),
            observer,
            is_sealed: settings.storage.encryption.is_some(),
            clients: Mutex::default(),
        }
    }

    /// Ends the clients.
    pub(super) async fn shutdown(&self, grace: Duration) {
        let clients: Vec<_> = self.clients().drain(..).collect();
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.shutdown(grace).await;
        }
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Weak<EvmClient>>> {
        // Nothing under this lock can be left half done.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self, signer: &SignerDef) -> Result<SignerSource, String> {
        match &signer.config {
            Some(config) => Ok(ApiSigner::read(&signer.kind, config.expose())?.source),
            None => {
                let source = self.sources.get(&signer.id);
                source
                    .cloned()
                    .ok_or_else(|| "it is not in the configuration".to_owned())
            }
        }
    }
}

#[async_trait]
impl Backends for AppBackends {
    fn check_signer(&self, kind: &str, config: &str) -> Result<CheckedSigner, String> {
        let signer = ApiSigner::read(kind, config)?;
        let (kind, shown) = signer.source.shown();
        Ok(CheckedSigner {
            kind: kind.to_owned(),
            shown,
            is_secret: signer.is_secret,
        })
    }

    async fn open_signer(&self, signer: &SignerDef) -> Result<Arc<dyn Signer>, String> {
        if signer.config.is_none()
            && let Some(opened) = self.opened.get(&signer.id)
        {
            return Ok(opened);
        }
        let source = self.source(signer)?;
        signers::open_single(&signer.id, source, &self.ambient).await
    }

    fn check_node(&self, url: &str) -> Result<(), String> {
        self.access.check(url)
    }

    async fn connect(
        &self,
        profile: &ChainProfile,
        nodes: &[Endpoint],
    ) -> Result<Arc<dyn ChainClient>, String> {
        let config = client_config(profile, nodes, &self.rpc);
        let client = EvmClient::start(&config, &self.observer).map_err(|e| e.to_string())?;
        match timeout(CHAIN_ID_MAX, client.check_chain_id(profile.chain_id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error @ ChainIdError::Mismatch { .. })) => return Err(error.to_string()),
            Ok(Err(error @ ChainIdError::Unchecked(_))) => {
                tracing::warn!(network = profile.name, %error, "going on without its nodes");
            }
            Err(_) => {
                tracing::warn!(
                    network = profile.name,
                    "no node told its chain yet; going on"
                );
            }
        }
        let client = Arc::new(client);
        let mut clients = self.clients();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        Ok(client)
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed
    }
}

fn client_config(profile: &ChainProfile, nodes: &[Endpoint], rpc: &Rpc) -> EvmClientConfig {
    EvmClientConfig {
        eip1559: profile.eip1559,
        average_block_time: Duration::from_millis(profile.average_block_time_ms),
        timeout: rpc.timeout,
        retries: rpc.attempts,
        retry_base: rpc.retry_base,
        retry_max: rpc.retry_max,
        failovers: rpc.failovers_max,
        failure_threshold: rpc.failure_threshold,
        failure_window: rpc.failure_window,
        pause: rpc.pause,
        ..EvmClientConfig::new(nodes.to_vec())
    }
}
