//! What works.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use baton_vault::{LocalSigner, Secret, Signer};

use crate::support::{PASSWORD, Place};

#[test]
fn help_shows_commands_and_examples() {
    let place = Place::new();
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["--help"],
            &[
                "Usage: baton <COMMAND>",
                "engine",
                "keys",
                "config",
                "demo",
                "Examples:",
            ],
        ),
        (
            &["engine", "--help"],
            &[
                "--config <FILE>",
                "--data-dir <DIR>",
                "--adopt",
                "Examples:",
                "SIGTERM",
            ],
        ),
        (
            &["keys", "create", "--help"],
            &["--password-stdin", "--force", "12 characters", "Examples:"],
        ),
        (&["keys", "--help"], &["uuid", "encryption-key", "rotate"]),
        (
            &["tx", "--help"],
            &[
                "send", "get", "list", "cancel", "watch", "API_KEY", "3  when",
            ],
        ),
        (
            &["tx", "send", "--help"],
            &[
                "--idempotency-key <KEY>",
                "--wait [<STATUS>]",
                "Examples:",
                "0.1ether",
            ],
        ),
        (
            &["relayers", "--help"],
            &["list", "show", "BATON_URL", "--json"],
        ),
        (
            &["demo", "--help"],
            &["--count <COUNT>", "--keep", "[default: 500]"],
        ),
    ];
    for (arguments, expected) in cases {
        let run = place.run(arguments);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{arguments:?}");
        for text in expected {
            assert!(
                run.out.contains(text),
                "{arguments:?} does not say {text:?}:\n{}",
                run.out
            );
        }
    }
    let version = place.run(&["--version"]);
    assert_eq!(
        (version.code, version.out.trim_end()),
        (0, concat!("baton ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn uuids_and_keys_are_fresh_and_of_their_form() {
    let place = Place::new();
    let run = |what: &str| {
        let run = place.run(&["keys", what]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
        run.out.strip_suffix('\n').unwrap().to_owned()
    };
    let uuids: BTreeSet<String> = (0..3).map(|_| run("uuid")).collect();
    assert_eq!(uuids.len(), 3);
    assert!(
        uuids
            .iter()
            .all(|text| uuid::Uuid::parse_str(text).unwrap().get_version_num() == 4)
    );
    let keys: BTreeSet<String> = (0..3).map(|_| run("encryption-key")).collect();
    assert_eq!(keys.len(), 3);
    for key in keys {
        let ready = Place::new().with("STORAGE_ENCRYPTION_KEY", &key);
        assert_eq!(ready.run(&["config", "check"]).code, 0);
    }
}

#[test]
fn a_created_key_store_opens_with_its_password_alone() {
    let place = Place::new().input(&format!("{PASSWORD}\n"));
    let run = place.run(&[
        "keys",
        "create",
        "--output-dir",
        "keys",
        "--filename",
        "a.json",
        "--password-stdin",
    ]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let path = place.path("keys/a.json");
    let signer = LocalSigner::from_keystore(&path, &Secret::new(PASSWORD)).unwrap();
    assert!(run.out.contains("Key store: keys/a.json"), "{}", run.out);
    assert!(
        run.out
            .contains(&format!("Address:   {}", signer.address())),
        "{}",
        run.out
    );
    assert!(!run.out.contains(PASSWORD));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(LocalSigner::from_keystore(&path, &Secret::new("Wrong-Horse-71")).is_err());

    // From the environment, into another key; --force replaces it.
    let place = place.with("KEYSTORE_PASSPHRASE", PASSWORD);
    let again = [
        "keys",
        "create",
        "--output-dir",
        "keys",
        "--filename",
        "a.json",
        "--force",
    ];
    assert_eq!(place.run(&again).code, 0);
    let other = LocalSigner::from_keystore(&path, &Secret::new(PASSWORD)).unwrap();
    assert_ne!(other.address(), signer.address());
}

#[test]
fn a_configuration_in_order_is_said_to_be() {
    let place = Place::new();
    let run = place.run(&["config", "check"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "The configuration is in order.\n"),
        "{run:?}"
    );
    // The same by another name, and by variables.
    let text = fs::read_to_string(place.path("config/config.json")).unwrap();
    let place = place.file("elsewhere/baton.json", &text);
    assert_eq!(
        place
            .run(&["config", "check", "--config", "elsewhere/baton.json"])
            .code,
        0
    );
    let place = place
        .with("CONFIG_DIR", "elsewhere")
        .with("CONFIG_FILE_NAME", "baton.json");
    assert_eq!(place.run(&["config", "check"]).code, 0);
}

#[test]
fn schemas_are_printed() {
    let place = Place::new();
    for (arguments, title) in [
        (&["config", "schema"][..], "Baton configuration"),
        (&["config", "schema", "networks"], "Baton networks"),
    ] {
        let run = place.run(arguments);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{arguments:?}");
        let schema: serde_json::Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(schema["title"], title);
        assert_eq!(schema["additionalProperties"], false);
    }
}

#[test]
fn variables_are_read_from_a_file_too() {
    let key = "fedcba9876543210fedcba9876543210";
    let place = Place::new().without("API_KEY").file(
        ".env",
        &format!("# of the relayer\nAPI_KEY=\"{key}\"\nKEY_ONE=nonsense\n"),
    );
    // What the environment says goes before: KEY_ONE is there, and in order.
    let run = place.run(&["config", "check"]);
    assert_eq!(run.code, 0, "{run:?}");
    let broken = Place::new().file(".env", "API_KEY hunter2\n");
    let run = broken.run(&["config", "check"]);
    assert_eq!(run.code, 1);
    assert!(
        run.err
            .starts_with("baton: .env: entry 1 must be a line NAME=value"),
        "{}",
        run.err
    );
    assert!(!run.err.contains("hunter2"));
}
