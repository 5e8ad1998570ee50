//! Calls that are refused whatever their body, or before it is looked at.

use baton_engine::service::http::BODY_BYTES_MAX;

use super::{Case, SEND, check, text, world};
use crate::support::{API_KEY, TARGET, json, transfer_body};

const STATUSES: &str = "pending, sent, submitted, mined, confirmed, failed, canceled, expired";
const NIL: &str = "00000000-0000-4000-8000-000000000000";

/// A call without a body.
fn call(call: &'static str, status: u16, error: &'static str) -> Case<'static> {
    Case {
        call,
        headers: &[],
        body: "",
        status,
        error,
    }
}

#[tokio::test]
async fn paths_that_lead_nowhere() {
    let send = |path, status, error| Case {
        body: text(transfer_body()),
        ..call(path, status, error)
    };
    let no_relayer = "Relayer with ID nobody not found";
    let no_transaction = text(format!("Transaction with ID {NIL} not found"));
    let one = |method: &str| text(format!("{method} /api/v1/relayers/main/transactions/{NIL}"));
    let path = |rest: &str| text(format!("GET /api/v1/relayers/main/transactions/{rest}"));
    let nonce = |found: &str| {
        let rule = "nonce must be a whole number from 0 to 2^64-1";
        text(format!("{rule}; found {found:?}"))
    };
    let patched = "/api/v1/relayers/main/transactions";
    let cases = [
        send("POST /api/v1/relayers/nobody/transactions", 404, no_relayer),
        call("GET /api/v1/relayers/nobody", 404, no_relayer),
        call("GET /api/v1/relayers/nobody/status", 404, no_relayer),
        call("GET /api/v1/relayers/nobody/balance", 404, no_relayer),
        call("GET /api/v1/relayers/nobody/transactions", 404, no_relayer),
        call(
            "DELETE /api/v1/relayers/nobody/transactions/pending",
            404,
            no_relayer,
        ),
        call(one("GET"), 404, no_transaction),
        call(one("DELETE"), 404, no_transaction),
        send(one("PUT"), 404, no_transaction),
        call(path("17"), 404, "Transaction with ID 17 not found"),
        call(
            path("pending"),
            404,
            "Transaction with ID pending not found",
        ),
        call(
            path("by-nonce/3"),
            404,
            "Transaction with nonce 3 not found",
        ),
        call(path("by-nonce/-1"), 400, nonce("-1")),
        call(path("by-nonce/007"), 400, nonce("007")),
        call(
            path("by-nonce/18446744073709551616"),
            400,
            nonce("18446744073709551616"),
        ),
        call(
            "GET /api/v1/nothing",
            404,
            "There is nothing at /api/v1/nothing",
        ),
        call(
            text(format!("PATCH {patched}")),
            405,
            text(format!("{patched} does not take PATCH")),
        ),
    ];
    check(&world(), &cases).await;
}

#[tokio::test]
async fn queries_that_break_a_rule() {
    let list = |query: &str| text(format!("GET /api/v1/relayers/main/transactions?{query}"));
    let rule = |rule: &str, found: &str| text(format!("{rule}; found {found:?}"));
    let page = |found| rule("page must be a whole number from 1 to 4294967295", found);
    let size = |found| rule("per_page must be a whole number from 1 to 1000", found);
    let statuses = format!("status must be one of {STATUSES}");
    let status = |found| rule(&statuses, found);
    let far = "page must begin within the first 1048576 transactions; found page 2000 of 1000 each";
    let cases = [
        call(list("page=0"), 400, page("0")),
        call(list("page=-1"), 400, page("-1")),
        call(list("page=one"), 400, page("one")),
        call(list("per_page=0"), 400, size("0")),
        call(list("per_page=1001"), 400, size("1001")),
        call(list("per_page="), 400, size("")),
        call(
            list("page=1&page=2"),
            400,
            "page must be given once; found it twice",
        ),
        call(list("page=2000&per_page=1000"), 400, far),
        call(list("status=done"), 400, status("done")),
        call(list("status="), 400, status("")),
        call(list("status=pending,sent"), 400, status("pending,sent")),
        call("GET /api/v1/relayers?page=0", 400, page("0")),
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
        case(
            &[("idempotency-key", "")],
            400,
            "Idempotency-Key must have 1 to 255 characters; found 0",
        ),
        case(
            &[("idempotency-key", "a b")],
            400,
            "Idempotency-Key must be visible ASCII characters; found the byte 0x20",
        ),
        case(
            &[("idempotency-key", "schlüssel")],
            400,
            "Idempotency-Key must be visible ASCII characters; found the byte 0xc3",
        ),
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
    let body = format!(
        r#"{{"to":"{TARGET}","note":"{}"}}"#,
        "x".repeat(BODY_BYTES_MAX)
    );
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
        case(
            "POST /api/v1/relayers/paused/transactions",
            transfer.as_str(),
        ),
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
        ("GET /api/v1/plugins", "Plugins"),
        ("PATCH /api/v1/plugins/one", "Plugins"),
        ("POST /api/v1/plugins/one/call", "Plugins"),
        ("GET /api/v1/plugins/one/call", "Plugins"),
        ("POST /api/v1/plugins/one/call/deep/route", "Plugins"),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = client.call(method, path, &[], "").await;
        assert_eq!(answer.status, 501, "{call}: {}", answer.body);
        assert!(answer.error().contains(part), "{call}: {}", answer.body);
    }
    let sponsored = "Gas abstraction not supported for EVM relayers";
    let signing = "Signing transactions without sending them is not supported for EVM relayers";
    for (path, error) in [
        ("transactions/sponsored/quote", sponsored),
        ("transactions/sponsored/build", sponsored),
        ("sign-transaction", signing),
    ] {
        let path = format!("/api/v1/relayers/main/{path}");
        let answer = client.call("POST", &path, &[], "").await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.error(), error);
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
