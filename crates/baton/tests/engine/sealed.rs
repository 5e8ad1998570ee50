//! Encryption at rest.

use alloy_primitives::hex;
use serde_json::{Value, json};

use crate::support::{Engine, Setup, World, bytes_under, fresh_address};

const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY: &str = "STORAGE_ENCRYPTION_KEY";
const OLD: &str = "BATON_OLD_ENCRYPTION_KEYS";
/// Calldata that is easy to find.
const MARKER: [u8; 32] = *b"a marker that no other file has!";

#[tokio::test]
async fn a_sealed_store_shows_nothing_of_what_was_sent() {
    let (sealed, open) = tokio::join!(files_after_a_run(Some(ONE)), files_after_a_run(None));
    let needles = needles();
    for needle in &needles {
        let shown = needle.escape_ascii();
        assert!(!contains(&sealed, needle), "{shown} is in the sealed store");
    }
    // The search does find what is there.
    assert!(needles.iter().any(|needle| contains(&open, needle)));
}

#[tokio::test]
async fn after_a_rotation_the_new_key_is_enough() {
    let mut world = Setup::default().variable(KEY, ONE).world().await;
    let engine = world.engine().await;
    let id = send_marked(&engine).await;
    engine.stop().await;

    world.variables.insert(KEY.to_owned(), OTHER.to_owned());
    world.variables.insert(OLD.to_owned(), ONE.to_owned());
    let config = world.config_file();
    let rotate = ["keys", "rotate", "--config", config.to_str().unwrap()];
    let output = world.run(&rotate).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("sealed anew"), "{text}");
    assert!(text.contains("No old key is needed any more"), "{text}");

    world.variables.remove(OLD);
    let engine = world.engine().await;
    assert_eq!(engine.api().transaction(&id).await["status"], "confirmed");
    send_marked(&engine).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_key_that_does_not_fit_the_store_is_refused_at_the_start() {
    let mut world = Setup::default().variable(KEY, ONE).world().await;
    let engine = world.engine().await;
    send_marked(&engine).await;
    engine.stop().await;

    world.variables.insert(KEY.to_owned(), OTHER.to_owned());
    let error = world.refusal().await;
    let expected = "baton: the store is encrypted under the key ";
    assert!(error.starts_with(expected), "{error}");
    let advice = "set STORAGE_ENCRYPTION_KEY to it, or name it in BATON_OLD_ENCRYPTION_KEYS";
    assert!(error.contains(advice), "{error}");
    assert!(!error.contains(ONE) && !error.contains(OTHER), "{error}");

    world.variables.remove(KEY);
    let error = world.refusal().await;
    assert!(error.starts_with(expected), "{error}");
    assert!(
        error.contains("but STORAGE_ENCRYPTION_KEY is not set"),
        "{error}"
    );
}

#[tokio::test]
async fn an_open_store_with_a_key_set_is_refused_at_the_start() {
    let mut world = World::new().await;
    let engine = world.engine().await;
    send_marked(&engine).await;
    engine.stop().await;

    world.variables.insert(KEY.to_owned(), ONE.to_owned());
    let error = world.refusal().await;
    let expected = "baton: the store is not encrypted, but STORAGE_ENCRYPTION_KEY is set: unset \
    it, \
                    or start with an empty store";
    assert!(error.starts_with(expected), "{error}");
}

async fn files_after_a_run(key: Option<&str>) -> Vec<u8> {
    let setup = Setup::default();
    let setup = key
        .into_iter()
        .fold(setup, |setup, key| setup.variable(KEY, key));
    let world = setup.world().await;
    let engine = world.engine().await;
    send_marked(&engine).await;
    let while_running = bytes_under(&world.data_dir());
    engine.stop().await;
    [while_running, bytes_under(&world.data_dir())].concat()
}

pub(crate) async fn send_marked(engine: &Engine) -> String {
    let body = json!({
        "to": fresh_address(42), "value": "1", "data": hex::encode_prefixed(MARKER),
        "speed": "fast",
    });
    let id = engine.api().send(&body).await;
    engine.api().reaches(&id, "confirmed").await;
    id
}

/// The target and the data, raw, in hex of either case, and as the JSON of a list of bytes.
pub(crate) fn needles() -> Vec<Vec<u8>> {
    let target = fresh_address(42);
    let mut needles = Vec::new();
    for raw in [target.as_slice(), MARKER.as_slice()] {
        let list = Value::from(raw.to_vec()).to_string();
        let list = list.trim_matches(['[', ']']).to_owned();
        needles.extend([
            raw.to_vec(),
            hex::encode(raw).into_bytes(),
            hex::encode_upper(raw).into_bytes(),
            list.into_bytes(),
        ]);
    }
    needles.push(target.to_string()[2..].to_owned().into_bytes());
    needles
}

pub(crate) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
