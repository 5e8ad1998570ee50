//! The signer that asks a service.

use async_trait::async_trait;
use baton_model::{Address, B256};
use tokio::sync::Semaphore;

use super::RemoteOptions;
use super::fault::{Fault, FaultKind};
use super::patience::Patience;
use super::public_key::{RawSignature, finish};
use crate::{Signature, Signer, SignerError};

/// Signatures asked for at a time: hides a service's latency, well within the rates that such
/// services allow one caller (from about 100 per second on).
const AT_A_TIME: usize = 32;

/// What differs between services.
#[async_trait]
pub(super) trait Service: Send + Sync {
    /// Asks once for the signature of a hash.
    async fn sign(&self, hash: B256) -> Result<RawSignature, Fault>;
}

/// An account whose key a service keeps.
pub(super) struct RemoteSigner {
    /// For errors: the kind and the id.
    name: String,
    address: Address,
    service: Box<dyn Service>,
    patience: Patience,
    places: Semaphore,
}

impl RemoteSigner {
    pub(super) fn new(
        kind: &'static str,
        id: &str,
        address: Address,
        service: impl Service + 'static,
        options: &RemoteOptions,
    ) -> Self {
        Self {
            name: format!("{kind} signer {id:?}"),
            address,
            service: Box::new(service),
            patience: Patience::new(options.limits),
            places: Semaphore::new(AT_A_TIME),
        }
    }

    async fn ask(&self, hash: B256) -> Result<Signature, Fault> {
        // Never closed, so there is always a place in the end.
        let _place = self.places.acquire().await;
        self.patience.run(|| self.ask_once(hash)).await
    }

    async fn ask_once(&self, hash: B256) -> Result<Signature, Fault> {
        let raw = self.service.sign(hash).await?;
        finish(&raw, hash, self.address)
    }
}

#[async_trait]
impl Signer for RemoteSigner {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign_hash(&self, hash: B256) -> Result<Signature, SignerError> {
        self.ask(hash).await.map_err(|fault| {
            let reason = format!("{}: {}", self.name, fault.reason);
            match fault.kind {
                FaultKind::Passing => SignerError::Unavailable { reason },
                FaultKind::Credentials | FaultKind::Lasting => SignerError::Refused { reason },
            }
        })
    }
}
