//! Counting requests, with labels whose number is bounded by the routes.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::{ApiError, ApiPath};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds in seconds: from an answer out of memory to the time-out of a request.
const LATENCY_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];
/// Label of requests to no known path. The path itself is the caller's invention.
const UNMATCHED: &str = "unmatched";

/// The metrics of requests, under the names of OpenZeppelin Relayer: `requests_total`,
/// `error_requests_total`, `request_latency_seconds` and `in_flight_requests`. The endpoint is the
/// template of the route.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    errors: Family<RequestLabels, Counter>,
    latency: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<EndpointLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: String,
    method: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: String,
}

impl HttpMetrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            errors: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            in_flight: Family::default(),
        };
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "error_requests",
            "Requests answered with a status of 400 or above",
            metrics.errors.clone(),
        );
        registry.register(
            "request_latency_seconds",
            "Time from the head of a request to the head of its answer",
            metrics.latency.clone(),
        );
        registry.register(
            "in_flight_requests",
            "Requests being handled",
            metrics.in_flight.clone(),
        );
        metrics
    }
}

/// The metrics of a registry in the OpenMetrics text format.
pub fn render_metrics(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// A router that gives the metrics of a registry at `/metrics` and `/debug/metrics/scrape`, and one
/// of them at `/metrics/{metric_name}`. To callers that ask for JSON first, as the reference's client
/// does, `/metrics` gives the names of the metrics.
pub fn metrics_router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_or_names))
        .route("/metrics/{metric_name}", get(metric))
        .route("/debug/metrics/scrape", get(metrics))
        .with_state(registry)
}

async fn metrics_or_names(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    if !wants_json(&headers) {
        return metrics(State(registry)).await;
    }
    match render_metrics(&registry) {
        Ok(text) => Json(names(&text)).into_response(),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    match render_metrics(&registry) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

async fn metric(State(registry): State<Arc<Registry>>, ApiPath(name): ApiPath<String>) -> Response {
    let text = match render_metrics(&registry) {
        Ok(text) => text,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    match family(&text, &name) {
        Some(family) => {
            ([(CONTENT_TYPE, OPEN_METRICS)], format!("{family}# EOF\n")).into_response()
        }
        None => ApiError::not_found(format!("Metric {name} not found")).into_response(),
    }
}

/// Prometheus and browsers name other types first.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let first = accept.and_then(|accept| accept.split([',', ';']).next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("application/json"))
}

/// The names of the metrics, those of counters with their ending.
fn names(text: &str) -> Vec<String> {
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let named = described.filter_map(|described| described.split_once(' '));
    named
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        })
        .collect()
}

/// The lines of one metric. Counters are found with their ending, too.
fn family<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let bare = name.strip_suffix("_total").unwrap_or(name);
    let start = [name, bare].iter().find_map(|name| {
        let head = format!("# HELP {name} ");
        text.starts_with(&head)
            .then_some(0)
            .or_else(|| text.find(&format!("\n{head}")).map(|at| at + 1))
    })?;
    let rest = &text[start..];
    let next = ["\n# HELP ", "\n# EOF"]
        .iter()
        .filter_map(|mark| rest.find(mark));
    let end = next.min().map_or(rest.len(), |at| at + 1);
    Some(&rest[..end])
}

pub(crate) async fn observe(
    State(metrics): State<HttpMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let endpoint = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => UNMATCHED.to_owned(),
    };
    let method = method_label(request.method());
    let started = Instant::now();
    let in_flight = InFlight::enter(&metrics, &endpoint);
    let response = next.run(request).await;
    drop(in_flight);
    let status = u32::from(response.status().as_u16());
    let labels = RequestLabels {
        endpoint,
        method,
        status,
    };
    metrics.requests.get_or_create(&labels).inc();
    if status >= 400 {
        metrics.errors.get_or_create(&labels).inc();
    }
    let seconds = started.elapsed().as_secs_f64();
    metrics.latency.get_or_create(&labels).observe(seconds);
    response
}

/// Counts down also when the peer goes away and the handling of its request is dropped.
struct InFlight(Gauge);

impl InFlight {
    fn enter(metrics: &HttpMetrics, endpoint: &str) -> Self {
        let labels = EndpointLabels {
            endpoint: endpoint.to_owned(),
        };
        let gauge = metrics.in_flight.get_or_create_owned(&labels);
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Callers may invent methods; labels must stay few.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 7] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN
        .iter()
        .find_map(|(known, label)| (known == method).then_some(*label))
        .unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::{HeaderMap, family, names, wants_json};

    #[test]
    fn names_are_as_they_are_scraped() {
        let text = "# HELP a First.\n# TYPE a counter\na_total 1\n# HELP ab Second.\n# TYPE ab gauge\n\
                    ab{x=\"1\"} 2\n# EOF\n";
        assert_eq!(names(text), ["a_total", "ab"]);
    }

    #[test]
    fn only_who_asks_for_json_first_gets_it() {
        for (accept, expected) in [
            ("application/json, text/plain, */*", true),
            ("application/json", true),
            ("Application/JSON;q=1", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1",
                false,
            ),
            ("text/html,application/json", false),
            ("*/*", false),
        ] {
            let value = HeaderValue::from_static(accept);
            let headers = HeaderMap::from_iter([(super::ACCEPT, value)]);
            assert_eq!(wants_json(&headers), expected, "{accept}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }

    #[test]
    fn one_metric_is_cut_out() {
        let text = "# HELP a First.\n# TYPE a counter\na_total 1\n# HELP ab Second.\n# TYPE ab gauge\n\
                    ab{x=\"1\"} 2\n# EOF\n";
        let first = "# HELP a First.\n# TYPE a counter\na_total 1\n";
        let second = "# HELP ab Second.\n# TYPE ab gauge\nab{x=\"1\"} 2\n";
        assert_eq!(family(text, "a"), Some(first));
        assert_eq!(family(text, "a_total"), Some(first));
        assert_eq!(family(text, "ab"), Some(second));
        for name in ["", "b", "A", "a ", "a First.", "EOF"] {
            assert_eq!(family(text, name), None, "{name:?}");
        }
    }
}
