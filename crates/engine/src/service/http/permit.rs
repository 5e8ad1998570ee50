//! Whether a caller may call what it calls. One table says what each path needs; what it does not name is for
//! administrators.

use axum::extract::Request;
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use baton_edge::{ApiError, Caller};

use crate::service::{Need, Rights};

/// Lets a request pass if its caller has the right to it. Handlers find the [`Rights`] in its extensions.
pub(super) async fn permit(mut request: Request, next: Next) -> Result<Response, ApiError> {
    let caller = request.extensions().get::<Caller>();
    let rights = Rights::of(caller);
    check_origin(caller, request.headers())?;
    let need = need(request.method(), request.uri().path());
    if !rights.include(need) {
        let text = format!("This API key lacks the permission {}", need.permission());
        return Err(ApiError::forbidden(text));
    }
    request.extensions_mut().insert(rights);
    Ok(next.run(request).await)
}

/// Names in paths are compared as they were sent: one that is written in another way, with escapes, is not found among
/// the names that a key has, and so is refused.
fn need<'a>(method: &Method, path: &'a str) -> Need<'a> {
    let is_read = method == Method::GET || method == Method::HEAD;
    let path = path.strip_prefix("/api/v1/").unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    match (parts.as_slice(), is_read) {
        (["relayers"], true) | (["networks", ..], true) => Need::ReadAny,
        (["relayers", relayer, ..], true) | (["relayers", relayer, "rpc"], false) => {
            Need::Read(relayer)
        }
        (["relayers", relayer, _, ..], false) => Need::Send(relayer),
        (["metrics" | "debug", ..], true) => Need::ReadAll,
        (_, true | false) => Need::Admin,
    }
}

/// A key that is given to certain web pages is refused to others.
fn check_origin(caller: Option<&Caller>, headers: &HeaderMap) -> Result<(), ApiError> {
    let issued = caller.and_then(|caller| caller.issued.as_ref());
    let (Some(issued), Some(origin)) = (issued, headers.get(ORIGIN)) else {
        return Ok(());
    };
    let mut allowed = issued.origins.iter();
    if allowed.any(|known| known == "*" || known.as_bytes() == origin.as_bytes()) {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "This API key may not be used from this origin",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_path_has_its_need() {
        for (call, expected) in [
            ("GET relayers", Need::ReadAny),
            ("POST relayers", Need::Admin),
            ("GET relayers/a", Need::Read("a")),
            ("HEAD relayers/a", Need::Read("a")),
            ("PATCH relayers/a", Need::Admin),
            ("DELETE relayers/a", Need::Admin),
            ("GET relayers/a/transactions/1", Need::Read("a")),
            ("POST relayers/a/transactions", Need::Send("a")),
            ("PUT relayers/a/transactions/1", Need::Send("a")),
            ("DELETE relayers/a/transactions/pending", Need::Send("a")),
            ("POST relayers/a/sign", Need::Send("a")),
            ("POST relayers/a/sign-typed-data", Need::Send("a")),
            ("POST relayers/a/rpc", Need::Read("a")),
            ("GET networks", Need::ReadAny),
            ("GET networks/evm:sepolia", Need::ReadAny),
            ("PATCH networks/evm:sepolia", Need::Admin),
            ("GET signers", Need::Admin),
            ("GET notifications/a", Need::Admin),
            ("POST api-keys", Need::Admin),
            ("POST plugins/a/call", Need::Admin),
            ("GET metrics", Need::ReadAll),
            ("GET something/new", Need::Admin),
        ] {
            let (method, path) = call.split_once(' ').unwrap();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(
                need(&method, &format!("/api/v1/{path}")),
                expected,
                "{call}"
            );
        }
    }
}
