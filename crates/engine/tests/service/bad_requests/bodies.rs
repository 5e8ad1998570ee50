//! Bodies that are no transaction request, or none for this relayer.

use baton_engine::service::DATA_BYTES_MAX;

use super::{Case, SEND, check, text, world};
use crate::support::TARGET;

const STRICT: &str = "POST /api/v1/relayers/strict/transactions";
const OVER_256_BITS: &str = r#""speed":"fast",
    "value":115792089237316195423570985008687907853269984665640564039457584007913129639936"#;
const NOTHING: &str =
    "Both txs `to` and `data` fields are missing. At least one of them has to be set.";
const NOT_EVM: &str = "This is the body of a Solana or Stellar transaction, and Baton serves EVM \
    networks only: give to, value and data";
const NO_PRICE: &str = "Transaction must specify either gasPrice, speed, or EIP1559 parameters";
const MIXED: &str = "Cannot mix different transaction types: give one of gas_price, speed, or \
    max_fee_per_gas with max_priority_fee_per_gas";
const NUMBER: &str =
    "must be a whole number, as a JSON number or a decimal or 0x-hex string; found";
const ADDRESS: &str =
    "to must be an address of 20 bytes in hex, or empty to create a contract; found";
const DATA: &str = "data must be a string of hex digits, two for each byte; found";
const TIME: &str = "valid_until must be a time in RFC 3339, such as 2030-01-01T00:00:00Z; found";
#[tokio::test]
async fn bodies_that_are_no_transaction_request() {
    let cases = [
        body(SEND, "", "body must be a JSON document; found nothing"),
        body(SEND, "[]", "body must be a JSON object; found []"),
        body(SEND, "null", "body must be a JSON object; found null"),
        body(SEND, "\"0x\"", "body must be a JSON object; found \"0x\""),
        body(SEND, "17", "body must be a JSON object; found 17"),
        body(SEND, "{}", NOTHING),
        body(SEND, " \n{ } ", NOTHING),
        body(SEND, r#"{"to":null,"data":null,"value":1}"#, NOTHING),
        body(SEND, r#"{"to":"","value":1,"speed":"fast"}"#, NOTHING),
        body(SEND, r#"{"transaction":"AQAB"}"#, NOT_EVM),
        body(SEND, r#"{"instructions":[{}]}"#, NOT_EVM),
        body(SEND, r#"{"network":"testnet","operations":[{}]}"#, NOT_EVM),
        body(
            SEND,
            r#"{"network":"testnet","transaction_xdr":"AAAA"}"#,
            NOT_EVM,
        ),
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
    for body in [
        "{",
        r#"{"to":}"#,
        "{'to':1}",
        r#"{"to":"a"} {}"#,
        "\u{feff}{}",
        "{\"to\":01}",
    ] {
        let answer = client.send(body).await;
        assert_eq!(answer.status, 400, "{body}");
        let error = answer.error();
        assert!(
            error.starts_with("body must be ") && error.contains("column"),
            "{body}: {error}"
        );
    }
}

#[tokio::test]
async fn values_that_are_no_numbers() {
    let required =
        "value is required: wei as a JSON number or a decimal or 0x-hex string; found nothing";
    let mut cases = vec![
        body(SEND, with_target(r#""speed":"fast""#), required),
        body(
            SEND,
            with_target(r#""speed":"fast","value":null"#),
            required,
        ),
    ];
    for value in [
        "1.5", "1e18", "-1", "true", "[1]", "{}", "\"\"", "\"0x\"", "\"1 \"", "\"-1\"", "\"1_0\"",
        "\"0xzz\"", "\"ten\"",
    ] {
        cases.push(number("value", value));
    }
    for field in ["gas_limit", "gas_price", "max_fee_per_gas"] {
        cases.push(number(field, "-1"));
        cases.push(number(field, "\"fast\""));
    }
    for (fields, error) in [
        (
            OVER_256_BITS,
            "value must be at most 2^256-1; found \
            115792089237316195423570985008687907853269984665640564039457584007…",
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
    for to in [
        "\"0x12\"",
        "17",
        "\"vitalik.eth\"",
        "\"0x00000000000000000000000000000000000000zz\"",
        "[]",
    ] {
        let fields = format!(r#"{{"to":{to},"value":1,"speed":"fast"}}"#);
        cases.push(body(SEND, text(fields), text(format!("{ADDRESS} {to}"))));
    }
    for data in [
        "\"0x1\"",
        "\"0xzz\"",
        "\"0x0x\"",
        "17",
        "\"hello\"",
        "[1,2]",
    ] {
        let fields = format!(r#""value":1,"speed":"fast","data":{data}"#);
        cases.push(body(
            SEND,
            with_target(&fields),
            text(format!("{DATA} {data}")),
        ));
    }
    let most = "00".repeat(DATA_BYTES_MAX + 1);
    let fields = format!(r#""value":1,"speed":"fast","data":"0x{most}""#);
    cases.push(body(
        SEND,
        with_target(&fields),
        "data must have at most 130560 bytes, what a transaction of 128 KiB can hold; found \
        130561 bytes",
    ));
    check(&world(), &cases).await;
}

#[tokio::test]
async fn pricing_that_is_not_one_mode() {
    let max_missing =
        "max_fee_per_gas is required when max_priority_fee_per_gas is given; found nothing";
    let tip_missing =
        "max_priority_fee_per_gas is required when max_fee_per_gas is given; found nothing";
    let speed = |found: &str| {
        text(format!(
            "speed must be one of fastest, fast, average, safeLow; found {found}"
        ))
    };
    let cases: Vec<Case<'_>> = [
        (r#""value":1"#, NO_PRICE),
        (r#""value":1,"gas_price":null,"speed":null"#, NO_PRICE),
        (r#""value":1,"gas_price":1,"speed":"fast""#, MIXED),
        (r#""value":1,"gas_price":1,"max_fee_per_gas":1"#, MIXED),
        (
            r#""value":1,"speed":"fast","max_priority_fee_per_gas":1"#,
            MIXED,
        ),
        (
            r#""value":1,"gas_price":1,"speed":"fast","max_fee_per_gas":2"#,
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
        (
            r#""value":1,"speed":{"fast":null}"#,
            speed("{\"fast\":null}"),
        ),
    ]
    .into_iter()
    .map(|(fields, error)| body(SEND, with_target(fields), error))
    .chain([body(
        "POST /api/v1/relayers/old/transactions",
        with_target(r#""value":1,"max_fee_per_gas":2,"max_priority_fee_per_gas":1"#),
        "max_fee_per_gas needs a network with EIP-1559, which localhost is not: give gas_price \
        or speed; found 2",
    )])
    .collect();
    check(&world(), &cases).await;
}

#[tokio::test]
async fn gas_limits_and_policies_that_do_not_fit() {
    let gas = |least: u64, found: u64| {
        text(format!(
            "gas_limit must be at least {least}, which this transaction uses before anything is \
            executed; found {found}"
        ))
    };
    let listed = "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    let to_listed = |fields: &str| text(format!(r#"{{"to":"{listed}","value":1,{fields}}}"#));
    let cases = [
        body(
            SEND,
            with_target(r#""value":1,"speed":"fast","gas_limit":20999"#),
            gas(21_000, 20_999),
        ),
        body(
            SEND,
            with_target(r#""value":1,"speed":"fast","gas_limit":0"#),
            gas(21_000, 0),
        ),
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
            "gas_limit is required, because the relayer's policy gas_limit_estimation is false; \
            found nothing",
        ),
        body(
            STRICT,
            to_listed(r#""gas_price":1001,"gas_limit":21000"#),
            "Gas price is too high",
        ),
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
    for time in [
        "\"tomorrow\"",
        "1700000001",
        "\"2030-01-01\"",
        "\"2030-01-01T00:00:00\"",
        "\"2030-13-01T00:00:00Z\"",
        "\"\"",
    ] {
        let fields = format!(r#""value":1,"speed":"fast","valid_until":{time}"#);
        cases.push(body(
            SEND,
            with_target(&fields),
            text(format!("{TIME} {time}")),
        ));
    }
    for (time, shown) in [
        ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000Z"),
        ("2023-11-14T23:13:19.5+01:00", "2023-11-14T22:13:19.500Z"),
        ("1960-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    ] {
        let fields = format!(r#""value":1,"speed":"fast","valid_until":"{time}""#);
        let error = format!(
            "valid_until must be in the future, after 2023-11-14T22:13:20.000Z; found {shown}"
        );
        cases.push(body(SEND, with_target(&fields), text(error)));
    }
    check(&world(), &cases).await;
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
