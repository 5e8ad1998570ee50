//! Paths of the reference's API that this release does not serve: 501 with the reason, so that
//! callers can tell them from wrong paths.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{any, get, post};
use baton_edge::ApiError;

/// Paths that exist for other kinds of networks, and what the reference answers to EVM relayers
/// there.
const NOT_FOR_EVM: [(&str, &str); 3] = [
    (
        "sign-transaction",
        "Signing transactions without sending them is not supported for EVM relayers",
    ),
    (
        "transactions/sponsored/quote",
        "Gas abstraction not supported for EVM relayers",
    ),
    (
        "transactions/sponsored/build",
        "Gas abstraction not supported for EVM relayers",
    ),
];

/// Something that is not served.
#[derive(Clone, Copy)]
pub(super) struct Later(&'static str);

pub(super) const CREATE_RELAYER: Later = Later(
    "Creating relayers over the API is not supported: add the relayer to the configuration and \
    restart",
);
pub(super) const UPDATE_RELAYER: Later =
    Later("Changing relayers over the API is not supported: change the configuration and restart");
pub(super) const DELETE_RELAYER: Later = Later(
    "Deleting relayers over the API is not supported: remove the relayer from the configuration \
    and restart",
);
const SIGN: Later = Later("Signing messages is not supported");
const SIGN_TYPED_DATA: Later = Later("Signing typed data is not supported");
const RPC: Later =
    Later("The JSON-RPC passthrough is not supported: call the network's node itself");
const SIGNERS: Later =
    Later("Signers over the API are not supported: they are part of the configuration");
const NOTIFICATIONS: Later =
    Later("Notifications over the API are not supported: they are part of the configuration");
const NETWORKS: Later =
    Later("Networks over the API are not supported: they are part of the configuration");
const PLUGINS: Later = Later("Plugins are not supported");
const API_KEYS: Later =
    Later("API keys over the API are not supported: they are part of the configuration");
const METRIC: Later = Later("Single metrics are not supported: /api/v1/metrics has all of them");

impl Later {
    /// A handler that says so.
    pub(super) fn handler<S>(self) -> impl Handler<((),), S>
    where
        S: Clone + Send + Sync + 'static,
    {
        move || async move { ApiError::not_supported(self.0) }
    }
}

/// The paths of which nothing is served.
pub(super) fn routes() -> Router {
    let relayer = "/api/v1/relayers/{relayer_id}";
    let mut router = Router::new();
    for (path, what) in [
        ("sign", SIGN),
        ("sign-typed-data", SIGN_TYPED_DATA),
        ("rpc", RPC),
    ] {
        router = router.route(&format!("{relayer}/{path}"), post(what.handler()));
    }
    for (path, text) in NOT_FOR_EVM {
        let refuse = move || async move { ApiError::bad_request(text) };
        router = router.route(&format!("{relayer}/{path}"), post(refuse));
    }
    for (path, what) in [
        ("signers", SIGNERS),
        ("signers/{signer_id}", SIGNERS),
        ("notifications", NOTIFICATIONS),
        ("notifications/{notification_id}", NOTIFICATIONS),
        ("networks", NETWORKS),
        ("networks/{network_id}", NETWORKS),
        ("plugins", PLUGINS),
        ("plugins/{plugin_id}", PLUGINS),
        ("plugins/{plugin_id}/call", PLUGINS),
        ("plugins/{plugin_id}/call/{*route}", PLUGINS),
        ("api-keys", API_KEYS),
        ("api-keys/{id}", API_KEYS),
        ("api-keys/{id}/permissions", API_KEYS),
    ] {
        router = router.route(&format!("/api/v1/{path}"), any(what.handler()));
    }
    router
        .route("/api/v1/metrics/{metric_name}", get(METRIC.handler()))
        .route("/api/v1/debug/metrics/scrape", get(METRIC.handler()))
}
