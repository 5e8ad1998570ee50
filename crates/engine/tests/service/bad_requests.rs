//! What is refused, with which words.

use baton_engine::service::DATA_BYTES_MAX;
use baton_engine::service::http::BODY_BYTES_MAX;
use baton_engine::Relayer;
use baton_model::Address;

use crate::support::{API_KEY, TARGET, World, json, transfer_body};

/// A request, the status of its answer and the message in the envelope.
struct Case<'a> {
    call: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    status: u16,
    error: &'a str,
}

const SEND: &str = "POST /api/v1/relayers/main/transactions";
const STRICT: &str = "POST /api/v1/relayers/strict/transactions";
const NOTHING: &str =
    "Both txs `to` and `data` fields are missing. At least one of them has to be set.";
const NO_PRICE: &str = "Transaction must specify either gasPrice, speed, or EIP1559 parameters";
const MIXED: &str = "Cannot mix different transaction types: give one of gas_price, speed, or \
    max_fee_per_gas with max_priority_fee_per_gas";
const NUMBER: &str = "must be a whole number, as a JSON number or a decimal or 0x-hex string; found";
const ADDRESS: &str = "to must be an address of 20 bytes in hex, or empty to create a contract; found";
const DATA: &str = "data must be a string of hex digits, two for each byte; found";
const TIME: &str = "valid_until must be a time in RFC 3339, such as 2030-01-01T00:00:00Z; found";
const STATUSES: &str = "pending, sent, submitted, mined, confirmed, failed, canceled, expired";
const NIL: &str = "00000000-0000-4000-8000-000000000000";

fn strict(relayer: &mut Relayer) {
    relayer.policy.gas_price_cap = Some(1000);
    relayer.policy.whitelist_receivers = Some(vec![Address::repeat_byte(0xbb)]);
    relayer.policy.gas_limit_estimation = false;
}

fn world() -> World {
    World::with(&[
        ("main", |_| {}),
        ("strict", strict),
        ("old", |relayer| relayer.network.profile.eip1559 = false),
        ("paused", |relayer| relayer.paused = true),
    ])
}

async fn check(world: &World, cases: &[Case<'_>]) {
    let client = world.listen().await;
    for Case {
        call,
        headers,
        body,
        status,
        error,
    } in cases
    {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = client.call(method, path, headers, body).await;
        let start: String = body.chars().take(200).collect();
        assert_eq!(answer.status, *status, "{call} {start}: {}", answer.body);
        assert_eq!(answer.error(), *error, "{call} {start}");
    }
    // Whatever was refused left nothing behind.
    for relayer in world.service.relayers() {
        let lane = relayer.lane();
        for prefix in ["r/", "c/", "i/"] {
            assert_eq!(world.store.count(&lane, prefix).await, 0, "{lane} {prefix}");
        }
    }
}

fn body(call: &'static str, body: &'static str, error: &'static str) -> Case<'static> {
    Case {
        call,
        headers: &[],
        body,
        status: 400,
        error,
    }
}

/// A leaked text, so that a table can be built from parts.
fn text(text: String) -> &'static str {
    text.leak()
}

fn with_target(fields: &str) -> &'static str {
    text(format!(r#"{{"to":"{TARGET}",{fields}}}"#))
}

fn number(field: &str, value: &str) -> Case<'static> {
    let mut fields = format!(r#""{field}":{value}"#);
    if field != "value" {
        fields.push_str(r#","value":1"#);
    }
    if !field.contains("fee") && field != "gas_price" {
        fields.push_str(r#","speed":"fast""#);
    }
    if field == "max_fee_per_gas" {
        fields.push_str(r#","max_priority_fee_per_gas":1"#);
    }
    let error = text(format!("{field} {NUMBER} {value}"));
    body(SEND, with_target(&fields), error)
}

#[tokio::test]
async fn bodies_that_are_no_transaction_request() {
    let cases = [
        body(SEND, "", "body must be a JSON document; found nothing"),
        body(SEND, "[]", "body must be a JSON object; found []"),
        body(SEND, "null", "body must be a JSON object; found null"),
        body(SEND, "\"0x\"", "body must be a JSON object; found \"0x\""),
        body(SEND, "17", "body must be a JSON object; found 17"),
        body(SEND, "{}", NOTHING),
        body(SEND, r#"{"to":null,"data":null,"value":1}"#, NOTHING),
        body(SEND, r#"{"to":"","value":1,"speed":"fast"}"#, NOTHING),
        body(
            SEND,
            r#"{"to":"","to":"","data":"0x","value":1}"#,
            "body: duplicate field `to` at line 1 column 13",
        ),
    ];
    check(&world(), &cases).await;
}

#[tokio::test]
async fn bodies_that_are_no_json_say_where() {
    let client = world().listen().await;
    for body in ["{", r#"{"to":}"#, "{'to':1}", r#"{"to":"a"} {}"#, "\u{feff}{}", "{\"to\":01}"] {
        let answer = client.send(body).await;
        assert_eq!(answer.status, 400, "{body}");
        let error = answer.error();
        assert!(error.starts_with("body must be ") && error.contains("column"), "{body}: {error}");
    }
}

#[tokio::test]
async fn values_that_are_no_numbers() {
    let required = "value is required: wei as a JSON number or a decimal or 0x-hex string; found nothing";
    let mut cases = vec![
        body(SEND, with_target(r#""speed":"fast""#), required),
        body(SEND, with_target(r#""speed":"fast","value":null"#), required),
    ];
    for value in ["1.5", "1e18", "-1", "true", "[1]", "{}", "\"\"", "\"0x\"", "\"1 \"", "\"-1\"", "\"1_0\"", "\"0xzz\"", "\"ten\""] {
        cases.push(number("value", value));
    }
    for field in ["gas_limit", "gas_price", "max_fee_per_gas"] {
        cases.push(number(field, "-1"));
        cases.push(number(field, "\"fast\""));
    }
    for (fields, error) in [
        (
            r#""value":115792089237316195423570985008687907853269984665640564039457584007913129639936,"speed":"fast""#,
            "value must be at most 2^256-1; found 115792089237316195423570985008687907853269984665640564039457584007…",
        ),
        (
            r#""value":1,"speed":"fast","gas_limit":18446744073709551616"#,
            "gas_limit must be at most 2^64-1; found 18446744073709551616",
        ),
        (
            r#""value":1,"gas_price":"340282366920938463463374607431768211456""#,
            "gas_price must be at most 2^128-1; found \"340282366920938463463374607431768211456\"",
        ),
    ] {
        cases.push(body(SEND, with_target(fields), error));
    }
    check(&world(), &cases).await;
}

#[tokio::test]
async fn targets_and_data_that_are_none() {
    let mut cases = Vec::new();
    for to in ["\"0x12\"", "17", "\"vitalik.eth\"", "\"0x00000000000000000000000000000000000000zz\"", "[]"] {
        let fields = format!(r#"{{"to":{to},"value":1,"speed":"fast"}}"#);
        cases.push(body(SEND, text(fields), text(format!("{ADDRESS} {to}"))));
    }
    for data in ["\"0x1\"", "\"0xzz\"", "\"0x0x\"", "17", "\"hello\"", "[1,2]"] {
        let fields = format!(r#""value":1,"speed":"fast","data":{data}"#);
        cases.push(body(SEND, with_target(&fields), text(format!("{DATA} {data}"))));
    }
    let most = "00".repeat(DATA_BYTES_MAX + 1);
    let fields = format!(r#""value":1,"speed":"fast","data":"0x{most}""#);
    cases.push(body(
        SEND,
        with_target(&fields),
        "data must have at most 130560 bytes, what a transaction of 128 KiB can hold; found 130561 bytes",
    ));
    check(&world(), &cases).await;
}

#[tokio::test]
async fn pricing_that_is_not_one_mode() {
    let max_missing = "max_fee_per_gas is required when max_priority_fee_per_gas is given; found nothing";
    let tip_missing = "max_priority_fee_per_gas is required when max_fee_per_gas is given; found nothing";
    let speed = |found: &str| {
        text(format!("speed must be one of fastest, fast, average, safeLow; found {found}"))
    };
    let cases: Vec<Case<'_>> = [
        (r#""value":1"#, NO_PRICE),
        (r#""value":1,"gas_price":null,"speed":null"#, NO_PRICE),
        (r#""value":1,"gas_price":1,"speed":"fast""#, MIXED),
        (r#""value":1,"gas_price":1,"max_fee_per_gas":1"#, MIXED),
        (r#""value":1,"speed":"fast","max_priority_fee_per_gas":1"#, MIXED),
        (
            r#""value":1,"gas_price":1,"speed":"fast","max_fee_per_gas":2,"max_priority_fee_per_gas":1"#,
            MIXED,
        ),
        (r#""value":1,"max_fee_per_gas":2"#, tip_missing),
        (r#""value":1,"max_priority_fee_per_gas":2"#, max_missing),
        (
            r#""value":1,"max_fee_per_gas":1,"max_priority_fee_per_gas":2"#,
            "max_fee_per_gas must be at least max_priority_fee_per_gas, 2; found 1",
        ),
        (r#""value":1,"speed":"ludicrous""#, speed("\"ludicrous\"")),
        (r#""value":1,"speed":"FAST""#, speed("\"FAST\"")),
        (r#""value":1,"speed":3"#, speed("3")),
        (r#""value":1,"speed":{"fast":null}"#, speed("{\"fast\":null}")),
    ]
    .into_iter()
    .map(|(fields, error)| body(SEND, with_target(fields), error))
    .chain([body(
        "POST /api/v1/relayers/old/transactions",
        with_target(r#""value":1,"max_fee_per_gas":2,"max_priority_fee_per_gas":1"#),
        "max_fee_per_gas needs a network with EIP-1559, which localhost is not: give gas_price or speed; found 2",
    )])
    .collect();
    check(&world(), &cases).await;
}

#[tokio::test]
async fn gas_limits_and_policies_that_do_not_fit() {
    let gas = |least: u64, found: u64| {
        text(format!(
            "gas_limit must be at least {least}, which this transaction uses before anything is executed; found {found}"
        ))
    };
    let listed = "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    let to_listed = |fields: &str| text(format!(r#"{{"to":"{listed}","value":1,{fields}}}"#));
    let cases = [
        body(SEND, with_target(r#""value":1,"speed":"fast","gas_limit":20999"#), gas(21_000, 20_999)),
        body(SEND, with_target(r#""value":1,"speed":"fast","gas_limit":0"#), gas(21_000, 0)),
        body(
            SEND,
            with_target(r#""value":1,"speed":"fast","data":"0x0001","gas_limit":21019"#),
            gas(21_020, 21_019),
        ),
        body(
            SEND,
            r#"{"data":"0x0001","value":0,"speed":"fast","gas_limit":53021}"#,
            gas(53_022, 53_021),
        ),
        body(
            STRICT,
            to_listed(r#""speed":"fast""#),
            "gas_limit is required, because the relayer's policy gas_limit_estimation is false; found nothing",
        ),
        body(STRICT, to_listed(r#""gas_price":1001,"gas_limit":21000"#), "Gas price is too high"),
        body(
            STRICT,
            to_listed(r#""max_fee_per_gas":1001,"max_priority_fee_per_gas":1,"gas_limit":21000"#),
            "Max fee per gas 1001 exceeds gas price cap 1000",
        ),
        body(
            STRICT,
            with_target(r#""value":1,"gas_price":1000,"gas_limit":21000"#),
            "Transaction target address is not whitelisted",
        ),
        body(
            STRICT,
            r#"{"data":"0x00","value":1,"gas_price":1000,"gas_limit":60000}"#,
            "Transaction target address is not whitelisted",
        ),
    ];
    check(&world(), &cases).await;
}

#[tokio::test]
async fn times_that_are_past_or_none() {
    let mut cases = Vec::new();
    for time in ["\"tomorrow\"", "1700000001", "\"2030-01-01\"", "\"2030-01-01T00:00:00\"", "\"2030-13-01T00:00:00Z\"", "\"\""] {
        let fields = format!(r#""value":1,"speed":"fast","valid_until":{time}"#);
        cases.push(body(SEND, with_target(&fields), text(format!("{TIME} {time}"))));
    }
    for (time, shown) in [
        ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14T23:13:19.5+01:00", "2023-11-14T22:13:19.500Z"),
        ("1960-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    ] {
        let fields = format!(r#""value":1,"speed":"fast","valid_until":"{time}""#);
        let error = format!("valid_until must be in the future, after 2023-11-14T22:13:20.000Z; found {shown}");
        cases.push(body(SEND, with_target(&fields), text(error)));
    }
    check(&world(), &cases).await;
}

#[tokio::test]
async fn paths_and_queries_that_lead_nowhere() {
    let transfer = transfer_body();
    let case = |call, status, error| Case {
        call,
        headers: &[],
        body: "",
        status,
        error,
    };
    let send = |call, status, error| Case {
        body: text(transfer.clone()),
        ..case(call, status, error)
    };
    let no_relayer = "Relayer with ID nobody not found";
    let no_transaction = text(format!("Transaction with ID {NIL} not found"));
    let list = |query: &str| text(format!("GET /api/v1/relayers/main/transactions?{query}"));
    let one = |method: &str| text(format!("{method} /api/v1/relayers/main/transactions/{NIL}"));
    let page = |found: &str| text(format!("page must be a whole number from 1 to 4294967295; found {found:?}"));
    let size = |found: &str| text(format!("per_page must be a whole number from 1 to 1000; found {found:?}"));
    let status = |found: &str| text(format!("status must be one of {STATUSES}; found {found:?}"));
    let cases = [
        send("POST /api/v1/relayers/nobody/transactions", 404, no_relayer),
        case("GET /api/v1/relayers/nobody", 404, no_relayer),
        case("GET /api/v1/relayers/nobody/status", 404, no_relayer),
        case("GET /api/v1/relayers/nobody/balance", 404, no_relayer),
        case("GET /api/v1/relayers/nobody/transactions", 404, no_relayer),
        case("DELETE /api/v1/relayers/nobody/transactions/pending", 404, no_relayer),
        case(one("GET"), 404, no_transaction),
        case(one("DELETE"), 404, no_transaction),
        send(one("PUT"), 404, no_transaction),
        case("GET /api/v1/relayers/main/transactions/17", 404, "Transaction with ID 17 not found"),
        case("GET /api/v1/relayers/main/transactions/pending", 404, "Transaction with ID pending not found"),
        case("GET /api/v1/relayers/main/transactions/by-nonce/3", 404, "Transaction with nonce 3 not found"),
        case(
            "GET /api/v1/relayers/main/transactions/by-nonce/-1",
            400,
            "nonce must be a whole number from 0 to 2^64-1; found \"-1\"",
        ),
        case(
            "GET /api/v1/relayers/main/transactions/by-nonce/007",
            400,
            "nonce must be a whole number from 0 to 2^64-1; found \"007\"",
        ),
        case(list("page=0"), 400, page("0")),
        case(list("page=-1"), 400, page("-1")),
        case(list("page=one"), 400, page("one")),
        case(list("per_page=0"), 400, size("0")),
        case(list("per_page=1001"), 400, size("1001")),
        case(list("per_page="), 400, size("")),
        case(list("page=1&page=2"), 400, "page must be given once; found it twice"),
        case(
            list("page=2000&per_page=1000"),
            400,
            "page must begin within the first 1048576 transactions; found page 2000 of 1000 each",
        ),
        case(list("status=done"), 400, status("done")),
        case(list("status="), 400, status("")),
        case(list("status=pending,sent"), 400, status("pending,sent")),
        case("GET /api/v1/relayers?page=0", 400, page("0")),
        case("GET /api/v1/nothing", 404, "There is nothing at /api/v1/nothing"),
        case("PATCH /api/v1/relayers/main/transactions", 405, "/api/v1/relayers/main/transactions does not take PATCH"),
    ];
    check(&world(), &cases).await;
}

#[tokio::test]
async fn headers_that_break_a_rule() {
    let transfer = transfer_body();
    let long = "k".repeat(256);
    let case = |headers, status, error| Case {
        call: SEND,
        headers,
        body: &transfer,
        status,
        error,
    };
    let cases = [
        case(&[("idempotency-key", "")], 400, "Idempotency-Key must have 1 to 255 characters; found 0"),
        case(&[("idempotency-key", "a b")], 400, "Idempotency-Key must be visible ASCII characters; found the byte 0x20"),
        case(&[("idempotency-key", "schlüssel")], 400, "Idempotency-Key must be visible ASCII characters; found the byte 0xc3"),
        case(
            &[("idempotency-key", "one"), ("idempotency-key", "two")],
            400,
            "Idempotency-Key must be given once; found it twice",
        ),
        case(
            &[("content-type", "text/plain")],
            415,
            "content-type must be application/json; found \"text/plain\"",
        ),
    ];
    check(&world(), &cases).await;
    let keys = [("idempotency-key", long.as_str())];
    let error = "Idempotency-Key must have 1 to 255 characters; found 256";
    check(&world(), &[case(&keys, 400, error)]).await;
}

#[tokio::test]
async fn bodies_beyond_the_limit() {
    let body = format!(r#"{{"to":"{TARGET}","note":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    let cases = [Case {
        call: SEND,
        headers: &[],
        body: &body,
        status: 413,
        error: "body must have at most 524288 bytes",
    }];
    check(&world(), &cases).await;
}

#[tokio::test]
async fn a_paused_relayer_takes_neither_work_nor_commands() {
    let transfer = transfer_body();
    let one = text(format!("/api/v1/relayers/paused/transactions/{NIL}"));
    let case = |call, body| Case {
        call,
        headers: &[],
        body,
        status: 403,
        error: "Relayer paused",
    };
    let cases = [
        case("POST /api/v1/relayers/paused/transactions", transfer.as_str()),
        case(text(format!("PUT {one}")), transfer.as_str()),
        case(text(format!("DELETE {one}")), ""),
        case("DELETE /api/v1/relayers/paused/transactions/pending", ""),
    ];
    check(&world(), &cases).await;
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let world = world();
    let client = world.listen().await;
    for (call, part) in [
        ("POST /api/v1/relayers", "Creating relayers"),
        ("PATCH /api/v1/relayers/main", "Changing relayers"),
        ("DELETE /api/v1/relayers/main", "Deleting relayers"),
        ("POST /api/v1/relayers/main/sign", "Signing messages"),
        ("POST /api/v1/relayers/main/sign-typed-data", "Signing typed data"),
        ("POST /api/v1/relayers/main/sign-transaction", "Signing transactions"),
        ("POST /api/v1/relayers/main/rpc", "JSON-RPC passthrough"),
        ("GET /api/v1/signers", "Signers"),
        ("DELETE /api/v1/signers/one", "Signers"),
        ("GET /api/v1/notifications", "Notifications"),
        ("PATCH /api/v1/networks/evm:sepolia", "Networks"),
        ("POST /api/v1/plugins/one/call/deep/route", "Plugins"),
        ("GET /api/v1/api-keys", "API keys"),
        ("GET /api/v1/metrics/requests_total", "Single metrics"),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = client.call(method, path, &[], "").await;
        assert_eq!(answer.status, 501, "{call}: {}", answer.body);
        assert!(answer.error().contains(part), "{call}: {}", answer.body);
    }
    for path in ["quote", "build"] {
        let path = format!("/api/v1/relayers/main/transactions/sponsored/{path}");
        let answer = client.call("POST", &path, &[], "").await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.error(), "Gas abstraction not supported for EVM relayers");
    }
}

#[tokio::test]
async fn only_probes_are_open() {
    let world = world();
    let client = world.listen().await;
    let wrong = format!("Bearer {API_KEY}x");
    for (call, authorization) in [
        (SEND, "Bearer wrong"),
        (SEND, wrong.as_str()),
        (SEND, API_KEY),
        ("GET /api/v1/relayers", "Bearer "),
        ("GET /api/v1/metrics", "Bearer wrong"),
        ("GET /api/v1/nothing", "Bearer wrong"),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let headers = [("authorization", authorization)];
        let answer = client.call(method, path, &headers, &transfer_body()).await;
        assert_eq!(answer.status, 401, "{call} {authorization}");
        assert_eq!(
            answer.json(),
            json(r#"{"success":false,"code":401,"error":"Unauthorized","message":"Unauthorized"}"#)
        );
    }
    for path in ["/api/v1/health", "/api/v1/ready"] {
        let answer = client.call("GET", path, &[("authorization", "")], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}
