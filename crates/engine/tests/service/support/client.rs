//! A small HTTP client, so that tests see the very bytes of answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{API_KEY, json};

/// Talks to one server, which ends with it.
pub(crate) struct Client {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: String,
}

impl Client {
    pub(crate) const fn new(address: SocketAddr, stop: oneshot::Sender<()>) -> Self {
        Self {
            address,
            _stop: stop,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path, &[], body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], &body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, &[], &body.to_string()).await
    }

    /// Calls with another key.
    pub(crate) async fn call_as(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {key}");
        self.call(method, path, &[("authorization", &bearer)], body)
            .await
    }

    /// Posts a transaction of `main`.
    pub(crate) async fn send(&self, body: &str) -> Answer {
        self.send_with(&[], body).await
    }

    pub(crate) async fn send_with(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.call("POST", "/api/v1/relayers/main/transactions", headers, body)
            .await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "test");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {API_KEY}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::from(Bytes::copy_from_slice(body.as_bytes()));
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender
            .send_request(request.body(body).unwrap())
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// An answer that goes on and on.
pub(crate) struct Streamed {
    pub(crate) headers: hyper::HeaderMap,
    body: hyper::body::Incoming,
    read: String,
    _sender: http1::SendRequest<Body>,
}

impl Client {
    /// Opens a stream of events.
    pub(crate) async fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Streamed {
        let mut request = Request::builder()
            .uri(path)
            .header("host", "test")
            .header("authorization", format!("Bearer {API_KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = request.body(Body::empty()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        assert_eq!(head.status.as_u16(), 200);
        Streamed {
            headers: head.headers,
            body,
            read: String::new(),
            _sender: sender,
        }
    }
}

impl Streamed {
    /// The next message that is an event: its fields by name. `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<BTreeMap<String, String>> {
        loop {
            while let Some((message, rest)) = self.read.split_once("\n\n") {
                let lines = message.lines().filter_map(|line| line.split_once(": "));
                let fields: BTreeMap<String, String> = lines
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect();
                self.read = rest.to_owned();
                if fields.contains_key("data") {
                    return Some(fields);
                }
            }
            let frame = self.body.frame().await?.unwrap();
            let data = frame.into_data().unwrap();
            self.read.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        json(&self.body)
    }

    /// The data of a success.
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        let mut body = self.json();
        assert_eq!(body["success"], true);
        assert_eq!(body["error"], Value::Null);
        body["data"].take()
    }

    /// The message of a failure, which is in the envelope.
    pub(crate) fn error(&self) -> String {
        let body = self.json();
        assert_eq!(body["success"], false, "{}", self.body);
        assert_eq!(body["data"], Value::Null);
        body["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
