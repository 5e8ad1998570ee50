//! Opens the keys that the configuration names.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use baton_model::Address;
use baton_vault::{LocalSigner, Signer};

use crate::commands::told;
use crate::config::{Settings, SignerSource};

/// Signers by their id.
pub(super) struct Signers(BTreeMap<String, Arc<dyn Signer>>);

/// Opens every signer that a relayer uses. Key derivation takes a while, so they are opened side by
/// side.
pub(super) async fn open(settings: &Settings) -> Result<Signers> {
    let used = settings
        .relayers
        .iter()
        .flat_map(|relayer| &relayer.signer_ids);
    let mut opening = BTreeMap::new();
    for id in used {
        if let Some(source) = settings.signers.get(id).cloned()
            && !opening.contains_key(id)
        {
            opening.insert(
                id.clone(),
                tokio::task::spawn_blocking(move || open_one(&source)),
            );
        }
    }
    let mut signers: BTreeMap<String, Arc<dyn Signer>> = BTreeMap::new();
    let mut failures = Vec::new();
    for (id, task) in opening {
        match task.await? {
            Ok(signer) => {
                signers.insert(id, Arc::new(signer));
            }
            Err(error) => failures.push(format!("signer {id}: {}", told(&error))),
        }
    }
    if !failures.is_empty() {
        bail!(failures.join("; "));
    }
    Ok(Signers(signers))
}

fn open_one(source: &SignerSource) -> Result<LocalSigner> {
    Ok(match source {
        SignerSource::Keystore { path, passphrase } => {
            LocalSigner::from_keystore(path, passphrase)?
        }
        SignerSource::RawKey { key } => LocalSigner::from_hex(key.expose())?,
    })
}

impl Signers {
    /// Signers by their ids, in order.
    pub(super) fn of(&self, ids: &[String]) -> Result<Vec<Arc<dyn Signer>>> {
        ids.iter()
            .map(|id| {
                self.0
                    .get(id)
                    .map(Arc::clone)
                    .with_context(|| format!("no signer {id}"))
            })
            .collect()
    }

    /// Their addresses, in order.
    pub(super) fn addresses(&self, ids: &[String]) -> Result<Vec<Address>> {
        Ok(self
            .of(ids)?
            .iter()
            .map(|signer| signer.address())
            .collect())
    }
}
