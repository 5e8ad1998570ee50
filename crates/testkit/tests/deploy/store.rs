//! The Redis of compose: a real one, started by the command of compose with the file of compose.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tools::{deploy, output, read, run, told, yaml};

const PASSWORD: &str = "0b7f1f0c-8a55-4a3e-9d0e-6a1f3d6f2a10";
/// Longest wait for it to start; the machine may be compiling at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn redis_keeps_and_never_evicts_and_asks_for_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, port) = start_plain(folder.path());
    let refused = ask(port, "PING").await;
    assert!(refused.starts_with("-NOAUTH"), "{refused}");
    for (setting, value) in [
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "4294967296"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
    ] {
        let answer = ask(port, &format!("AUTH {PASSWORD}\r\nCONFIG GET {setting}")).await;
        assert!(
            answer.lines().any(|line| line == value),
            "{setting}: {answer}"
        );
    }
    let process =
        |file: &str| fs::read_to_string(format!("/proc/{}/{file}", redis.0.id())).unwrap();
    assert!(!process("cmdline").contains(PASSWORD));
    assert_eq!(
        process("comm").trim(),
        "redis-server",
        "it gets the signals itself"
    );
}

#[tokio::test]
async fn a_backup_is_restored_with_the_append_only_file_that_redis_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("dump.rdb"));
    fs::create_dir(&data).unwrap();
    let (redis, port) = start_plain(&data);
    ask(
        port,
        &format!("AUTH {PASSWORD}\r\nSET kept 1\r\nSAVE\r\nSET later 2"),
    )
    .await;
    fs::copy(data.join("dump.rdb"), &backup).unwrap();
    drop(redis);
    let restore = |dump: &Path| {
        let mut command = Command::new(deploy("compose/redis/restore.sh"));
        command.arg(dump).arg(&data);
        command
    };
    fs::write(folder.path().join("damaged.rdb"), "REDIS0011 and no more").unwrap();
    let refused = output(&mut restore(&folder.path().join("damaged.rdb")));
    assert!(
        !refused.status.success() && data.join("appendonlydir").exists(),
        "{}",
        told(&refused)
    );
    let restored = run(&mut restore(&backup));
    assert!(
        told(&restored).contains("restore: 1 keys"),
        "{}",
        told(&restored)
    );
    let (_redis, port) = start_plain(&data);
    let answer = ask(
        port,
        &format!("AUTH {PASSWORD}\r\nGET kept\r\nEXISTS later"),
    )
    .await;
    assert_eq!(answer, "+OK\r\n$1\r\n1\r\n:0\r\n+OK\r\n");
}

#[tokio::test]
async fn redis_takes_the_tls_file_and_then_speaks_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let port = free_port();
    let (key, certificate) = (path.join("redis.key"), path.join("redis.crt"));
    let made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    run(Command::new("openssl")
        .args(made)
        .args(["-subj", "/CN=redis", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    let plain = read(&deploy("compose/redis/redis.conf"))
        .replace("bind * -::*", "bind 127.0.0.1")
        .replace("dir /data", &format!("dir {}", path.display()));
    fs::write(path.join("plain.conf"), plain).unwrap();
    let tls = read(&deploy("compose/redis/redis-tls.conf"))
        .replace(
            "/etc/redis/plain.conf",
            &path.join("plain.conf").display().to_string(),
        )
        .replace("tls-port 6379", &format!("tls-port {port}"))
        .replace(
            "/etc/baton-tls/redis.crt",
            &certificate.display().to_string(),
        )
        .replace("/etc/baton-tls/ca.crt", &certificate.display().to_string())
        .replace("/run/secrets/redis_key", &key.display().to_string());
    fs::write(path.join("redis.conf"), tls).unwrap();
    let _redis = Redis::start("compose/docker-compose.yaml", path);
    let answer = ask(port, "PING").await;
    assert!(
        !answer.contains("PONG") && !answer.contains("NOAUTH"),
        "it does not speak without TLS: {answer}"
    );
    let asked = |with: &[&str]| ask_encrypted(port, &certificate, with);
    let identity = [
        "-cert",
        certificate.to_str().unwrap(),
        "-key",
        key.to_str().unwrap(),
    ];
    assert!(asked(&identity).contains("+PONG"));
    assert!(
        !asked(&[]).contains("+PONG"),
        "a client without a certificate is refused"
    );
}

/// The Redis of compose without TLS, on a free port and with its data in a folder.
fn start_plain(folder: &Path) -> (Redis, u16) {
    let port = free_port();
    let config = read(&deploy("compose/redis/redis.conf"))
        .replace("port 6379", &format!("port {port}"))
        .replace("bind * -::*", "bind 127.0.0.1")
        .replace("dir /data", &format!("dir {}", folder.display()));
    fs::write(folder.join("redis.conf"), config).unwrap();
    (Redis::start("compose/docker-compose.yaml", folder), port)
}

/// Asks over TLS, as an authority's client with further arguments of `openssl s_client`.
fn ask_encrypted(port: u16, authority: &Path, with: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-verify_return_error", "-CAfile"])
        .arg(authority);
    command
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(with);
    let client = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut client = client.unwrap();
    let words = format!("AUTH {PASSWORD}\r\nPING\r\nQUIT\r\n");
    // Who is refused may be gone before it has said everything.
    let _said = client.stdin.take().unwrap().write_all(words.as_bytes());
    let output = client.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Killed when it is dropped.
struct Redis(Child);

impl Redis {
    /// Runs the entry point of the service in a compose file, with a file of this machine instead of the container's.
    fn start(compose: &str, folder: &Path) -> Self {
        let file = yaml(&deploy(compose));
        let entry: Vec<&str> = file["services"]["redis"]["entrypoint"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_str().unwrap())
            .collect();
        let config = folder.join("redis.conf").display().to_string();
        let whole = folder.join("whole.conf").display().to_string();
        // Compose writes two dollars for one.
        let script = entry[2]
            .replace("$$", "$")
            .replace("/etc/redis/redis.conf", &config)
            .replace("/run/redis/redis.conf", &whole);
        let output = fs::File::create(folder.join("output")).unwrap();
        let started = Command::new(entry[0])
            .args([entry[1], &script])
            .env("REDIS_PASSWORD", PASSWORD)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        Self(started.unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Asks once it listens and has read its files, and reads until it has said all that it has to say.
async fn ask(port: u16, words: &str) -> String {
    let asked = async {
        loop {
            match ask_once(port, words).await {
                Ok(answer) if !answer.contains("-LOADING") => return answer,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    answer.expect("redis-server answers (run `scripts/tools redis`)")
}

async fn ask_once(port: u16, words: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("{words}\r\nQUIT\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    // Whoever does not understand the words may cut the connection.
    let _ended = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
