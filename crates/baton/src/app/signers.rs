//! Opens the keys that the configuration names.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use baton_model::Timestamp;
use baton_vault::remote::{self, Ambient, RemoteLimits, RemoteOptions};
use baton_vault::{LocalSigner, Signer};
use futures_util::stream::{self, StreamExt};

use crate::commands::told;
use crate::config::{Relayer, Settings, SignerSource};

/// Key stores opened at a time: a derivation keeps a core busy, and takes 256 MiB at geth's cost.
const OPENING_MAX: usize = 4;

/// Signers by their id.
#[derive(Default)]
pub(super) struct Signers(BTreeMap<String, Arc<dyn Signer>>);

/// What opening some signers came to.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) signers: Signers,
    /// Why the others could not be opened, by id.
    pub(super) failures: BTreeMap<String, String>,
}

/// Opens every signer that a relayer uses.
pub(super) async fn open(settings: &Settings) -> Result<Signers> {
    let used = used(&settings.relayers);
    let sources = settings.signers.iter();
    let sources = sources.filter(|(id, _)| used.contains(id.as_str()));
    let opened = open_all(sources, &settings.ambient).await?;
    if opened.failures.is_empty() {
        return Ok(opened.signers);
    }
    let failures = opened.failures.iter();
    let failures: Vec<String> = failures
        .map(|(id, reason)| format!("signer {id}: {reason}"))
        .collect();
    bail!(failures.join("; "))
}

/// Opens signers, some side by side.
pub(super) async fn open_all<'a>(
    sources: impl IntoIterator<Item = (&'a String, &'a SignerSource)>,
    ambient: &Ambient,
) -> Result<Opened> {
    let options = options(ambient);
    let sources: Vec<_> = sources
        .into_iter()
        .map(|(id, source)| (id.clone(), source.clone()))
        .collect();
    let mut opening = stream::iter(sources)
        .map(|(id, source)| {
            let options = &options;
            async move {
                let opened = open_one(&id, source, options).await;
                (id, opened)
            }
        })
        .buffer_unordered(OPENING_MAX);
    let mut all = Opened::default();
    while let Some((id, opened)) = opening.next().await {
        match opened {
            Ok(signer) => {
                all.signers.0.insert(id, signer);
            }
            Err(error) => {
                all.failures.insert(id, told(&error));
            }
        }
    }
    drop(opening);
    Ok(all)
}

/// Opens one signer.
///
/// # Errors
/// Why it cannot be opened, without anything secret.
pub(super) async fn open_single(
    id: &str,
    source: SignerSource,
    ambient: &Ambient,
) -> Result<Arc<dyn Signer>, String> {
    let opened = open_one(id, source, &options(ambient)).await;
    opened.map_err(|error| told(&error))
}

/// The ids of the signers that relayers use.
pub(super) fn used(relayers: &[Relayer]) -> BTreeSet<&str> {
    let ids = relayers.iter().flat_map(|relayer| &relayer.signer_ids);
    ids.map(String::as_str).collect()
}

/// Tells of every key that is used twice on one chain: its users would use the same nonces. Signers
/// that were not opened are passed over.
pub(super) fn shared_keys(relayers: &[Relayer], signers: &Signers) -> Vec<String> {
    let mut owners = BTreeMap::new();
    let mut shared = Vec::new();
    for relayer in relayers {
        let chain = relayer.network.profile.chain_id;
        for id in &relayer.signer_ids {
            let Some(signer) = signers.0.get(id) else {
                continue;
            };
            let account = signer.address();
            match owners.entry((chain, account)) {
                Entry::Vacant(free) => {
                    free.insert((id, &relayer.id));
                }
                Entry::Occupied(taken) => {
                    let (first, owner) = taken.get();
                    shared.push(format!(
                        "signer {id} of relayer {} and signer {first} of relayer {owner} hold the \
                         same key, of account {account} on chain {chain}: an account's nonces \
                         belong to one relayer, and to it once",
                        relayer.id
                    ));
                }
            }
        }
    }
    shared
}

async fn open_one(
    id: &str,
    source: SignerSource,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>> {
    match source {
        SignerSource::Remote { config, .. } => Ok(remote::open(id, &config, options).await?),
        // Takes a core or the disk a while.
        SignerSource::Keystore { path, passphrase } => {
            let open = move || LocalSigner::from_keystore(&path, &passphrase);
            Ok(Arc::new(tokio::task::spawn_blocking(open).await??))
        }
        SignerSource::RawKey { key } => Ok(Arc::new(LocalSigner::from_hex(key.expose())?)),
    }
}

fn options(ambient: &Ambient) -> RemoteOptions {
    RemoteOptions {
        limits: RemoteLimits::default(),
        clock: Arc::new(time_of_day),
        ambient: ambient.clone(),
    }
}

/// The machine's time of day as it is set now: services compare it with theirs, so a correction has
/// to count at once.
#[expect(
    clippy::disallowed_methods,
    reason = "requests to key services carry the time of day"
)]
fn time_of_day() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::default().saturating_add(since_epoch.unwrap_or_default())
}

impl Signers {
    /// A signer by its id, if it was opened.
    pub(super) fn get(&self, id: &str) -> Option<Arc<dyn Signer>> {
        self.0.get(id).map(Arc::clone)
    }
}
