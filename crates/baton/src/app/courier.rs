//! Carries webhooks over HTTP, to addresses that may be called and to no others.
//!
//! The check is on the addresses that a host's name stands for at the moment of connecting, not on the name: whoever
//! writes a URL may also write its DNS. Redirects are not followed, so that nobody is sent elsewhere behind the check.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use baton_engine::webhooks::{Courier, CourierError, Reply, Webhook};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long connecting may take, and a whole attempt: a receiver is to take an event in, not to work it off.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: its beginning is kept for people.
const ANSWER_BYTES_MAX: usize = 1024;
/// Attempts under way to one host at a time, of all relayers: one that hangs holds that many connections at most.
const PER_HOST_MAX: usize = 32;
/// Where clouds hand out credentials: never called, whatever is allowed.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Carries webhooks.
pub(super) struct HttpCourier {
    client: Client,
    access: Access,
    hosts: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// Which addresses may be called.
#[derive(Clone, Copy, Debug)]
struct Access {
    private: bool,
}

impl HttpCourier {
    /// A courier. `private` lets it call addresses that are not public.
    pub(super) fn new(private: bool) -> Result<Self> {
        // The TLS library wants one provider per process; whoever comes first installs it.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let access = Access { private };
        let client = Client::builder()
            .user_agent(concat!("baton/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .redirect(Policy::none())
            .no_proxy()
            .no_gzip()
            .dns_resolver(Arc::new(access))
            .build()
            .context("the client of webhooks cannot be made")?;
        Ok(Self {
            client,
            access,
            hosts: Mutex::default(),
        })
    }

    async fn attempt(&self, webhook: Webhook) -> Result<Reply, CourierError> {
        let url = Url::parse(webhook.url.expose())
            .map_err(|error| CourierError::Forbidden(format!("url: {error}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let told = |text: String| CourierError::NoAnswer(format!("{host}: {text}"));
        self.access.check_literal(&url)?;
        let slots = self.slots_of(&url);
        let _slot = slots.acquire().await.map_err(|e| told(e.to_string()))?;
        let mut request = self.client.post(url);
        for (name, value) in &webhook.headers {
            request = request.header(*name, value);
        }
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(webhook.body);
        let response = request.send().await;
        let response = response.map_err(|error| refused(error, &host))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let excerpt = excerpt(response).await;
        Ok(Reply {
            status,
            retry_after,
            excerpt,
        })
    }

    fn slots_of(&self, url: &Url) -> Arc<Semaphore> {
        let host = format!(
            "{}:{}",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default()
        );
        // Nothing under this lock can be left half done.
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = hosts.get(&host).and_then(Weak::upgrade) {
            return slots;
        }
        hosts.retain(|_, slots| slots.strong_count() > 0);
        let slots = Arc::new(Semaphore::new(PER_HOST_MAX));
        hosts.insert(host, Arc::downgrade(&slots));
        slots
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn deliver(&self, webhook: Webhook) -> Result<Reply, CourierError> {
        let attempt = timeout(ATTEMPT_MAX, self.attempt(webhook)).await;
        attempt.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", ATTEMPT_MAX.as_secs());
            Err(CourierError::NoAnswer(text))
        })
    }
}

impl Access {
    /// A host that is an address is not resolved, and so is checked here.
    fn check_literal(self, url: &Url) -> Result<(), CourierError> {
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            Some(url::Host::Domain(_)) => return Ok(()),
            None => return Err(CourierError::Forbidden("url has no host".to_owned())),
        };
        if self.allows(address) {
            return Ok(());
        }
        Err(CourierError::Forbidden(forbidden(&address.to_string())))
    }

    fn allows(self, address: IpAddr) -> bool {
        let address = embedded(address);
        !METADATA.contains(&address) && (self.private || is_public(address))
    }
}

impl Resolve for Access {
    fn resolve(&self, name: Name) -> Resolving {
        let access = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|at| access.allows(at.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::new(CourierError::Forbidden(forbidden(name.as_str())))
                    as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn forbidden(host: &str) -> String {
    format!(
        "{host} stands for no public address; set BATON_WEBHOOK_PRIVATE_ADDRESSES=true to allow \
         private ones"
    )
}

/// The IPv4 address that an IPv6 address stands for, if it does: mapped, translated (NAT64) or tunnelled (6to4).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Whether an address is one of the internet's. What is reserved for anything else is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_special = v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || a == 0
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b));
            !is_special
        }
        // Global unicast is 2000::/3; of it, 2001:db8::/32 is for documents.
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            (0x2000..0x4000).contains(&a) && !(a == 0x2001 && b == 0xdb8)
        }
    }
}

/// Errors of the client, without the URL: it may hold a key.
fn refused(error: reqwest::Error, host: &str) -> CourierError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(CourierError::Forbidden(reason)) = inner.downcast_ref() {
            return CourierError::Forbidden(reason.clone());
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    CourierError::NoAnswer(format!("{host}: {text}"))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The beginning of an answer; one that breaks off is told as far as it came.
async fn excerpt(mut response: Response) -> String {
    let mut read = Vec::new();
    while read.len() < ANSWER_BYTES_MAX {
        let Ok(Some(chunk)) = response.chunk().await else {
            break;
        };
        read.extend_from_slice(&chunk);
    }
    read.truncate(ANSWER_BYTES_MAX);
    String::from_utf8_lossy(&read).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(private: bool, address: &str) -> bool {
        Access { private }.allows(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_called() {
        for public in ["1.1.1.1", "8.8.8.8", "100.63.0.1", "2606:4700::1111"] {
            assert!(allows(false, public), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!allows(false, private), "{private}");
            assert!(allows(true, private), "{private}");
        }
    }

    #[test]
    fn credentials_of_clouds_are_out_of_reach_whatever_is_allowed() {
        for address in [
            "169.254.169.254",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!allows(true, address), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_is_checked_by_what_it_stands_for() {
        let webhook = |url: &str| Webhook {
            url: baton_vault::Secret::new(url),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        };
        let courier = HttpCourier::new(false).unwrap();
        for url in ["http://localhost:9/secret", "http://127.0.0.1:9/secret"] {
            let refused = courier.deliver(webhook(url)).await.unwrap_err();
            assert!(matches!(refused, CourierError::Forbidden(_)), "{refused:?}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }
}
