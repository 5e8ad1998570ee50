//! What is logged about a request, and what is not.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::Method;
use axum::routing::get as on_get;
use baton_edge::{ApiError, ApiKeys, Stack};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Server, request};

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn an_internal_cause_is_logged_with_the_request_id_and_never_sent() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fails = || async {
        let disk = std::io::Error::other("the disk at /srv/baton is full");
        Err::<(), _>(ApiError::internal(disk))
    };
    let keys = Some(ApiKeys::new([("main".to_owned(), KEY)]));
    let router = Stack {
        keys,
        ..Stack::default()
    }
    .wrap(Router::new().route("/", on_get(fails)));
    let server = Server::plain(router).await;
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-request-id", "request-77"),
    ];
    let answer = server
        .send(request(Method::GET, "/?secret=query", &headers, ""))
        .await;
    assert_eq!(answer.status.as_u16(), 500);
    assert!(!answer.body.contains("disk"), "{}", answer.body);

    let text = log.text();
    let line = text
        .lines()
        .find(|line| line.contains("the disk at /srv/baton is full"));
    let line = line.unwrap_or_else(|| panic!("the cause is not in {text:?}"));
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("request-77"), "{line}");
    assert!(!text.contains(KEY), "{text}");
    assert!(!text.contains("secret=query"), "{text}");
}
