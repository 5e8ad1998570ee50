//! Whether this process can do its work, and why not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// How a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It works.
    Healthy,
    /// It works, but somebody should look.
    Degraded,
    /// It does not work, and so this process is not ready.
    Unhealthy,
}

/// One component's state.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Component {
    status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    details: BTreeMap<&'static str, Value>,
}

impl Component {
    /// It works.
    pub const fn healthy() -> Self {
        Self {
            status: Health::Healthy,
            reason: None,
            details: BTreeMap::new(),
        }
    }

    /// It works, but somebody should look. The reason is public.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self {
            status: Health::Degraded,
            reason: Some(reason.into()),
            details: BTreeMap::new(),
        }
    }

    /// It does not work. The reason is public.
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self {
            status: Health::Unhealthy,
            reason: Some(reason.into()),
            details: BTreeMap::new(),
        }
    }

    /// Adds a figure or a fact. It is public.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name, value.into());
        self
    }
}

/// The states of all components. Cheap to clone; clones share the states.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<States>>);

#[derive(Debug, Default)]
struct States {
    components: BTreeMap<String, Component>,
    draining: bool,
}

/// The answer to a readiness probe.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub struct ReadyReport {
    /// Whether work should be sent here.
    pub ready: bool,
    /// The worst of the components.
    pub status: Health,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The components.
    pub components: BTreeMap<String, Component>,
    /// When this was said, in RFC 3339.
    pub timestamp: String,
}

impl Readiness {
    /// Names the components that must report before this process is ready: each is unhealthy until
    /// it does.
    pub fn expecting<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let readiness = Self::default();
        for name in names {
            readiness.set(name, Component::unhealthy("not started"));
        }
        readiness
    }

    /// Tells how a component is now.
    pub fn set(&self, name: &str, component: Component) {
        self.lock().components.insert(name.to_owned(), component);
    }

    /// Forgets a component.
    pub fn remove(&self, name: &str) {
        self.lock().components.remove(name);
    }

    /// From now on this process is not ready, whatever its components say: it is about to end.
    pub fn start_draining(&self) {
        self.lock().draining = true;
    }

    /// Whether this process is about to end.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Lets callers on kept connections find another process before this one ends: while it drains, each answer closes
    /// its connection.
    pub fn close_connections(&self, router: Router) -> Router {
        let readiness = self.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let readiness = readiness.clone();
            async move {
                // HTTP/2 has no such header, and tells it in a way of its own.
                let has_header = request.version() <= Version::HTTP_11;
                let mut response = next.run(request).await;
                if has_header && readiness.is_draining() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                response
            }
        }))
    }

    /// Whether work should be sent here.
    pub fn is_ready(&self) -> bool {
        let state = self.lock();
        !state.draining && state.worst() != Health::Unhealthy
    }

    /// The answer to a probe.
    pub fn report(&self, now: jiff::Timestamp) -> ReadyReport {
        let state = self.lock();
        let worst = state.worst();
        let status = if state.draining {
            Health::Unhealthy
        } else {
            worst
        };
        ReadyReport {
            ready: status != Health::Unhealthy,
            status,
            reason: state.reason(),
            components: state.components.clone(),
            timestamp: now.to_string(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        // No code that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States {
    fn worst(&self) -> Health {
        let states = self.components.values().map(|component| component.status);
        states.max().unwrap_or(Health::Healthy)
    }

    fn reason(&self) -> Option<String> {
        if self.draining {
            return Some("draining".to_owned());
        }
        let reasons: Vec<_> = self
            .components
            .iter()
            .filter_map(|(name, component)| Some(format!("{name}: {}", component.reason.as_ref()?)))
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// `GET /api/v1/health`, which says `OK` while the process runs, and `GET /api/v1/ready`, which is
/// 200 when ready and 503 when not.
pub fn health_router(readiness: Readiness) -> Router {
    Router::new()
        .route("/api/v1/health", get(|| async { "OK" }))
        .route("/api/v1/ready", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, Json<ReadyReport>) {
    let report = readiness.report(jiff::Timestamp::now());
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}
