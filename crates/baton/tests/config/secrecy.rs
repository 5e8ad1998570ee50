//! Secrets are in no message and no `Debug`, wherever a mistaken author has put them.

use serde_json::json;

use crate::support::{API_KEY, ENCRYPTION_KEY, RAW_KEY, Sample};

const CANARY: &str = "canary-0123456789-canary-0123456789";

#[test]
fn messages_hold_no_secret() {
    let samples = [
        Sample::new().with("API_KEY", &CANARY[..20]),
        Sample::new().with("STORAGE_ENCRYPTION_KEY", CANARY),
        Sample::new().put("/signers/0/config/passphrase", json!(CANARY)),
        Sample::new().put("/signers/0/config/passphrase", json!([CANARY])),
        Sample::new().put("/signers/0/config/passphrase/value", json!(CANARY)),
        Sample::new().put("/signers/0/config/passphrase/value", json!({ "v": CANARY })),
        Sample::new().put("/signers/0/type", json!("raw_key")).put(
            "/signers/0/config",
            json!({ "key": { "type": "plain", "value": CANARY } }),
        ),
        Sample::new().put(
            "/relayers/0/custom_rpc_urls",
            json!([
                format!("ftp://node.example/{CANARY}"),
                format!("//{CANARY}")
            ]),
        ),
        Sample::new().put(
            "/notifications/-",
            json!({ "id": "hook", "type": "webhook", "url": format!("hook/{CANARY}") }),
        ),
        Sample::new().text(format!("{{\"signers\": \"{CANARY}\" x")),
    ];
    for sample in samples {
        let (problems, warnings) = sample.check();
        assert!(!problems.is_empty());
        let text = format!("{problems:?}{warnings:?}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn settings_show_no_secret() {
    let sample = Sample::new()
        .with("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY)
        .put(
            "/signers/-",
            json!({
                "id": "raw",
                "type": "raw_key",
                "config": { "key": { "type": "plain", "value": RAW_KEY } }
            }),
        )
        .put(
            "/notifications/-",
            json!({ "id": "hook", "type": "webhook", "url": format!("https://h.example/{CANARY}") }),
        );
    let (settings, _) = sample.load().unwrap();
    let shown = format!("{settings:?}");
    for secret in [
        API_KEY,
        ENCRYPTION_KEY,
        &RAW_KEY[2..],
        "pass phrase",
        "v3/key",
        CANARY,
    ] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
