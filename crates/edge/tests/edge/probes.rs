//! Liveness and readiness.

use axum::http::StatusCode;
use baton_edge::{Component, Readiness, health_router};
use serde_json::{Value, json};

use crate::support::Server;

async fn probe(server: &Server) -> (StatusCode, Value) {
    let answer = server.get("/api/v1/ready").await;
    let mut body = answer.json();
    let timestamp = body["timestamp"].take();
    assert!(
        timestamp
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok(),
        "{timestamp}"
    );
    (answer.status, body)
}

#[tokio::test]
async fn readiness_is_the_worst_of_the_components() {
    let readiness = Readiness::expecting(["store", "lanes"]);
    let server = Server::plain(health_router(readiness.clone())).await;
    assert!(!readiness.is_ready());
    let (status, body) = probe(&server).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        json!({
            "ready": false,
            "status": "unhealthy",
            "reason": "lanes: not started; store: not started",
            "components": {
                "store": {"status": "unhealthy", "reason": "not started"},
                "lanes": {"status": "unhealthy", "reason": "not started"},
            },
            "timestamp": null,
        })
    );

    readiness.set("store", Component::healthy().with("commits", 12));
    readiness.set(
        "lanes",
        Component::degraded("1 of 3 lanes is held elsewhere"),
    );
    assert!(readiness.is_ready());
    let (status, body) = probe(&server).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({
            "ready": true,
            "status": "degraded",
            "reason": "lanes: 1 of 3 lanes is held elsewhere",
            "components": {
                "store": {"status": "healthy", "commits": 12},
                "lanes": {"status": "degraded", "reason": "1 of 3 lanes is held elsewhere"},
            },
            "timestamp": null,
        })
    );

    readiness.remove("lanes");
    let (status, body) = probe(&server).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["status"], json!("healthy"));
    assert!(body.get("reason").is_none());
}

#[tokio::test]
async fn a_draining_process_is_alive_but_not_ready() {
    let readiness = Readiness::default();
    readiness.set("store", Component::healthy());
    let server = Server::plain(health_router(readiness.clone())).await;
    assert_eq!(probe(&server).await.0, StatusCode::OK);
    readiness.start_draining();
    assert!(!readiness.is_ready());
    readiness.set("store", Component::healthy());
    let (status, body) = probe(&server).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["ready"], json!(false));
    assert_eq!(body["reason"], json!("draining"));
    let health = server.get("/api/v1/health").await;
    assert_eq!(
        (health.status, health.body.as_str()),
        (StatusCode::OK, "OK")
    );
}
