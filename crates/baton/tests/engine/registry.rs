//! What is made over the API works like what a file says: it is executed, changed while it runs, and outlives the
//! process.

use baton_model::{Address, U256};
use baton_testkit::Anvil;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Setup, World, bytes_under, fresh_address, transfer, until};

const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SHOP: &str = "/relayers/shop";

async fn world() -> World {
    let setup = Setup::default().variable("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY);
    setup.world().await
}

async fn call(api: &Api, method: Method, path: &str, body: &Value) -> Answer {
    api.call(method, path, Some(body), None).await.unwrap()
}

async fn make(api: &Api, path: &str, body: &Value) -> Value {
    let answer = call(api, Method::POST, path, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["data"].clone()
}

/// The relayer `shop`, with a key that the file does not have.
async fn make_shop(api: &Api) {
    let config = json!({ "key": Anvil::DEV_KEYS[5].trim_start_matches("0x") });
    make(
        api,
        "/signers",
        &json!({ "id": "till", "type": "plain", "config": config }),
    )
    .await;
    let shop = json!({
        "id": "shop", "name": "Shop", "network": "devnet", "network_type": "evm",
        "paused": false, "signer_id": "till",
    });
    make(api, "/relayers", &shop).await;
}

async fn send(api: &Api, to: Address) -> String {
    let path = format!("{SHOP}/transactions");
    let answer = call(api, Method::POST, &path, &transfer(to)).await.data();
    answer["id"].as_str().unwrap().to_owned()
}

async fn confirmed(api: &Api, id: &str) {
    until("it is confirmed", async || {
        let found = api.get(&format!("{SHOP}/transactions/{id}")).await.data();
        (found["status"] == "confirmed").then_some(())
    })
    .await;
}

/// Deletes the relayer once nothing of it is open.
async fn delete_shop(api: &Api) {
    until("the relayer can be deleted", async || {
        let answer = api.delete(SHOP).await;
        assert!([200, 400].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_relayer_lives_over_the_api() {
    let world = world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    make_shop(&api).await;
    let [first, second, third] = [0, 1, 2].map(fresh_address);
    confirmed(&api, &send(&api, first).await).await;
    assert_eq!(chain.balance(first).await, U256::ONE);

    // A change of policy and of nodes while it works.
    let mut ids = Vec::new();
    for (index, patch) in [
        json!({ "policies": { "min_balance": 7, "eip1559_pricing": false } }),
        json!({ "custom_rpc_urls": [{ "url": world.anvil.http_url(), "weight": 50 }] }),
        json!({ "policies": { "eip1559_pricing": null }, "custom_rpc_urls": null }),
    ]
    .into_iter()
    .enumerate()
    {
        ids.push(send(&api, fresh_address(10 + index)).await);
        call(&api, Method::PATCH, SHOP, &patch).await.data();
        ids.push(send(&api, fresh_address(20 + index)).await);
    }
    for id in &ids {
        confirmed(&api, id).await;
    }
    let targets: Vec<Address> = (10..13).chain(20..23).map(fresh_address).collect();
    chain.assert_each_once(&targets).await;
    let patch = json!({ "policies": { "whitelist_receivers": [second] } });
    call(&api, Method::PATCH, SHOP, &patch).await.data();
    let path = format!("{SHOP}/transactions");
    let refused = call(&api, Method::POST, &path, &transfer(third))
        .await
        .error(400);
    assert_eq!(refused, "Transaction target address is not whitelisted");
    confirmed(&api, &send(&api, second).await).await;
    engine.stop().await;

    // It outlives the process, and so does its end.
    let stored = bytes_under(&world.data_dir());
    let key = Anvil::DEV_KEYS[5].trim_start_matches("0x").as_bytes();
    assert!(!stored.windows(key.len()).any(|window| window == key));
    let engine = world.engine().await;
    let api = engine.api();
    let shop = api.get(SHOP).await.data();
    assert_eq!(shop["policies"]["whitelist_receivers"], json!([second]));
    confirmed(&api, &send(&api, second).await).await;
    delete_shop(&api).await;
    assert_eq!(api.get(SHOP).await.status, 404);
    engine.stop().await;
    let engine = world.engine().await;
    let api = engine.api();
    assert_eq!(api.get(SHOP).await.status, 404);
    // The other relayer never noticed.
    let main = api.send(&transfer(third)).await;
    api.reaches(&main, "confirmed").await;
    engine.stop().await;
}

#[tokio::test]
async fn a_relayer_with_open_work_is_not_deleted_and_its_successor_starts_afresh() {
    let setup = Setup::default().blocks_on_request();
    let setup = setup.variable("STORAGE_ENCRYPTION_KEY", ENCRYPTION_KEY);
    let world = setup.world().await;
    let engine = world.engine().await;
    let (api, chain) = (engine.api(), world.chain());
    make_shop(&api).await;
    let to = fresh_address(0);
    let id = send(&api, to).await;
    chain.pool_has(1).await;
    let refused = api.delete(SHOP).await.error(400);
    assert!(refused.contains("1 transaction(s)"), "{refused}");
    let deletion = api.delete("/signers/till").await.error(400);
    assert!(deletion.contains("Shop"), "{deletion}");
    chain.mine(4).await;
    confirmed(&api, &id).await;
    delete_shop(&api).await;
    api.delete("/signers/till").await.data();
    // The account's nonces go on where they were, whoever has it now.
    make_shop(&api).await;
    let gone = api.get(&format!("{SHOP}/transactions/{id}")).await;
    assert_eq!(gone.status, 404, "what the earlier one did is forgotten");
    let again = send(&api, to).await;
    chain.pool_has(1).await;
    chain.mine(4).await;
    confirmed(&api, &again).await;
    assert_eq!(chain.balance(to).await, U256::from(2));
    engine.stop().await;
}

#[tokio::test]
async fn nodes_are_asked_through_a_relayer() {
    let world = world().await;
    let engine = world.engine().await;
    let api = engine.api();
    let rpc = async |body: Value| {
        let answer = call(&api, Method::POST, "/relayers/main/rpc", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    // Runtime code that reverts with the bytes 0x2a…, so that there is something to decode.
    let contract = fresh_address(7);
    let code = "0x602a5f5260205ffd".parse().unwrap();
    world.anvil.set_code(contract, &code).await.unwrap();
    let call_it =
        json!({ "id": 2, "method": "eth_call", "params": [{ "to": contract }, "latest"] });
    let batch = json!([{ "id": "one", "method": "eth_chainId" }, call_it]);
    let answer = rpc(batch).await;
    assert_eq!(
        answer[0],
        json!({ "jsonrpc": "2.0", "id": "one", "result": "0x7a69" })
    );
    let error = &answer[1]["error"];
    let data = format!("0x{:064x}", 0x2a);
    assert_eq!(
        (&error["code"], &error["data"]),
        (&json!(3), &json!(data)),
        "{answer}"
    );
    let refused = rpc(json!({ "method": "anvil_mine" })).await;
    assert_eq!(refused["error"]["code"], -32601);
    engine.stop().await;
}

/// The node itself says whose signature it is.
#[tokio::test]
async fn signatures_are_those_of_the_account() {
    let world = world().await;
    let engine = world.engine().await;
    let api = engine.api();
    let body = json!({ "message": "grüße" });
    let signed = call(&api, Method::POST, "/relayers/main/sign", &body)
        .await
        .data();
    let account = world.account(0);
    let message = format!("0x{}", alloy_primitives::hex::encode("grüße"));
    let expected = world
        .chain()
        .ask("eth_sign", json!([account, message]))
        .await;
    assert_eq!(
        expected,
        json!(format!("0x{}", signed["sig"].as_str().unwrap()))
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_key_that_was_given_out_opens_what_it_may() {
    let world = world().await;
    let engine = world.engine().await;
    let api = engine.api();
    let made = make(
        &api,
        "/api-keys",
        &json!({ "name": "till", "permissions": ["send:main"] }),
    )
    .await;
    let key = made["value"].as_str().unwrap().to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str, key: &str| {
        let url = format!("{}/api/v1{path}", api.url());
        let asked = http.get(url).bearer_auth(key).send().await.unwrap();
        asked.status().as_u16()
    };
    assert_eq!(status("/relayers/main", &key).await, 200);
    assert_eq!(status("/signers", &key).await, 403);
    assert_eq!(status("/relayers/main", "baton_made_up").await, 401);
    api.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap()))
        .await
        .data();
    assert_eq!(status("/relayers/main", &key).await, 401);
    engine.stop().await;
}

#[tokio::test]
async fn a_reset_forgets_what_was_made_over_the_api() {
    let mut world = world().await;
    let engine = world.engine().await;
    make_shop(&engine.api()).await;
    let patch = json!({ "name": "Patched" });
    call(&engine.api(), Method::PATCH, "/relayers/main", &patch)
        .await
        .data();
    let kept = engine.api().send(&transfer(fresh_address(0))).await;
    engine.api().reaches(&kept, "confirmed").await;
    engine.stop().await;
    world
        .variables
        .insert("RESET_STORAGE_ON_START".to_owned(), "true".to_owned());
    let engine = world.engine().await;
    let api = engine.api();
    assert_eq!(api.get(SHOP).await.status, 404);
    assert_eq!(api.get("/relayers/main").await.data()["name"], "Main");
    assert_eq!(api.transaction(&kept).await["status"], "confirmed");
    engine.stop().await;
}
