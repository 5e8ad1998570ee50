//! Decides who is to run which lane, from what one instance knows of all of them.
//!
//! Instances that know the same decide the same, each for itself. Those that know different things may want the same
//! lane, or wait for each other: the lease decides then, and what nobody holds for long is anybody's.

use std::collections::{BTreeMap, BTreeSet};

use baton_coord::Epoch;
use baton_model::LaneId;

/// One that lanes can be given to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// Whether it gives up what it holds and takes nothing.
    pub(super) is_draining: bool,
    /// What it says it holds, and under which epoch.
    pub(super) holds: BTreeMap<LaneId, Epoch>,
    /// What it is ready to take.
    pub(super) wants: BTreeSet<LaneId>,
    /// What could not run on it lately.
    pub(super) shuns: BTreeSet<LaneId>,
}

/// What an instance knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    /// Who decides.
    pub(super) me: &'a str,
    /// All live instances by id, this one included.
    pub(super) members: &'a BTreeMap<&'a str, &'a Member>,
    /// The lanes that this one could run.
    pub(super) lanes: &'a BTreeSet<LaneId>,
    /// Those that nobody has held for too long: this one asks for them whoever else should.
    pub(super) overdue: &'a BTreeSet<LaneId>,
}

/// What this instance is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Lanes to ask for.
    pub(super) seek: BTreeSet<LaneId>,
    /// Lanes to give up, and for whom: whoever that is says that it wants the lane.
    pub(super) cede: BTreeMap<LaneId, String>,
}

/// Works out what to do. What is held and not ceded is kept.
pub(super) fn plan(situation: &Situation<'_>) -> Plan {
    let mut table = Table::new(situation);
    let pool = table.pool();
    let assigned = table.assign(&pool);
    let mine = table
        .places
        .iter()
        .position(|place| place.id == situation.me);
    let sought = assigned.iter().filter(|(_, place)| Some(**place) == mine);
    let mut seek: BTreeSet<LaneId> = sought.map(|(lane, _)| (*lane).clone()).collect();
    let is_draining = |id| situation.members.get(id).is_none_or(|me| me.is_draining);
    if !is_draining(situation.me) {
        let overdue = situation.overdue.iter();
        let unheld = overdue.filter(|lane| !table.holders.contains_key(*lane));
        seek.extend(unheld.cloned());
    }
    Plan {
        seek,
        cede: table.cede(situation, &assigned),
    }
}

/// A live instance at the table.
struct Place<'a> {
    id: &'a str,
    hash: u64,
    member: &'a Member,
    /// Lanes of this table that it holds, by the highest epoch.
    held: BTreeSet<&'a LaneId>,
    /// How many it is to hold.
    quota: usize,
    /// How many it is to be given.
    room: usize,
}

struct Table<'a> {
    /// By id.
    places: Vec<Place<'a>>,
    lanes: &'a BTreeSet<LaneId>,
    /// Who holds a lane: an index into `places`.
    holders: BTreeMap<&'a LaneId, usize>,
}

impl<'a> Table<'a> {
    fn new(situation: &Situation<'a>) -> Self {
        let places = situation.members.iter().map(|(id, member)| Place {
            id,
            hash: hash(id),
            member,
            held: BTreeSet::new(),
            quota: 0,
            room: 0,
        });
        let mut table = Self {
            places: places.collect(),
            lanes: situation.lanes,
            holders: BTreeMap::new(),
        };
        table.find_holders();
        table.set_quotas();
        table
    }

    /// Of several that say they hold a lane, the one with the highest epoch is right: the others have not noticed yet
    /// that they lost it.
    fn find_holders(&mut self) {
        let mut latest: BTreeMap<&'a LaneId, (Epoch, usize)> = BTreeMap::new();
        for (index, place) in self.places.iter().enumerate() {
            let held = place.member.holds.iter();
            for (lane, epoch) in held.filter(|(lane, _)| self.lanes.contains(lane)) {
                let claim = latest.entry(lane).or_insert((*epoch, index));
                *claim = (*claim).max((*epoch, index));
            }
        }
        for (lane, (_, index)) in latest {
            self.holders.insert(lane, index);
            self.places[index].held.insert(lane);
        }
    }

    /// Equal shares. What does not divide goes to those who hold most, so that nothing moves for its sake.
    fn set_quotas(&mut self) {
        let mut takers: Vec<usize> = (0..self.places.len())
            .filter(|index| !self.places[*index].member.is_draining)
            .collect();
        let Some(share) = self.lanes.len().checked_div(takers.len()) else {
            return;
        };
        let extra = self.lanes.len() % takers.len();
        // Stable: those who hold equally many stay in the order of their ids.
        takers.sort_by_key(|index| std::cmp::Reverse(self.places[*index].held.len()));
        for (rank, index) in takers.into_iter().enumerate() {
            let place = &mut self.places[index];
            place.quota = share + usize::from(rank < extra);
            place.room = place.quota.saturating_sub(place.held.len());
        }
    }

    /// The lanes that are to be given to somebody: what nobody holds, and what is held beyond a quota.
    fn pool(&self) -> BTreeSet<&'a LaneId> {
        let held = |lane: &&LaneId| self.holders.contains_key(*lane);
        let mut pool: BTreeSet<&LaneId> = self.lanes.iter().filter(|lane| !held(lane)).collect();
        for place in self
            .places
            .iter()
            .filter(|place| place.held.len() > place.quota)
        {
            let mut lanes: Vec<&'a LaneId> = place.held.iter().copied().collect();
            lanes.sort_by_cached_key(|lane| {
                std::cmp::Reverse(score(place.hash, hash(lane.as_str())))
            });
            pool.extend(lanes.drain(place.quota..));
        }
        pool
    }

    /// Each lane goes to the one of those with room whose score for it is highest. Taking the lanes in order makes the
    /// outcome for those that are left the same, whichever have moved already.
    fn assign(&mut self, pool: &BTreeSet<&'a LaneId>) -> BTreeMap<&'a LaneId, usize> {
        let mut assigned = BTreeMap::new();
        for lane in pool {
            let holder = self.holders.get(lane).copied();
            let lane_hash = hash(lane.as_str());
            let best = |has_room: bool| {
                let places = self.places.iter().enumerate();
                let takers = places.filter(|(index, place)| {
                    Some(*index) != holder
                        && !place.member.is_draining
                        && !place.member.shuns.contains(*lane)
                        && (place.room > 0 || !has_room)
                });
                let best = takers.max_by_key(|(index, place)| {
                    (score(place.hash, lane_hash), std::cmp::Reverse(*index))
                });
                best.map(|(index, _)| index)
            };
            let is_left = holder.is_none_or(|holder| self.places[holder].member.is_draining);
            // Rather too many on one than a lane on none.
            let chosen = best(true).or_else(|| is_left.then(|| best(false)).flatten());
            if let Some(index) = chosen {
                self.places[index].room = self.places[index].room.saturating_sub(1);
                assigned.insert(*lane, index);
            }
        }
        assigned
    }

    /// What this instance holds beyond its quota goes to those who want it and hold too few. The lanes that the plan
    /// says go first; others follow, as those who know other lanes or instances choose others.
    fn cede(
        &self,
        situation: &Situation<'a>,
        assigned: &BTreeMap<&'a LaneId, usize>,
    ) -> BTreeMap<LaneId, String> {
        let mut cede = BTreeMap::new();
        let Some(me) = self.places.iter().find(|place| place.id == situation.me) else {
            return cede;
        };
        let mut surplus = me.held.len().saturating_sub(me.quota);
        if surplus == 0 {
            return cede;
        }
        let takers = self.places.iter().enumerate();
        let takers = takers.filter(|(_, place)| place.id != me.id && !place.member.is_draining);
        let mut rooms: Vec<(usize, &Place<'a>, usize)> = takers
            .map(|(index, place)| (index, place, place.quota.saturating_sub(place.held.len())))
            .collect();
        for as_planned in [true, false] {
            for (index, taker, room) in &mut rooms {
                let wanted = taker.member.wants.iter();
                let wanted = wanted.filter(|lane| me.held.contains(lane));
                for lane in wanted {
                    let is_planned = assigned.get(lane) == Some(index);
                    let is_free = !cede.contains_key(lane);
                    if is_planned == as_planned && is_free && surplus > 0 && *room > 0 {
                        cede.insert(lane.clone(), taker.id.to_owned());
                        surplus -= 1;
                        *room -= 1;
                    }
                }
            }
        }
        cede
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every release, which is what matters here.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// How well an instance suits a lane: as good as random, and the same for everybody. Mixed as in `SplitMix64`.
const fn score(instance: u64, lane: u64) -> u64 {
    let mixed = instance.rotate_left(32) ^ lane.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
