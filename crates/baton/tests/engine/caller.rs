//! The commands for people at a terminal, against a running engine.

use std::process::Output;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Engine, Setup, World, fresh_address};

/// Runs `baton` with words as a caller of an engine; its status, what it printed, and what it said besides.
async fn call(world: &World, engine: &Engine, words: &str) -> (i32, String, String) {
    let url = engine.api().url();
    let words: Vec<&str> = words.split_whitespace().chain(["--url", &url]).collect();
    let Output {
        status,
        stdout,
        stderr,
    } = world.run(&words).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The value behind a name in what is shown of one thing.
fn shown<'a>(out: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = out.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix("  "))
        .map(str::trim)
}

#[tokio::test]
async fn a_transaction_is_sent_waited_for_and_shown() {
    let world = World::new().await;
    let engine = world.engine().await;
    let to = fresh_address(0);
    let send = format!("tx send main --to {to} --value 0.5gwei --wait confirmed");
    let (code, out, err) = call(&world, &engine, &send).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(shown(&out, "status"), Some("confirmed"), "{out}");
    assert_eq!(shown(&out, "value"), Some("0.5 gwei"));
    assert_eq!(shown(&out, "gas used"), Some("21000"));
    assert!(shown(&out, "fee paid").unwrap().ends_with("gwei"));
    let id = shown(&out, "id").unwrap();
    // Every state that was seen is a line for people.
    let states: Vec<&str> = err.lines().collect();
    assert_eq!(states[0], format!("accepted as {id}"));
    let last = states.last().unwrap();
    assert!(last.starts_with("confirmed, nonce 0, block "), "{err}");
    assert_eq!(world.chain().balance(to).await.to_string(), "500000000");
    let (_, out, _) = call(&world, &engine, &format!("tx get main {id}")).await;
    assert_eq!(shown(&out, "status"), Some("confirmed"));
    engine.stop().await;
}

#[tokio::test]
async fn the_same_key_pays_once_and_its_transaction_is_watched_and_listed() {
    let world = World::new().await;
    let engine = world.engine().await;
    let to = fresh_address(1);
    let send = format!("tx send main --to {to} --value 1 --idempotency-key order-42 --json");
    let (_, first, _) = call(&world, &engine, &send).await;
    let (code, second, err) = call(&world, &engine, &send).await;
    assert_eq!((code, &second), (0, &first));
    assert!(err.contains("accepted before"), "{err}");
    let first: Value = serde_json::from_str(&first).unwrap();
    let id = first["id"].as_str().unwrap();

    let watch = format!("tx watch main {id} --json --timeout 60s");
    let (code, out, _) = call(&world, &engine, &watch).await;
    assert_eq!(code, 0);
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["id"], &last["status"]),
        (&json!(id), &json!("confirmed"))
    );

    let (_, out, _) = call(&world, &engine, "tx list main --per-page 1").await;
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("ID ") && lines[1].starts_with(id),
        "{out}"
    );
    assert_eq!(lines[2..], ["1 of 1 transactions, page 1"]);
    let (_, out, _) = call(&world, &engine, "tx list main --status failed").await;
    assert_eq!(out, "0 of 0 transactions, page 1\n");
    engine.stop().await;
}

#[tokio::test]
async fn what_is_waited_for_and_does_not_come_has_a_status_of_its_own() {
    let world = Setup::default().blocks_on_request().world().await;
    let engine = world.engine().await;
    let to = fresh_address(0);
    let cheap = format!("tx send main --to {to} --gas-price 1 --wait mined --timeout 1s");
    let (code, out, err) = call(&world, &engine, &cheap).await;
    assert_eq!(code, 4, "{out}{err}");
    let reason = shown(&out, "reason").unwrap();
    assert!(reason.starts_with("held: gas price 1 wei"), "{out}");
    let id = shown(&out, "id").unwrap();
    let (code, out, _) = call(&world, &engine, &format!("tx cancel main {id} --wait")).await;
    assert_eq!(
        (code, shown(&out, "status")),
        (0, Some("canceled")),
        "{out}"
    );
    let (code, _, _) = call(&world, &engine, &format!("tx watch main {id}")).await;
    assert_eq!(code, 3);
    let (code, out, err) = call(&world, &engine, &format!("tx cancel main {id}")).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.starts_with("baton: ") && err.trim_end().ends_with("(400)"),
        "{err}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn relayers_are_listed_and_shown() {
    let world = Setup::default().accounts(2).world().await;
    let engine = world.engine().await;
    let (code, out, _) = call(&world, &engine, "relayers list").await;
    assert_eq!(code, 0);
    let address = world.account(0).to_string().to_lowercase();
    assert!(
        out.to_lowercase().contains(&address) && out.contains("running"),
        "{out}"
    );
    assert!(out.ends_with("1 of 1 relayers, page 1\n"), "{out}");
    let (_, out, _) = call(&world, &engine, "relayers show main").await;
    assert_eq!(shown(&out, "signers"), Some("key-0, key-1"), "{out}");
    assert_eq!(shown(&out, "balance"), Some("20000 ether"));
    assert_eq!(out.lines().filter(|line| line.starts_with("0x")).count(), 2);
    let (_, out, _) = call(&world, &engine, "relayers show main --json").await;
    let both: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(both["status"]["accounts"].as_array().unwrap().len(), 2);
    let (code, _, err) = call(&world, &engine, "relayers show none").await;
    assert_eq!(
        (code, err.as_str()),
        (1, "baton: Relayer with ID none not found (404)\n")
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_request_outlives_a_restart_of_the_engine() {
    // Takes the call of one caller, and ends as a process that is killed does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port().to_string();
    let world = Setup::default().variable("APP_PORT", &port).world().await;
    let (to, url) = (fresh_address(0).to_string(), format!("http://{address}"));
    let send = format!("tx send main --to {to} --value 1 --url {url} --wait confirmed");
    let send: Vec<&str> = send.split(' ').collect();
    let restarting = async {
        drop(listener.accept().await.unwrap());
        drop(listener);
        world.engine().await
    };
    let (sent, engine) = tokio::join!(world.run(&send), restarting);
    assert!(sent.status.success(), "{sent:?}");
    let told = String::from_utf8(sent.stderr).unwrap();
    assert!(told.contains("trying again"), "{told}");
    world.chain().assert_each_once(&[fresh_address(0)]).await;
    assert_eq!(world.chain().nonce(world.account(0)).await, 1);
    engine.stop().await;
}
