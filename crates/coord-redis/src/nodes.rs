//! Which server a slot's calls go to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use crate::cluster;
use crate::keys::SLOTS;
use crate::link::{Link, NoConnection};
use crate::options::{Address, Servers};
use crate::sentinel::Sentinels;
use crate::settings::Settings;

/// How often the sentinels are asked who the master is: bounds for how long a process writes to one that was replaced.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two looks at a cluster's or the sentinels' state, however many calls ask for one.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Connections to one server for what writes. A server reads 16 KiB of each at a time, and flushes what it read before
/// it answers, so one alone would bound what shares a flush; each further one means fewer commits in one piece.
const WRITING: usize = 4;
/// Connections to one server for what only reads, so that a long answer holds up no commit.
const READING: usize = 2;

/// A server that keeps data, and the ways to it.
pub(crate) struct Host {
    pub(crate) address: Address,
    writing: Vec<Arc<Link>>,
    reading: Vec<Arc<Link>>,
}

impl Host {
    fn new(address: Address, settings: &Arc<Settings>) -> Self {
        let links = |count| {
            let new = |_| Arc::new(Link::new(address.clone(), Arc::clone(settings)));
            (0..count).map(new).collect()
        };
        Self {
            writing: links(WRITING),
            reading: links(READING),
            address,
        }
    }

    /// The connection that calls for a slot take: always the same one, so that they keep their order.
    pub(crate) fn link(&self, slot: u16, writes: bool) -> &Arc<Link> {
        let links = if writes { &self.writing } else { &self.reading };
        &links[usize::from(slot) % links.len()]
    }

    /// All ways to it.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.writing.iter().chain(&self.reading)
    }
}

/// The servers of a store.
pub(crate) struct Nodes {
    settings: Arc<Settings>,
    sentinels: Option<Sentinels>,
    state: Mutex<State>,
    /// Told when slots may have gone to other servers.
    rerouted: watch::Sender<()>,
    /// Held by the one that looks; when the last look was.
    looking: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<Address, Arc<Host>>,
    /// One entry without a cluster.
    slots: Vec<Option<Arc<Host>>>,
    /// Servers of a cluster that can be asked about it.
    known: BTreeSet<Address>,
    /// Rises when a look is worth it.
    stale: bool,
}

impl Nodes {
    pub(crate) fn new(settings: Arc<Settings>) -> Arc<Self> {
        let mut state = State::default();
        let mut sentinels = None;
        match settings.options.servers.clone() {
            Servers::Standalone(address) => {
                let host = Arc::new(Host::new(address, &settings));
                state.slots.push(Some(host));
            }
            Servers::Sentinel {
                sentinels: addresses,
                master,
            } => {
                state.slots.push(None);
                sentinels = Some(Sentinels::new(Arc::clone(&settings), addresses, master));
            }
            Servers::Cluster(addresses) => {
                state.slots.resize(SLOTS, None);
                state.known.extend(addresses);
            }
        }
        let nodes = Arc::new(Self {
            settings,
            sentinels,
            state: Mutex::new(state),
            rerouted: watch::Sender::new(()),
            looking: tokio::sync::Mutex::default(),
        });
        if nodes.sentinels.is_some() {
            tokio::spawn(watch(Arc::downgrade(&nodes)));
        }
        nodes
    }

    /// The server of a slot as far as is known, looked up if it is not or may have changed.
    pub(crate) async fn route(
        &self,
        slot: u16,
        deadline: Instant,
    ) -> Result<Arc<Host>, NoConnection> {
        let found = {
            let state = self.lock();
            state.at(slot).filter(|_| !state.stale)
        };
        if let Some(host) = found {
            return Ok(host);
        }
        let looked = self.look(deadline).await;
        self.lock().at(slot).ok_or_else(|| NoConnection {
            reason: looked
                .err()
                .unwrap_or_else(|| format!("no server has slot {slot}")),
            is_final: false,
        })
    }

    /// The server of a slot as far as is known, without asking anybody.
    pub(crate) fn peek(&self, slot: u16) -> Option<Arc<Host>> {
        self.lock().at(slot)
    }

    /// Ends when a slot is another server's. May be dropped.
    pub(crate) async fn replaced(&self, slot: u16, host: &Arc<Host>) {
        let mut rerouted = self.rerouted.subscribe();
        let is_same = |now: Option<Arc<Host>>| now.is_none_or(|now| Arc::ptr_eq(&now, host));
        while is_same(self.peek(slot)) {
            // The sender is this value's own, so it does not end.
            let _: Result<(), _> = rerouted.changed().await;
        }
    }

    /// Says that a server did not take a call that it should have taken.
    pub(crate) fn doubt(&self) {
        self.lock().stale = true;
    }

    /// Says that a server named another for a slot.
    pub(crate) fn moved(&self, slot: u16, to: Address) {
        let host = self.host(to);
        let mut state = self.lock();
        let at = state.index(slot);
        state.slots[at] = Some(host);
        // The slots around it may have moved too, but this one is known.
        state.stale = false;
        self.rerouted.send_replace(());
    }

    /// A server.
    pub(crate) fn host(&self, address: Address) -> Arc<Host> {
        let mut state = self.lock();
        let entry = state.hosts.entry(address.clone());
        Arc::clone(entry.or_insert_with(|| Arc::new(Host::new(address, &self.settings))))
    }

    /// All servers that keep data.
    pub(crate) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Host>>, NoConnection> {
        self.route(0, deadline).await?;
        let state = self.lock();
        let distinct: BTreeMap<Address, Arc<Host>> = state
            .slots
            .iter()
            .flatten()
            .map(|host| (host.address.clone(), Arc::clone(host)))
            .collect();
        Ok(distinct.into_values().collect())
    }

    /// Finds out who is who; one at a time, and not more often than makes sense.
    async fn look(&self, deadline: Instant) -> Result<(), String> {
        let late = || "no server answers".to_owned();
        let asked = Instant::now();
        let mut looking = timeout_at(deadline, self.looking.lock())
            .await
            .map_err(|_| late())?;
        if let Some(last) = *looking {
            if last >= asked {
                return Ok(());
            }
            if last + LOOK_EVERY >= deadline {
                return Err(late());
            }
            sleep_until(last + LOOK_EVERY).await;
        }
        let looked = match &self.sentinels {
            Some(sentinels) => timeout_at(deadline, self.look_at_sentinels(sentinels)).await,
            None if self.settings.is_cluster() => {
                timeout_at(deadline, self.look_at_cluster()).await
            }
            None => {
                self.lock().stale = false;
                Ok(Ok(()))
            }
        };
        *looking = Some(Instant::now());
        looked.unwrap_or_else(|_| Err(late()))
    }

    async fn look_at_sentinels(&self, sentinels: &Sentinels) -> Result<(), String> {
        let host = self.host(sentinels.master().await?);
        let mut state = self.lock();
        state.stale = false;
        let before = state.slots[0].replace(Arc::clone(&host));
        if let Some(before) = before.filter(|before| before.address != host.address) {
            tracing::warn!(from = %before.address, to = %host.address, "the master has changed");
            // It may still take writes, which would be lost.
            before.links().for_each(|link| link.discard_any());
            state.hosts.retain(|address, _| *address == host.address);
        }
        drop(state);
        self.rerouted.send_replace(());
        Ok(())
    }

    async fn look_at_cluster(&self) -> Result<(), String> {
        let known = self.lock().known.clone();
        let mut last = "no server of the cluster is known".to_owned();
        for address in known {
            match cluster::ranges(&self.settings, &address).await {
                Ok(ranges) if ranges.is_empty() => last = format!("{address} knows of no slots"),
                Ok(ranges) => {
                    self.adopt(ranges);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn adopt(&self, ranges: Vec<cluster::Range>) {
        let mut slots = vec![None; SLOTS];
        let mut known = BTreeSet::new();
        for range in ranges {
            let host = self.host(range.master.clone());
            slots[range.first..=range.last].fill(Some(host));
            known.insert(range.master);
            known.extend(range.replicas);
        }
        let mut state = self.lock();
        state.hosts.retain(|address, _| known.contains(address));
        state.slots = slots;
        // Those named at first stay: all others may have gone meanwhile.
        if let Servers::Cluster(first) = &self.settings.options.servers {
            known.extend(first.iter().cloned());
        }
        state.known = known;
        state.stale = false;
        self.rerouted.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn index(&self, slot: u16) -> usize {
        usize::from(slot).min(self.slots.len() - 1)
    }

    fn at(&self, slot: u16) -> Option<Arc<Host>> {
        self.slots[self.index(slot)].clone()
    }
}

/// Asks the sentinels for as long as the store is used, so that an idle process notices a failover as well.
async fn watch(nodes: Weak<Nodes>) {
    let mut ticks = interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(nodes) = nodes.upgrade() else {
            return;
        };
        let Some(sentinels) = &nodes.sentinels else {
            return;
        };
        if let Err(reason) = nodes.look_at_sentinels(sentinels).await {
            tracing::debug!(reason, "no sentinel answers");
        }
    }
}
