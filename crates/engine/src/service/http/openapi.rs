//! The description of the API in OpenAPI 3.1.
//!
//! Answers are described by the types that are sent, bodies by `bodies`, paths by the table in `operations`. Tests
//! hold the table against the routes that are served, and the bodies against what reads them.

mod additions;
mod bodies;
mod operation;
mod operations;

use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Where the description is, as with the reference.
pub(super) const PATH: &str = "/api-docs/openapi.json";

const INTRODUCTION: &str = "Baton relays transactions to EVM chains. The API is that of OpenZeppelin \
     Relayer 1.8, and more: docs/compatibility.md says where the two differ.\n\nNearly every answer is in an \
     envelope: `success`, `data`, which is null when there is none, and `error`, which is null for a success. \
     Numbers of wei can be given as JSON numbers, as decimal texts or in hex; all are read exactly.\n\n\
     Paths below `/api/v1/plugins` answer 501, for Baton runs no code of its callers, and are not described here.";

/// Names of what operations belong to, and what that is.
const TAGS: [(&str, &str); 8] = [
    ("Relayers", "What transactions are sent through"),
    (
        "Transactions",
        "Sending, following, replacing and cancelling",
    ),
    (
        "Signing",
        "Signatures without a transaction, and the network's own JSON-RPC",
    ),
    ("Signers", "Where keys are"),
    ("Notifications", "Where webhooks go"),
    ("Networks", "Chains and their nodes"),
    ("API keys", "Who may call"),
    ("Operation", "Probes and metrics"),
];

static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// The route of the description. It needs no key, and tells nothing about what is configured.
pub(super) fn routes() -> Router {
    Router::new().route(PATH, get(answer))
}

async fn answer() -> impl IntoResponse {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], TEXT.clone())
}

/// The description.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schemas = settings
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths = Map::new();
    for operation in operations::all() {
        let described = operation.described(&mut schemas);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    let mut components = bodies::schemas();
    components.extend(schemas.take_definitions(true));
    let tags = TAGS.map(|(name, description)| json!({ "name": name, "description": description }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Baton",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer_auth": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`API_KEY`, or a key made with `POST /api/v1/api-keys`",
                },
            },
        },
    })
}
