//! What is refused, in which words, and with which exit code: 2 for the command line, 1 for
//! everything else.

use serde_json::{Value, json};

use crate::support::{ENCRYPTION_KEY, PASSWORD, Place};

const CREATE: &[&str] = &["keys", "create", "--filename", "a.json"];
const IN_USE: &str = "the same key, of account 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 on \
     chain 31337: an account's nonces belong to one relayer, and to it once";

/// A run that has to fail: where, with which arguments, and what the first lines of its error say.
struct Case(Place, &'static [&'static str], i32, String);

fn assert_refused(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case(place, arguments, code, expected) in cases {
        let run = place.run(arguments);
        if run.code != code || !run.err.starts_with(&expected) || !run.out.is_empty() {
            wrong.push(format!(
                "{arguments:?}\nexpected {code}: {expected}\nfound {run:#?}"
            ));
        }
        for secret in [
            "0123456789abcdef",
            "ac0974bec39a17e3",
            PASSWORD,
            ENCRYPTION_KEY,
        ] {
            assert!(
                !run.err.contains(secret) && !run.out.contains(secret),
                "{run:#?}"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn case(place: Place, arguments: &'static [&'static str], code: i32, expected: &str) -> Case {
    Case(place, arguments, code, expected.to_owned())
}

#[test]
fn command_lines() {
    let place = Place::new;
    assert_refused(vec![
        case(
            place(),
            &["fly"],
            2,
            "error: unrecognized subcommand 'fly'\n",
        ),
        case(
            place(),
            &["engin"],
            2,
            "error: unrecognized subcommand 'engin'\n\n  tip: a similar subcommand exists: \
             'engine'",
        ),
        case(
            place(),
            &["keys", "burn"],
            2,
            "error: unrecognized subcommand 'burn'\n",
        ),
        case(
            place(),
            &["engine", "--conf", "x"],
            2,
            "error: unexpected argument '--conf' found\n\n  tip: a similar argument exists: \
             '--config'",
        ),
        case(
            place(),
            &["engine", "--config"],
            2,
            "error: a value is required for '--config <FILE>' but none was supplied",
        ),
        case(
            place(),
            &["engine", "now"],
            2,
            "error: unexpected argument 'now' found",
        ),
        case(
            place(),
            &["demo", "--count", "0"],
            2,
            "error: invalid value '0' for '--count <COUNT>': 0 is not in 1..=20000",
        ),
        case(
            place(),
            &["demo", "--count", "many"],
            2,
            "error: invalid value 'many' for '--count <COUNT>': invalid digit found in string",
        ),
        case(
            place(),
            &["keys", "create", "--password", "x", "--password-stdin"],
            2,
            "error: the argument '--password <PASSWORD>' cannot be used with '--password-stdin'",
        ),
    ]);
}

#[test]
fn passwords_and_key_files() {
    let given = |password: &str| Place::new().with("KEYSTORE_PASSPHRASE", password);
    let rule = |text: &str| format!("baton: password must have {text}\n");
    let all = "at least 12 characters, an upper-case letter, a lower-case letter, a digit from 0 \
               to 9, a character that is neither letter nor digit";
    assert_refused(vec![
        Case(
            given(" "),
            CREATE,
            1,
            rule(
                "at least 12 characters, an upper-case letter, a lower-case letter, a digit from \
                 0 to 9",
            ),
        ),
        Case(given("Short-1"), CREATE, 1, rule("at least 12 characters")),
        Case(
            given("all-lower-case-7"),
            CREATE,
            1,
            rule("an upper-case letter"),
        ),
        Case(
            given("ALL-UPPER-CASE-7"),
            CREATE,
            1,
            rule("a lower-case letter"),
        ),
        Case(
            given("No-Digits-At-All"),
            CREATE,
            1,
            rule("a digit from 0 to 9"),
        ),
        Case(
            given("NoSignsAtAll77"),
            CREATE,
            1,
            rule("a character that is neither letter nor digit"),
        ),
        // Nothing on standard input, and nothing elsewhere.
        Case(Place::new(), CREATE, 1, rule(all)),
        Case(
            Place::new().input("\n"),
            &["keys", "create", "--password-stdin"],
            1,
            rule(all),
        ),
        case(
            given(PASSWORD).file("a.json", "{}"),
            CREATE,
            1,
            "baton: ./a.json exists; --force replaces it, and with it the key inside\n",
        ),
        case(
            given(PASSWORD),
            &["keys", "create", "--filename", "../a.json"],
            1,
            "baton: filename must be a plain file name without directories; found \"../a.json\"\n",
        ),
        case(
            given(PASSWORD),
            &["keys", "create", "--output-dir", "config/config.json"],
            1,
            "baton: config/config.json: File exists (os error 17)\n",
        ),
    ]);
}

#[test]
fn engines_that_cannot_start() {
    let engine: &[&str] = &["engine"];
    let mut twice = Place::sample();
    twice["signers"][1]["config"]["key"]["value"] = json!("KEY_ONE");
    let shared = two_relayers_with_one_key();
    let mut keystore = Place::sample();
    let stored =
        json!({ "path": "config/key.json", "passphrase": { "type": "env", "value": "KEY_TWO" } });
    for index in 0..2 {
        keystore["signers"][index]["type"] = json!("local");
        keystore["signers"][index]["config"] = stored.clone();
    }
    let keystore = Place::new().config(&keystore).file("config/key.json", "{}");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    assert_refused(vec![
        Case(
            Place::new().config(&twice),
            engine,
            1,
            format!(
                "baton: signer two of relayer main and signer one of relayer main hold {IN_USE}\n"
            ),
        ),
        Case(
            Place::new().config(&shared),
            engine,
            1,
            format!(
                "baton: signer three of relayer second and signer one of relayer main hold \
                 {IN_USE}\n"
            ),
        ),
        case(keystore, engine, 1, "baton: signer one: "),
        Case(
            Place::new().with("APP_PORT", &port.to_string()),
            engine,
            1,
            format!(
                "baton: cannot listen on 127.0.0.1:{port} (HOST, APP_PORT): Address already in \
                 use (os error 98)\n"
            ),
        ),
        case(
            Place::new().file("data/letter.txt", "dear"),
            engine,
            1,
            "baton: cannot open the store (BATON_DATA_DIR): ./data is not a store: it holds \
             \"letter.txt\" but no file \
             \"BATON\"",
        ),
        case(
            Place::new().with("RUST_LOG", "loud=very=much"),
            engine,
            1,
            "baton: the configuration ./config/config.json cannot be used; 1 problem:\n  RUST_LOG: \
             must be a log filter (",
        ),
        case(
            Place::new(),
            &["keys", "rotate"],
            1,
            "baton: STORAGE_ENCRYPTION_KEY must be set to the key that is to seal the store from \
             now on\n",
        ),
    ]);
}

#[test]
fn keys_with_all_their_problems() {
    // Two accounts of the second relayer are those of the first, and four key stores do not open:
    // two that relayers use, and two that none does.
    let mut config = Place::sample();
    let keystore = |id: &str, file: &str| {
        let passphrase = json!({ "type": "env", "value": "KEY_TWO" });
        json!({ "id": id, "type": "local", "config": { "path": file, "passphrase": passphrase } })
    };
    let signers = config["signers"].as_array_mut().unwrap();
    for (id, copy) in [("three", 0), ("four", 1)] {
        let mut signer = signers[copy].clone();
        signer["id"] = json!(id);
        signers.push(signer);
    }
    for id in ["five", "six", "seven", "eight"] {
        signers.push(keystore(id, "config/key.json"));
    }
    let mut second = config["relayers"][0].clone();
    second["id"] = json!("second");
    second["signer_ids"] = json!(["three", "four", "five", "six"]);
    config["relayers"].as_array_mut().unwrap().push(second);
    let place = || {
        Place::new()
            .config(&config)
            .file("config/key.json", "{}")
            .without("API_KEY")
    };
    let check = place().run(&["config", "check"]);
    assert_eq!((check.code, check.err.as_str()), (1, ""), "{check:#?}");
    let told: Vec<&str> = check.out.lines().collect();
    let expected = [
        "5 problems:",
        "  API_KEY: must be set, with at least 32 characters",
        "  signers: signer \"five\" cannot be opened: ",
        "  signers: signer \"six\" cannot be opened: ",
        "  relayers: signer three of relayer second and signer one of relayer main hold the same ",
        "  relayers: signer four of relayer second and signer two of relayer main hold the same ",
        "4 warnings:",
        "  signers: signer \"eight\" is used by no relayer",
        "  signers: signer \"seven\" is used by no relayer",
        "  signers: signer \"eight\" cannot be opened: ",
        "  signers: signer \"seven\" cannot be opened: ",
    ];
    assert_eq!(told.len(), expected.len(), "{}", check.out);
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.starts_with(expected), "{}", check.out);
    }
    // What no relayer uses keeps no engine from starting.
    let mut unused = Place::sample();
    let signers = unused["signers"].as_array_mut().unwrap();
    signers.push(keystore("three", "config/key.json"));
    let place = Place::new().config(&unused).file("config/key.json", "{}");
    let check = place.run(&["config", "check"]);
    assert_eq!((check.code, check.err.as_str()), (0, ""), "{check:#?}");
    assert!(
        check
            .out
            .contains("signers: signer \"three\" cannot be opened: "),
        "{}",
        check.out
    );
}

fn two_relayers_with_one_key() -> Value {
    let mut shared = Place::sample();
    let mut second = shared["relayers"][0].clone();
    second["id"] = json!("second");
    second["signer_ids"] = json!(["three"]);
    let mut third = shared["signers"][0].clone();
    third["id"] = json!("three");
    shared["relayers"].as_array_mut().unwrap().push(second);
    shared["signers"].as_array_mut().unwrap().push(third);
    shared
}

#[test]
fn configurations_with_all_their_problems() {
    let mut broken = Place::sample();
    broken["relayers"][0]["netwrok"] = json!("mainnet");
    broken["signers"][0]["type"] = json!("raw_kye");
    let place = || {
        Place::new()
            .config(&broken)
            .with("API_KEY", "short")
            .without("KEY_TWO")
    };
    let problems = "4 problems:\n  \
         API_KEY: must be set, with at least 32 characters, found 5 characters\n  \
         signers[0].type: must be one of local, raw_key, aws_kms, azure_key_vault, cdp, \
         google_cloud_kms, turnkey, vault, vault_transit, found \"raw_kye\"; did you mean `raw_key`?\n  \
         signers[1].config.key.value: environment variable KEY_TWO must be set and not empty\n  \
         relayers[0].netwrok: is not a known field; did you mean `network`?\n";
    let check = place().run(&["config", "check"]);
    assert_eq!(
        (check.code, check.out.as_str(), check.err.as_str()),
        (1, problems, ""),
        "{check:#?}"
    );
    let refused =
        format!("baton: the configuration ./config/config.json cannot be used; {problems}");
    let missing = "baton: the configuration nowhere.json cannot be used; 1 problem:\n  \
         nowhere.json: must be a readable file: No such file or directory (os error 2)\n";
    assert_refused(vec![
        Case(place(), &["engine"], 1, refused.clone()),
        Case(place(), &["keys", "rotate"], 1, refused),
        case(
            Place::new(),
            &["engine", "--config", "nowhere.json"],
            1,
            missing,
        ),
    ]);
}
