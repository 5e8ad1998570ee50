//! Who gets in: authentication, then rate, then concurrency.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use crate::auth::ApiKeys;
use crate::error::ErrorKind;
use crate::rate::RateLimiters;
use crate::{ApiError, PeerAddr};

pub(crate) struct Guard {
    pub(crate) keys: Option<ApiKeys>,
    pub(crate) open_prefixes: Vec<String>,
    pub(crate) rate: Option<RateLimiters>,
    pub(crate) concurrency: Semaphore,
    pub(crate) concurrent_max: usize,
}

/// Open paths pass: they are for probes, which must get an answer when the service is busy or under
/// attack, and they cost next to nothing.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if guard.is_open(request.uri().path()) {
        return Ok(next.run(request).await);
    }
    guard.identify(&mut request)?;
    let Ok(_permit) = guard.concurrency.try_acquire() else {
        let kind = ErrorKind::TooManyConcurrent {
            max: guard.concurrent_max,
        };
        return Err(ApiError::new(kind, "Too many concurrent requests"));
    };
    Ok(next.run(request).await)
}

impl Guard {
    fn is_open(&self, path: &str) -> bool {
        self.open_prefixes.iter().any(|prefix| {
            path.strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Counts the request to the key it was authenticated with, or else to its peer.
    fn identify(&self, request: &mut Request) -> Result<(), ApiError> {
        let caller = self
            .keys
            .as_ref()
            .map(|keys| keys.authenticate(request.headers()));
        match caller {
            Some(Some(caller)) => {
                if let Some(rate) = &self.rate {
                    match &caller.issued {
                        Some(issued) => rate.check_issued(issued)?,
                        None => rate.check_key(caller.index)?,
                    }
                }
                request.extensions_mut().insert(caller);
                Ok(())
            }
            Some(None) => {
                self.check_peer(request)?;
                Err(ApiError::unauthorized())
            }
            None => self.check_peer(request),
        }
    }

    fn check_peer(&self, request: &Request) -> Result<(), ApiError> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        let peer = request.extensions().get::<PeerAddr>();
        // Without a socket there is one peer.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |PeerAddr(peer)| {
            peer.ip()
        });
        rate.check_peer(peer)
    }
}
