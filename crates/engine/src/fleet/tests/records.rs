//! Records as they are stored.

use baton_coord::{Epoch, HolderId};
use baton_lanes::record::{Record, RecordError, decode, encode};
use baton_model::{LaneId, Timestamp};

use crate::fleet::record::{Beat, Duties, Hold, InstanceId, lane};

fn beat() -> Beat {
    Beat {
        sequence: 7,
        at: Timestamp::from_millis(1_700_000_000_123),
        lease_ms: 1200,
        draining: true,
        lanes: 2,
        generation: 3,
    }
}

fn duties() -> Duties {
    let id = |text| LaneId::new(text).unwrap();
    Duties {
        generation: 3,
        name: "baton-1".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Timestamp::from_millis(1_700_000_000_000),
        holds: vec![Hold {
            lane: id("tx/one"),
            epoch: Epoch(5),
            since: Timestamp::from_millis(1_700_000_000_100),
        }],
        wants: vec![id("tx/two")],
        shuns: vec![id("tx/three")],
    }
}

/// These files are never changed: releases of different age run side by side.
#[test]
fn golden_files_of_format_1_can_be_read() {
    fn is<T: Record + PartialEq + std::fmt::Debug>(stored: &str, record: &T) {
        let stored = stored.trim_end().as_bytes();
        assert_eq!(decode::<T>(stored).as_ref(), Ok(record));
        let written = String::from_utf8(encode(record)).expect("JSON is text");
        assert_eq!(written.as_bytes(), stored, "what is written now: {written}");
    }
    is(include_str!("golden/beat.json"), &beat());
    is(include_str!("golden/duties.json"), &duties());
}

#[test]
fn what_is_not_known_is_passed_over_and_what_is_new_may_be_missing() {
    let text = r#"{"v":1,"r":{"sequence":7,"at":1700000000123,"lease_ms":1200,"draining":true,"lanes":2,"generation":3,"mood":"fine"}}"#;
    assert_eq!(decode::<Beat>(text.as_bytes()), Ok(beat()));
    let stored = String::from_utf8(encode(&duties())).unwrap();
    let older = stored.replace(r#","shuns":["tx/three"]"#, "");
    assert_ne!(older, stored);
    let mut without = duties();
    without.shuns.clear();
    assert_eq!(decode::<Duties>(older.as_bytes()), Ok(without));
}

#[test]
fn a_newer_format_is_named() {
    let error = decode::<Beat>(br#"{"v":2,"r":{}}"#).unwrap_err();
    assert!(matches!(error, RecordError::Newer { found: 2, .. }));
    assert_eq!(
        error.to_string(),
        "fleet beat record has format 2, this release reads up to 1"
    );
}

#[test]
fn keys_are_named_after_holders() {
    let id = InstanceId::of(&HolderId("host-12-uuid".to_owned()));
    assert_eq!(id.beat_key().as_ref(), b"b/host-12-uuid");
    assert_eq!(id.duties_key().as_ref(), b"h/host-12-uuid");
    assert_eq!(InstanceId::of_beat(&id.beat_key()), Some(id));
    assert_eq!(lane().as_str(), "fleet/main");
}

#[test]
fn holders_that_are_no_good_names_have_a_digest_for_one() {
    let mut seen = std::collections::BTreeSet::new();
    for holder in [
        "",
        "my host-1",
        "h\u{f6}st-1",
        &"x".repeat(201),
        &"y".repeat(100_000),
    ] {
        let id = InstanceId::of(&HolderId(holder.to_owned()));
        assert_eq!(id.as_str().len(), 64);
        assert!(id.beat_key().len() <= baton_coord::KEY_BYTES_MAX);
        assert!(seen.insert(id));
    }
    let longest = "x".repeat(200);
    assert_eq!(InstanceId::of(&HolderId(longest.clone())).as_str(), longest);
}
