//! The envelope of answers.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Page;

/// The body of nearly every answer: `success`, `data` and `error` are always there (null when
/// empty), `pagination` and `metadata` only when they say something.
#[derive(Clone, Debug, Serialize)]
pub struct ApiResponse<T> {
    success: bool,
    data: Option<T>,
    error: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

/// Where in a list an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pagination {
    /// Page given, counted from 1.
    pub current_page: u32,
    /// Most items on a page.
    pub per_page: u32,
    /// Items on all pages.
    pub total_items: u64,
}

impl<T> ApiResponse<T> {
    /// A success with data.
    pub const fn success(data: T) -> Self {
        Self {
            success: true,
            data: Some(data),
            error: None,
            pagination: None,
            metadata: None,
        }
    }

    /// A failure with a message. Handlers return [`crate::ApiError`] instead, which ends here.
    pub fn failure(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            success: false,
            data: None,
            error: Some(message.into()),
            pagination: None,
            metadata: None,
        }
    }

    /// A page of a list.
    pub const fn page(data: T, page: Page, total_items: u64) -> Self {
        let pagination = Pagination {
            current_page: page.number(),
            per_page: page.size(),
            total_items,
        };
        Self {
            success: true,
            data: Some(data),
            error: None,
            pagination: Some(pagination),
            metadata: None,
        }
    }

    /// Adds metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Value) -> Self {
        self.metadata = Some(metadata);
        self
    }
}

impl<T: Serialize> IntoResponse for ApiResponse<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
