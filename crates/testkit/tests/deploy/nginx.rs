//! What nginx does with the configuration of `deploy/compose`: a real one, before small instances.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use baton_testkit::{Nginx, nginx_program, write_nginx_files};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::tools::{deploy, output, read, run, told};
use crate::upstream::{Habit, Upstream};

/// Where transactions are sent.
const SEND: &str = "/api/v1/relayers/shop/transactions";
/// Longest wait for anything here; the machine may be compiling at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn calls_are_spread_over_the_instances() {
    let (instances, nginx) = start([Habit::Answer; 3]).await;
    let client = client();
    for _ in 0..30 {
        let answer = client
            .get(nginx.url() + "/api/v1/relayers")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    let counts: Vec<usize> = instances.iter().map(Upstream::count).collect();
    assert_eq!(counts, [10; 3], "equals take turns");
}

#[tokio::test]
async fn a_busy_instance_gets_no_more_than_the_others() {
    let (instances, nginx) = start([Habit::Wait, Habit::Answer, Habit::Answer]).await;
    let (client, url) = (client(), nginx.url() + "/api/v1/relayers");
    let mut waiting = JoinSet::new();
    // One of the first three goes to the one that lets its callers wait.
    for _ in 0..3 {
        let call = client.get(&url).send();
        waiting.spawn(async move { call.await.unwrap().status() });
    }
    instances[0].until(1).await;
    for _ in 0..20 {
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    }
    assert_eq!(
        instances[0].count(),
        1,
        "who has a call open is passed over while others have none"
    );
    instances[0].open();
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_dead_instance_costs_no_call_not_even_one_that_must_not_be_repeated() {
    let alive = [
        Upstream::start("a", Habit::Answer).await,
        Upstream::start("b", Habit::Answer).await,
    ];
    let dead = free_address();
    let nginx = Nginx::start(&[alive[0].address, dead, alive[1].address])
        .await
        .unwrap();
    let client = client();
    for number in 0..20 {
        let body = number.to_string();
        let answer = client
            .post(nginx.url() + SEND)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            200,
            "{number}: nothing was sent to the dead one"
        );
    }
    let mut bodies: Vec<u32> = alive
        .iter()
        .flat_map(Upstream::heard)
        .map(|h| h.body.parse().unwrap())
        .collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..20).collect::<Vec<_>>(), "each once");
    let tried = nginx
        .log()
        .lines()
        .filter(|line| line.contains("connect() failed"))
        .count();
    assert!(
        (1..=9).contains(&tried),
        "it is asked at most three times in a second, and was {tried} times"
    );
}

#[tokio::test]
async fn a_post_without_a_key_is_not_sent_again_when_its_instance_dies() {
    for method in ["POST", "PATCH", "PUT", "DELETE"] {
        let (instances, nginx) = start([Habit::Die; 3]).await;
        let answer = call(&nginx, method, SEND, None).await;
        assert_eq!(answer.status(), 502);
        let body: Value = answer.json().await.unwrap();
        let error = body["error"].as_str().unwrap();
        assert!(
            error.contains("unknown") && body["success"] == false,
            "{method}: {body}"
        );
        assert_eq!(total(&instances), 1, "{method}: one instance heard it");
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_sent_to_another_instance() {
    for (method, key) in [
        ("POST", Some("order-1")),
        ("GET", None),
        ("GET", Some("order-1")),
    ] {
        let (instances, nginx) = start([Habit::Die, Habit::Answer, Habit::Answer]).await;
        for _ in 0..6 {
            let answer = call(&nginx, method, SEND, key).await;
            assert_eq!(answer.status(), 200, "{method} {key:?}");
        }
        assert!(
            instances[0].count() >= 1,
            "{method} {key:?}: the dying one was asked"
        );
        let others = instances[1].count() + instances[2].count();
        assert_eq!(others, 6, "{method} {key:?}: each was answered by another");
    }
}

/// Only sending a transaction heeds a key.
#[tokio::test]
async fn a_key_lets_no_other_post_be_repeated() {
    for path in [
        "/api/v1/api-keys",
        "/api/v1/relayers/shop/rpc",
        "/api/v1/relayers/shop/transactions/batch",
    ] {
        let (instances, nginx) = start([Habit::Die; 3]).await;
        let answer = call(&nginx, "POST", path, Some("order-1")).await;
        assert_eq!(
            (answer.status().as_u16(), total(&instances)),
            (502, 1),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_empty_key_is_no_key() {
    let (instances, nginx) = start([Habit::Die; 3]).await;
    let answer = call(&nginx, "POST", SEND, Some("")).await;
    assert_eq!((answer.status().as_u16(), total(&instances)), (502, 1));
}

#[tokio::test]
async fn an_instance_that_speaks_for_one_relayer_is_not_taken_away() {
    let (instances, nginx) = start([Habit::Unavailable, Habit::Answer]).await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let answer = call(&nginx, "GET", "/api/v1/relayers/shop/balance", None).await;
        statuses.push(answer.status().as_u16());
    }
    statuses.sort_unstable();
    let own = [[200; 6], [503; 6]].concat();
    assert_eq!(statuses, own, "503 is its answer, and its share stays");
    assert_eq!(instances[0].count(), 6);
}

#[tokio::test]
async fn events_are_passed_on_when_they_come() {
    let (instances, nginx) = start([Habit::Stream]).await;
    let path = "/api/v1/relayers/shop/events";
    let mut answer = call(&nginx, "GET", path, None).await;
    assert_eq!(answer.status(), 200);
    let first = tokio::time::timeout(PATIENCE, answer.chunk())
        .await
        .expect("before the second was sent");
    assert_eq!(first.unwrap().unwrap(), "data: 1\n");
    instances[0].open();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 2\n");
    assert_eq!(answer.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn bodies_end_where_those_of_an_instance_do() {
    let (instances, nginx) = start([Habit::Answer]).await;
    for (bytes, status) in [(512 * 1024, 200), (512 * 1024 + 1, 413)] {
        let request = client().post(nginx.url() + SEND).body(vec![b'1'; bytes]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{bytes} bytes");
        if status == 413 {
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["error"], "body must have at most 524288 bytes");
        }
    }
    let heard = instances[0].heard();
    assert_eq!(
        heard.len(),
        1,
        "what is too large does not get to an instance"
    );
    assert_eq!(
        heard[0].body.len(),
        512 * 1024,
        "the whole body, also from a file"
    );
}

#[tokio::test]
async fn each_call_has_an_id_and_keys_are_not_logged() {
    let (instances, nginx) = start([Habit::Answer]).await;
    let secret = "Bearer 8d4b6f9e-secret";
    let get = |id: Option<&'static str>| {
        let request = client()
            .get(nginx.url() + "/api/v1/relayers?page=secret")
            .header("Authorization", secret);
        id.map_or_else(
            || request.try_clone().unwrap(),
            |id| request.try_clone().unwrap().header("x-request-id", id),
        )
    };
    get(Some("order-7")).send().await.unwrap();
    get(None).send().await.unwrap();
    let ids: Vec<String> = instances[0]
        .heard()
        .iter()
        .map(|heard| header(&heard.head, "x-request-id"))
        .collect();
    assert_eq!(ids[0], "order-7");
    assert_eq!(ids[1].len(), 32, "nginx's own: {}", ids[1]);
    let log = until_logged(&nginx, 2).await;
    assert!(
        log.contains(r#""request_id":"order-7""#) && log.contains(&ids[1]),
        "{log}"
    );
    assert!(
        !log.contains("secret"),
        "neither keys nor query strings: {log}"
    );
}

#[tokio::test]
async fn health_is_an_instances_and_figures_are_for_this_machine_only() {
    let (instances, nginx) = start([Habit::Answer]).await;
    assert_eq!(call(&nginx, "GET", "/health", None).await.status(), 200);
    assert!(
        instances[0].heard()[0]
            .head
            .starts_with("GET /api/v1/health ")
    );
    let figures = call(&nginx, "GET", "/nginx_status", None).await;
    assert!(figures.text().await.unwrap().contains("Active connections"));
    let elsewhere = Client::builder()
        .local_address(std::net::IpAddr::from([127, 0, 0, 2]))
        .build()
        .unwrap();
    let refused = elsewhere
        .get(nginx.url() + "/nginx_status")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn instances_come_and_go_while_calls_are_under_way() {
    let first = Upstream::start("first", Habit::Wait).await;
    let second = Upstream::start("second", Habit::Answer).await;
    let mut nginx = Nginx::start(&[first.address]).await.unwrap();
    let (client, url) = (client(), nginx.url() + SEND);
    let begun = client.post(&url).send();
    let begun = tokio::spawn(async move { begun.await.unwrap().text().await.unwrap() });
    first.until(1).await;
    nginx.set_instances(&[second.address]).await.unwrap();
    for _ in 0..5 {
        let answer = crate::nginx::client().post(&url).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "second");
    }
    first.open();
    assert_eq!(
        begun.await.unwrap(),
        "first",
        "what was under way is finished"
    );
    assert_eq!(first.count(), 1);
}

/// Each instance of compose under a loopback address: this machine cannot resolve compose's names, and its nginx need
/// not know `resolve`.
#[test]
fn nginx_takes_the_files_of_compose() {
    let folder = tempfile::tempdir().unwrap();
    let (path, anywhere) = (folder.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    write_nginx_files(path, &[anywhere], "8080").unwrap();
    let lines = upstream_lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let mut upstreams = String::new();
    for (number, line) in lines.iter().enumerate() {
        let (_name, rest) = line.split_once(':').expect("a port");
        upstreams += &format!(
            "server 127.0.0.{}:{}\n",
            number + 1,
            rest.replace("resolve ", "")
        );
    }
    fs::write(path.join("upstreams.conf"), upstreams).unwrap();
    fs::copy(
        deploy("compose/nginx/listen.conf"),
        path.join("listen.conf"),
    )
    .unwrap();
    run(&mut check(path));
    fs::write(
        path.join("upstreams.conf"),
        "server 127.0.0.1:1 max_fail=3;",
    )
    .unwrap();
    let refused = output(&mut check(path));
    assert!(
        !refused.status.success() && told(&refused).contains("max_fail"),
        "a mistake is found"
    );
}

#[test]
fn nginx_takes_the_tls_listener_of_compose() {
    let folder = tempfile::tempdir().unwrap();
    let (path, anywhere) = (folder.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    write_nginx_files(path, &[anywhere], "8080").unwrap();
    let key = path.join("nginx.key").display().to_string();
    let certificate = path.join("nginx.crt").display().to_string();
    let made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let named = [
        "-subj",
        "/CN=localhost",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    run(Command::new("openssl").args(made).args(named));
    let listen = read(&deploy("compose/nginx/listen-tls.conf"));
    let here = listen
        .replace("/etc/baton-tls/nginx.crt", &certificate)
        .replace("/run/secrets/nginx_key", &key);
    assert_ne!(listen, here);
    fs::write(path.join("listen.conf"), here).unwrap();
    run(&mut check(path));
}

/// What stands behind `server` in compose's list.
pub(crate) fn upstream_lines() -> Vec<String> {
    let text = read(&deploy("compose/nginx/upstreams.conf"));
    text.lines()
        .filter_map(|line| line.strip_prefix("server "))
        .map(str::to_owned)
        .collect()
}

async fn start<const N: usize>(habits: [Habit; N]) -> (Vec<Upstream>, Nginx) {
    let mut instances = Vec::new();
    for (number, habit) in habits.into_iter().enumerate() {
        instances.push(Upstream::start(&number.to_string(), habit).await);
    }
    let addresses: Vec<SocketAddr> = instances.iter().map(|instance| instance.address).collect();
    let nginx = Nginx::start(&addresses).await.unwrap();
    (instances, nginx)
}

async fn call(nginx: &Nginx, method: &str, path: &str, key: Option<&str>) -> Response {
    let request = client()
        .request(method.parse().unwrap(), nginx.url() + path)
        .body("{}");
    let request = match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    };
    request.send().await.unwrap()
}

fn client() -> Client {
    static CLIENT: OnceLock<()> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let provider = rustls::crypto::ring::default_provider();
        // Another test of this process may have done it.
        let _installed = provider.install_default();
    });
    Client::builder().timeout(PATIENCE).build().unwrap()
}

/// The log is written when a call has ended, which is after its answer.
async fn until_logged(nginx: &Nginx, calls: usize) -> String {
    let logged = async {
        loop {
            let log = nginx.log();
            if log.matches(r#""request_id":"#).count() >= calls {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, logged)
        .await
        .expect("the calls are logged")
}

fn total(instances: &[Upstream]) -> usize {
    instances.iter().map(Upstream::count).sum()
}

fn header(head: &str, name: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value);
    found.collect::<Vec<_>>().join(",")
}

/// Where nobody listens.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

fn check(folder: &std::path::Path) -> Command {
    let mut command = Command::new(nginx_program().unwrap());
    command
        .arg("-t")
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"));
    command
}
