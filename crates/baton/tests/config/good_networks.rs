//! Networks of the operator over Baton's own.

use std::sync::Arc;

use baton::config::Network;
use baton_model::Mempool;
use serde_json::{Value, json};

use crate::support::Sample;

fn network(networks: Value, name: &str) -> Arc<Network> {
    let sample = Sample::new().put("/networks", networks);
    let (settings, warnings) = sample.load().unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    settings.networks[name].clone()
}

#[test]
fn a_new_network_has_safe_defaults() {
    let own = network(
        json!([{
            "type": "evm",
            "network": "mychain",
            "chain_id": 4711,
            "required_confirmations": 2,
            "average_blocktime_ms": 700,
            "features": ["eip1559"],
            "tags": ["optimism-based"],
            "symbol": "OWN",
            "rpc_urls": ["http://a.example", { "url": "http://b.example", "weight": 0 }],
            "explorer_urls": ["https://scan.example"]
        }]),
        "mychain",
    );
    assert_eq!(own.profile.in_flight_max, 16);
    assert_eq!(own.profile.mempool, Mempool::Public);
    assert!(own.profile.eip1559 && own.profile.l1_data_fee && !own.profile.is_testnet);
    let weights: Vec<u8> = own
        .endpoints
        .iter()
        .map(|endpoint| endpoint.weight)
        .collect();
    assert_eq!(weights, [100, 0]);
}

#[test]
fn a_known_name_needs_only_what_differs() {
    let sepolia = network(
        json!([{ "type": "evm", "network": "sepolia", "rpc_urls": ["http://own.example"] }]),
        "sepolia",
    );
    assert_eq!(sepolia.profile.chain_id, 11_155_111);
    assert_eq!(sepolia.profile.required_confirmations, 6);
    assert_eq!(sepolia.endpoints[0].url, "http://own.example");
}

#[test]
fn from_fills_gaps_and_joins_words() {
    let networks = json!([
        {
            "type": "evm", "network": "child", "from": "parent", "chain_id": 2,
            "tags": ["rollup"], "rpc_urls": ["http://child.example"]
        },
        {
            "type": "evm", "network": "parent", "from": "grandparent", "chain_id": 1,
            "is_testnet": true, "tags": ["no-mempool"], "rpc_urls": ["http://parent.example"]
        },
        {
            "type": "evm", "network": "grandparent", "chain_id": 9, "required_confirmations": 3,
            "average_blocktime_ms": 250, "features": ["eip1559"], "symbol": "GP", "in_flight_max": 99
        }
    ]);
    let child = network(networks, "child");
    assert_eq!(child.profile.chain_id, 2);
    assert_eq!(child.profile.required_confirmations, 3);
    assert_eq!(child.profile.symbol, "GP");
    assert_eq!(child.profile.in_flight_max, 99);
    assert_eq!(child.profile.tags, ["rollup", "no-mempool"]);
    assert_eq!(child.profile.mempool, Mempool::None);
    assert!(child.profile.eip1559 && child.profile.is_testnet);
    assert_eq!(child.endpoints.len(), 1);
}

#[test]
fn from_may_name_one_of_batons_own() {
    let child = network(
        json!([{ "type": "evm", "network": "my-orbit", "from": "arbitrum-one", "chain_id": 5 }]),
        "my-orbit",
    );
    assert_eq!(child.profile.mempool, Mempool::None);
    assert_eq!(child.profile.in_flight_max, 128);
}

#[test]
fn limits_of_a_known_chain_come_with_its_id() {
    let renamed = network(
        json!([{
            "type": "evm", "network": "zksync-era", "chain_id": 324, "required_confirmations": 1,
            "average_blocktime_ms": 1000
        }]),
        "zksync-era",
    );
    assert_eq!(renamed.profile.nonce_window, Some(50));
    assert_eq!(renamed.profile.in_flight_max, 50);
}

#[test]
fn a_folder_beside_the_file_is_found_and_other_chains_are_passed_over() {
    let evm = r#"{"networks": [{"type": "evm", "network": "sepolia", "chain_id": 11155111,
        "required_confirmations": 4, "average_blocktime_ms": 12000, "symbol": "ETH",
        "rpc_urls": ["https://sepolia.example"]}]}"#;
    let solana = r#"{"networks": [{"type": "solana", "network": "devnet", "is_testnet": true,
        "rpc_urls": ["https://api.devnet.example"], "anything": {"goes": 1}}]}"#;
    let sample = Sample::new()
        .without("/networks")
        .without("/relayers/0/custom_rpc_urls")
        .file("networks/evm.json", evm)
        .file("networks/solana.json", solana)
        .file("networks/notes.txt", "not read");
    let (settings, warnings) = sample.load().unwrap();
    let relayer = &settings.relayers[0];
    assert_eq!(relayer.network.profile.required_confirmations, 4);
    assert_eq!(relayer.endpoints()[0].url, "https://sepolia.example");
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let expected = "networks: only evm networks are supported; not used: solana devnet";
    assert_eq!(warnings, [expected]);
}

#[test]
fn two_networks_may_have_one_chain_id() {
    let sample = Sample::new();
    let (settings, _) = sample.load().unwrap();
    let id = |name: &str| settings.networks[name].profile.chain_id;
    assert_eq!(id("localhost-anvil"), id("localhost-anvil-docker"));
    assert_eq!(
        settings.networks["localhost-anvil"].endpoints[0].url,
        "http://localhost:8545"
    );
}
