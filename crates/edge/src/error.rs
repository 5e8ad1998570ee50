//! What callers are told when something does not work. Inner code never thinks in status codes; it
//! gives errors that say who is to blame, and they become answers here.

use std::borrow::Cow;
use std::error::Error;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use baton_model::{Blame, Classified, Retry};
use serde_json::json;

use crate::ApiResponse;

/// Most characters of a message sent to a caller. Messages may repeat what the caller sent; a
/// megabyte of it helps nobody.
const MESSAGE_CHARS_MAX: usize = 512;
const INTERNAL: &str = "An unknown error occurred";
const OPERATOR: &str = "The service cannot do this until its operator has acted";
const UPSTREAM: &str = "A system that this service depends on did not do its part";
const RATE_LIMIT_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-after");

/// The kinds of answers that are not successes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the request can never work as it is.
    BadRequest,
    /// 401: no valid credentials.
    Unauthorized,
    /// 403: understood, not allowed.
    Forbidden,
    /// 404: there is no such thing.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: it contradicts what was accepted before.
    Conflict,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 415: the body is not JSON.
    UnsupportedMediaType,
    /// 429: too many requests; `after` is when to try again, in whole seconds.
    TooManyRequests {
        /// Seconds, at least 1.
        after: u64,
    },
    /// 429: too many requests at the same time.
    TooManyConcurrent {
        /// Requests allowed at the same time.
        max: usize,
    },
    /// 500: a defect.
    Internal,
    /// 501: not supported here.
    NotSupported,
    /// 502: another system failed, and whether the request had an effect there is not known.
    BadGateway,
    /// 503: not now; the request had no effect.
    Unavailable,
    /// 504: it took too long. The request may still have had its effect.
    Timeout,
}

impl ErrorKind {
    /// The status code of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests { .. } | Self::TooManyConcurrent { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// An answer that is not a success. The message is for the caller; the cause is for the log only,
/// where it appears in the span of the request and so with its id.
#[derive(Debug)]
pub struct ApiError {
    kind: ErrorKind,
    message: Cow<'static, str>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// An answer of a kind with a message for the caller, cut after 512 characters.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: cut(message.into()),
            cause: None,
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }

    /// 401. The body says no more than that.
    pub fn unauthorized() -> Self {
        Self::new(ErrorKind::Unauthorized, "Unauthorized")
    }

    /// 403.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// 409.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// 413 for a body of more than `max` bytes.
    pub fn payload_too_large(max: usize) -> Self {
        let message = format!("body must have at most {max} bytes");
        Self::new(ErrorKind::PayloadTooLarge, message)
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::UnsupportedMediaType, message)
    }

    /// 500. What went wrong is logged, never sent.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Internal, INTERNAL).caused_by(cause)
    }

    /// 501.
    pub fn not_supported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotSupported, message)
    }

    /// 503.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Adds a cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The kind.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The kind of answer that an error leads to:
///
/// - the caller's fault: 400;
/// - the operator's: 503, because the same request will work once they have acted;
/// - another system's: 503 if trying again is safe, otherwise 502, because what the request did
///   there is not known or will not change;
/// - a defect: 500.
pub fn kind_of(error: &dyn Classified) -> ErrorKind {
    match (error.blame(), error.retry()) {
        (Blame::Caller, _) => ErrorKind::BadRequest,
        (Blame::Operator, _) | (Blame::Upstream, Retry::Safe) => ErrorKind::Unavailable,
        (Blame::Upstream, Retry::Never | Retry::Unknown) => ErrorKind::BadGateway,
        (Blame::Internal, _) => ErrorKind::Internal,
    }
}

/// Only errors that the caller can mend are told in their own words.
impl<E: Classified + Send + Sync + 'static> From<E> for ApiError {
    fn from(error: E) -> Self {
        let kind = kind_of(&error);
        match error.blame() {
            Blame::Caller => Self::new(kind, error.to_string()),
            Blame::Operator => Self::new(kind, OPERATOR).caused_by(error),
            Blame::Upstream => Self::new(kind, UPSTREAM).caused_by(error),
            Blame::Internal => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        log(&self);
        let status = self.kind.status();
        match self.kind {
            ErrorKind::Unauthorized => {
                let body = json!({
                    "success": false,
                    "code": 401,
                    "error": "Unauthorized",
                    "message": "Unauthorized",
                });
                (status, Json(body)).into_response()
            }
            ErrorKind::TooManyRequests { after } => {
                let body = json!({
                    "success": false,
                    "code": 429,
                    "error": "TooManyRequests",
                    "message": "Too Many Requests",
                    "after": after,
                });
                let after = HeaderValue::from(after);
                let headers = [
                    (RATE_LIMIT_AFTER, after.clone()),
                    (header::RETRY_AFTER, after),
                ];
                (status, headers, Json(body)).into_response()
            }
            ErrorKind::TooManyConcurrent { max } => {
                let body = json!({
                    "error": "Too many concurrent requests",
                    "max_concurrent": max,
                });
                (status, Json(body)).into_response()
            }
            ErrorKind::BadRequest
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::MethodNotAllowed
            | ErrorKind::Conflict
            | ErrorKind::PayloadTooLarge
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::Internal
            | ErrorKind::NotSupported
            | ErrorKind::BadGateway
            | ErrorKind::Unavailable
            | ErrorKind::Timeout => {
                let body = ApiResponse::<()>::failure(self.message);
                (status, body).into_response()
            }
        }
    }
}

fn log(error: &ApiError) {
    let Some(cause) = &error.cause else {
        return;
    };
    let mut chain = cause.to_string();
    let mut next = cause.source();
    while let Some(source) = next {
        chain.push_str(": ");
        chain.push_str(&source.to_string());
        next = source.source();
    }
    let status = error.kind.status().as_u16();
    if error.kind == ErrorKind::Internal {
        tracing::error!(status, cause = chain, "request failed");
    } else if status >= 500 {
        tracing::warn!(status, cause = chain, "request failed");
    } else {
        tracing::debug!(status, cause = chain, "request refused");
    }
}

fn cut(message: Cow<'static, str>) -> Cow<'static, str> {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &message[..end])),
        None => message,
    }
}
