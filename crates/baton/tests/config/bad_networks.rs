//! Bad networks, in the configuration file and in files of their own.

use serde_json::{Value, json};

use crate::support::{Sample, assert_problems};

fn put(pointer: &str, value: Value) -> Sample {
    Sample::new().put(pointer, value)
}

fn network(field: &str, value: Value) -> Sample {
    put(
        "/networks",
        json!([{
            "type": "evm",
            "network": "mychain",
            "chain_id": 4711,
            "required_confirmations": 1,
            "average_blocktime_ms": 1000,
            "rpc_urls": ["http://node.example"]
        }]),
    )
    .put(&format!("/networks/0/{field}"), value)
}

#[test]
fn networks() {
    assert_problems(&[
        (
            put("/networks", json!(1)),
            "networks: must be a list of networks or the path of a directory, found a number",
        ),
        (
            put("/networks", json!("/nonexistent")),
            "networks: must be a readable directory: No such file or directory (os error 2), found \
             /nonexistent",
        ),
        (
            network("chain_id", json!("4711")),
            "networks[0].chain_id: must be a whole number, at least 1, found \"4711\"",
        ),
        (
            network("chain_id", json!(null)),
            "networks[0].chain_id: must be given, here or in the network it is `from`",
        ),
        (
            network("average_blocktime_ms", json!(0)),
            "networks[0].average_blocktime_ms: must be a whole number from 1 to 3600000, found 0",
        ),
        (
            network("type", json!("emv")),
            "networks[0].type: must be `evm`, found \"emv\"; did you mean `evm`?",
        ),
        (
            network("blocktime", json!(1)),
            "networks[0].blocktime: is not a known field",
        ),
        (
            network("tags", json!("rollup")),
            "networks[0].tags: must be a list of strings, found \"rollup\"",
        ),
        (
            network("from", json!("mainet")),
            "networks[0].from: must name a known network, found \"mainet\"; did you mean `mainnet`?",
        ),
        (
            network("from", json!("mychain")),
            "networks[0].from: must not form a circle, found mychain -> mychain",
        ),
        (
            network("gas_price_cache", json!({ "enabled": "yes" })),
            "networks[0].gas_price_cache.enabled: must be true or false, found \"yes\"",
        ),
        (
            network("in_flight_max", json!(0)),
            "networks[0].in_flight_max: must be a whole number from 1 to 65536, found 0",
        ),
        (
            put(
                "/networks",
                json!([
                    network("symbol", json!("A")).file["networks"][0],
                    network("symbol", json!("B")).file["networks"][0]
                ]),
            ),
            "networks[1].network: must differ from the network at networks[0], found \"mychain\"",
        ),
    ]);
}

#[test]
fn network_directories() {
    let in_directory = |text: &str| {
        let sample = Sample::new().file("more/own.json", text);
        let directory = json!(sample.path("more"));
        sample.put("/networks", directory)
    };
    assert_problems(&[
        (
            in_directory("nonsense"),
            "{dir}/more/own.json: must be JSON: expected ident at line 1 column 2",
        ),
        (
            in_directory("{}"),
            "{dir}/more/own.json: networks: must be given",
        ),
        (
            in_directory(r#"{"networks": [{"type": "evm"}]}"#),
            "{dir}/more/own.json: networks[0].network: must be given",
        ),
        (
            Sample::new()
                .file("empty/readme.md", "")
                .put("/networks", json!(null))
                .file("networks/readme.md", ""),
            "networks: must be a directory with *.json files, found {dir}/networks",
        ),
    ]);
}
