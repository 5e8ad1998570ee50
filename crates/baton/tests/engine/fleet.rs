//! Several processes on one shared store.

use baton_testkit::RedisServer;
use serde_json::{Value, json};

use crate::sealed::{contains, needles, send_marked};
use crate::support::{Engine, Setup, World, fresh_address, transfer, until};

const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY: &str = "STORAGE_ENCRYPTION_KEY";

/// A server that compresses nothing, so that a search through its dump finds what is there.
async fn server() -> RedisServer {
    let lines = ["rdbcompression no", "maxmemory-policy noeviction"];
    RedisServer::start(&lines).await.unwrap()
}

fn on(server: &RedisServer) -> Setup {
    let url = format!("redis://127.0.0.1:{}", server.port());
    Setup::default()
        .variable("REPOSITORY_STORAGE_TYPE", "redis")
        .variable("REDIS_URL", &url)
        .variable(KEY, ONE)
}

/// What `baton fleet status` says, and whether it found everything in order.
async fn status(world: &World) -> (Value, bool) {
    let config = world.config_file();
    let arguments = [
        "fleet",
        "status",
        "--json",
        "--config",
        config.to_str().unwrap(),
    ];
    let output = world.run(&arguments).await;
    let status = serde_json::from_slice(&output.stdout);
    (
        status.unwrap_or_else(|_| panic!("{output:?}")),
        output.status.success(),
    )
}

/// Starts an instance with a name of its own.
async fn instance(world: &mut World, name: &str) -> Engine {
    world
        .variables
        .insert("BATON_INSTANCE".to_owned(), name.to_owned());
    world.engine().await
}

/// The instance that holds the lane of a relayer.
async fn holder(world: &World) -> Option<String> {
    let (shown, _) = status(world).await;
    shown["lanes"][0]["instance"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn any_instance_takes_any_call_and_lanes_pass_from_one_to_another() {
    let server = server().await;
    let mut world = on(&server).world().await;
    let one = instance(&mut world, "one").await;
    let two = instance(&mut world, "two").await;
    let first = one.api().send(&transfer(fresh_address(1))).await;
    let second = two.api().send(&transfer(fresh_address(2))).await;
    for api in [one.api(), two.api()] {
        api.reaches(&first, "confirmed").await;
        api.reaches(&second, "confirmed").await;
    }
    let (shown, is_whole) = status(&world).await;
    assert!(is_whole, "{shown}");
    let instances = shown["instances"].as_array().unwrap();
    let mut names: Vec<_> = instances.iter().map(|one| &one["name"]).collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, ["one", "two"]);
    assert!(
        instances.iter().all(|one| one["state"] == "live"),
        "{shown}"
    );
    let lane = &shown["lanes"][0];
    assert_eq!(
        (&lane["relayer_id"], &lane["inbox"]),
        (&json!("main"), &json!(0))
    );
    assert!(lane["epoch"].is_u64() && lane["since"].is_u64(), "{shown}");

    let (leaving, staying) = if lane["instance"] == "one" {
        (one, two)
    } else {
        (two, one)
    };
    let third = leaving.api().send(&transfer(fresh_address(3))).await;
    leaving.stop().await;
    staying.api().reaches(&third, "confirmed").await;
    let (shown, is_whole) = status(&world).await;
    assert!(is_whole, "{shown}");
    assert_eq!(
        shown["instances"].as_array().unwrap().len(),
        1,
        "it took its leave: {shown}"
    );
    staying.stop().await;
    assert_eq!(world.chain().nonce(world.account(0)).await, 3);
    let (shown, is_whole) = status(&world).await;
    assert!(!is_whole, "nobody holds it: {shown}");
    assert_eq!(shown["lanes"][0]["holder"], Value::Null);
}

/// Long enough for a load balancer to see it, and to go elsewhere with its connections.
#[tokio::test]
async fn who_drains_says_so_before_it_refuses_connections() {
    let server = server().await;
    let mut world = on(&server)
        .variable("BATON_DRAIN_DELAY_MS", "5000")
        .world()
        .await;
    let mut leaving = instance(&mut world, "leaving").await;
    let staying = instance(&mut world, "staying").await;
    let kept = leaving.api().get("/relayers").await;
    assert_eq!(kept.headers.get("connection"), None);
    leaving.terminate();
    let answer = until("it is not ready", async || {
        let answer = leaving.api().get("/ready").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.body["ready"], false);
    assert_eq!(answer.headers["connection"], "close");
    let id = leaving.api().send(&transfer(fresh_address(1))).await;
    staying.api().reaches(&id, "confirmed").await;
    assert!(leaving.ended().await.success());
    staying.stop().await;
}

#[tokio::test]
async fn what_a_killed_instance_left_goes_on_elsewhere() {
    let server = server().await;
    let mut world = on(&server).world().await;
    let one = instance(&mut world, "one").await;
    let two = instance(&mut world, "two").await;
    let held_by = until("a holder", async || holder(&world).await).await;
    let (dying, staying) = if held_by == "one" {
        (one, two)
    } else {
        (two, one)
    };
    let id = dying.api().send(&transfer(fresh_address(1))).await;
    dying.kill().await;
    staying.api().reaches(&id, "confirmed").await;
    let (shown, is_whole) = status(&world).await;
    assert!(is_whole, "{shown}");
    let gone = shown["instances"].as_array().unwrap();
    let gone = gone.iter().find(|one| one["name"] == held_by.as_str());
    assert_eq!(gone.unwrap()["state"], "gone", "{shown}");
    staying.stop().await;
}

/// Everything was mined, so nothing in a pool tells of the loss; whoever was there does.
#[tokio::test]
async fn a_store_that_was_emptied_stops_lanes_until_somebody_says_adopt() {
    let server = server().await;
    let mut world = on(&server).world().await;
    let one = instance(&mut world, "one").await;
    let two = instance(&mut world, "two").await;
    let id = one.api().send(&transfer(fresh_address(1))).await;
    one.api().reaches(&id, "confirmed").await;
    server.command(&["FLUSHALL"]).await.unwrap();
    until("the alarm", async || alarm(&[&one, &two]).await).await;
    let held = two.api().send(&transfer(fresh_address(2))).await;
    one.stop().await;
    until("the alarm elsewhere", async || alarm(&[&two]).await).await;
    two.stop().await;

    let three = world.launch(&[]).await;
    until("the alarm of one that saw nothing", async || {
        alarm(&[&three]).await
    })
    .await;
    assert_eq!(three.api().transaction(&held).await["status"], "pending");
    three.stop().await;
    let adopting = world.launch(&["--adopt"]).await;
    adopting.api().reaches(&held, "confirmed").await;
    adopting.stop().await;
    assert_eq!(world.chain().nonce(world.account(0)).await, 2);
}

/// Whether one of them shows the alarm.
async fn alarm(engines: &[&Engine]) -> Option<()> {
    for engine in engines {
        let ready = engine.api().get("/ready").await.body;
        let reason = ready["reason"].as_str().unwrap_or_default();
        if reason.contains("foreign_nonce") {
            return Some(());
        }
    }
    None
}

#[tokio::test]
async fn what_one_instance_is_told_the_others_know() {
    let server = server().await;
    let mut world = on(&server).world().await;
    let one = instance(&mut world, "one").await;
    let two = instance(&mut world, "two").await;
    let body = json!({ "name": "shop", "permissions": ["send:main", "read:main"] });
    let made = one
        .api()
        .call(reqwest::Method::POST, "/api-keys", Some(&body), None)
        .await
        .unwrap();
    assert!(made.status < 300, "{made:?}");
    let id = made.body["data"]["id"].as_str().unwrap().to_owned();
    until("the other knows the key", async || {
        let listed = two.api().get("/api-keys").await.data();
        let keys = listed.as_array().unwrap();
        keys.iter()
            .any(|key| key["id"] == id.as_str())
            .then_some(())
    })
    .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_dump_of_a_shared_store_shows_nothing_of_what_was_sent() {
    let (sealed, open) = tokio::join!(dump_after_a_run(true), dump_after_a_run(false));
    let listed = fresh_address(77).to_string().to_lowercase();
    let mut secret = needles();
    secret.push(listed.as_bytes()[2..].to_vec());
    for needle in &secret {
        let shown = needle.escape_ascii();
        assert!(!contains(&sealed, needle), "{shown} is in the dump");
    }
    assert!(
        secret.iter().any(|needle| contains(&open, needle)),
        "the search finds"
    );
    for key in baton_testkit::Anvil::DEV_KEYS {
        assert!(!contains(&sealed, &key.as_bytes()[2..]));
    }
}

/// The dump after a transaction, a relayer's list of addresses and an API key.
async fn dump_after_a_run(is_sealed: bool) -> Vec<u8> {
    let server = server().await;
    let mut setup = on(&server);
    if !is_sealed {
        setup = setup
            .variable(KEY, "")
            .variable("BATON_ALLOW_PLAIN_STORE", "true");
    }
    let world = setup.world().await;
    let engine = world.engine().await;
    send_marked(&engine).await;
    let listed = json!({ "policies": { "whitelist_receivers": [fresh_address(77)] } });
    let api = engine.api();
    let changed = api
        .call(
            reqwest::Method::PATCH,
            "/relayers/main",
            Some(&listed),
            None,
        )
        .await
        .unwrap();
    assert_eq!(changed.status, 200, "{changed:?}");
    server.command(&["SAVE"]).await.unwrap();
    let dump = std::fs::read(server.directory().join("dump.rdb")).unwrap();
    engine.stop().await;
    dump
}

#[tokio::test]
async fn the_key_of_a_shared_store_is_exchanged() {
    let server = server().await;
    let mut world = on(&server).world().await;
    let engine = world.engine().await;
    let id = send_marked(&engine).await;
    engine.stop().await;
    world.variables.insert(KEY.to_owned(), OTHER.to_owned());
    let error = world.refusal().await;
    assert!(
        error.contains("name it in BATON_OLD_ENCRYPTION_KEYS"),
        "{error}"
    );
    let old = "BATON_OLD_ENCRYPTION_KEYS".to_owned();
    world.variables.insert(old.clone(), ONE.to_owned());
    let config = world.config_file();
    let output = world
        .run(&["keys", "rotate", "--config", config.to_str().unwrap()])
        .await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("No old key is needed any more"), "{text}");
    world.variables.remove(&old);
    let engine = world.engine().await;
    assert_eq!(engine.api().transaction(&id).await["status"], "confirmed");
    engine.stop().await;
}

/// First the new key may open, then it seals: at no time does an instance meet what it cannot read.
#[tokio::test]
async fn a_key_is_exchanged_while_instances_run() {
    let server = server().await;
    let old = "BATON_OLD_ENCRYPTION_KEYS".to_owned();
    let mut world = on(&server).variable(&old, OTHER).world().await;
    let before = instance(&mut world, "before").await;
    let first = send_marked(&before).await;
    world.variables.insert(KEY.to_owned(), OTHER.to_owned());
    world.variables.insert(old, ONE.to_owned());
    let after = instance(&mut world, "after").await;
    let second = after.api().send(&transfer(fresh_address(2))).await;
    for api in [before.api(), after.api()] {
        api.reaches(&first, "confirmed").await;
        api.reaches(&second, "confirmed").await;
    }
    // Whoever had the lane, the other goes on with it.
    before.stop().await;
    let third = after.api().send(&transfer(fresh_address(3))).await;
    after.api().reaches(&third, "confirmed").await;
    after.stop().await;
}

#[tokio::test]
async fn a_rate_limit_can_be_the_fleets() {
    let server = server().await;
    let mut world = on(&server)
        .variable("RATE_LIMIT_REQUESTS_PER_SECOND", "1")
        .variable("RATE_LIMIT_BURST_SIZE", "40")
        .variable("BATON_FLEET_RATE_LIMIT", "true")
        .world()
        .await;
    let one = instance(&mut world, "one").await;
    let two = instance(&mut world, "two").await;
    until("both know of each other", async || {
        let (shown, _) = status(&world).await;
        let live = shown["instances"].as_array().unwrap();
        (live.len() == 2).then_some(())
    })
    .await;
    let api = two.api();
    let mut allowed = 0;
    while api.get("/relayers").await.status == 200 {
        allowed += 1;
    }
    // Half of the 40, and what came back meanwhile: one in two seconds.
    assert!((15..=30).contains(&allowed), "{allowed}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn an_instance_tells_its_health_to_a_command() {
    let world = World::new().await;
    let engine = world.engine().await;
    let url = engine.api().url();
    for ready in [&[][..], &["--ready"]] {
        let asked = [&["health", "--url", &url], ready].concat();
        let output = world.run(&asked).await;
        assert!(output.status.success(), "{output:?}");
    }
    engine.stop().await;
    let output = world.run(&["health", "--url", &url]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
