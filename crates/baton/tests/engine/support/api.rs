//! A caller of the HTTP API.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use baton_testkit::Anvil;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::until;

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Clones share the address of the engine, which changes with every start.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: Arc<RwLock<String>>,
    key: &'static str,
}

/// What the engine answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The data of an answer that has to be a success.
    #[track_caller]
    pub(crate) fn data(self) -> Value {
        assert_eq!(
            (self.status, &self.body["success"]),
            (200, &Value::Bool(true)),
            "{self:?}"
        );
        self.body["data"].clone()
    }

    /// The text of an answer that has to be this error.
    #[track_caller]
    pub(crate) fn error(self, status: u16) -> String {
        assert_eq!(
            (self.status, &self.body["success"]),
            (status, &Value::Bool(false)),
            "{self:?}"
        );
        self.body["error"].as_str().unwrap().to_owned()
    }
}

impl Api {
    pub(super) fn new(key: &'static str) -> Self {
        // Anvil's client installs the TLS provider that every client asks for.
        let _anvil = Anvil::DEV_KEYS;
        let http = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            http,
            url: Arc::default(),
            key,
        }
    }

    /// From now on the engine is there.
    pub(crate) fn connect(&self, url: &str) {
        url.clone_into(&mut self.url.write().unwrap());
    }

    /// Where the engine is.
    pub(crate) fn url(&self) -> String {
        self.url.read().unwrap().clone()
    }

    /// Calls; an error means that there was no answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/api/v1{path}", self.url());
        let mut request = self.http.request(method, url).bearer_auth(self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, None).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None, None).await.unwrap()
    }

    /// Posts a transaction to the relayer `main`.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.try_post(body, None).await.unwrap()
    }

    pub(crate) async fn try_post(
        &self,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Answer, reqwest::Error> {
        self.call(Method::POST, "/relayers/main/transactions", Some(body), key)
            .await
    }

    /// Posts a transaction, which has to be accepted; its id.
    pub(crate) async fn send(&self, body: &Value) -> String {
        let accepted = self.post(body).await.data();
        accepted["id"].as_str().unwrap().to_owned()
    }

    /// Posts many at once.
    pub(crate) async fn send_all(&self, bodies: &[Value]) -> Vec<String> {
        futures_util::future::join_all(bodies.iter().map(|body| self.send(body))).await
    }

    pub(crate) async fn transaction(&self, id: &str) -> Value {
        self.get(&transaction(id)).await.data()
    }

    pub(crate) async fn cancel(&self, id: &str) -> Answer {
        self.delete(&transaction(id)).await
    }

    pub(crate) async fn replace(&self, id: &str, body: &Value) -> Answer {
        self.call(Method::PUT, &transaction(id), Some(body), None)
            .await
            .unwrap()
    }

    /// Waits until a transaction has a status. A final status that is not the one waited for is a
    /// failure.
    pub(crate) async fn reaches(&self, id: &str, status: &str) -> Value {
        let what = format!("{id} becomes {status}");
        until(&what, async || {
            let found = self.transaction(id).await;
            let now = found["status"].as_str().unwrap();
            let is_final = ["confirmed", "failed", "canceled", "expired"].contains(&now);
            assert!(now == status || !is_final, "{what}, found {found:#}");
            (now == status).then_some(found)
        })
        .await
    }

    /// Waits until all of many have a status; the transactions, in the order of `ids`.
    pub(crate) async fn all_reach(&self, ids: &[String], status: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for id in ids {
            all.push(self.reaches(id, status).await);
        }
        all
    }

    /// Waits until a transaction's reason says something.
    pub(crate) async fn reason(&self, id: &str, text: &str) -> Value {
        until(&format!("the reason of {id} says {text:?}"), async || {
            let found = self.transaction(id).await;
            let says = found["status_reason"]
                .as_str()
                .is_some_and(|reason| reason.contains(text));
            says.then_some(found)
        })
        .await
    }

    pub(crate) async fn status(&self) -> Value {
        self.get("/relayers/main/status").await.data()
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.call(Method::GET, "/ready", None, None).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

fn transaction(id: &str) -> String {
    format!("/relayers/main/transactions/{id}")
}
