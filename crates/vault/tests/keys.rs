//! Making keys and secrets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::Timestamp;
use baton_vault::keys::{self, CreateError, NewKeystore, PasswordRule};
use baton_vault::{LocalSigner, Secret, Signer};

/// 2026-02-03 04:05:06 UTC.
const NOW: Timestamp = Timestamp::from_millis(1_770_091_506_789);

fn new(directory: &Path) -> NewKeystore {
    NewKeystore {
        directory: directory.to_owned(),
        file_name: None,
        password: Secret::new("Correct-Horse-7"),
        force: false,
        skip_password_check: false,
    }
}

#[test]
fn a_created_key_store_opens_and_is_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let made = keys::create_keystore(&new(&directory.path().join("a/b")), NOW).unwrap();
    assert_eq!(
        made.path,
        directory.path().join("a/b/key_20260203_040506.json")
    );
    let mode = std::fs::metadata(&made.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let opened = LocalSigner::from_keystore(&made.path, &Secret::new("Correct-Horse-7")).unwrap();
    assert_eq!(opened.address(), made.address);
    let names: Vec<_> = std::fs::read_dir(made.path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        ["key_20260203_040506.json"],
        "nothing temporary is left"
    );
}

#[test]
fn an_existing_file_is_replaced_only_by_force() {
    let directory = tempfile::tempdir().unwrap();
    let mut wanted = new(directory.path());
    wanted.file_name = Some("signer.json".to_owned());
    let first = keys::create_keystore(&wanted, NOW).unwrap();
    let before = std::fs::read(&first.path).unwrap();

    let refused = keys::create_keystore(&wanted, NOW).unwrap_err();
    assert!(matches!(&refused, CreateError::Exists { path } if *path == first.path));
    assert_eq!(std::fs::read(&first.path).unwrap(), before);

    wanted.force = true;
    let second = keys::create_keystore(&wanted, NOW).unwrap();
    assert_eq!(second.path, first.path);
    assert_ne!(second.address, first.address);
    let opened = LocalSigner::from_keystore(&second.path, &wanted.password).unwrap();
    assert_eq!(opened.address(), second.address);
}

#[test]
fn a_file_name_is_not_a_path() {
    let directory = tempfile::tempdir().unwrap();
    for name in [
        "",
        ".",
        "..",
        "/etc/key.json",
        "a/b.json",
        "../key.json",
        "key.json/",
    ] {
        let mut wanted = new(directory.path());
        wanted.file_name = Some(name.to_owned());
        let refused = keys::create_keystore(&wanted, NOW).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("filename must be a plain file name without directories; found {name:?}")
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = keys::create_keystore(&new(&file), NOW).unwrap_err();
    assert!(
        refused.to_string().starts_with(&file.display().to_string()),
        "{refused}"
    );
}

#[test]
fn a_password_is_told_every_rule_it_breaks() {
    use PasswordRule::{Digit, Length, Lower, Special, Upper};
    let cases: [(&str, &[PasswordRule]); 8] = [
        ("Correct-Horse-7", &[]),
        ("Ünd-schöne-7", &[]),
        ("", &[Length, Upper, Lower, Digit, Special]),
        ("Correct-Ho7", &[Length]),
        ("correct-horse-7", &[Upper]),
        ("CORRECT-HORSE-7", &[Lower]),
        ("Correct-Horse-٧", &[Digit]),
        ("CorrectHorse7", &[Special]),
    ];
    for (password, broken) in cases {
        let checked = keys::check_password(&Secret::new(password));
        let found = checked.err().map(|error| error.broken).unwrap_or_default();
        assert_eq!(found, broken, "{password:?}");
    }
    let shown = keys::check_password(&Secret::new("tiny"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        shown,
        "password must have at least 12 characters, an upper-case letter, a digit from 0 to 9, \
         a character that is neither letter nor digit"
    );
}

#[test]
fn a_weak_password_is_taken_only_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut wanted = new(directory.path());
    wanted.password = Secret::new("weak");
    let refused = keys::create_keystore(&wanted, NOW).unwrap_err();
    assert!(matches!(refused, CreateError::Password(_)), "{refused}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    wanted.skip_password_check = true;
    let made = keys::create_keystore(&wanted, NOW).unwrap();
    assert!(LocalSigner::from_keystore(&made.path, &wanted.password).is_ok());
}

#[test]
fn file_names_hold_for_any_time() {
    assert_eq!(
        keys::default_file_name(Timestamp::default()),
        "key_19700101_000000.json"
    );
    assert!(keys::default_file_name(Timestamp::MAX).starts_with("key_9999"));
}

#[test]
fn made_secrets_have_their_form_and_differ() {
    let id = keys::uuid_v4().unwrap();
    assert_eq!(id.get_version_num(), 4);
    assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
    assert_ne!(id, keys::uuid_v4().unwrap());

    let key = keys::encryption_key().unwrap();
    assert_eq!(STANDARD.decode(key.expose()).unwrap().len(), 32);
    assert_ne!(key, keys::encryption_key().unwrap());
}
