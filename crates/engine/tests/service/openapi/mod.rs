//! The description of the API says what is served, and what is served is described.

mod bodies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use baton_engine::service::http::{description, openapi, router};
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::support::World;

/// Below this, everything answers that nothing of it is served: 501, for any method. That is not described.
const PLUGINS: &str = "/api/v1/plugins";

/// Methods and paths of a router, as its `Debug` tells them: axum has no other way to list them.
fn served(router: &Router) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let (text, _) = text
        .split_once("fallback_router: ")
        .expect("a router has fallbacks");
    let (routes, paths) = text
        .split_once("node: Node")
        .expect("a router lists its paths");
    let paths: BTreeMap<&str, &str> = entries(paths)
        .filter_map(|(id, rest)| Some((id, rest.strip_prefix('"')?.split_once('"')?.0)))
        .collect();
    let mut all = BTreeSet::new();
    for (id, rest) in entries(routes) {
        let (_, allowed) = rest
            .split_once("allow_header: ")
            .expect("a route lists its methods");
        let methods = allowed
            .strip_prefix("Bytes(b\"")
            .and_then(|rest| rest.split('"').next());
        for method in methods
            .unwrap_or("*")
            .split(',')
            .filter(|method| *method != "HEAD")
        {
            all.insert(format!("{} {}", method.to_lowercase(), paths[id]));
        }
    }
    all
}

/// What follows each id of a route.
fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = text.split("RouteId(").skip(1);
    parts.filter_map(|part| part.split_once("): "))
}

fn described() -> BTreeSet<String> {
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| format!("{method} {path}"))
    });
    all.collect()
}

fn api() -> Router {
    let world = World::new();
    router(
        world.service,
        world.readiness,
        Arc::new(Registry::default()),
    )
}

#[test]
fn what_is_served_is_described_and_nothing_else() {
    let served = served(&api());
    assert!(
        served.contains("delete /api/v1/relayers/{relayer_id}"),
        "{served:?}"
    );
    let plugins = served.iter().filter(|route| route.contains(PLUGINS));
    let plugins: BTreeSet<String> = plugins.cloned().collect();
    assert_eq!(plugins.len(), 4, "{plugins:?}");
    let expected: BTreeSet<String> = served.difference(&plugins).cloned().collect();
    assert_eq!(expected, described(), "left: served; right: described");
}

#[test]
fn operations_have_ids_of_their_own_and_refer_to_schemas_that_there_are() {
    let document = openapi::document();
    let mut ids = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{operation}"
            );
        }
    }
    // Those that the published SDK was made from.
    for id in [
        "sendTransaction",
        "listTransactions",
        "getRelayerStatus",
        "updateNetwork",
        "scrapeMetrics",
    ] {
        assert!(ids.contains(id), "{id}");
    }
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let place = reference
            .strip_prefix('#')
            .expect("a place in the document");
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields
                .values()
                .for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let served = served(&description());
    let files: Vec<&str> = served.iter().map(String::as_str).collect();
    assert_eq!(
        files,
        [
            "get /api-docs/openapi.json",
            "get /swagger-ui",
            "get /swagger-ui/start.js",
            "get /swagger-ui/swagger-ui-bundle.js",
            "get /swagger-ui/swagger-ui.css",
        ]
    );
    let page = include_str!("../../../assets/swagger-ui/index.html");
    let start = include_str!("../../../assets/swagger-ui/start.js");
    for mark in ["href=\"", "src=\"", "url: '"] {
        for text in [page, start] {
            for target in text.split(mark).skip(1) {
                let target = target.split(['"', '\'']).next().unwrap();
                let is_served = files.contains(&format!("get {target}").as_str());
                assert!(is_served || target == "data:,", "{target}");
            }
        }
    }
}
