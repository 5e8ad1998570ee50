//! A name for every request, in its answer and in the log.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Most characters of a caller's request id: enough for any scheme of ids, too few to fill a log.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The id of the current request: the caller's if it is 1 to 128 visible ASCII characters,
/// otherwise a random UUID. Found in the extensions of a request, echoed as `x-request-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIdText(HeaderValue);

tokio::task_local! {
    static CURRENT: RequestIdText;
}

/// The id of the request that the current task handles, for what outlives the answer.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(|id| id.as_str().to_owned()).ok()
}

impl RequestIdText {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only visible ASCII is let in.
        self.0.to_str().unwrap_or_default()
    }
}

pub(crate) async fn request_id(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).filter(|id| is_sane(id));
    let id = RequestIdText(given.cloned().unwrap_or_else(fresh));
    let span = tracing::info_span!(
        "request",
        request_id = id.as_str(),
        method = %request.method(),
        path = request.uri().path(),
    );
    request.extensions_mut().insert(id.clone());
    let answered = CURRENT.scope(id.clone(), next.run(request));
    let mut response = answered.instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn fresh() -> HeaderValue {
    let mut bytes = [0; 16];
    // Without randomness the id is a poor one, and that is all: nothing rests on it.
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "no randomness for a request id");
    }
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    HeaderValue::try_from(id.to_string()).expect("a UUID is visible ASCII")
}
