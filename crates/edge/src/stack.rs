//! The layers around a service's routes, in the one order that works.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::uri::{PathAndQuery, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::ApiError;
use crate::auth::ApiKeys;
use crate::error::ErrorKind;
use crate::extract::BodyLimit;
use crate::guard::{Guard, guard};
use crate::metrics::{HttpMetrics, observe};
use crate::rate::{RateLimit, RateLimiters, RateShare};
use crate::request_id::request_id;

/// What one request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests handled at the same time. Beyond, callers get 429 at once: waiting callers would
    /// hold memory and time out anyway.
    pub concurrent: usize,
    /// Bytes of a body. A body is held in memory as a whole.
    pub body_bytes: usize,
    /// How long handling may take, the reading of the body included. The answer is then 504, and
    /// what the request did so far stays done.
    pub timeout: Duration,
}

impl Default for RequestLimits {
    /// 100 requests and 30 s are the reference's limits. 2 MiB is eight times the largest
    /// transaction that nodes take (128 KiB) as hexadecimal text.
    fn default() -> Self {
        Self {
            concurrent: 100,
            body_bytes: 2 * 1024 * 1024,
            timeout: Duration::from_secs(30),
        }
    }
}

/// The layers around a service's routes.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// Keys that open the API; `None` means that everybody may call, as on a metrics listener.
    pub keys: Option<ApiKeys>,
    /// Paths, with everything below them, that need no key and count to no limit but the body's
    /// and the time-out.
    pub open_prefixes: Vec<String>,
    /// Rate limit of each key, and of each peer without one. `None` means no limit.
    pub rate: Option<RateLimit>,
    /// Among how many processes the rate is divided.
    pub rate_share: RateShare,
    /// What one request may take.
    pub limits: RequestLimits,
    /// Where requests are counted.
    pub metrics: Option<HttpMetrics>,
}

impl Stack {
    /// Puts the layers around a router, and answers unknown paths and methods in the envelope.
    /// From the outside in: trailing slashes, request id, metrics, panics, time-out,
    /// authentication, rate, concurrency, size of the body.
    pub fn wrap(self, router: Router) -> Router {
        let guarded = Arc::new(Guard {
            rate: self.rate.map(|rate| {
                let keys = self.keys.as_ref().map_or(0, ApiKeys::len);
                RateLimiters::new(rate, keys, self.rate_share.clone())
            }),
            keys: self.keys,
            open_prefixes: self.open_prefixes,
            concurrency: Semaphore::new(self.limits.concurrent),
            concurrent_max: self.limits.concurrent,
        });
        let body_limit = BodyLimit(self.limits.body_bytes);
        let mut router = router
            .fallback(unknown_path)
            .method_not_allowed_fallback(unknown_method)
            .layer(DefaultBodyLimit::max(self.limits.body_bytes))
            .layer(from_fn_with_state(body_limit, limit_body))
            .layer(from_fn_with_state(guarded, guard))
            .layer(from_fn_with_state(self.limits.timeout, limit_time))
            .layer(from_fn(catch_panic));
        if let Some(metrics) = self.metrics {
            router = router.layer(from_fn_with_state(metrics, observe));
        }
        let router = router.layer(from_fn(request_id));
        // Routes are chosen by the path, so this one must be outside of the router.
        let trimmed = MapRequestLayer::new(trim_slashes).layer(router);
        Router::new().fallback_service(trimmed)
    }
}

fn trim_slashes(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || trimmed.is_empty() {
        return request;
    }
    let text = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    // A part of a valid path is one.
    parts.path_and_query = PathAndQuery::try_from(text).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::not_found(format!("There is nothing at {}", request.uri().path()))
}

async fn unknown_method(request: Request) -> ApiError {
    let message = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    ApiError::new(ErrorKind::MethodNotAllowed, message)
}

async fn limit_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| ApiError::new(ErrorKind::Timeout, "Request handler timeout"))
}

/// A defect in one handler must not look like a broken connection.
async fn catch_panic(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let cause = format!("a handler panicked: {}", panic_text(&*panic));
            ApiError::internal(cause).into_response()
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

/// Refuses a body that announces too much before a byte of it is read; [`crate::ApiJson`] counts
/// the bytes of those that announce nothing.
async fn limit_body(
    State(BodyLimit(max)): State<BodyLimit>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(ApiError::payload_too_large(max));
    }
    request.extensions_mut().insert(BodyLimit(max));
    Ok(next.run(request).await)
}
