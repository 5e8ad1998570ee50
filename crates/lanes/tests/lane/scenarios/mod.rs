//! One story each.

mod commands;
mod forgotten;
mod holds;
mod life;
mod mending;
mod nonces;
mod start;

use baton_lanes::record::RequestRecord;
use baton_lanes::{Output, SlotState};
use baton_model::{Pricing, RequestId, Speed, Timestamp, TxSpec, TxStatus};

use crate::model::chain;
use crate::model::{Setup, World};

/// A world that has started and seen its first block.
fn world(setup: &Setup) -> World {
    let mut world = World::new(setup, 1);
    world.run();
    world
}

/// A request that asks for nothing special.
fn spec(index: u64) -> TxSpec {
    TxSpec {
        call: chain::call(1, index, 0),
        gas_limit: Some(30_000),
        pricing: Pricing::Speed(Speed::Fast),
        valid_until: Timestamp::MAX,
    }
}

fn record(world: &World, id: RequestId) -> RequestRecord {
    world
        .store
        .request(id)
        .expect("a request that was accepted")
}

fn status(world: &World, id: RequestId) -> TxStatus {
    record(world, id).status
}

fn reason(world: &World, id: RequestId) -> String {
    record(world, id).status_reason.unwrap_or_default()
}

/// Statuses of a request in the order in which they were reported.
fn reported(world: &World, id: RequestId) -> Vec<TxStatus> {
    let own = world.statuses.iter().filter(|(of, _)| *of == id);
    own.map(|(_, status)| *status).collect()
}

fn slot_state(world: &World, id: RequestId) -> Option<SlotState> {
    let (account, nonce) = world.lane.slot_of(id)?;
    let view = world.lane.accounts().find(|a| a.address == account)?;
    let slot = view.slots.iter().find(|s| s.nonce == nonce)?;
    Some(slot.state)
}

fn alarm_names(world: &World) -> Vec<&'static str> {
    world.alarms.iter().map(baton_lanes::Alarm::name).collect()
}

/// Executes the tasks that `pick` picks, and lets the lane hear the answers.
fn only(world: &mut World, pick: impl Fn(&Output) -> bool) {
    while let Some(index) = world.tasks.iter().position(&pick) {
        world.execute(index);
        let last = world.answers.len() - 1;
        world.deliver(last);
    }
}
