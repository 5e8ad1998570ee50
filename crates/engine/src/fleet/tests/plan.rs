//! Decisions, by all of those that they concern.

use std::collections::{BTreeMap, BTreeSet};

use baton_coord::Epoch;
use baton_model::LaneId;
use proptest::prelude::*;

use crate::fleet::plan::{Member, Plan, Situation, plan};

/// Instances with what they hold, and the lanes that each knows.
#[derive(Clone, Debug)]
struct World {
    members: BTreeMap<String, Member>,
    lanes: BTreeMap<String, BTreeSet<LaneId>>,
    epoch: u64,
}

fn lane(number: usize) -> LaneId {
    LaneId::new(format!("tx/relayer-{number}")).unwrap()
}

fn name(number: usize) -> String {
    format!("host-{number}-{}", 100 + number * 7)
}

impl World {
    /// All know all lanes; `holders` says who holds which.
    fn new(members: usize, holders: &[Option<usize>]) -> Self {
        let all: BTreeSet<LaneId> = (0..holders.len()).map(lane).collect();
        let mut world = Self {
            members: (0..members)
                .map(|one| (name(one), Member::default()))
                .collect(),
            lanes: (0..members).map(|one| (name(one), all.clone())).collect(),
            epoch: 1,
        };
        for (number, holder) in holders.iter().enumerate() {
            if let Some(holder) = holder {
                world.give(&lane(number), &name(holder % members));
            }
        }
        world
    }

    fn give(&mut self, lane: &LaneId, to: &str) {
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        self.member(to).holds.insert(lane.clone(), epoch);
    }

    fn member(&mut self, name: &str) -> &mut Member {
        self.members.get_mut(name).unwrap()
    }

    fn holder(&self, lane: &LaneId) -> Option<&String> {
        let mut holders = self
            .members
            .iter()
            .filter(|(_, one)| one.holds.contains_key(lane));
        holders.next().map(|(name, _)| name)
    }

    fn all_lanes(&self) -> BTreeSet<LaneId> {
        self.lanes.values().flatten().cloned().collect()
    }

    fn plan_of(&self, me: &str, overdue: bool) -> Plan {
        let members = self
            .members
            .iter()
            .map(|(id, one)| (id.as_str(), one))
            .collect();
        let lanes = &self.lanes[me];
        let unheld = lanes
            .iter()
            .filter(|lane| overdue && self.holder(lane).is_none());
        plan(&Situation {
            me,
            members: &members,
            lanes,
            overdue: &unheld.cloned().collect(),
        })
    }

    /// Everybody decides and says what it wants.
    fn plans(&mut self, overdue: bool) -> BTreeMap<String, Plan> {
        let names: Vec<String> = self.members.keys().cloned().collect();
        let plans: BTreeMap<String, Plan> = names
            .iter()
            .map(|me| (me.clone(), self.plan_of(me, overdue)))
            .collect();
        for (name, plan) in &plans {
            self.member(name).wants = plan.seek.clone();
        }
        plans
    }

    /// Who asks for each lane.
    fn seekers(&mut self) -> BTreeMap<LaneId, Vec<String>> {
        let mut seekers: BTreeMap<LaneId, Vec<String>> = BTreeMap::new();
        for (name, plan) in self.plans(false) {
            for lane in plan.seek {
                seekers.entry(lane).or_default().push(name.clone());
            }
        }
        seekers
    }

    /// Moves one lane as the plans say: one that is free to the first who asks for it, or one that is given up to whom
    /// it is given up for. `pick` chooses among the moves. `None` when nothing is left to move.
    fn step(&mut self, pick: usize, overdue: bool) -> Option<LaneId> {
        let plans = self.plans(overdue);
        let plans_with_wants: BTreeMap<String, Plan> = plans
            .keys()
            .map(|me| (me.clone(), self.plan_of(me, overdue)))
            .collect();
        let free = plans_with_wants.iter().flat_map(|(name, plan)| {
            let free = plan.seek.iter().filter(|lane| self.holder(lane).is_none());
            free.map(move |lane| (lane.clone(), name.clone()))
        });
        let ceded = plans_with_wants.values().flat_map(|plan| &plan.cede);
        let ceded = ceded.map(|(lane, to)| (lane.clone(), to.clone()));
        let moves: Vec<(LaneId, String)> = free.chain(ceded).collect();
        let (lane, to) = moves.get(pick % moves.len().max(1))?.clone();
        if let Some(holder) = self.holder(&lane).cloned() {
            self.member(&holder).holds.remove(&lane);
        }
        self.give(&lane, &to);
        Some(lane)
    }

    /// Moves until nothing is left to move; says how many were moved.
    fn settle(&mut self, picks: &[usize], overdue: bool) -> usize {
        let most = 4 * self.all_lanes().len() + 4;
        for moved in 0..most {
            let pick = picks
                .get(moved % picks.len().max(1))
                .copied()
                .unwrap_or_default();
            if self.step(pick, overdue).is_none() {
                return moved;
            }
        }
        panic!("lanes do not come to rest: {:?}", self.members);
    }

    fn counts(&self) -> Vec<usize> {
        let takers = self.members.values().filter(|one| !one.is_draining);
        takers.map(|one| one.holds.len()).collect()
    }

    fn assert_even(&self) {
        let counts = self.counts();
        let (most, least) = (counts.iter().max(), counts.iter().min());
        if let (Some(most), Some(least)) = (most, least) {
            assert!(most - least <= 1, "{counts:?}");
        }
        let total: usize = counts.iter().sum();
        assert!(
            counts.is_empty() || total == self.all_lanes().len(),
            "{counts:?}"
        );
    }

    fn holders(&self) -> BTreeMap<LaneId, String> {
        let held = self.members.iter().flat_map(|(name, one)| {
            one.holds
                .keys()
                .map(move |lane| (lane.clone(), name.clone()))
        });
        held.collect()
    }
}

fn moved(before: &BTreeMap<LaneId, String>, after: &BTreeMap<LaneId, String>) -> usize {
    before
        .iter()
        .filter(|(lane, holder)| after.get(*lane) != Some(holder))
        .count()
}

prop_compose! {
    fn worlds()(
        members in 1usize..8,
        holders in prop::collection::vec(prop::option::of(0usize..8), 0..40),
        draining in prop::collection::vec(prop::bool::weighted(0.2), 8),
    ) -> World {
        let mut world = World::new(members, &holders);
        for (one, is_draining) in world.members.values_mut().zip(draining) {
            one.is_draining = is_draining;
        }
        world
    }
}

proptest! {
    #[test]
    fn lanes_come_to_rest_evenly(mut world in worlds(), picks in prop::collection::vec(0usize..100, 1..50)) {
        world.settle(&picks, false);
        world.assert_even();
        if !world.counts().is_empty() {
            for one in world.members.values().filter(|one| one.is_draining) {
                prop_assert!(one.holds.is_empty());
            }
        }
    }

    #[test]
    fn what_is_free_is_asked_for_by_one(mut world in worlds()) {
        let seekers = world.seekers();
        let has_takers = !world.counts().is_empty();
        for lane in world.all_lanes() {
            let asked = seekers.get(&lane).map_or(0, Vec::len);
            let is_free = world.holder(&lane).is_none_or(|holder| world.members[holder].is_draining);
            prop_assert!(asked <= 1, "{lane} is asked for by {asked}");
            prop_assert!(!is_free || !has_takers || asked == 1, "nobody asks for {lane}");
        }
    }

    #[test]
    fn the_order_of_the_moves_does_not_matter(world in worlds(), picks in prop::collection::vec(0usize..100, 1..50)) {
        // The lanes that do not divide evenly may end elsewhere, but nothing is given up that need not be.
        let (mut one, mut other) = (world.clone(), world);
        let first = one.settle(&[0], false);
        let second = other.settle(&picks, false);
        prop_assert_eq!(first, second);
        let sorted = |mut counts: Vec<usize>| { counts.sort_unstable(); counts };
        prop_assert_eq!(sorted(one.counts()), sorted(other.counts()));
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nothing_else_moves(
        members in 1usize..8,
        lanes in 0usize..60,
        picks in prop::collection::vec(0usize..100, 1..50),
    ) {
        let mut world = World::new(members, &vec![None; lanes]);
        world.settle(&picks, false);
        let before = world.holders();
        let newcomer = "host-55-newcomer".to_owned();
        world.lanes.insert(newcomer.clone(), world.all_lanes());
        world.members.insert(newcomer, Member::default());
        world.settle(&picks, false);
        world.assert_even();
        prop_assert_eq!(moved(&before, &world.holders()), lanes / (members + 1));
    }

    #[test]
    fn when_one_leaves_only_its_lanes_move(
        members in 2usize..8,
        lanes in 0usize..60,
        leaves in 0usize..8,
        drains: bool,
        picks in prop::collection::vec(0usize..100, 1..50),
    ) {
        let mut world = World::new(members, &vec![None; lanes]);
        world.settle(&picks, false);
        let before = world.holders();
        let leaver = name(leaves % members);
        let left = world.members[&leaver].holds.len();
        if drains {
            world.member(&leaver).is_draining = true;
        } else {
            world.members.remove(&leaver);
            world.lanes.remove(&leaver);
        }
        world.settle(&picks, false);
        world.assert_even();
        prop_assert_eq!(moved(&before, &world.holders()), left);
    }

    #[test]
    fn whatever_each_of_them_knows_every_lane_is_held_and_comes_to_rest(
        mut world in worlds(),
        known in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.6), 40), 8),
        picks in prop::collection::vec(0usize..100, 1..50),
    ) {
        for (lanes, known) in world.lanes.values_mut().zip(known) {
            let mut known = known.into_iter();
            lanes.retain(|_| known.next().unwrap_or(true));
        }
        let held = |world: &World| world.members.iter().all(|(name, one)| {
            one.holds.keys().all(|lane| world.lanes[name].contains(lane))
        });
        for (name, one) in &mut world.members {
            one.holds.retain(|lane, _| world.lanes[name].contains(lane));
        }
        world.settle(&picks, true);
        prop_assert!(held(&world));
        for (name, one) in world.members.iter().filter(|(_, one)| !one.is_draining) {
            for lane in world.lanes[name].iter().filter(|lane| !one.shuns.contains(*lane)) {
                prop_assert!(world.holder(lane).is_some(), "nobody holds {lane}");
            }
        }
    }

    #[test]
    fn a_lane_that_failed_goes_to_another(mut world in worlds(), failed in 0usize..40) {
        let lanes = world.all_lanes();
        let Some(lane) = lanes.iter().nth(failed % lanes.len().max(1)).cloned() else {
            return Ok(());
        };
        if let Some(holder) = world.holder(&lane).cloned() {
            world.member(&holder).holds.remove(&lane);
        }
        let takers: Vec<String> = world.members.iter()
            .filter(|(_, one)| !one.is_draining)
            .map(|(name, _)| name.clone())
            .collect();
        let mut tried = BTreeSet::new();
        for _ in 0..takers.len() {
            let seekers = world.seekers().remove(&lane).unwrap_or_default();
            prop_assert_eq!(seekers.len(), 1);
            prop_assert!(tried.insert(seekers[0].clone()), "asked again");
            world.member(&seekers[0]).shuns.insert(lane.clone());
        }
        let seekers = world.seekers();
        prop_assert_eq!(seekers.get(&lane), None);
    }
}

#[test]
fn of_two_that_say_they_hold_a_lane_the_later_is_right() {
    let mut world = World::new(2, &[Some(0), Some(1)]);
    let stale = world.members[&name(0)].clone();
    world.give(&lane(0), &name(1));
    assert_eq!(world.members[&name(0)], stale);
    // The second one holds both now, so one of them goes back to the first.
    let plans = world.plans(false);
    assert_eq!(plans[&name(0)].seek.len(), 1);
    assert_eq!(world.plan_of(&name(1), false).cede.len(), 1);
}

#[test]
fn nothing_is_given_up_to_one_that_does_not_ask_for_it() {
    let mut world = World::new(2, &[Some(0); 4]);
    let plan = world.plan_of(&name(0), false);
    assert_eq!(plan, Plan::default());
    world.plans(false);
    let ceded = world.plan_of(&name(0), false).cede;
    assert_eq!(ceded.len(), 2);
    assert_eq!(
        ceded.keys().collect::<Vec<_>>(),
        world.members[&name(1)].wants.iter().collect::<Vec<_>>()
    );
}

#[test]
fn whoever_drains_asks_for_nothing() {
    let mut world = World::new(1, &[None; 3]);
    world.member(&name(0)).is_draining = true;
    assert_eq!(world.plan_of(&name(0), true), Plan::default());
}

/// Releases of different age decide alike: these choices must never change.
#[test]
fn choices_are_the_same_in_every_release() {
    let mut world = World::new(3, &[None; 9]);
    let seekers = world.seekers();
    let chosen: Vec<String> = seekers
        .iter()
        .map(|(lane, by)| format!("{lane} {}", by[0]))
        .collect();
    assert_eq!(chosen, CHOICES);
}

const CHOICES: [&str; 9] = [
    "tx/relayer-0 host-0-100",
    "tx/relayer-1 host-0-100",
    "tx/relayer-2 host-1-107",
    "tx/relayer-3 host-2-114",
    "tx/relayer-4 host-2-114",
    "tx/relayer-5 host-2-114",
    "tx/relayer-6 host-0-100",
    "tx/relayer-7 host-1-107",
    "tx/relayer-8 host-1-107",
];
