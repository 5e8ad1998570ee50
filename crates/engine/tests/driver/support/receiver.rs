//! Who webhooks go to: takes what comes, or does not, as a test wants it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use baton_engine::registry::NotificationDef;
use baton_engine::webhooks::{Courier, CourierError, LaneHooks, Reply, Webhook, WebhookMetrics};
use baton_vault::Secret;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::time::sleep;

/// The key that signs in these tests.
pub(crate) const SIGNING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(5);

/// How a receiver takes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With this HTTP status.
    Status(u16),
    /// Not at all.
    Silence,
}

type Rule = Box<dyn Fn(&Value) -> Manner + Send>;

/// What came, whether it was taken or not.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) body: Value,
    pub(crate) text: Vec<u8>,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) taken: bool,
}

/// A receiver.
pub(crate) struct Receiver {
    got: Mutex<Vec<Got>>,
    rule: Mutex<Rule>,
}

impl Receiver {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            got: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Manner::Status(200))),
        })
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, rule: impl Fn(&Value) -> Manner + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Everything that came.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What it took, in order.
    pub(crate) fn taken(&self) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.taken).collect()
    }

    /// The statuses that it heard of each transaction, in the order in which it first took them.
    pub(crate) fn heard(&self) -> BTreeMap<String, Vec<String>> {
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for got in self.taken() {
            let word = |name: &str| got.body["payload"][name].as_str().map(str::to_owned);
            let (Some(id), Some(status)) = (word("id"), word("status")) else {
                continue;
            };
            let statuses = heard.entry(id).or_default();
            if !statuses.contains(&status) {
                statuses.push(status);
            }
        }
        heard
    }

    /// What a lane needs to tell it, of these events.
    pub(crate) fn hooks(self: &Arc<Self>, events: &[&str]) -> LaneHooks {
        LaneHooks {
            notification: Arc::new(NotificationDef {
                id: "hook".to_owned(),
                url: Some(Secret::new("https://receiver.example/x")),
                signing_key: Some(Secret::new(SIGNING_KEY)),
                events: events.iter().map(|word| (*word).to_owned()).collect(),
            }),
            courier: Arc::clone(self) as Arc<dyn Courier>,
            metrics: WebhookMetrics::new(&mut Registry::default()),
        }
    }
}

#[async_trait]
impl Courier for Receiver {
    async fn deliver(&self, webhook: Webhook) -> Result<Reply, CourierError> {
        let body: Value = serde_json::from_slice(&webhook.body).unwrap();
        let manner = (*self.rule.lock().unwrap())(&body);
        self.got.lock().unwrap().push(Got {
            body,
            text: webhook.body.to_vec(),
            headers: webhook.headers.into_iter().collect(),
            taken: manner == Manner::Status(200),
        });
        sleep(ANSWER).await;
        match manner {
            Manner::Status(status) => Ok(Reply {
                status,
                retry_after: None,
                excerpt: "an answer".to_owned(),
            }),
            Manner::Silence => Err(CourierError::NoAnswer("nobody answers".to_owned())),
        }
    }
}
