//! Every limit of a listener and its connections, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Connection, DEADLINE, Server, get, read_to_close};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::get as on_get;
use baton_edge::{ConnectionLimits, Drained, PeerAddr};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, timeout};

fn hello() -> Router {
    Router::new().route("/", on_get(|| async { "hello" }))
}

/// A router whose one handler tells when it was entered and waits until it is let go.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let entered = Arc::new(Notify::new());
    let release = Arc::new(Notify::new());
    let (tell, wait) = (entered.clone(), release.clone());
    let handler = move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    (Router::new().route("/", on_get(handler)), entered, release)
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let server = Server::plain(hello()).await;
    let mut connection = server.connect().await;
    for _ in 0..3 {
        let answer = connection.send(get("/")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, "hello")
        );
    }
}

#[tokio::test]
async fn handlers_see_the_address_of_the_peer() {
    let handler = |extensions: axum::http::Extensions| async move {
        extensions.get::<PeerAddr>().unwrap().0.to_string()
    };
    let server = Server::plain(Router::new().route("/", on_get(handler))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let address = stream.local_addr().unwrap().to_string();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.ends_with(&address), "{answer}");
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let limits = ConnectionLimits {
        head_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_secs(3600),
        ..Default::default()
    };
    let server = Server::start(hello(), limits).await;
    for requests_before in 0..3 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for _ in 0..requests_before {
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
            }
        }
        let started = Instant::now();
        let mut tick = interval(Duration::from_millis(20));
        let trickle = async {
            let head = b"GET / HTTP/1.1\r\nhost: t\r\nx: ".iter();
            for byte in head.chain(std::iter::repeat(&b'a')) {
                tick.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        };
        timeout(DEADLINE, trickle).await.expect("cut off in time");
        let lasted = started.elapsed();
        assert!(
            lasted >= Duration::from_millis(150),
            "{requests_before}: {lasted:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_new_connection_is_closed_after_the_head_time_out() {
    let limits = ConnectionLimits {
        head_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let server = Server::start(hello(), limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_idle_time_out() {
    let limits = ConnectionLimits {
        head_timeout: Duration::from_secs(3600),
        idle_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let server = Server::start(hello(), limits).await;
    let mut connection = server.connect().await;
    assert_eq!(connection.send(get("/")).await.status, StatusCode::OK);
    connection.closed().await;
}

#[tokio::test]
async fn a_connection_may_idle_longer_than_a_head_may_take() {
    let limits = ConnectionLimits {
        head_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_secs(3600),
        ..Default::default()
    };
    let server = Server::start(hello(), limits).await;
    let mut connection = server.connect().await;
    assert_eq!(connection.send(get("/")).await.status, StatusCode::OK);
    // Another connection's time-out shows that enough time has passed for this one's.
    for _ in 0..3 {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(read_to_close(&mut silent).await, "");
    }
    assert_eq!(connection.send(get("/")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_may_take_longer_than_a_connection_may_idle() {
    let limits = ConnectionLimits {
        head_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let (router, entered, release) = gated();
    let server = Server::start(router, limits).await;
    let mut connection = server.connect().await;
    let client = tokio::spawn(async move { connection.send(get("/")).await });
    entered.notified().await;
    for _ in 0..3 {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(read_to_close(&mut silent).await, "");
    }
    release.notify_one();
    assert_eq!(client.await.unwrap().body, "done");
}

#[tokio::test]
async fn a_peer_that_takes_no_byte_of_its_answer_is_cut_off() {
    let limits = ConnectionLimits {
        write_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let dropped = Arc::new(Notify::new());
    let told = dropped.clone();
    let endless = move || {
        let guard = NotifyOnDrop(told.clone());
        async move {
            let body = stream::unfold(guard, |guard| async move {
                Some((Ok::<_, std::io::Error>(Bytes::from(vec![0; 65536])), guard))
            });
            Body::from_stream(body)
        }
    };
    let server = Server::start(Router::new().route("/", on_get(endless)), limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
        .await
        .unwrap();
    timeout(DEADLINE, dropped.notified())
        .await
        .expect("cut off in time");
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn heads_beyond_their_limits_are_answered_with_431() {
    let limits = ConnectionLimits {
        head_bytes: 1024,
        headers: 10,
        ..Default::default()
    };
    let server = Server::start(hello(), limits).await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n",
        "a".repeat(2000)
    );
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(2000));
    let many = format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: 1\r\n".repeat(10));
    for head in [large, long_path, many] {
        let answer = server.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let fits = format!(
        "GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{}\r\n",
        "x: 1\r\n".repeat(8)
    );
    let answer = server.raw(fits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_answered_with_400_and_closed() {
    let server = Server::plain(hello()).await;
    let cases: [&[u8]; 7] = [
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: t\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client\r\n\r\n",
    ];
    for bytes in cases {
        let answer = server.raw(bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = ConnectionLimits {
        connections: 1,
        ..Default::default()
    };
    let server = Server::start(hello(), limits).await;
    let mut first = server.connect().await;
    assert_eq!(first.send(get("/")).await.status, StatusCode::OK);
    let address = server.address;
    let second = tokio::spawn(async move { Connection::open(address).await.send(get("/")).await });
    // Time enough for the second to be answered, if it were let in.
    for _ in 0..20 {
        assert_eq!(first.send(get("/")).await.status, StatusCode::OK);
    }
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn draining_answers_requests_in_flight_and_closes_idle_connections() {
    let (router, entered, release) = gated();
    let server = Server::plain(router.route("/quick", on_get(|| async { "quick" }))).await;
    let address = server.address;
    let mut idle = server.connect().await;
    assert_eq!(idle.send(get("/quick")).await.status, StatusCode::OK);
    let mut busy = server.connect().await;
    let client = tokio::spawn(async move {
        let answer = busy.send(get("/")).await;
        (answer, busy)
    });
    entered.notified().await;

    let ended = server.stop();
    idle.closed().await;
    assert!(!ended.is_finished());
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, refused).await.expect("no new connection");

    release.notify_one();
    let (answer, mut busy) = client.await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "done")
    );
    busy.closed().await;
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!(
        drained,
        Drained {
            open: 2,
            finished: 2,
            cut: 0
        }
    );
}

#[tokio::test]
async fn draining_cuts_what_is_left_at_the_deadline() {
    let limits = ConnectionLimits {
        drain: Duration::from_millis(50),
        ..Default::default()
    };
    let (router, entered, _release) = gated();
    let server = Server::start(router, limits).await;
    let mut connection = server.connect().await;
    let client = tokio::spawn(async move { connection.try_send(get("/")).await });
    entered.notified().await;
    let drained = timeout(DEADLINE, server.stop()).await.unwrap().unwrap();
    assert_eq!(
        drained,
        Drained {
            open: 1,
            finished: 0,
            cut: 1
        }
    );
    assert!(client.await.unwrap().is_err());
}

#[tokio::test]
async fn draining_without_connections_ends_at_once() {
    let server = Server::plain(hello()).await;
    let drained = timeout(DEADLINE, server.stop()).await.unwrap().unwrap();
    assert_eq!(
        drained,
        Drained {
            open: 0,
            finished: 0,
            cut: 0
        }
    );
}
