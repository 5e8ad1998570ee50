//! Wake-ups: heard by whoever subscribed before.

use super::{Backend, soon};
use crate::{Store, WakeEvent};

pub(super) async fn run<B: Backend>(backend: &B) {
    a_publication_is_heard(&backend.fresh().await.0).await;
    topics_are_separate(&backend.fresh().await.0).await;
}

async fn a_publication_is_heard<S: Store>(store: &S) {
    let mut subscribers = Vec::new();
    for _ in 0..4 {
        subscribers.push(
            store
                .subscribe("lane/a")
                .await
                .expect("the store subscribes"),
        );
    }
    for _ in 0..3 {
        store.publish("lane/a").await.expect("the store publishes");
        for subscriber in &mut subscribers {
            let heard = soon("a subscriber", subscriber.next()).await;
            assert!(
                matches!(heard, Some(WakeEvent::Published | WakeEvent::Lagged)),
                "{heard:?}"
            );
        }
    }
    // However many there are, a slow subscriber is woken and nobody is held up.
    for _ in 0..10_000 {
        store.publish("lane/a").await.expect("the store publishes");
    }
    assert!(
        soon("a slow subscriber", subscribers[0].next())
            .await
            .is_some()
    );
    drop(subscribers);
    store
        .publish("lane/a")
        .await
        .expect("publishing to nobody is no error");
}

async fn topics_are_separate<S: Store>(store: &S) {
    let mut a = store.subscribe("a").await.expect("the store subscribes");
    let mut b = store.subscribe("b").await.expect("the store subscribes");
    store.publish("b").await.expect("the store publishes");
    assert!(soon("the subscriber of b", b.next()).await.is_some());
    tokio::select! {
        biased;
        heard = a.next() => panic!("a heard {heard:?} of b"),
        () = tokio::task::yield_now() => {}
    }
    store.publish("a").await.expect("the store publishes");
    assert!(soon("the subscriber of a", a.next()).await.is_some());
}
