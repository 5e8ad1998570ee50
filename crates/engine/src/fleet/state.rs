//! What one instance knows, holds and has decided.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baton_coord::Epoch;
use baton_model::{LaneId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::plan::{Member, Plan, Situation, plan};
use super::record::{Hold, InstanceId};
use super::sight::Sight;

/// Lanes given up at the same time. Each stands still until it runs elsewhere, so they move in small groups.
const CEDES_MAX: usize = 32;
/// Most lanes that an instance says it holds: with ids of the greatest length, and the two lists below, the record
/// stays within the 4 MiB of a value. Those that are left out look free to others, whom the store refuses.
const HOLDS_MAX: usize = 16 * 1024;
/// Most lanes that an instance says it asks for. The others are asked for all the same, and told of later.
const WANTS_MAX: usize = 4 * 1024;
/// Most lanes that an instance says could not run on it.
const SHUNS_MAX: usize = 1024;
/// After how many half leases without a holder a lane is anybody's.
const OVERDUE_HALVES: u32 = 3;
/// Pause before a lane that failed here is tried here again, when nobody else runs it.
const FAILED_RETRY: Duration = Duration::from_secs(5);
/// For how long a lane that failed here is left to others; doubles with each failure.
const SHUNNED: Duration = Duration::from_secs(30);
/// Longest time for which it is: by then somebody has repaired what was wrong.
const SHUNNED_MAX: Duration = Duration::from_secs(1800);
/// How long a lane has to have run for its failure to be the first.
const GOOD_TENURE: Duration = Duration::from_secs(60);

/// What the task of a lane is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Leave it to others.
    #[default]
    Wait,
    /// Leave it to others because it failed here.
    Shun,
    /// Ask for the baton, and keep it.
    Take,
    /// Give the baton up: somebody waits for it.
    Cede,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) sight: Sight,
    me: InstanceId,
    lease: Duration,
    pub(super) is_draining: bool,
    /// What could run here, as it was said, besides what has a task.
    lanes: BTreeSet<LaneId>,
    orders: BTreeMap<LaneId, watch::Sender<Order>>,
    held: BTreeMap<LaneId, Tenure>,
    failures: BTreeMap<LaneId, Failure>,
    /// Lanes that nobody is known to hold, and since when.
    unheld: BTreeMap<LaneId, Instant>,
    /// Lanes that were known when the store lost what it held.
    lost: BTreeSet<LaneId>,
    plan: Plan,
    /// Whether another has to give something up for the plan.
    pub(super) needs_others: bool,
    /// When the others were looked at; before they were, nothing is asked for.
    looked_at: Option<Instant>,
    /// Since when what the store says of others is kept.
    heard_since: Option<Instant>,
    is_stale: bool,
    /// When time alone makes a new decision necessary.
    decide_at: Option<Instant>,
}

#[derive(Debug)]
struct Tenure {
    epoch: Epoch,
    since: Timestamp,
    began: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    count: u32,
    at: Instant,
}

/// What an instance says that it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) holds: Vec<Hold>,
    pub(super) wants: Vec<LaneId>,
    pub(super) shuns: Vec<LaneId>,
}

impl State {
    pub(super) const fn new(me: InstanceId, lease: Duration, sight: Sight) -> Self {
        Self {
            sight,
            me,
            lease,
            is_draining: false,
            lanes: BTreeSet::new(),
            orders: BTreeMap::new(),
            held: BTreeMap::new(),
            failures: BTreeMap::new(),
            unheld: BTreeMap::new(),
            lost: BTreeSet::new(),
            plan: Plan {
                seek: BTreeSet::new(),
                cede: BTreeMap::new(),
            },
            needs_others: false,
            looked_at: None,
            heard_since: None,
            is_stale: true,
            decide_at: None,
        }
    }

    pub(super) fn set_lanes(&mut self, lanes: BTreeSet<LaneId>) {
        self.is_stale |= self.lanes != lanes;
        self.lanes = lanes;
    }

    /// The store has lost what it held.
    pub(super) fn lost(&mut self) {
        let tasks = self.orders.keys();
        self.lost = self.lanes.iter().chain(tasks).cloned().collect();
    }

    pub(super) fn has_lost(&self, lane: &LaneId) -> bool {
        self.lost.contains(lane)
    }

    /// Where a lane's orders are given. A lane with a task is one that can run here.
    pub(super) fn orders_for(&mut self, lane: &LaneId) -> watch::Receiver<Order> {
        self.is_stale = true;
        self.orders.entry(lane.clone()).or_default().subscribe()
    }

    /// The task of a lane has ended, and holds nothing any more.
    pub(super) fn leave(&mut self, lane: &LaneId) {
        // The task that follows it may be there already.
        let is_left = |orders: &watch::Sender<Order>| orders.receiver_count() == 0;
        if self.orders.get(lane).is_some_and(is_left) {
            self.orders.remove(lane);
            self.held.remove(lane);
            self.is_stale = true;
        }
    }

    pub(super) fn took(&mut self, lane: &LaneId, epoch: Epoch, since: Timestamp, now: Instant) {
        self.is_stale = true;
        let tenure = Tenure {
            epoch,
            since,
            began: now,
        };
        self.held.insert(lane.clone(), tenure);
    }

    /// The lane is not held any more.
    pub(super) fn gave(&mut self, lane: &LaneId, now: Instant) {
        self.is_stale = true;
        let tenure = self.held.remove(lane);
        if tenure.is_some_and(|tenure| now - tenure.began >= GOOD_TENURE) {
            self.failures.remove(lane);
            // What it found at its start is written down by now.
            self.lost.remove(lane);
        }
        // What was ordered was ordered for the tenure that has ended.
        self.order(lane, Order::Wait);
    }

    /// The lane could not run, and is not held any more.
    pub(super) fn failed(&mut self, lane: &LaneId, now: Instant) {
        self.gave(lane, now);
        let count = self.failures.get(lane).map_or(0, |failure| failure.count);
        let count = count.saturating_add(1);
        self.failures
            .insert(lane.clone(), Failure { count, at: now });
        self.order(lane, Order::Shun);
    }

    /// The store says that another holds a lane.
    pub(super) fn refused(&mut self, lane: &LaneId, holder: &InstanceId, now: Instant) {
        if self.held.contains_key(lane) {
            self.gave(lane, now);
        }
        self.is_stale |= self.sight.heard(holder, lane);
    }

    /// How long ago the others were looked at.
    pub(super) fn since_look(&self, now: Instant) -> Duration {
        self.looked_at.map_or(Duration::ZERO, |at| now - at)
    }

    /// The others were looked at.
    pub(super) fn looked(&mut self, is_news: bool, now: Instant) {
        self.is_stale |= is_news || self.looked_at.is_none();
        self.looked_at = Some(now);
        let since = *self.heard_since.get_or_insert(now);
        if now - since >= self.lease {
            self.heard_since = Some(now);
            self.is_stale |= self.sight.forget_heard();
        }
    }

    pub(super) fn drain(&mut self) {
        self.is_stale |= !self.is_draining;
        self.is_draining = true;
    }

    /// When time alone makes a new decision necessary.
    pub(super) const fn decide_at(&self) -> Option<Instant> {
        self.decide_at
    }

    /// Live instances, this one included.
    pub(super) fn instances(&self) -> usize {
        self.sight.live().count() + 1
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Decides anew when anything has changed, and gives the orders that follow.
    pub(super) fn decide(&mut self, now: Instant) {
        let is_due = self.decide_at.is_some_and(|at| at <= now);
        if self.looked_at.is_none() || !(self.is_stale || is_due) {
            return;
        }
        self.is_stale = false;
        let mut lanes = self.lanes.clone();
        lanes.extend(self.orders.keys().cloned());
        let mine = self.as_member(now);
        let live = self.sight.live();
        let mut members: BTreeMap<&str, &Member> =
            live.map(|(id, member)| (id.as_str(), member)).collect();
        members.insert(self.me.as_str(), &mine);
        let claimed: BTreeSet<&LaneId> =
            members.values().flat_map(|one| one.holds.keys()).collect();
        self.unheld
            .retain(|lane, _| !claimed.contains(lane) && lanes.contains(lane));
        for lane in lanes.iter().filter(|lane| !claimed.contains(lane)) {
            self.unheld.entry(lane.clone()).or_insert(now);
        }
        let overdue = self.overdue(now);
        self.plan = plan(&Situation {
            me: self.me.as_str(),
            members: &members,
            lanes: &lanes,
            overdue: &overdue,
        });
        let others = members
            .values()
            .filter(|one| !one.is_draining && !std::ptr::eq(**one, &mine));
        self.needs_others = others
            .flat_map(|other| other.holds.keys())
            .any(|lane| self.plan.seek.contains(lane));
        self.failures.retain(|lane, _| lanes.contains(lane));
        self.decide_at = self.next_change(now);
        self.give_orders(now);
    }

    /// What it says of itself.
    pub(super) fn said(&self, now: Instant) -> Said {
        let holds = self.held.iter().map(|(lane, tenure)| Hold {
            lane: lane.clone(),
            epoch: tenure.epoch,
            since: tenure.since,
        });
        let shuns = self
            .failures
            .keys()
            .filter(|lane| self.is_shunned(lane, now));
        // What has no task here yet would not be taken if it was given up.
        let wants = self
            .plan
            .seek
            .iter()
            .filter(|lane| self.orders.contains_key(lane));
        Said {
            holds: holds.take(HOLDS_MAX).collect(),
            wants: wants.take(WANTS_MAX).cloned().collect(),
            shuns: shuns.take(SHUNS_MAX).cloned().collect(),
        }
    }

    fn as_member(&self, now: Instant) -> Member {
        let shunned = self
            .failures
            .keys()
            .filter(|lane| self.is_shunned(lane, now));
        Member {
            is_draining: self.is_draining,
            holds: self
                .held
                .iter()
                .map(|(lane, tenure)| (lane.clone(), tenure.epoch))
                .collect(),
            wants: self.plan.seek.clone(),
            shuns: shunned.cloned().collect(),
        }
    }

    fn is_shunned(&self, lane: &LaneId, now: Instant) -> bool {
        let failure = self.failures.get(lane);
        failure.is_some_and(|failure| now < failure.shunned_until())
    }

    /// Lanes that are to be asked for whoever else should.
    fn overdue(&self, now: Instant) -> BTreeSet<LaneId> {
        let overdue = self
            .unheld
            .keys()
            .filter(|lane| self.overdue_at(lane) <= now);
        overdue.cloned().collect()
    }

    fn overdue_at(&self, lane: &LaneId) -> Instant {
        let since = self.unheld[lane];
        let retry = self
            .failures
            .get(lane)
            .map_or(since, |failure| failure.at + FAILED_RETRY);
        retry.max(since + self.lease * OVERDUE_HALVES / 2)
    }

    fn next_change(&self, now: Instant) -> Option<Instant> {
        let overdue = self.unheld.keys().map(|lane| self.overdue_at(lane));
        let shunned = self.failures.values().map(Failure::shunned_until);
        overdue.chain(shunned).filter(|at| *at > now).min()
    }

    fn give_orders(&self, now: Instant) {
        let is_held = |lane: &LaneId| self.held.contains_key(lane);
        // Those that are being given up already first: they count until they are gone.
        let (begun, new): (Vec<&LaneId>, Vec<&LaneId>) = self
            .plan
            .cede
            .keys()
            .partition(|lane| self.current(lane) == Some(Order::Cede));
        let ceded: BTreeSet<&LaneId> = begun.into_iter().chain(new).take(CEDES_MAX).collect();
        for lane in self.orders.keys() {
            let order = if ceded.contains(lane) {
                Order::Cede
            } else if is_held(lane) || self.plan.seek.contains(lane) {
                Order::Take
            } else if self.is_shunned(lane, now) {
                Order::Shun
            } else {
                Order::Wait
            };
            self.order(lane, order);
        }
    }

    fn current(&self, lane: &LaneId) -> Option<Order> {
        self.orders.get(lane).map(|orders| *orders.borrow())
    }

    fn order(&self, lane: &LaneId, order: Order) {
        let Some(orders) = self.orders.get(lane) else {
            return;
        };
        orders.send_if_modified(|current| std::mem::replace(current, order) != order);
    }
}

impl Failure {
    fn shunned_until(&self) -> Instant {
        let doubled = 1u32
            .checked_shl(self.count.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.at + SHUNNED.saturating_mul(doubled).min(SHUNNED_MAX)
    }
}
