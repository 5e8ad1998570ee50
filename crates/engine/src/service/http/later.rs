//! Paths of the reference's API that this release does not serve: 501 with the reason, so that
//! callers can tell them from wrong paths.

use axum::Router;
use axum::routing::{any, post};
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

const PLUGINS: &str = "Plugins are not supported: Baton runs no code of its callers. What a plugin \
     does can be done by a program that calls this API";

/// The paths of which nothing is served.
pub(super) fn routes() -> Router {
    let relayer = "/api/v1/relayers/{relayer_id}";
    let mut router = Router::new();
    for (path, text) in NOT_FOR_EVM {
        let refuse = move || async move { ApiError::bad_request(text) };
        router = router.route(&format!("{relayer}/{path}"), post(refuse));
    }
    for path in [
        "plugins",
        "plugins/{plugin_id}",
        "plugins/{plugin_id}/call",
        "plugins/{plugin_id}/call/{*route}",
    ] {
        let refuse = || async { ApiError::not_supported(PLUGINS) };
        router = router.route(&format!("/api/v1/{path}"), any(refuse));
    }
    router
}
