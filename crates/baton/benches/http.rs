//! Calls of the API per second, over loopback, against the program as a process of its own: `cargo bench -p baton`.
//!
//! Connections are kept, and each sends its next request when it has read the last answer. The load comes from the same
//! machine, so the rate of the clock is that of both together; the rate per core counts the engine's processor time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and ends with the first thing that does not work"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_testkit::{Anvil, AnvilOptions, Mining};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const API_KEY: &str = "0123456789abcdef0123456789abcdef";
const CONNECTIONS: [usize; 3] = [1, 64, 256];
/// How long each row is measured, and how long it runs before that.
const MEASURED: Duration = Duration::from_secs(4);
const WARMED: Duration = Duration::from_millis(500);
/// Longest wait for the engine's start.
const START_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer, head included: the largest here has some 5 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run());
}

async fn run() {
    // Nothing is mined and nothing is sent: what is posted is taken in and held.
    let options = AnvilOptions {
        mining: Mining::OnRequest,
        ..AnvilOptions::default()
    };
    let anvil = Anvil::start(&options).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(directory.path(), &anvil).await;
    let id = engine.send().await;
    println!(
        "\n| call | connections | per second | per core and second | p50 | p99 | engine's cores |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let one = format!("/api/v1/relayers/main/transactions/{id}");
    for (name, method, path) in [
        ("`GET /health`", "GET", "/api/v1/health"),
        ("`GET /relayers`", "GET", "/api/v1/relayers"),
        ("`GET …/transactions/{id}`", "GET", &one),
        (
            "`POST …/transactions`",
            "POST",
            "/api/v1/relayers/main/transactions",
        ),
    ] {
        for connections in CONNECTIONS {
            let request = engine.request(method, path);
            let row = engine.measure(&request, connections).await;
            println!("| {name} | {connections} {row}");
        }
    }
}

/// The program.
struct Engine {
    process: Child,
    address: String,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Engine {
    async fn start(directory: &Path, anvil: &Anvil) -> Self {
        let config = json!({
            "relayers": [{
                "id": "main", "name": "Main", "network": "devnet", "network_type": "evm", "paused": false,
                "signer_id": "key", "policies": { "min_balance": u128::MAX.to_string() },
            }],
            "signers": [{ "id": "key", "type": "raw_key", "config": { "key": { "type": "env", "value": "KEY" } } }],
            "notifications": [],
            "networks": [{
                "type": "evm", "network": "devnet", "chain_id": 31_337, "symbol": "ETH", "required_confirmations": 1,
                "average_blocktime_ms": 1000, "is_testnet": true, "features": ["eip1559"],
                "rpc_urls": [anvil.http_url()],
            }],
        });
        let file = directory.join("config.json");
        fs::write(&file, config.to_string()).unwrap();
        let log = directory.join("log");
        let process = Command::new(env!("CARGO_BIN_EXE_baton"))
            .args(["engine", "--config"])
            .arg(&file)
            .env_clear()
            .envs([
                ("HOST", "127.0.0.1"),
                ("APP_PORT", "0"),
                ("API_KEY", API_KEY),
                ("LOG_FORMAT", "json"),
            ])
            .envs([
                ("KEY", Anvil::DEV_KEYS[0]),
                ("MAX_CONNECTIONS", "1000"),
                ("RELAYER_CONCURRENCY_LIMIT", "1000"),
            ])
            .envs([
                ("RATE_LIMIT_REQUESTS_PER_SECOND", "1000000"),
                ("RATE_LIMIT_BURST_SIZE", "1000000"),
            ])
            .env("BATON_DATA_DIR", directory.join("data"))
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut engine = Self {
            process,
            address: String::new(),
        };
        engine.address = listening(&log).await;
        engine
    }

    fn request(&self, method: &str, path: &str) -> Vec<u8> {
        let body = match method {
            "POST" => {
                r#"{"to":"0x000000000000000000000000000000000000dEaD","value":"1","data":"0x","speed":"fast"}"#
            }
            _ => "",
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {API_KEY}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }

    /// Sends a transaction; its id.
    async fn send(&self) -> String {
        let request = self.request("POST", "/api/v1/relayers/main/transactions");
        let mut connection = Connection::open(&self.address).await;
        let body = connection.call(&request).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        answer["data"]["id"].as_str().unwrap().to_owned()
    }

    async fn measure(&self, request: &[u8], connections: usize) -> String {
        let begin = Instant::now() + WARMED;
        let end = begin + MEASURED;
        let mut all = JoinSet::new();
        for _ in 0..connections {
            let mut connection = Connection::open(&self.address).await;
            let request = request.to_vec();
            all.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let sent = Instant::now();
                    if sent >= end {
                        return times;
                    }
                    connection.call(&request).await;
                    if sent >= begin {
                        times.push(sent.elapsed());
                    }
                }
            });
        }
        tokio::time::sleep_until(begin).await;
        let before = self.processor_time();
        tokio::time::sleep_until(end).await;
        let used = (self.processor_time() - before).as_secs_f64();
        let mut times: Vec<Duration> = all.join_all().await.into_iter().flatten().collect();
        times.sort_unstable();
        let count = f64::from(u32::try_from(times.len()).unwrap());
        let at = |share: usize| {
            times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1000.0
        };
        format!(
            "| {:.0} | {:.0} | {:.2} ms | {:.2} ms | {:.2} |",
            count / MEASURED.as_secs_f64(),
            count / used,
            at(50),
            at(99),
            used / MEASURED.as_secs_f64()
        )
    }

    /// Processor time of all threads, in user and kernel mode: fields 14 and 15 of the process's `stat`.
    fn processor_time(&self) -> Duration {
        let path = PathBuf::from(format!("/proc/{}/stat", self.process.id()));
        let text = fs::read_to_string(path).unwrap();
        let (_, fields) = text.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        // A tick is 10 ms on every Linux that Rust supports.
        Duration::from_millis(ticks * 10)
    }
}

/// Where the engine says in its log that it listens.
async fn listening(log: &Path) -> String {
    let deadline = Instant::now() + START_MAX;
    loop {
        let text = fs::read_to_string(log).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut told = lines.filter(|line| line["fields"]["message"] == "listening");
        if let Some(line) = told.next() {
            return line["fields"]["address"].as_str().unwrap().to_owned();
        }
        assert!(
            Instant::now() < deadline,
            "the engine does not start: {text}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: vec![0; ANSWER_BYTES_MAX],
        }
    }

    /// Sends a request and reads its answer, which has to be a success; its body.
    async fn call(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).await.unwrap();
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(
                read > 0,
                "the engine closed the connection, or its answer is too long"
            );
            filled += read;
            if let Some(body) = complete(&self.buffer[..filled]) {
                return body.to_vec();
            }
        }
    }
}

/// The body of an answer that is all there.
fn complete(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (_, length) = head.split_once("content-length: ").expect(head);
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    (bytes.len() == end + length).then(|| &bytes[end..])
}
