//! The routes of what is configured at run time, and of signing and asking nodes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use baton_edge::{ApiError, ApiJson, ApiPath, ApiResponse, Page};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Shared, answer, bounded};
use crate::service::{Need, Rights, Service, ServiceError};

type Body = ApiJson<Box<RawValue>>;
type Id = ApiPath<String>;

/// Why signers cannot be changed.
const SIGNERS_ARE_FIXED: &str = "Signer updates are not allowed: delete the signer and create \
     another one";

/// The routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    let relayer = "/api/v1/relayers/{relayer_id}";
    Router::new()
        .route(&format!("{relayer}/sign"), post(sign))
        .route(&format!("{relayer}/sign-typed-data"), post(sign_typed_data))
        .route(&format!("{relayer}/rpc"), post(rpc))
        .route("/api/v1/signers", get(list_signers).post(create_signer))
        .route(
            "/api/v1/signers/{signer_id}",
            get(get_signer).patch(patch_signer).delete(delete_signer),
        )
        .route(
            "/api/v1/notifications",
            get(list_notifications).post(create_notification),
        )
        .route(
            "/api/v1/notifications/{notification_id}",
            get(get_notification)
                .patch(patch_notification)
                .delete(delete_notification),
        )
        .route("/api/v1/networks", get(list_networks))
        .route(
            "/api/v1/networks/{network_id}",
            get(get_network).patch(patch_network),
        )
        .route("/api/v1/api-keys", get(list_api_keys).post(create_api_key))
        .route(
            "/api/v1/api-keys/{id}",
            get(get_api_key).delete(delete_api_key),
        )
        .route("/api/v1/api-keys/{id}/permissions", get(get_permissions))
}

pub(super) async fn create_relayer(
    State(service): Shared,
    body: Body,
) -> Result<Response, ApiError> {
    created(service.create_relayer(bounded(&body)?).await)
}

pub(super) async fn patch_relayer(
    State(service): Shared,
    ApiPath(id): Id,
    body: Body,
) -> Result<Response, ApiError> {
    answer(service.patch_relayer(&id, bounded(&body)?).await)
}

pub(super) async fn delete_relayer(
    State(service): Shared,
    ApiPath(id): Id,
) -> Result<Response, ApiError> {
    deleted(
        service.delete_relayer(&id).await,
        "Relayer deleted successfully",
    )
}

async fn sign(
    State(service): Shared,
    ApiPath(relayer): Id,
    body: Body,
) -> Result<Response, ApiError> {
    answer(service.sign_message(&relayer, bounded(&body)?).await)
}

async fn sign_typed_data(
    State(service): Shared,
    ApiPath(relayer): Id,
    body: Body,
) -> Result<Response, ApiError> {
    answer(service.sign_typed_data(&relayer, bounded(&body)?).await)
}

async fn rpc(
    State(service): Shared,
    ApiPath(relayer): Id,
    body: Body,
) -> Result<Response, ApiError> {
    let reply = service.rpc(&relayer, bounded(&body)?).await?;
    Ok(Json(reply).into_response())
}

async fn list_signers(State(service): Shared, page: Page) -> Response {
    listed(service.signer_views(page), page)
}

async fn get_signer(State(service): Shared, ApiPath(id): Id) -> Result<Response, ApiError> {
    answer(service.signer_view(&id))
}

async fn create_signer(State(service): Shared, body: Body) -> Result<Response, ApiError> {
    created(service.create_signer(bounded(&body)?).await)
}

async fn patch_signer() -> ApiError {
    ApiError::bad_request(SIGNERS_ARE_FIXED)
}

async fn delete_signer(State(service): Shared, ApiPath(id): Id) -> Result<Response, ApiError> {
    deleted(
        service.delete_signer(&id).await,
        "Signer deleted successfully",
    )
}

async fn list_notifications(State(service): Shared, page: Page) -> Response {
    listed(service.notification_views(page), page)
}

async fn get_notification(State(service): Shared, ApiPath(id): Id) -> Result<Response, ApiError> {
    answer(service.notification_view(&id))
}

async fn create_notification(State(service): Shared, body: Body) -> Result<Response, ApiError> {
    created(service.create_notification(bounded(&body)?).await)
}

async fn patch_notification(
    State(service): Shared,
    ApiPath(id): Id,
    body: Body,
) -> Result<Response, ApiError> {
    answer(service.patch_notification(&id, bounded(&body)?).await)
}

async fn delete_notification(
    State(service): Shared,
    ApiPath(id): Id,
) -> Result<Response, ApiError> {
    let outcome = service.delete_notification(&id).await;
    deleted(outcome, "Notification deleted successfully")
}

async fn list_networks(
    State(service): Shared,
    Extension(rights): Extension<Rights>,
    page: Page,
) -> Response {
    listed(
        service.network_views(page, rights.include(Need::Admin)),
        page,
    )
}

async fn get_network(
    State(service): Shared,
    Extension(rights): Extension<Rights>,
    ApiPath(id): Id,
) -> Result<Response, ApiError> {
    answer(service.network_view(&id, rights.include(Need::Admin)))
}

async fn patch_network(
    State(service): Shared,
    ApiPath(id): Id,
    body: Body,
) -> Result<Response, ApiError> {
    answer(service.patch_network(&id, bounded(&body)?).await)
}

async fn list_api_keys(State(service): Shared, page: Page) -> Response {
    listed(service.api_key_views(page), page)
}

async fn get_api_key(State(service): Shared, ApiPath(id): Id) -> Result<Response, ApiError> {
    answer(service.api_key_view(&id))
}

async fn get_permissions(State(service): Shared, ApiPath(id): Id) -> Result<Response, ApiError> {
    answer(service.api_key_view(&id).map(|key| key.permissions))
}

async fn create_api_key(State(service): Shared, body: Body) -> Result<Response, ApiError> {
    created(service.create_api_key(bounded(&body)?).await)
}

async fn delete_api_key(State(service): Shared, ApiPath(id): Id) -> Result<Response, ApiError> {
    deleted(
        service.delete_api_key(&id).await,
        "API key deleted successfully",
    )
}

fn listed<T: Serialize>((views, total): (Vec<T>, u64), page: Page) -> Response {
    ApiResponse::page(views, page, total).into_response()
}

fn created<T: Serialize>(result: Result<T, ServiceError>) -> Result<Response, ApiError> {
    let response = ApiResponse::success(result?);
    Ok((StatusCode::CREATED, response).into_response())
}

fn deleted(result: Result<(), ServiceError>, text: &'static str) -> Result<Response, ApiError> {
    answer(result.map(|()| text))
}
