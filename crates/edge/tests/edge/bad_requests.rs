//! Bad requests and their answers, word by word.

use axum::Router;
use axum::http::Method;
use axum::routing::{get as on_get, post as on_post};
use baton_edge::{ApiJson, ApiPath, ApiQuery, ApiResponse, Page, RequestLimits, Stack};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Server, request};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    name: String,
    count: u32,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    weight: u8,
}

#[derive(Serialize, Deserialize)]
struct Filter {
    min: Option<u32>,
}

fn router() -> Router {
    let create = |ApiJson(thing): ApiJson<Thing>| async move { ApiResponse::success(thing) };
    let list = |page: Page| async move { ApiResponse::page(Vec::<u8>::new(), page, 0) };
    let thing = |ApiPath(id): ApiPath<u64>| async move { ApiResponse::success(id) };
    let search = |ApiQuery(filter): ApiQuery<Filter>| async move { ApiResponse::success(filter) };
    let router = Router::new()
        .route("/things", on_post(create).get(list))
        .route("/things/{id}", on_get(thing))
        .route("/search", on_get(search));
    let limits = RequestLimits {
        body_bytes: 1024,
        ..RequestLimits::default()
    };
    Stack {
        limits,
        ..Stack::default()
    }
    .wrap(router)
}

/// Method, path, headers, body, status and the `error` of the answer.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
);

static ROWS: &[Row] = &[
    (
        "GET",
        "/things?page=0",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"0\"",
    ),
    (
        "GET",
        "/things?page=-1",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"-1\"",
    ),
    (
        "GET",
        "/things?page=1.5",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"1.5\"",
    ),
    (
        "GET",
        "/things?page=abc",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"abc\"",
    ),
    (
        "GET",
        "/things?page=",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"\"",
    ),
    (
        "GET",
        "/things?page=4294967296",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"4294967296\"",
    ),
    (
        "GET",
        "/things?page=%00%22",
        &[],
        "",
        400,
        "page must be a whole number from 1 to 4294967295; found \"\\0\\\"\"",
    ),
    (
        "GET",
        "/things?per_page=0",
        &[],
        "",
        400,
        "per_page must be a whole number from 1 to 1000; found \"0\"",
    ),
    (
        "GET",
        "/things?per_page=1001",
        &[],
        "",
        400,
        "per_page must be a whole number from 1 to 1000; found \"1001\"",
    ),
    (
        "GET",
        "/things?per_page=ten",
        &[],
        "",
        400,
        "per_page must be a whole number from 1 to 1000; found \"ten\"",
    ),
    (
        "GET",
        "/things?page=1&page=2",
        &[],
        "",
        400,
        "page must be given once; found it twice",
    ),
    (
        "GET",
        "/search?min=many",
        &[],
        "",
        400,
        "query: min: invalid digit found in string",
    ),
    (
        "GET",
        "/search?min=1&min=2",
        &[],
        "",
        400,
        "query: duplicate field `min`",
    ),
    (
        "GET",
        "/things/abc",
        &[],
        "",
        404,
        "path: Cannot parse `abc` to a `u64`",
    ),
    (
        "GET",
        "/things/-1",
        &[],
        "",
        404,
        "path: Cannot parse `-1` to a `u64`",
    ),
    (
        "GET",
        "/things/18446744073709551616",
        &[],
        "",
        404,
        "path: Cannot parse `18446744073709551616` to a `u64`",
    ),
    (
        "GET",
        "/things/%ff",
        &[],
        "",
        404,
        "path: Invalid UTF-8 in `id`",
    ),
    (
        "GET",
        "/nothing",
        &[],
        "",
        404,
        "There is nothing at /nothing",
    ),
    (
        "GET",
        "/things/1/parts",
        &[],
        "",
        404,
        "There is nothing at /things/1/parts",
    ),
    (
        "DELETE",
        "/things",
        &[],
        "",
        405,
        "/things does not take DELETE",
    ),
    (
        "POST",
        "/things/1",
        &[],
        "",
        405,
        "/things/1 does not take POST",
    ),
    (
        "POST",
        "/things",
        JSON,
        "",
        400,
        "body must be a JSON document; found nothing",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{",
        400,
        "body must be a JSON document: EOF while parsing an object at line 1 column 1",
    ),
    (
        "POST",
        "/things",
        JSON,
        "name=a",
        400,
        "body must be a JSON document: expected ident at line 1 column 2",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{'name': 1}",
        400,
        "body must be a JSON document: key must be a string at line 1 column 2",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": \"a\", \"count\": 1} extra",
        400,
        "body must be one JSON document: trailing characters at line 1 column 27",
    ),
    (
        "POST",
        "/things",
        JSON,
        "null",
        400,
        "body: invalid type: null, expected struct Thing at line 1 column 4",
    ),
    (
        "POST",
        "/things",
        JSON,
        "[1]",
        400,
        "[0]: invalid type: integer `1`, expected a string at line 1 column 2",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"count\": 1}",
        400,
        "body: missing field `name` at line 1 column 12",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": 5, \"count\": 1}",
        400,
        "name: invalid type: integer `5`, expected a string at line 1 column 10",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": \"a\", \"count\": -1}",
        400,
        "count: invalid value: integer `-1`, expected u32 at line 1 column 25",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": \"a\", \"count\": 4294967296}",
        400,
        "count: invalid value: integer `4294967296`, expected u32 at line 1 column 33",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": \"a\", \"count\": 1e400}",
        400,
        "body must be a JSON document: number out of range at line 1 column 28",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": \"a\", \"count\": 1, \"more\": 2}",
        400,
        "more: unknown field `more`, expected one of `name`, `count`, `parts` \
         at line 1 column 32",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\": \"a\", \"name\": \"b\"}",
        400,
        "body: duplicate field `name` at line 1 column 20",
    ),
    (
        "POST",
        "/things",
        JSON,
        "{\"name\":\"a\",\"count\":1,\"parts\":[{\"weight\":1},{\"weight\":999}]}",
        400,
        "parts[1].weight: invalid value: integer `999`, expected u8 at line 1 column 57",
    ),
    (
        "POST",
        "/things",
        &[("content-type", "text/plain")],
        "{}",
        415,
        "content-type must be application/json; found \"text/plain\"",
    ),
    (
        "POST",
        "/things",
        &[("content-type", "application/x-www-form-urlencoded")],
        "{}",
        415,
        "content-type must be application/json; found \"application/x-www-form-urlencoded\"",
    ),
    (
        "POST",
        "/things",
        &[("content-type", "")],
        "{}",
        415,
        "content-type must be application/json; found \"\"",
    ),
];

#[tokio::test]
async fn bad_requests_are_told_the_field_the_rule_and_the_value() {
    let server = Server::plain(router()).await;
    let mut connection = server.connect().await;
    for (method, path, headers, body, status, error) in ROWS {
        let method: Method = method.parse().unwrap();
        let answer = connection
            .send(request(method.clone(), path, headers, body))
            .await;
        let row = format!("{method} {path} {headers:?} {body}");
        assert_eq!(answer.status.as_u16(), *status, "{row}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/json", "{row}");
        let expected = json!({"success": false, "data": null, "error": error});
        assert_eq!(answer.json(), expected, "{row}");
    }
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_announced_or_not() {
    let server = Server::plain(router()).await;
    let large = format!("{{\"name\": \"{}\", \"count\": 1}}", "a".repeat(2000));
    let expected = json!({
        "success": false,
        "data": null,
        "error": "body must have at most 1024 bytes",
    });
    let announced = server
        .send(request(Method::POST, "/things", JSON, &large))
        .await;
    assert_eq!(announced.status.as_u16(), 413);
    assert_eq!(announced.json(), expected);

    let chunked = format!(
        "POST /things HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    let answer = server.raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);

    let huge = "POST /things HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
                content-length: 18446744073709551615\r\n\r\n";
    let answer = server.raw(huge.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn json_is_taken_under_the_content_types_that_clients_send() {
    let server = Server::plain(router()).await;
    let body = "{\"name\": \"a\", \"count\": 1}";
    let types: [&[(&str, &str)]; 5] = [
        &[],
        JSON,
        &[("content-type", "application/json; charset=utf-8")],
        &[("content-type", "Application/JSON")],
        &[("content-type", "application/merge-patch+json")],
    ];
    for headers in types {
        let answer = server
            .send(request(Method::POST, "/things", headers, body))
            .await;
        assert_eq!(answer.status.as_u16(), 200, "{headers:?}: {}", answer.body);
        assert_eq!(answer.json()["data"]["name"], json!("a"));
    }
}

#[tokio::test]
async fn an_error_repeats_little_of_what_was_sent() {
    let server = Server::plain(router()).await;
    let path = format!("/things?page={}", "9".repeat(5000));
    let answer = server.send(request(Method::GET, &path, &[], "")).await;
    let body: Value = answer.json();
    assert_eq!(body["error"].as_str().unwrap().chars().count(), 513);
}

#[tokio::test]
async fn an_answer_of_405_names_the_methods_that_are_taken() {
    let server = Server::plain(router()).await;
    let answer = server
        .send(request(Method::DELETE, "/things", &[], ""))
        .await;
    let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}
