//! The HTTP routes of the service, with the paths and shapes of OpenZeppelin Relayer's API.

mod followed;
mod later;
pub mod openapi;
mod permit;
mod registered;
mod ui;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use baton_edge::{
    ApiError, ApiJson, ApiPath, ApiQuery, ApiResponse, Page, Readiness, health_router,
    metrics_router,
};
use baton_model::TxStatus;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use serde_json::value::RawValue;

use followed::{WaitQuery, waited};

use super::{Commanded, IdempotencyKey, Need, Rights, Service, ServiceError};

/// Most bytes of a body. The largest transaction has some 128 KiB of data, which is 256 KiB of hex;
/// twice that leaves room for escapes, white space and fields that are not read.
pub const BODY_BYTES_MAX: usize = 512 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const COMMAND: HeaderName = HeaderName::from_static("baton-command");

type Shared = State<Arc<Service>>;

/// The routes, to be wrapped in a `baton_edge::Stack`: `/api/v1/health` and `/api/v1/ready`, which
/// are to need no key, `/api/v1/metrics`, and everything that is relayed or configured.
pub fn router(service: Arc<Service>, readiness: Readiness, metrics: Arc<Registry>) -> Router {
    let one = "/api/v1/relayers/{relayer_id}/transactions/{transaction_id}";
    let many = "/api/v1/relayers/{relayer_id}/transactions";
    let routes = Router::new()
        .route(
            "/api/v1/relayers",
            get(list_relayers).post(registered::create_relayer),
        )
        .route(
            "/api/v1/relayers/{relayer_id}",
            get(get_relayer)
                .patch(registered::patch_relayer)
                .delete(registered::delete_relayer),
        )
        .route("/api/v1/relayers/{relayer_id}/status", get(status))
        .route("/api/v1/relayers/{relayer_id}/balance", get(balance))
        .route(many, post(send).get(list))
        .route(
            &format!("{many}/pending"),
            get(get_pending).delete(cancel_pending),
        )
        .route(&format!("{many}/by-nonce/{{nonce}}"), get(by_nonce))
        .route(one, get(get_one).put(replace).delete(cancel))
        .merge(followed::routes())
        .merge(registered::routes())
        .with_state(service);
    routes
        .merge(later::routes())
        .nest("/api/v1", metrics_router(metrics))
        .route_layer(from_fn(permit::permit))
        .merge(health_router(readiness))
}

/// The routes that describe the API: `/api-docs/openapi.json`, and a page for people at `/swagger-ui`.
/// They tell nothing about what is configured, and are to need no key.
pub fn description() -> Router {
    openapi::routes().merge(ui::routes())
}

/// Where [`description`] is.
pub const DESCRIPTION_PREFIXES: [&str; 2] = ["/api-docs", "/swagger-ui"];

async fn list_relayers(
    State(service): Shared,
    Extension(rights): Extension<Rights>,
    page: Page,
) -> Result<Response, ApiError> {
    let sees = |id: &str| rights.include(Need::Read(id));
    let (relayers, total) = service.relayer_views(page, sees).await?;
    Ok(ApiResponse::page(relayers, page, total).into_response())
}

async fn get_relayer(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
) -> Result<Response, ApiError> {
    answer(service.relayer_view(&relayer).await)
}

async fn status(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
) -> Result<Response, ApiError> {
    answer(service.status(&relayer).await)
}

async fn balance(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
) -> Result<Response, ApiError> {
    answer(service.balance(&relayer).await)
}

async fn send(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
    ApiQuery(query): ApiQuery<WaitQuery>,
    headers: HeaderMap,
    body: ApiJson<Box<RawValue>>,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?;
    let wait = query.parse(&service)?;
    let body = bounded(&body)?;
    let sent = service.send(&relayer, body, key.as_ref()).await?;
    let mut response = match wait {
        None => ApiResponse::success(sent.transaction).into_response(),
        Some(wait) => {
            let transaction = sent.transaction;
            waited(service.wait_for_sent(&relayer, transaction, wait).await)
        }
    };
    if sent.replayed {
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
}

async fn list(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
    page: Page,
    ApiQuery(filter): ApiQuery<Filter>,
) -> Result<Response, ApiError> {
    let status = filter.status.as_deref().map(parse_status).transpose()?;
    let listed = service.transactions(&relayer, status, page).await?;
    Ok(ApiResponse::page(listed.transactions, page, listed.total).into_response())
}

async fn get_one(
    State(service): Shared,
    ApiPath((relayer, id)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<WaitQuery>,
) -> Result<Response, ApiError> {
    match query.parse(&service)? {
        None => answer(service.transaction(&relayer, &id).await),
        Some(wait) => Ok(waited(service.wait(&relayer, &id, wait).await?)),
    }
}

/// There is a route of this name, but for this method it is no more than an id that no transaction
/// has.
async fn get_pending(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
) -> Result<Response, ApiError> {
    answer(service.transaction(&relayer, "pending").await)
}

async fn by_nonce(
    State(service): Shared,
    ApiPath((relayer, nonce)): ApiPath<(String, String)>,
) -> Result<Response, ApiError> {
    // Zeros in front would give one thing several names; signs are no part of a nonce.
    let canonical = nonce.parse::<u64>().ok().filter(|n| n.to_string() == nonce);
    let Some(number) = canonical else {
        let rule = format!("nonce must be a whole number from 0 to 2^64-1; found {nonce:?}");
        return Err(ApiError::bad_request(rule));
    };
    answer(service.transaction_by_nonce(&relayer, number).await)
}

async fn replace(
    State(service): Shared,
    ApiPath((relayer, id)): ApiPath<(String, String)>,
    body: ApiJson<Box<RawValue>>,
) -> Result<Response, ApiError> {
    let body = bounded(&body)?;
    commanded(service.replace(&relayer, &id, body).await)
}

async fn cancel(
    State(service): Shared,
    ApiPath((relayer, id)): ApiPath<(String, String)>,
) -> Result<Response, ApiError> {
    commanded(service.cancel(&relayer, &id).await)
}

async fn cancel_pending(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
) -> Result<Response, ApiError> {
    answer(service.cancel_pending(&relayer).await)
}

fn answer<T: serde::Serialize>(result: Result<T, ServiceError>) -> Result<Response, ApiError> {
    Ok(ApiResponse::success(result?).into_response())
}

fn commanded(result: Result<Commanded, ServiceError>) -> Result<Response, ApiError> {
    let commanded = result?;
    let pending = [(COMMAND, HeaderValue::from_static("pending"))];
    let response = ApiResponse::success(commanded.transaction);
    Ok(if commanded.pending {
        (pending, response).into_response()
    } else {
        response.into_response()
    })
}

fn bounded(body: &ApiJson<Box<RawValue>>) -> Result<&RawValue, ApiError> {
    let ApiJson(body) = body;
    if body.get().len() > BODY_BYTES_MAX {
        return Err(ApiError::payload_too_large(BODY_BYTES_MAX));
    }
    Ok(body)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::bad_request(
            "Idempotency-Key must be given once; found it twice",
        ));
    }
    IdempotencyKey::new(value.as_bytes())
        .map(Some)
        .map_err(ApiError::bad_request)
}

fn parse_status(text: &str) -> Result<TxStatus, ApiError> {
    let known = TxStatus::ALL
        .into_iter()
        .find(|status| status.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| {
        let names = TxStatus::ALL.map(TxStatus::as_str).join(", ");
        ApiError::bad_request(format!("status must be one of {names}; found {text:?}"))
    })
}
