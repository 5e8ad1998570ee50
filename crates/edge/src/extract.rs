//! Extractors whose refusals are in the envelope and name the field.

use std::error::Error;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use crate::{ApiError, ErrorKind};

/// Most bytes of a body where no stack has set a limit.
const BODY_BYTES_DEFAULT: usize = 2 * 1024 * 1024;

/// Most bytes of a body, as the stack tells it to extractors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body. The content type may be missing; if it is there it must be JSON. Errors name the
/// field by its path.
#[derive(Clone, Copy, Debug)]
pub struct ApiJson<T>(pub T);

/// The query parameters.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

/// The parameters in the path. Those that cannot be read are answered with 404, as nothing is
/// there.
#[derive(Clone, Copy, Debug)]
pub struct ApiPath<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        check_content_type(request.headers())?;
        let max = match request.extensions().get::<BodyLimit>() {
            Some(BodyLimit(max)) => *max,
            None => BODY_BYTES_DEFAULT,
        };
        let body = read_body(request.into_body(), max).await?;
        parse_json(&body).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(rejection)) => {
                let problem = rejection.source().map(ToString::to_string);
                let problem = problem.unwrap_or_else(|| rejection.to_string());
                Err(ApiError::bad_request(format!("query: {problem}")))
            }
            Err(rejection) => Err(ApiError::internal(rejection)),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(rejection))
                if rejection.status().is_client_error() =>
            {
                let problem = format!("path: {}", rejection.into_kind());
                Err(ApiError::new(ErrorKind::NotFound, problem))
            }
            Err(rejection) => Err(ApiError::internal(rejection)),
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    if is_json(value) {
        return Ok(());
    }
    let found = String::from_utf8_lossy(value.as_bytes());
    let rule = format!("content-type must be application/json; found {found:?}");
    Err(ApiError::unsupported_media_type(rule))
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read_body(body: Body, max: usize) -> Result<Bytes, ApiError> {
    to_bytes(body, max).await.map_err(|error| {
        if is_length_limit(&error) {
            return ApiError::payload_too_large(max);
        }
        ApiError::bad_request("body could not be read to its end").caused_by(error)
    })
}

fn is_length_limit(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Err(ApiError::bad_request(
            "body must be a JSON document; found nothing",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner();
        match problem.classify() {
            serde_json::error::Category::Data if path == "." => {
                ApiError::bad_request(format!("body: {problem}"))
            }
            serde_json::error::Category::Data => {
                ApiError::bad_request(format!("{path}: {problem}"))
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => {
                ApiError::bad_request(format!("body must be a JSON document: {problem}"))
            }
        }
    })?;
    reader.end().map_err(|error| {
        ApiError::bad_request(format!("body must be one JSON document: {error}"))
    })?;
    Ok(value)
}
