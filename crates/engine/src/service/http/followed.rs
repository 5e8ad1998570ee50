//! The routes of what follows transactions, and of sending many: events, webhooks' deliveries, batches, dry runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use baton_edge::{ApiError, ApiJson, ApiPath, ApiQuery, ApiResponse, Page};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{IDEMPOTENCY_KEY, Shared, answer, bounded};
use crate::service::{Service, Told, TransactionView, Wait, Waited};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const WAIT: HeaderName = HeaderName::from_static("baton-wait");
/// How often a stream without events shows that it is alive: below the idle time-outs of usual proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a caller that lost its stream is asked to wait before it comes again.
const RETRY: Duration = Duration::from_secs(1);

/// The routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    let relayer = "/api/v1/relayers/{relayer_id}";
    let deliveries = format!("{relayer}/deliveries");
    Router::new()
        .route(&format!("{relayer}/events"), get(events))
        .route(&format!("{relayer}/transactions/batch"), post(send_many))
        .route(&format!("{relayer}/transactions/dry-run"), post(dry_run))
        .route(&deliveries, get(list_deliveries))
        .route(&format!("{deliveries}/redeliver"), post(redeliver_failed))
        .route(&format!("{deliveries}/{{delivery_id}}"), get(get_delivery))
        .route(
            &format!("{deliveries}/{{delivery_id}}/redeliver"),
            post(redeliver),
        )
}

/// What a caller waits for.
#[derive(Deserialize)]
pub(super) struct WaitQuery {
    wait: Option<String>,
    timeout: Option<String>,
}

impl WaitQuery {
    pub(super) fn parse(&self, service: &Service) -> Result<Option<Wait>, ApiError> {
        let (wait, timeout) = (self.wait.as_deref(), self.timeout.as_deref());
        Wait::parse(wait, timeout, service.wait_max()).map_err(ApiError::bad_request)
    }
}

/// A transaction that was waited for; a header says when it is not where it was waited for.
pub(super) fn waited((transaction, waited): (TransactionView, Waited)) -> Response {
    let response = ApiResponse::success(transaction);
    let word = match waited {
        Waited::Reached => return response.into_response(),
        Waited::Timeout => "timeout",
        Waited::Busy => "busy",
    };
    ([(WAIT, HeaderValue::from_static(word))], response).into_response()
}

#[derive(Deserialize)]
struct EventsQuery {
    transaction_id: Option<String>,
    last_event_id: Option<String>,
}

async fn events(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
    ApiQuery(query): ApiQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let header = headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes);
    let given = header.or(query.last_event_id.as_deref().map(str::as_bytes));
    // A browser sends an empty one when it has heard none.
    let given = given.filter(|text| !text.is_empty());
    let after = given.map(parse_number).transpose()?;
    let transaction = query.transaction_id.as_deref();
    let events = service.events(&relayer, transaction, after).await?;
    let events = events.map(|told| Ok::<_, Infallible>(event(&told)));
    let start = futures_util::stream::iter([Ok(Event::default().retry(RETRY))]);
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(start.chain(events))
        .keep_alive(alive)
        .into_response())
}

fn parse_number(text: &[u8]) -> Result<u64, ApiError> {
    let text = String::from_utf8_lossy(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or_else(|| {
        let rule = "Last-Event-ID must be the id of an event, a whole number";
        ApiError::bad_request(format!("{rule}; found {text:?}"))
    })
}

fn event(told: &Told) -> Event {
    let event = Event::default()
        .event(told.name)
        .data(told.data.to_string());
    match told.number {
        Some(number) => event.id(number.to_string()),
        None => event,
    }
}

async fn send_many(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
    headers: HeaderMap,
    body: ApiJson<Box<RawValue>>,
) -> Result<Response, ApiError> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(ApiError::bad_request(
            "Idempotency-Key is for one transaction: give each one of a batch its idempotency_key",
        ));
    }
    answer(service.send_many(&relayer, bounded(&body)?).await)
}

async fn dry_run(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
    body: ApiJson<Box<RawValue>>,
) -> Result<Response, ApiError> {
    answer(service.dry_run(&relayer, bounded(&body)?).await)
}

#[derive(Deserialize)]
struct DeliveriesQuery {
    status: Option<String>,
}

async fn list_deliveries(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
    page: Page,
    ApiQuery(query): ApiQuery<DeliveriesQuery>,
) -> Result<Response, ApiError> {
    let status = query.status.as_deref();
    let (views, total) = service.deliveries(&relayer, status, page).await?;
    Ok(ApiResponse::page(views, page, total).into_response())
}

async fn get_delivery(
    State(service): Shared,
    ApiPath((relayer, id)): ApiPath<(String, String)>,
) -> Result<Response, ApiError> {
    answer(service.delivery(&relayer, &id).await)
}

async fn redeliver(
    State(service): Shared,
    ApiPath((relayer, id)): ApiPath<(String, String)>,
) -> Result<Response, ApiError> {
    answer(service.redeliver(&relayer, &id).await)
}

async fn redeliver_failed(
    State(service): Shared,
    ApiPath(relayer): ApiPath<String>,
) -> Result<Response, ApiError> {
    answer(service.redeliver_failed(&relayer).await)
}
