//! From definitions to what works: signers opened, nodes connected, accounts known.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use baton_chain::{ChainClient, Endpoint};
use baton_model::{Address, ChainProfile, EvmPolicy};
use baton_vault::Signer;

use super::defs::{Definitions, NetworkDef, NodeDef, NotificationDef, RelayerDef, SignerDef};
use super::{Backends, CheckedSigner};
use crate::driver::Follower;
use crate::{Network, Relayer};

/// The nodes that relayers share: those with the same nodes of the same network.
pub struct Line {
    /// Their network.
    pub network: Network,
    /// Follows it, when somebody runs it.
    pub follower: Arc<Follower>,
    nodes: Vec<NodeDef>,
}

/// A relayer with everything that it needs to work.
pub struct Served {
    /// As it is configured.
    pub def: RelayerDef,
    /// As the service and its lane know it.
    pub relayer: Relayer,
    /// One signer for each of its accounts, in their order.
    pub signers: Vec<Arc<dyn Signer>>,
    /// Its nodes.
    pub line: Arc<Line>,
    /// Who is told of its transactions.
    pub notification: Option<Arc<NotificationDef>>,
}

/// What is open and connected. What is not used any more goes with the next renewal.
#[derive(Default)]
pub(super) struct Live {
    served: Vec<Arc<Served>>,
    lines: Vec<Arc<Line>>,
    signers: Vec<(SignerDef, Arc<dyn Signer>)>,
}

/// Backends of a registry that opens and connects nothing.
pub(super) struct Nothing;

/// Relayers that were put together elsewhere.
pub(super) fn fixed(relayers: Vec<Relayer>) -> (Definitions, Live) {
    let mut definitions = Definitions::default();
    let mut live = Live::default();
    for relayer in relayers {
        let def = RelayerDef {
            id: relayer.id.clone(),
            name: relayer.name.clone(),
            network: relayer.network.profile.name.clone(),
            paused: relayer.paused,
            policy: relayer.policy.clone(),
            signer_ids: relayer.signer_ids.clone(),
            notification_id: relayer.notification_id.clone(),
            custom_rpc_urls: None,
        };
        if definitions.network(&def.network).is_none() {
            definitions.networks.push(NetworkDef {
                profile: relayer.network.profile.clone(),
                nodes: Vec::new(),
                explorer_urls: Vec::new(),
                features: Vec::new(),
            });
        }
        definitions.relayers.push(def.clone());
        let network = relayer.network.clone();
        let line = Arc::new(Line {
            follower: Arc::new(Follower::new(&network)),
            network,
            nodes: Vec::new(),
        });
        live.served.push(Arc::new(Served {
            def,
            relayer,
            signers: Vec::new(),
            line,
            notification: None,
        }));
    }
    (definitions, live)
}

impl Live {
    pub(super) fn served(&self) -> &[Arc<Served>] {
        &self.served
    }

    /// Opens and connects what is new, drops what is gone. What did not change stays the very same. Returns what is
    /// served, and why the rest is not.
    pub(super) async fn renew(
        &mut self,
        definitions: &Definitions,
        backends: &dyn Backends,
    ) -> (Vec<Arc<Served>>, BTreeMap<String, String>) {
        let mut served: Vec<Arc<Served>> = Vec::new();
        let mut broken = BTreeMap::new();
        for def in &definitions.relayers {
            let made = match self.known(def, definitions) {
                Some(known) => Ok(known),
                None => self.make(def, definitions, backends).await.map(Arc::new),
            };
            // The last line of defence: two lanes with one account would use the same nonces.
            let made = made.and_then(|made| match shared_account(&made, &served) {
                Some(reason) => Err(reason),
                None => Ok(made),
            });
            match made {
                Ok(made) => served.push(made),
                Err(reason) => {
                    broken.insert(def.id.to_string(), reason);
                }
            }
        }
        self.served.clone_from(&served);
        let in_use = |line: &Arc<Line>| served.iter().any(|one| Arc::ptr_eq(&one.line, line));
        self.lines.retain(in_use);
        let used = |id: &String| served.iter().any(|one| one.def.signer_ids.contains(id));
        self.signers.retain(|(def, _)| used(&def.id));
        (served, broken)
    }

    /// Opens and connects what a relayer needs, and keeps that until the next renewal.
    pub(super) async fn try_out(
        &mut self,
        def: &RelayerDef,
        definitions: &Definitions,
        backends: &dyn Backends,
    ) -> Result<(), String> {
        let made = self.make(def, definitions, backends).await?;
        let others = self.served.iter().filter(|one| one.def.id != def.id);
        let others: Vec<Arc<Served>> = others.map(Arc::clone).collect();
        shared_account(&made, &others).map_or(Ok(()), Err)
    }

    /// What is served already and needs no change.
    fn known(&self, def: &RelayerDef, definitions: &Definitions) -> Option<Arc<Served>> {
        let known = self.served.iter().find(|one| one.def == *def)?;
        let network = definitions.network(&def.network)?;
        let line = &known.line;
        let nodes = def.custom_rpc_urls.as_ref().unwrap_or(&network.nodes);
        let same_signers = def.signer_ids.iter().all(|id| {
            let opened = self.signers.iter().find(|(signer, _)| signer.id == *id);
            opened.is_none_or(|(signer, _)| definitions.signer(id) == Some(signer))
        });
        let same_notification = known.notification.as_deref() == notification_of(def, definitions);
        let is_same = line.network.profile == network.profile
            && line.nodes == *nodes
            && same_signers
            && same_notification;
        is_same.then(|| Arc::clone(known))
    }

    async fn make(
        &mut self,
        def: &RelayerDef,
        definitions: &Definitions,
        backends: &dyn Backends,
    ) -> Result<Served, String> {
        let network = definitions.network(&def.network);
        let network = network.ok_or_else(|| format!("network {:?} is not known", def.network))?;
        let mut signers = Vec::new();
        for id in &def.signer_ids {
            signers.push(self.signer(id, definitions, backends).await?);
        }
        let line = self.line(def, network, backends).await?;
        let accounts: Vec<Address> = signers.iter().map(|signer| signer.address()).collect();
        let custom = def.custom_rpc_urls.iter().flatten();
        let relayer = Relayer {
            id: def.id.clone(),
            name: def.name.clone(),
            network: line.network.clone(),
            paused: def.paused,
            policy: def.policy.clone(),
            policy_given: def.policy != EvmPolicy::default(),
            signer_ids: def.signer_ids.clone(),
            accounts,
            notification_id: def.notification_id.clone(),
            custom_rpc_urls: custom.map(|node| (node.origin(), node.weight)).collect(),
        };
        if relayer.accounts.is_empty() {
            return Err("it has no signer".to_owned());
        }
        Ok(Served {
            def: def.clone(),
            relayer,
            signers,
            line,
            notification: notification_of(def, definitions).cloned().map(Arc::new),
        })
    }

    async fn signer(
        &mut self,
        id: &str,
        definitions: &Definitions,
        backends: &dyn Backends,
    ) -> Result<Arc<dyn Signer>, String> {
        let def = definitions.signer(id);
        let def = def.ok_or_else(|| {
            format!("signer {id:?} is not known; it may have been deleted over the API")
        })?;
        if let Some((_, opened)) = self.signers.iter().find(|(known, _)| known == def) {
            return Ok(Arc::clone(opened));
        }
        let opened = backends.open_signer(def).await;
        let opened =
            opened.map_err(|reason| format!("signer {id:?} cannot be opened: {reason}"))?;
        self.signers.retain(|(known, _)| known.id != def.id);
        self.signers.push((def.clone(), Arc::clone(&opened)));
        Ok(opened)
    }

    async fn line(
        &mut self,
        def: &RelayerDef,
        network: &NetworkDef,
        backends: &dyn Backends,
    ) -> Result<Arc<Line>, String> {
        let nodes = def.custom_rpc_urls.as_ref().unwrap_or(&network.nodes);
        let shared = self
            .lines
            .iter()
            .find(|line| line.network.profile == network.profile && line.nodes == *nodes);
        if let Some(line) = shared {
            return Ok(Arc::clone(line));
        }
        if nodes.is_empty() {
            return Err(format!(
                "custom_rpc_urls must be given, for network {:?} has no rpc_urls",
                def.network
            ));
        }
        let endpoints: Vec<Endpoint> = nodes.iter().map(Endpoint::from).collect();
        let connected = backends.connect(&network.profile, &endpoints).await;
        let chain = connected.map_err(|reason| format!("network {}: {reason}", def.network))?;
        let served = Network {
            profile: network.profile.clone(),
            chain,
        };
        let line = Arc::new(Line {
            follower: Arc::new(Follower::new(&served)),
            network: served,
            nodes: nodes.clone(),
        });
        self.lines.push(Arc::clone(&line));
        Ok(line)
    }
}

fn notification_of<'a>(
    def: &RelayerDef,
    definitions: &'a Definitions,
) -> Option<&'a NotificationDef> {
    definitions.notification(def.notification_id.as_deref()?)
}

/// Tells of an account that a relayer has twice, or that another one has on the same chain.
fn shared_account(made: &Served, others: &[Arc<Served>]) -> Option<String> {
    let chain_of = |one: &Served| one.relayer.network.profile.chain_id;
    let chain = chain_of(made);
    let accounts = &made.relayer.accounts;
    for (place, account) in accounts.iter().enumerate() {
        if accounts[..place].contains(account) {
            return Some(format!(
                "two of its signers hold the key of account {account}"
            ));
        }
        let owner = others
            .iter()
            .find(|one| chain_of(one) == chain && one.relayer.accounts.contains(account));
        if let Some(owner) = owner {
            return Some(format!(
                "account {account} belongs to relayer {} on chain {chain}: an account's nonces \
                 belong to one relayer",
                owner.def.id
            ));
        }
    }
    None
}

#[async_trait]
impl Backends for Nothing {
    fn check_signer(&self, _: &str, _: &str) -> Result<CheckedSigner, String> {
        Err("no signers can be made here".to_owned())
    }

    async fn open_signer(&self, _: &SignerDef) -> Result<Arc<dyn Signer>, String> {
        Err("no signers can be opened here".to_owned())
    }

    fn check_node(&self, _: &str) -> Result<(), String> {
        Err("no nodes can be added here".to_owned())
    }

    async fn connect(
        &self,
        _: &ChainProfile,
        _: &[Endpoint],
    ) -> Result<Arc<dyn ChainClient>, String> {
        Err("no nodes can be connected here".to_owned())
    }

    fn is_sealed(&self) -> bool {
        false
    }
}
