//! Leases: one live holder, epochs that never repeat, clocks that jump.

use std::time::Duration;

use super::{Backend, TTL, acquired, committed, holder, lane, put, refused, text, value};
use crate::{CommitError, Epoch, LeaseError, ManualClock, Store};

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn run<B: Backend>(backend: &B) {
    fences_admit_only_the_current_epoch(&backend.fresh().await.0).await;
    let (store, clock) = backend.fresh().await;
    a_lease_runs_out_unless_renewed(&store, &clock).await;
    let (store, clock) = backend.fresh().await;
    a_release_hands_over_at_once(&store, &clock).await;
    let (store, clock) = backend.fresh().await;
    a_paused_holder_cannot_write(&store, &clock).await;
    let (store, clock) = backend.fresh().await;
    clocks_may_jump(&store, &clock).await;
    epochs_rise_across_restarts(backend).await;
}

async fn fences_admit_only_the_current_epoch<S: Store>(store: &S) {
    let lane = lane("tx/fence");
    committed(store, put(&lane, "open", "no fence, never leased")).await;
    for given in [Epoch(0), Epoch(1), Epoch(u64::MAX)] {
        let error = refused(store, put(&lane, "a", "1").fenced(given)).await;
        assert!(
            matches!(error, CommitError::Fenced { given: g, .. } if g == given),
            "{error:?}"
        );
    }
    let first = acquired(store, &lane, "a").await;
    assert!(first > Epoch(0));
    committed(store, put(&lane, "a", "1").fenced(first)).await;
    let second = acquired(store, &lane, "a").await;
    assert!(
        second > first,
        "acquiring again what one holds gives a new epoch"
    );
    let stale = refused(store, put(&lane, "a", "2").fenced(first)).await;
    let expected = CommitError::Fenced {
        given: first,
        current: second,
    };
    assert_eq!(stale, expected);
    committed(store, put(&lane, "a", "3").fenced(second)).await;
    committed(store, put(&lane, "b", "without a fence")).await;
    assert_eq!(value(store, &lane, "a").await, Some(text("3")));
    let future = Epoch(second.0 + 1);
    assert!(matches!(
        refused(store, put(&lane, "a", "4").fenced(future)).await,
        CommitError::Fenced { .. }
    ));
}

async fn a_lease_runs_out_unless_renewed<S: Store>(store: &S, clock: &ManualClock) {
    let lane = lane("tx/expiry");
    let first = acquired(store, &lane, "a").await;
    clock.advance(TTL - SECOND);
    let held = store.acquire(&lane, &holder("b"), TTL).await;
    let expected = LeaseError::Held {
        holder: holder("a"),
        remaining: SECOND,
    };
    assert_eq!(held, Err(expected));
    assert_eq!(store.renew(&lane, first, TTL).await, Ok(()));
    clock.advance(TTL - SECOND);
    assert!(
        store.acquire(&lane, &holder("b"), TTL).await.is_err(),
        "renewed"
    );
    clock.advance(SECOND);
    assert_eq!(
        store.renew(&lane, first, TTL).await,
        Err(LeaseError::Lost),
        "a lease that ran out is lost although nobody took it"
    );
    let second = acquired(store, &lane, "b").await;
    assert!(second > first);
    assert_eq!(store.renew(&lane, first, TTL).await, Err(LeaseError::Lost));
    assert_eq!(store.release(&lane, first).await, Err(LeaseError::Lost));
    assert_eq!(
        store.renew(&lane, second, TTL).await,
        Ok(()),
        "the loser took nothing along"
    );
}

async fn a_release_hands_over_at_once<S: Store>(store: &S, clock: &ManualClock) {
    let lane = lane("tx/handover");
    assert_eq!(
        store.release(&lane, Epoch(1)).await,
        Err(LeaseError::Lost),
        "never leased"
    );
    assert_eq!(
        store.renew(&lane, Epoch(1), TTL).await,
        Err(LeaseError::Lost),
        "never leased"
    );
    let mut last = Epoch(0);
    for turn in 0..6 {
        let epoch = acquired(store, &lane, if turn % 2 == 0 { "a" } else { "b" }).await;
        assert!(epoch > last, "{epoch} after {last}");
        committed(store, put(&lane, "turn", "mine").fenced(epoch)).await;
        assert_eq!(store.release(&lane, epoch).await, Ok(()));
        let late = refused(store, put(&lane, "turn", "late").fenced(epoch)).await;
        assert!(
            matches!(late, CommitError::Fenced { .. }),
            "released, but {late:?}"
        );
        assert_eq!(
            store.release(&lane, epoch).await,
            Err(LeaseError::Lost),
            "released twice"
        );
        assert_eq!(store.renew(&lane, epoch, TTL).await, Err(LeaseError::Lost));
        last = epoch;
    }
    assert_eq!(value(store, &lane, "turn").await, Some(text("mine")));
    let epoch = acquired(store, &lane, "a").await;
    clock.advance(TTL);
    let released = store.release(&lane, epoch).await;
    assert!(
        matches!(released, Ok(()) | Err(LeaseError::Lost)),
        "releasing late is harmless: {released:?}"
    );
}

async fn a_paused_holder_cannot_write<S: Store>(store: &S, clock: &ManualClock) {
    let lane = lane("tx/paused");
    let paused = acquired(store, &lane, "paused").await;
    clock.advance(TTL + SECOND);
    let heir = acquired(store, &lane, "heir").await;
    committed(store, put(&lane, "nonce", "heir").fenced(heir)).await;
    // The paused holder wakes up and believes that no time has passed.
    let late = refused(store, put(&lane, "nonce", "paused").fenced(paused)).await;
    let expected = CommitError::Fenced {
        given: paused,
        current: heir,
    };
    assert_eq!(late, expected);
    assert_eq!(value(store, &lane, "nonce").await, Some(text("heir")));
}

async fn clocks_may_jump<S: Store>(store: &S, clock: &ManualClock) {
    let lane = lane("tx/skew");
    clock.advance(100 * SECOND);
    let start = crate::Clock::now(clock);
    let first = acquired(store, &lane, "a").await;
    // Backwards: the lease only gets longer, and there is still one holder.
    clock.set(baton_model::Timestamp::from_millis(
        start.as_millis() - 50_000,
    ));
    assert!(matches!(
        store.acquire(&lane, &holder("b"), TTL).await,
        Err(LeaseError::Held { .. })
    ));
    assert_eq!(store.renew(&lane, first, TTL).await, Ok(()));
    committed(store, put(&lane, "a", "1").fenced(first)).await;
    clock.advance(TTL);
    // The renewal counted from the clock as it was then.
    let second = acquired(store, &lane, "b").await;
    assert!(second > first);
    // Forwards: the lease is gone early, which the fence makes harmless.
    clock.advance(1000 * SECOND);
    let third = acquired(store, &lane, "a").await;
    assert!(third > second);
    let late = refused(store, put(&lane, "a", "2").fenced(second)).await;
    assert!(matches!(late, CommitError::Fenced { .. }));
    clock.set(start);
    committed(store, put(&lane, "a", "3").fenced(third)).await;
    assert_eq!(store.release(&lane, third).await, Ok(()));
    assert!(acquired(store, &lane, "b").await > third);
}

async fn epochs_rise_across_restarts<B: Backend>(backend: &B) {
    let (mut store, _) = backend.fresh().await;
    let lane = lane("tx/epochs");
    let mut last = Epoch(0);
    for _ in 0..3 {
        let epoch = acquired(&store, &lane, "same").await;
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
        let Some(again) = backend.restart(store).await else {
            return;
        };
        store = again;
    }
}
