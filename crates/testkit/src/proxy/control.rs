//! The handle by which a running proxy is changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::fault::{ActiveRule, Delay, Fault, FaultRule, Outage, Stale, is_of_exchange, wait};
use super::pool::PoolRules;

/// Most fault rules at a time: every call is held against each.
const RULES_MAX: usize = 64;

/// Names a rule that was given to [`ProxyControl::inject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

/// Changes a running proxy. A change holds for every request that the proxy begins to read after
/// the call returned; what is under way goes on as it began. Clones change the same proxy.
#[derive(Clone, Debug)]
pub struct ProxyControl {
    state: Arc<State>,
}

/// What is to be done with one exchange.
pub(super) struct Plan {
    pub(super) before_forwarding: Duration,
    pub(super) before_answering: Duration,
    pub(super) exchange: Option<Fault>,
    /// The fault of each call that has one, by place.
    pub(super) calls: Vec<(usize, Fault)>,
    pub(super) stale: Option<Stale>,
    pub(super) pool: Option<PoolRules>,
}

struct State {
    settings: Mutex<Settings>,
    outage: watch::Sender<Option<Outage>>,
    listening: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    strict: watch::Sender<bool>,
}

struct Settings {
    seed: u64,
    exchanges: u64,
    forward: Delay,
    answer: Delay,
    rules: Vec<ActiveRule>,
    rules_made: u64,
    stale: Option<Stale>,
    pool: Option<PoolRules>,
}

impl ProxyControl {
    pub(super) fn new(seed: u64) -> Self {
        let settings = Settings {
            seed,
            exchanges: 0,
            forward: Delay::default(),
            answer: Delay::default(),
            rules: Vec::new(),
            rules_made: 0,
            stale: None,
            pool: None,
        };
        let state = State {
            settings: Mutex::new(settings),
            outage: watch::Sender::new(None),
            listening: watch::Sender::new(true),
            cuts: watch::Sender::new(0),
            strict: watch::Sender::new(false),
        };
        Self {
            state: Arc::new(state),
        }
    }

    /// How long requests wait before they are forwarded.
    pub fn delay_forwarding(&self, delay: Delay) {
        self.change(|settings| settings.forward = delay);
    }

    /// How long answers wait before they are given.
    pub fn delay_answers(&self, delay: Delay) {
        self.change(|settings| settings.answer = delay);
    }

    /// A round trip of this length on top of the node's own: half of it in each direction.
    pub fn delay(&self, round_trip: Duration) {
        self.change(|settings| {
            settings.forward = Delay::fixed(round_trip / 2);
            settings.answer = Delay::fixed(round_trip - round_trip / 2);
        });
    }

    /// Adds a fault. Rules are asked in the order they were given.
    ///
    /// # Panics
    /// With more than 64 rules in force.
    pub fn inject(&self, rule: FaultRule) -> RuleId {
        self.change(|settings| {
            assert!(
                settings.rules.len() < RULES_MAX,
                "a proxy has at most {RULES_MAX} fault rules"
            );
            settings.rules_made += 1;
            let id = settings.rules_made;
            settings.rules.push(ActiveRule::new(id, rule));
            RuleId(id)
        })
    }

    /// Takes a fault away.
    pub fn withdraw(&self, rule: RuleId) {
        self.change(|settings| settings.rules.retain(|active| active.id != rule.0));
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.change(|settings| settings.rules.clear());
    }

    /// Begins, changes or ends an outage. Returns when connections are refused or taken as told.
    pub async fn outage(&self, outage: Option<Outage>) {
        self.state.outage.send_replace(outage);
        let wanted = outage != Some(Outage::Refuse);
        let mut listening = self.state.listening.subscribe();
        let mut outages = self.state.outage.subscribe();
        // The senders are in `state`, which lives as long as `self`.
        tokio::select! {
            _ = listening.wait_for(|now| *now == wanted) => {}
            _ = outages.wait_for(|now| *now != outage) => {}
        }
    }

    /// An outage that ends by itself after `span`. Returns when it has begun.
    pub async fn outage_for(&self, outage: Outage, span: Duration) {
        self.outage(Some(outage)).await;
        let control = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(span).await;
            control.outage(None).await;
        });
    }

    /// Serves old state, or the present one again. Numbers, counts, balances, code, blocks and
    /// receipts agree with each other; what is sent still reaches the node.
    pub fn stale(&self, stale: Option<Stale>) {
        self.change(|settings| settings.stale = stale);
    }

    /// Holds `eth_sendRawTransaction` to the rules of a pool that anvil lacks, or no longer.
    pub fn pool_rules(&self, rules: Option<PoolRules>) {
        self.change(|settings| settings.pool = rules);
        self.state.strict.send_replace(rules.is_some());
    }

    /// Closes every open connection, whatever is under way on it.
    pub fn cut_connections(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Decides about one exchange; `methods` are those of its calls, in order.
    pub(super) fn plan<'a>(&self, methods: &(impl Iterator<Item = &'a str> + Clone)) -> Plan {
        self.change(|settings| settings.plan(methods))
    }

    pub(super) fn outages(&self) -> watch::Receiver<Option<Outage>> {
        self.state.outage.subscribe()
    }

    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.state.cuts.subscribe()
    }

    /// Whether pool rules are in force.
    pub(super) fn strict(&self) -> watch::Receiver<bool> {
        self.state.strict.subscribe()
    }

    pub(super) fn set_listening(&self, listening: bool) {
        self.state.listening.send_replace(listening);
    }

    fn change<T>(&self, how: impl FnOnce(&mut Settings) -> T) -> T {
        let settings = self.state.settings.lock();
        // Settings are replaced field by field; a panic elsewhere leaves none half written.
        how(&mut settings.unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("outage", &*self.outage.borrow())
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn plan<'a>(&mut self, methods: &(impl Iterator<Item = &'a str> + Clone)) -> Plan {
        self.exchanges += 1;
        let mut plan = Plan {
            before_forwarding: wait(self.forward, self.seed, 0, self.exchanges),
            before_answering: wait(self.answer, self.seed, 1, self.exchanges),
            exchange: None,
            calls: Vec::new(),
            stale: self.stale,
            pool: self.pool,
        };
        for active in &mut self.rules {
            let fault = &active.rule.fault;
            if is_of_exchange(fault) {
                // A body that is no call matches rules for any method.
                let any = active.rule.method.is_none();
                let struck = (any || methods.clone().any(|method| active.matches(method)))
                    && active.strikes(self.seed);
                if struck && plan.exchange.is_none() {
                    plan.exchange = Some(active.rule.fault.clone());
                }
                continue;
            }
            for (place, method) in methods.clone().enumerate() {
                let struck = active.matches(method) && active.strikes(self.seed);
                if struck && plan.calls.iter().all(|(taken, _)| *taken != place) {
                    plan.calls.push((place, active.rule.fault.clone()));
                }
            }
        }
        self.rules.retain(|active| !active.is_spent());
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fault::{Moment, When};

    fn struck(control: &ProxyControl, methods: &[&str]) -> (Option<Fault>, Vec<usize>) {
        let plan = control.plan(&methods.iter().copied());
        let calls = plan.calls.iter().map(|(place, _)| *place);
        (plan.exchange, calls.collect())
    }

    #[test]
    fn a_rule_counts_only_what_it_matches() {
        let control = ProxyControl::new(1);
        control.inject(FaultRule::new(Fault::WrongId, When::Nth(3)).on("send"));
        assert_eq!(struck(&control, &["send", "read"]), (None, vec![]));
        assert_eq!(struck(&control, &["read", "send", "send"]), (None, vec![2]));
        assert_eq!(struck(&control, &["send"]), (None, vec![]));
    }

    #[test]
    fn the_first_rule_that_strikes_an_exchange_wins_and_all_count() {
        let control = ProxyControl::new(1);
        let cut = Fault::Cut(Moment::Before);
        control.inject(FaultRule::new(cut.clone(), When::Next(1)));
        let second = control.inject(FaultRule::new(Fault::Truncated, When::Next(2)));
        assert_eq!(struck(&control, &["a"]).0, Some(cut));
        assert_eq!(struck(&control, &["a"]).0, Some(Fault::Truncated));
        assert_eq!(struck(&control, &["a"]).0, None);
        control.withdraw(second);
        control.inject(FaultRule::new(Fault::Truncated, When::Permille(1000)));
        assert_eq!(struck(&control, &[]).0, Some(Fault::Truncated));
        control.clear_faults();
        assert_eq!(struck(&control, &["a"]).0, None);
    }

    #[test]
    fn the_same_seed_and_requests_give_the_same_faults() {
        let run = |seed| {
            let control = ProxyControl::new(seed);
            let swallow = Fault::NoReply(Moment::After);
            control.inject(FaultRule::new(swallow, When::Permille(200)).on("send"));
            control.inject(FaultRule::new(Fault::Omitted, When::Permille(300)));
            let plans = (0..200).map(|_| struck(&control, &["send", "read"]));
            plans.collect::<Vec<_>>()
        };
        assert_eq!(run(11), run(11));
        assert_ne!(run(11), run(12));
    }
}
