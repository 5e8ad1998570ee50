//! Talking to a Vault server with a token that is kept fresh.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Secret;
use crate::remote::fault::{Fault, FaultKind};
use crate::remote::http::{Answer, Ask, Http, below, service_url};
use crate::remote::token::{Fresh, Held};
use crate::remote::{Clock, HashicorpConfig, OpenError, RemoteOptions};

const LOGIN_ADVICE: &str = "check role_id, secret_id and namespace, and that the secret id has neither expired nor \
     been used up";

/// A server and a role.
pub(super) struct VaultServer {
    http: Http,
    base: Url,
    namespace: Option<String>,
    role_id: Secret,
    secret_id: Secret,
    token: Held<Secret>,
    clock: Clock,
}

#[derive(Deserialize)]
struct Login {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Secret,
    /// Seconds; 0 for a token that does not end.
    lease_duration: u64,
}

impl VaultServer {
    pub(super) fn new(
        config: &HashicorpConfig,
        options: &RemoteOptions,
    ) -> Result<Self, OpenError> {
        let address = service_url("address", &config.address)?;
        Ok(Self {
            http: Http::new(&options.limits)?,
            base: below(&address, ["v1"]),
            namespace: config.namespace.clone(),
            role_id: config.role_id.clone(),
            secret_id: config.secret_id.clone(),
            token: Held::new(Clock::clone(&options.clock)),
            clock: Clock::clone(&options.clock),
        })
    }

    /// Reads a path.
    pub(super) async fn read(&self, path: &[&str]) -> Result<Answer, Fault> {
        self.ask(Method::GET, path, None).await
    }

    /// Writes to a path.
    pub(super) async fn write(&self, path: &[&str], body: &Value) -> Result<Answer, Fault> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Gives the token back, when nothing more will be asked. If that fails it expires by itself.
    pub(super) async fn log_out(&self) {
        let Some(token) = self.token.take().await else {
            return;
        };
        let ask = self
            .prepare(Method::POST, &["auth", "token", "revoke-self"])
            .secret_header("x-vault-token", &token);
        let _expires_by_itself = self.http.ask(ask).await;
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answer, Fault> {
        let token = self.token.get(self.log_in()).await?;
        let mut ask = self.prepare(method, path);
        ask = ask.secret_header("x-vault-token", &token.value);
        if let Some(body) = body {
            ask = ask.json(body);
        }
        let answer = self.http.ask(ask).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let fault = failure(&answer);
        if fault.kind == FaultKind::Credentials {
            self.token.refuse(&token).await;
        }
        Err(fault)
    }

    async fn log_in(&self) -> Result<Fresh<Secret>, Fault> {
        let credentials = json!({
            "role_id": self.role_id.expose(),
            "secret_id": self.secret_id.expose(),
        });
        let ask = self
            .prepare(Method::POST, &["auth", "approle", "login"])
            .json(&credentials)
            .hide(&self.role_id)
            .hide(&self.secret_id);
        let answer = self.http.ask(ask).await.map_err(|f| f.during("login"))?;
        if !answer.is_success() {
            let mut fault = failure(&answer).during("login");
            if matches!(answer.status(), 400..=404) {
                // A repetition could use up the secret id's last use.
                fault.kind = FaultKind::Lasting;
                fault = fault.advise(LOGIN_ADVICE);
            }
            return Err(fault);
        }
        let Login { auth } = answer.json().map_err(|fault| fault.during("login"))?;
        if auth.lease_duration == 0 {
            return Ok(Fresh {
                value: auth.client_token,
                ends: None,
            });
        }
        Ok(Fresh::lasting(
            auth.client_token,
            &self.clock,
            auth.lease_duration,
        ))
    }

    fn prepare(&self, method: Method, path: &[&str]) -> Ask {
        // Mount points and secrets may lie in folders.
        let segments = path.iter().flat_map(|part| part.split('/'));
        let url = below(&self.base, segments.filter(|segment| !segment.is_empty()));
        let ask = Ask::new(method, url).header("x-vault-request", "true");
        match &self.namespace {
            Some(namespace) => ask.header("x-vault-namespace", namespace),
            None => ask,
        }
    }
}

/// What an answer other than success means.
fn failure(answer: &Answer) -> Fault {
    let body = answer.value();
    let errors = body["errors"].as_array();
    let errors: Vec<&str> = errors
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let fault = answer.fault(&errors.join("; "));
    match answer.status() {
        // Both a token that has ended and a policy that does not allow it: a fresh token tells.
        403 => Fault {
            kind: FaultKind::Credentials,
            ..fault
        },
        // Sealed, or a standby that cannot forward; 472 and 473 are those of replicas.
        472 | 473 | 503 => Fault {
            kind: FaultKind::Passing,
            ..fault
        }
        .advise("the server is sealed or not active"),
        _ => fault,
    }
}
