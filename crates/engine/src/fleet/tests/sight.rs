//! What is seen of others.

use std::time::Duration;

use baton_coord::{Entry, Epoch, HolderId, Version};
use baton_lanes::record::encode;
use baton_model::{LaneId, Timestamp};

use crate::fleet::record::{Beat, Duties, Hold, InstanceId};
use crate::fleet::sight::{Found, INSTANCES_MAX, Sight};

const LEASE: Duration = Duration::from_millis(1200);
const BEAT: Duration = Duration::from_millis(300);

fn id(name: &str) -> InstanceId {
    InstanceId::of(&HolderId(name.to_owned()))
}

fn sight() -> Sight {
    Sight::new(id("me"), LEASE)
}

fn beat(name: &str, version: u64, lease: Duration, generation: u64) -> Entry {
    let beat = Beat {
        sequence: version,
        // Clocks of others mean nothing.
        at: Timestamp::from_millis(version % 7),
        lease_ms: u64::try_from(lease.as_millis()).unwrap(),
        draining: false,
        lanes: 0,
        generation,
    };
    Entry {
        key: id(name).beat_key(),
        version: Version(version),
        value: encode(&beat).into(),
    }
}

fn duties(name: &str, generation: u64, lanes: &[&str]) -> Entry {
    let holds = lanes.iter().map(|lane| Hold {
        lane: LaneId::new(*lane).unwrap(),
        epoch: Epoch(3),
        since: Timestamp::from_millis(0),
    });
    let duties = Duties {
        generation,
        name: name.to_owned(),
        version: "1".to_owned(),
        started_at: Timestamp::from_millis(0),
        holds: holds.collect(),
        wants: Vec::new(),
        shuns: Vec::new(),
    };
    Entry {
        key: id(name).duties_key(),
        version: Version(generation),
        value: encode(&duties).into(),
    }
}

fn live(sight: &Sight) -> Vec<String> {
    sight.live().map(|(id, _)| id.to_string()).collect()
}

#[test]
fn one_lives_while_its_beat_changes() {
    let mut sight = sight();
    for version in 1..20 {
        let found = sight.look(&[beat("a", version, LEASE, 0)], BEAT);
        assert_eq!(found.is_news, version == 1);
        assert_eq!(live(&sight), ["a"]);
    }
    let same = [beat("a", 19, LEASE, 0)];
    assert!(!sight.look(&same, BEAT).is_news);
    assert!(!sight.look(&same, BEAT).is_news);
    assert!(sight.look(&same, BEAT).is_news);
    assert!(live(&sight).is_empty());
    assert!(sight.look(&[beat("a", 20, LEASE, 0)], BEAT).is_news);
    assert_eq!(live(&sight), ["a"]);
}

#[test]
fn time_in_which_nobody_looked_says_little() {
    let mut sight = sight();
    sight.look(&[beat("a", 1, LEASE, 0)], Duration::ZERO);
    sight.look(&[beat("a", 1, LEASE, 0)], Duration::from_secs(3600));
    assert_eq!(live(&sight), ["a"]);
}

#[test]
fn one_with_a_longer_lease_is_waited_for_longer() {
    let mut sight = sight();
    for _ in 0..20 {
        sight.look(&[beat("a", 1, LEASE * 10, 0)], BEAT);
        assert_eq!(live(&sight), ["a"]);
    }
    for _ in 0..10 {
        sight.look(&[beat("a", 1, LEASE * 10, 0)], BEAT);
    }
    assert!(live(&sight).is_empty());
}

#[test]
fn one_that_withdrew_is_gone_at_once() {
    let mut sight = sight();
    sight.look(&[beat("a", 1, LEASE, 0), beat("me", 1, LEASE, 0)], BEAT);
    assert_eq!(live(&sight), ["a"]);
    let found = sight.look(&[beat("me", 2, LEASE, 0)], BEAT);
    assert!(found.is_news);
    assert!(live(&sight).is_empty());
}

#[test]
fn duties_are_read_when_they_have_changed() {
    let mut sight = sight();
    let found = sight.look(&[beat("a", 1, LEASE, 4)], BEAT);
    assert_eq!(found.unread, [id("a")]);
    assert!(sight.read(&id("a"), Some(&duties("a", 4, &["tx/one"]))));
    let found = sight.look(&[beat("a", 2, LEASE, 4)], BEAT);
    assert_eq!(found, Found::default());
    let found = sight.look(&[beat("a", 3, LEASE, 5)], BEAT);
    assert_eq!((found.is_news, found.unread), (false, vec![id("a")]));
    // It could not be read then, so it is read the next time.
    let found = sight.look(&[beat("a", 4, LEASE, 5)], BEAT);
    assert_eq!(found.unread, [id("a")]);
    assert!(!sight.read(&id("a"), Some(&duties("a", 5, &["tx/one"]))));
    assert!(sight.read(&id("a"), None));
}

#[test]
fn a_newer_release_counts_and_what_it_holds_is_heard_from_the_store() {
    let mut sight = sight();
    let newer = |version| Entry {
        value: r#"{"v":2,"r":"something else"}"#.into(),
        ..beat("a", version, LEASE, 0)
    };
    let lane = LaneId::new("tx/one").unwrap();
    for version in 1..5 {
        let found = sight.look(&[newer(version)], BEAT);
        assert_eq!((found.is_news, found.unread.len()), (version == 1, 0));
    }
    assert_eq!(live(&sight), ["a"]);
    assert!(sight.heard(&id("a"), &lane));
    assert!(!sight.heard(&id("a"), &lane));
    assert!(
        sight
            .live()
            .any(|(_, member)| member.holds.contains_key(&lane))
    );
    assert!(sight.forget_heard());
    assert!(sight.live().all(|(_, member)| member.holds.is_empty()));
    // What one says itself is better than hearsay.
    sight.look(&[beat("a", 9, LEASE, 1)], BEAT);
    sight.read(&id("a"), Some(&duties("a", 1, &[])));
    assert!(!sight.heard(&id("a"), &lane));
}

#[test]
fn the_dead_are_forgotten_after_a_while_a_few_at_a_time() {
    let mut sight = sight();
    let crowd: Vec<Entry> = (0..40)
        .map(|n| beat(&format!("dead-{n:02}"), 1, LEASE, 0))
        .collect();
    let mut looks = 0;
    let gone = loop {
        looks += 1;
        let found = sight.look(&crowd, BEAT);
        if !found.gone.is_empty() {
            break found.gone;
        }
    };
    assert_eq!(looks, 600_000 / 300 + 1);
    assert_eq!(gone.len(), 16);
    assert_eq!(gone[0], (id("dead-00"), Version(1)));
}

#[test]
fn a_crowd_of_the_dead_is_forgotten_early() {
    let mut sight = sight();
    let crowd: Vec<Entry> = (0..600)
        .map(|n| beat(&format!("dead-{n:04}"), 1, LEASE, 0))
        .collect();
    let looks = (0..100).position(|_| !sight.look(&crowd, BEAT).gone.is_empty());
    assert_eq!(looks, Some(40));
}

#[test]
fn more_than_there_may_be_are_not_seen() {
    let mut sight = sight();
    let crowd: Vec<Entry> = (0..INSTANCES_MAX + 9)
        .map(|n| beat(&format!("i-{n:05}"), 1, LEASE, 0))
        .collect();
    sight.look(&crowd, BEAT);
    assert_eq!(live(&sight).len(), INSTANCES_MAX);
}

#[test]
fn keys_that_are_no_names_are_passed_over() {
    let mut sight = sight();
    let mut odd = beat("a", 1, LEASE, 0);
    odd.key = baton_coord::Key::from_static(b"b/\xff\xfe");
    assert_eq!(sight.look(&[odd], BEAT), Found::default());
}
