//! What is refused, with which words.

mod bodies;
mod routes;

use baton_engine::Relayer;
use baton_model::Address;

use crate::support::World;

/// A request, the status of its answer and the message in the envelope.
struct Case<'a> {
    call: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    status: u16,
    error: &'a str,
}

const SEND: &str = "POST /api/v1/relayers/main/transactions";
fn strict(relayer: &mut Relayer) {
    relayer.policy.gas_price_cap = Some(1000);
    relayer.policy.whitelist_receivers = Some(vec![Address::repeat_byte(0xbb)]);
    relayer.policy.gas_limit_estimation = false;
}

fn world() -> World {
    World::with(&[
        ("main", |_| {}),
        ("strict", strict),
        ("old", |relayer| relayer.network.profile.eip1559 = false),
        ("paused", |relayer| relayer.paused = true),
    ])
}

async fn check(world: &World, cases: &[Case<'_>]) {
    let client = world.listen().await;
    for Case {
        call,
        headers,
        body,
        status,
        error,
    } in cases
    {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = client.call(method, path, headers, body).await;
        let start: String = body.chars().take(200).collect();
        assert_eq!(answer.status, *status, "{call} {start}: {}", answer.body);
        assert_eq!(answer.error(), *error, "{call} {start}");
    }
    // Whatever was refused left nothing behind.
    for served in &world.service.snapshot().served {
        let lane = served.relayer.lane();
        for prefix in ["r/", "c/", "i/"] {
            assert_eq!(world.store.count(&lane, prefix).await, 0, "{lane} {prefix}");
        }
    }
}

/// A leaked text, so that a table can be built from parts.
fn text(text: String) -> &'static str {
    text.leak()
}
