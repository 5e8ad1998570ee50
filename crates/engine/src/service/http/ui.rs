//! A page that shows the description of the API, and can call it. Everything that it needs is in the program, so it
//! works where nothing else can be reached.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::IntoResponse;
use axum::routing::get;

/// The page may load from where it came from and nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    is_packed: bool,
    bytes: &'static [u8],
}

/// What is packed stays so on its way: every browser unpacks it.
static ASSETS: [Asset; 4] = [
    Asset {
        path: "/swagger-ui",
        kind: "text/html; charset=utf-8",
        is_packed: false,
        bytes: include_bytes!("../../../assets/swagger-ui/index.html"),
    },
    Asset {
        path: "/swagger-ui/start.js",
        kind: "text/javascript",
        is_packed: false,
        bytes: include_bytes!("../../../assets/swagger-ui/start.js"),
    },
    Asset {
        path: "/swagger-ui/swagger-ui-bundle.js",
        kind: "text/javascript",
        is_packed: true,
        bytes: include_bytes!("../../../assets/swagger-ui/swagger-ui-bundle.js.gz"),
    },
    Asset {
        path: "/swagger-ui/swagger-ui.css",
        kind: "text/css",
        is_packed: true,
        bytes: include_bytes!("../../../assets/swagger-ui/swagger-ui.css.gz"),
    },
];

/// The page and its files.
pub(super) fn routes() -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move || async move { answer(asset) }))
    })
}

fn answer(asset: &'static Asset) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, asset.kind);
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Asked for again with the next release of the program.
    set(CACHE_CONTROL, "max-age=3600");
    if asset.is_packed {
        set(CONTENT_ENCODING, "gzip");
    }
    (headers, asset.bytes)
}
