//! Settings that are refused, and figures that are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_chain::{
    ChainClient, Endpoint, EvmClient, EvmClientConfig, RpcObserver, RpcOutcome, Unobserved,
};
use baton_model::Address;

use crate::fake::{Fake, sound};
use crate::support::{Account, config, head};

fn refusal(settings: &EvmClientConfig) -> String {
    let observer: Arc<dyn RpcObserver> = Arc::new(Unobserved);
    let refused = EvmClient::start(settings, &observer).err();
    refused.unwrap().to_string()
}

fn with(change: impl FnOnce(&mut EvmClientConfig)) -> EvmClientConfig {
    let mut settings = config(&["http://a.example"]);
    change(&mut settings);
    settings
}

fn with_endpoint(change: impl FnOnce(&mut Endpoint)) -> EvmClientConfig {
    with(|settings| change(&mut settings.endpoints[0]))
}

#[tokio::test]
async fn bad_settings_name_field_value_and_rule() {
    let cases = [
        (
            with(|s| s.endpoints.clear()),
            "endpoints is 0, it must be from 1 to 32",
        ),
        (
            with(|s| s.batch_calls = 0),
            "batch_calls is 0, it must be from 1 to 1000",
        ),
        (
            with(|s| s.batch_calls = 1001),
            "batch_calls is 1001, it must be from 1 to 1000",
        ),
        (
            with(|s| s.retries = 0),
            "retries is 0, it must be more than 0",
        ),
        (with(|s| s.failure_threshold = 0), "failure_threshold is 0"),
        (with(|s| s.timeout = Duration::ZERO), "timeout is 0"),
        (
            with(|s| s.connect_timeout = Duration::ZERO),
            "connect_timeout is 0",
        ),
        (
            with(|s| s.average_block_time = Duration::ZERO),
            "average_block_time is 0",
        ),
        (with(|s| s.response_bytes = 0), "response_bytes is 0"),
        (with(|s| s.batch_bytes = 0), "batch_bytes is 0"),
        (
            with_endpoint(|e| e.url = "sEcReT".into()),
            "endpoints[0].url is not a URL",
        ),
        (
            with_endpoint(|e| e.url = "http://sEcReT:x:y".into()),
            "endpoints[0].url is not a URL",
        ),
        (
            with_endpoint(|e| e.url = "ftp://sEcReT".into()),
            "has scheme \"ftp\", allowed are http",
        ),
        (
            with_endpoint(|e| e.ws_url = Some("http://sEcReT".into())),
            "allowed are ws, wss",
        ),
        (
            with_endpoint(|e| e.ws_url = Some("sEcReT".into())),
            "endpoints[0].ws_url is not a URL",
        ),
        (
            with_endpoint(|e| e.weight = 101),
            "endpoints[0].weight is 101, it must be from 0 to 100",
        ),
        (with_endpoint(|e| e.weight = 0), "at least one must have"),
        (
            with_endpoint(|e| e.url = "ws://sEcReT".into()),
            "at least one must have",
        ),
    ];
    for (settings, expected) in cases {
        let error = refusal(&settings);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("sEcReT"), "{error}");
    }
}

#[test]
fn heads_are_polled_a_quarter_of_a_block_apart_within_bounds() {
    for (block, poll) in [
        (250, 100),
        (400, 100),
        (1000, 250),
        (2000, 500),
        (12_000, 1000),
    ] {
        let settings = with(|s| s.average_block_time = Duration::from_millis(block));
        assert_eq!(settings.poll_interval(), Duration::from_millis(poll));
    }
}

type Counted = BTreeMap<(String, &'static str, &'static str), usize>;

#[derive(Default)]
struct Counter(Mutex<Counted>);

impl RpcObserver for Counter {
    fn call(&self, endpoint: &str, method: &'static str, outcome: RpcOutcome, _: Duration) {
        let key = (endpoint.to_owned(), method, outcome.as_str());
        *self.0.lock().unwrap().entry(key).or_default() += 1;
    }
}

#[tokio::test]
async fn every_call_is_counted_by_endpoint_method_and_outcome() {
    let fake = Fake::start(sound(9)).await;
    let counter = Arc::new(Counter::default());
    let observer: Arc<dyn RpcObserver> = Arc::<Counter>::clone(&counter);
    let client = EvmClient::start(&config(&[&fake.url]), &observer).unwrap();
    head(&client, |head| head.number == 9).await;
    client.block(Some(9), &[Address::ZERO]).await.unwrap();
    client.broadcast(&Account::dev(0).transfers(0..3)).await;
    client
        .estimate(&[(Address::ZERO, crate::support::transfer(0).call)])
        .await;
    let counted = counter.0.lock().unwrap();
    let host = fake.url.strip_prefix("http://").unwrap();
    for (method, outcome, count) in [
        ("eth_getBlockByNumber", "result", 1),
        ("eth_getBalance", "result", 1),
        ("eth_sendRawTransaction", "result", 3),
        ("eth_estimateGas", "error", 1),
    ] {
        let found = counted.get(&(host.to_owned(), method, outcome));
        assert_eq!(found, Some(&count), "{method}");
    }
}
