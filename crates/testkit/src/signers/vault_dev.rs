//! The real HashiCorp Vault as a development server: all in memory, unsealed, with a known root token.

use std::env;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const ROOT_TOKEN: &str = "root";
/// Longest start: one to three seconds on an idle machine.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is asked whether it has started.
const POLL: Duration = Duration::from_millis(50);

/// A running server. It is killed when this is dropped.
pub struct VaultDev {
    url: String,
    client: Client,
    _process: Child,
    _home: TempDir,
}

impl VaultDev {
    /// The program: `BATON_VAULT`, or `vault` in the `PATH`. It is not needed for anything else, takes long to build,
    /// and is in no distribution's packages, so most machines have none.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration that could name the program"
    )]
    pub fn find() -> Option<PathBuf> {
        if let Some(named) = env::var_os("BATON_VAULT") {
            return Some(PathBuf::from(named));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|directory| directory.join("vault"))
            .find(|program| program.is_file())
    }

    /// Starts the program on a free port and waits until it answers.
    ///
    /// # Errors
    /// When it does not run, or does not answer in time.
    pub async fn start(program: &PathBuf) -> io::Result<Self> {
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let home = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new(program)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address={address}"))
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let client = Client::builder().no_proxy().build();
        let server = Self {
            url: format!("http://{address}"),
            client: client.map_err(io::Error::other)?,
            _process: process,
            _home: home,
        };
        let started = async {
            while server.call(Method::GET, "sys/health", None).await.is_err() {
                sleep(POLL).await;
            }
        };
        timeout(START_MAX, started)
            .await
            .map_err(|_| io::Error::other("Vault did not start in time"))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes to a path as root.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn write(&self, path: &str, body: &Value) -> io::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Reads a path as root.
    ///
    /// # Errors
    /// When there is nothing.
    pub async fn read(&self, path: &str) -> io::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Sets up a role that may read all secrets, and read and use all transit keys; its role id and secret id.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn role(&self) -> io::Result<(String, String)> {
        let policy = r#"
            path "secret/data/team/*" { capabilities = ["read"] }
            path "transit/keys/*" { capabilities = ["read"] }
            path "transit/sign/*" { capabilities = ["update"] }
        "#;
        self.write("sys/auth/approle", &json!({ "type": "approle" }))
            .await?;
        self.write("sys/mounts/transit", &json!({ "type": "transit" }))
            .await?;
        self.write("sys/policies/acl/signer", &json!({ "policy": policy }))
            .await?;
        let role = json!({ "token_policies": "signer", "token_ttl": "1h" });
        self.write("auth/approle/role/signer", &role).await?;
        let role = self.read("auth/approle/role/signer/role-id").await?;
        let secret = self
            .write("auth/approle/role/signer/secret-id", &json!({}))
            .await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((
            text(&role["data"]["role_id"]),
            text(&secret["data"]["secret_id"]),
        ))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> io::Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}/v1/{path}", self.url))
            .header("x-vault-token", ROOT_TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(io::Error::other)?;
        let status = answer.status();
        let text = answer.text().await.map_err(io::Error::other)?;
        if !status.is_success() {
            return Err(io::Error::other(format!("{path}: {status}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}
