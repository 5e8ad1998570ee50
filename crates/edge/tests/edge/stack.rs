//! What the layers around a service's routes do.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{get as on_get, post as on_post};
use baton_edge::{
    ApiError, ApiJson, ApiKeys, ApiResponse, Caller, ConnectionLimits, Drained, HttpMetrics, Page,
    RateLimit, RequestIdText, RequestLimits, Stack, health_router, kind_of, metrics_router,
};
use baton_model::{Blame, Classified, Retry};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{Server, get, read_to_close, request};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const BEARER: &str = "Bearer 0123456789abcdef0123456789abcdef";

fn keys() -> ApiKeys {
    ApiKeys::new([("main".to_owned(), KEY)])
}

fn secured() -> Stack {
    Stack {
        keys: Some(keys()),
        open_prefixes: vec!["/api/v1/health".to_owned(), "/api/v1/ready".to_owned()],
        ..Stack::default()
    }
}

fn routes() -> Router {
    let who = |extensions: axum::http::Extensions| async move {
        ApiResponse::success(extensions.get::<Caller>().unwrap().name.clone())
    };
    health_router(baton_edge::Readiness::default()).route("/api/v1/who", on_get(who))
}

#[tokio::test]
async fn only_one_well_formed_known_key_is_let_in() {
    let server = Server::plain(secured().wrap(routes())).await;
    let accepted = server
        .send(request(
            Method::GET,
            "/api/v1/who",
            &[("authorization", BEARER)],
            "",
        ))
        .await;
    assert_eq!(accepted.status, StatusCode::OK);
    assert_eq!(
        accepted.json(),
        json!({"success": true, "data": "main", "error": null})
    );

    let lower = format!("bearer {KEY}");
    let basic = format!("Basic {KEY}");
    let spaced = format!("Bearer {KEY} {KEY}");
    let two_spaces = format!("Bearer  {KEY}");
    let longer = format!("Bearer {KEY}0");
    let shorter = format!("Bearer {}", &KEY[..31]);
    let refused: [&[(&str, &str)]; 11] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer")],
        &[("authorization", KEY)],
        &[("authorization", &lower)],
        &[("authorization", &basic)],
        &[("authorization", &spaced)],
        &[("authorization", &two_spaces)],
        &[("authorization", &longer)],
        &[("authorization", &shorter)],
        &[("authorization", BEARER), ("authorization", BEARER)],
    ];
    for headers in refused {
        let answer = server
            .send(request(Method::GET, "/api/v1/who", headers, ""))
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(
            answer.json(),
            json!({
                "success": false,
                "code": 401,
                "error": "Unauthorized",
                "message": "Unauthorized",
            })
        );
    }
}

#[tokio::test]
async fn open_paths_need_no_key_and_lie_behind_no_other_path() {
    let server = Server::plain(secured().wrap(routes())).await;
    assert_eq!(server.get("/api/v1/health").await.body, "OK");
    assert_eq!(server.get("/api/v1/health/").await.body, "OK");
    assert_eq!(server.get("/api/v1/ready").await.status, StatusCode::OK);
    for closed in [
        "/api/v1/healthy",
        "/api/v1/health-admin",
        "/api/v1/nothing",
        "/api/v1",
        "/api/v1/who?x=/api/v1/health",
        "//api/v1/health",
    ] {
        assert_eq!(
            server.get(closed).await.status,
            StatusCode::UNAUTHORIZED,
            "{closed}"
        );
    }
    assert_eq!(
        server.get("/api/v1/health/../who").await.status,
        StatusCode::NOT_FOUND
    );
}

fn rate(per_second: u32, burst: u32) -> RateLimit {
    RateLimit {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

#[tokio::test]
async fn made_up_keys_share_the_bucket_of_their_peer() {
    let stack = Stack {
        rate: Some(rate(1, 5)),
        ..secured()
    };
    let server = Server::plain(stack.wrap(routes())).await;
    let started = tokio::time::Instant::now();
    let mut connection = server.connect().await;
    let mut unauthorized = 0;
    let mut limited = None;
    for attempt in 0..60 {
        let made_up = format!("Bearer made-up-{attempt}");
        let answer = connection
            .send(request(
                Method::GET,
                "/api/v1/who",
                &[("authorization", &made_up)],
                "",
            ))
            .await;
        if answer.status == StatusCode::UNAUTHORIZED {
            unauthorized += 1;
        } else {
            limited = Some(answer);
        }
    }
    assert!(
        (5..=6 + started.elapsed().as_secs()).contains(&unauthorized),
        "{unauthorized}"
    );

    let limited = limited.unwrap();
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    let expected = json!({
        "success": false,
        "code": 429,
        "error": "TooManyRequests",
        "message": "Too Many Requests",
        "after": 1,
    });
    assert_eq!(limited.json(), expected);
    assert_eq!(limited.header("x-ratelimit-after"), "1");
    assert_eq!(limited.header("retry-after"), "1");

    let known = connection
        .send(request(
            Method::GET,
            "/api/v1/who",
            &[("authorization", BEARER)],
            "",
        ))
        .await;
    assert_eq!(
        known.status,
        StatusCode::OK,
        "others' failures do not lock the key out"
    );
    assert_eq!(server.get("/api/v1/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn each_key_has_its_bucket_whatever_else_the_request_says() {
    let second = "fedcba9876543210fedcba9876543210";
    let stack = Stack {
        keys: Some(ApiKeys::new([
            ("a".to_owned(), KEY),
            ("b".to_owned(), second),
        ])),
        rate: Some(rate(1, 3)),
        ..Stack::default()
    };
    let server = Server::plain(stack.wrap(routes())).await;
    let started = tokio::time::Instant::now();
    let mut connection = server.connect().await;
    let mut allowed = 0;
    for attempt in 0..40 {
        let forwarded = format!("10.0.0.{attempt}");
        let headers = [
            ("authorization", BEARER),
            ("x-forwarded-for", forwarded.as_str()),
        ];
        let answer = connection
            .send(request(Method::GET, "/api/v1/who", &headers, ""))
            .await;
        allowed += u64::from(answer.status == StatusCode::OK);
    }
    assert!(
        (3..=4 + started.elapsed().as_secs()).contains(&allowed),
        "{allowed}"
    );
    let other = format!("Bearer {second}");
    let answer = connection.send(request(
        Method::GET,
        "/api/v1/who",
        &[("authorization", &other)],
        "",
    ));
    assert_eq!(answer.await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_beyond_the_concurrency_limit_are_refused_but_probes_are_not() {
    let entered = Arc::new(Notify::new());
    let release = Arc::new(Notify::new());
    let (tell, wait) = (entered.clone(), release.clone());
    let slow = move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    let limits = RequestLimits {
        concurrent: 1,
        ..RequestLimits::default()
    };
    let stack = Stack {
        keys: None,
        limits,
        ..secured()
    };
    let server = Server::plain(stack.wrap(routes().route("/slow", on_get(slow)))).await;
    let mut busy = server.connect().await;
    let client = tokio::spawn(async move { busy.send(get("/slow")).await });
    entered.notified().await;

    let refused = server.get("/slow").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let expected = json!({"error": "Too many concurrent requests", "max_concurrent": 1});
    assert_eq!(refused.json(), expected);
    assert_eq!(server.get("/api/v1/health").await.status, StatusCode::OK);

    release.notify_one();
    assert_eq!(client.await.unwrap().body, "done");
    release.notify_one();
    assert_eq!(
        server.get("/slow").await.status,
        StatusCode::OK,
        "the place is free again"
    );
}

#[tokio::test]
async fn request_ids_are_echoed_if_sane_and_made_otherwise() {
    let id = |id: axum::Extension<RequestIdText>| async move { id.as_str().to_owned() };
    let server = Server::plain(Stack::default().wrap(Router::new().route("/", on_get(id)))).await;
    let longest = "x".repeat(128);
    for sane in ["abc-123", "~!{}", &longest] {
        let answer = server
            .send(request(Method::GET, "/", &[("x-request-id", sane)], ""))
            .await;
        assert_eq!(answer.header("x-request-id"), sane);
        assert_eq!(answer.body, sane);
    }
    let too_long = "x".repeat(129);
    for strange in ["", "two words", "tab\tbed", "é", &too_long] {
        let answer = server
            .send(request(Method::GET, "/", &[("x-request-id", strange)], ""))
            .await;
        let made: uuid::Uuid = answer.header("x-request-id").parse().unwrap();
        assert_eq!(made.get_version_num(), 4);
        assert_eq!(answer.body, made.to_string());
    }
    let first = server.get("/").await;
    assert_ne!(
        first.header("x-request-id"),
        server.get("/").await.header("x-request-id")
    );
    assert!(
        server
            .get("/nothing")
            .await
            .headers
            .contains_key("x-request-id")
    );
}

#[tokio::test]
async fn trailing_slashes_change_nothing() {
    let list = |page: Page| async move { ApiResponse::page(vec![page.number()], page, 30) };
    let router = Router::new()
        .route("/", on_get(|| async { "root" }))
        .route("/list", on_get(list));
    let server = Server::plain(Stack::default().wrap(router)).await;
    let expected = json!({
        "success": true,
        "data": [2],
        "error": null,
        "pagination": {"current_page": 2, "per_page": 5, "total_items": 30},
    });
    for path in [
        "/list?page=2&per_page=5",
        "/list/?page=2&per_page=5",
        "/list//?page=2&per_page=5",
    ] {
        assert_eq!(server.get(path).await.json(), expected, "{path}");
    }
    assert_eq!(server.get("/").await.body, "root");
    assert_eq!(server.get("//").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_with_504() {
    let echo = |ApiJson(body): ApiJson<Value>| async move { ApiResponse::success(body) };
    let router = Router::new()
        .route("/never", on_get(std::future::pending::<()>))
        .route("/echo", on_post(echo));
    let limits = RequestLimits {
        timeout: Duration::from_millis(50),
        ..RequestLimits::default()
    };
    let server = Server::plain(
        Stack {
            limits,
            ..Stack::default()
        }
        .wrap(router),
    )
    .await;
    let answer = server.get("/never").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    let expected = json!({"success": false, "data": null, "error": "Request handler timeout"});
    assert_eq!(answer.json(), expected);

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let half = b"POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n[1,2";
    stream.write_all(half).await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

#[tokio::test]
async fn a_panic_is_answered_and_told_to_nobody() {
    let broken = || async {
        if true {
            panic!("secret detail");
        }
    };
    let router = Router::new().route("/", on_get(broken));
    let server = Server::plain(Stack::default().wrap(router)).await;
    let mut connection = server.connect().await;
    for _ in 0..2 {
        let answer = connection.send(get("/")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        let expected =
            json!({"success": false, "data": null, "error": "An unknown error occurred"});
        assert_eq!(answer.json(), expected);
    }
    drop(connection);
    let drained = server.stop().await.unwrap();
    assert!(matches!(drained, Drained { cut: 0, .. }));
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("value must be below 5; found 7 at host db.internal")]
struct Failure(Blame, Retry);

impl Classified for Failure {
    fn blame(&self) -> Blame {
        self.0
    }

    fn retry(&self) -> Retry {
        self.1
    }
}

#[tokio::test]
async fn classes_of_errors_decide_the_answer_and_only_callers_errors_are_told() {
    let cases = [
        (Blame::Caller, Retry::Never, 400),
        (Blame::Caller, Retry::Safe, 400),
        (Blame::Operator, Retry::Never, 503),
        (Blame::Upstream, Retry::Safe, 503),
        (Blame::Upstream, Retry::Never, 502),
        (Blame::Upstream, Retry::Unknown, 502),
        (Blame::Internal, Retry::Never, 500),
    ];
    for (blame, retry, status) in cases {
        let failure = Failure(blame, retry);
        assert_eq!(kind_of(&failure).status().as_u16(), status);
        let fails = move || async move { Err::<(), ApiError>(failure.into()) };
        let router = Stack::default().wrap(Router::new().route("/", on_get(fails)));
        let answer = Server::plain(router).await.get("/").await;
        assert_eq!(answer.status.as_u16(), status, "{blame:?} {retry:?}");
        let body = answer.json();
        assert_eq!(body["success"], json!(false));
        assert_eq!(body["data"], Value::Null);
        let told = body["error"].as_str().unwrap().contains("db.internal");
        assert_eq!(told, blame == Blame::Caller, "{body}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let mut registry = Registry::default();
    let metrics = Some(HttpMetrics::register(&mut registry));
    let things = Router::new().route("/things/{id}", on_get(|| async { "thing" }));
    let router = Stack {
        metrics,
        ..secured()
    }
    .wrap(things);
    let server = Server::plain(router).await;
    let headers = [("authorization", BEARER)];
    for id in 0..3 {
        let path = format!("/things/{id}");
        server.send(request(Method::GET, &path, &headers, "")).await;
    }
    server
        .send(request(Method::GET, "/made-up/1", &headers, ""))
        .await;
    server
        .send(request(Method::GET, "/made-up/2", &headers, ""))
        .await;
    server
        .send(request(Method::POST, "/things/1", &headers, ""))
        .await;
    let invented = Method::from_bytes(b"INVENTED").unwrap();
    server
        .send(request(invented, "/things/1", &headers, ""))
        .await;
    server.get("/things/1").await;

    let listener = Server::start(
        Stack::default().wrap(metrics_router(Arc::new(registry))),
        ConnectionLimits::default(),
    )
    .await;
    let answer = listener.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    for line in [
        r#"requests_total{endpoint="/things/{id}",method="GET",status="200"} 3"#,
        r#"requests_total{endpoint="unmatched",method="GET",status="404"} 2"#,
        r#"requests_total{endpoint="/things/{id}",method="POST",status="405"} 1"#,
        r#"requests_total{endpoint="/things/{id}",method="OTHER",status="405"} 1"#,
        r#"requests_total{endpoint="/things/{id}",method="GET",status="401"} 1"#,
        r#"error_requests_total{endpoint="unmatched",method="GET",status="404"} 2"#,
        r#"in_flight_requests{endpoint="/things/{id}"} 0"#,
        r#"request_latency_seconds_count{endpoint="/things/{id}",method="GET",status="200"} 3"#,
    ] {
        assert!(
            answer.body.contains(line),
            "{line} is not in\n{}",
            answer.body
        );
    }
    assert!(!answer.body.contains("made-up"));
}
