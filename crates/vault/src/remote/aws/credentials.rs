//! Where AWS credentials come from: keys, web identity (EKS), the shared file, a container's agent
//! (ECS, EKS), the instance (EC2). The first that is configured is used.

use std::path::PathBuf;
use std::sync::Arc;

use baton_model::Timestamp;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::regional;
use super::sigv4::Credentials;
use crate::Secret;
use crate::remote::fault::Fault;
use crate::remote::http::{Answer, Ask, Http, below, service_url};
use crate::remote::token::Fresh;
use crate::remote::{AwsAmbient, Clock, OpenError, RemoteOptions};

/// Where a container's agent listens on ECS.
const ECS_AGENT: &str = "http://169.254.170.2";
/// Where an instance's metadata is.
const INSTANCE: &str = "http://169.254.169.254";
/// How long a session with the instance's metadata may last: AWS's maximum.
const INSTANCE_SESSION: &str = "21600";
const SESSION_NAME: &str = "baton";
const NONE_FOUND: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given";

/// Gets credentials.
pub(super) struct Provider {
    source: Source,
    http: Http,
    clock: Clock,
}

enum Source {
    Keys(Credentials),
    WebIdentity {
        sts: Url,
        role_arn: String,
        session: String,
        token_file: String,
    },
    SharedFile {
        path: PathBuf,
        profile: String,
    },
    Container {
        url: Url,
        token: Option<Secret>,
        token_file: Option<String>,
    },
    Instance {
        base: Url,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
    expiration: Option<String>,
}

impl Provider {
    pub(super) fn new(
        region: &str,
        http: Http,
        options: &RemoteOptions,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            source: choose(&options.ambient.aws, region)?,
            http,
            clock: Clock::clone(&options.clock),
        })
    }

    pub(super) async fn fetch(&self) -> Result<Fresh<Arc<Credentials>>, Fault> {
        match &self.source {
            Source::Keys(keys) => Ok(Fresh {
                value: Arc::new(keys.clone()),
                ends: None,
            }),
            Source::WebIdentity {
                sts,
                role_arn,
                session,
                token_file,
            } => self
                .assume(sts, role_arn, session, token_file)
                .await
                .map_err(|fault| fault.during("AWS web identity")),
            Source::SharedFile { path, profile } => from_file(path, profile),
            Source::Container {
                url,
                token,
                token_file,
            } => self
                .ask_container(url, token.as_ref(), token_file.as_deref())
                .await
                .map_err(|fault| fault.during("AWS container credentials")),
            Source::Instance { base } => self
                .ask_instance(base)
                .await
                .map_err(|fault| fault.during("AWS instance credentials").advise(NONE_FOUND)),
        }
    }

    async fn assume(
        &self,
        sts: &Url,
        role_arn: &str,
        session: &str,
        token_file: &str,
    ) -> Result<Fresh<Arc<Credentials>>, Fault> {
        let token = read_token(token_file)?;
        let ask = Ask::new(Method::POST, sts.clone()).hide(&token).form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role_arn),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.expose()),
        ]);
        let answer = self.http.ask(ask).await?;
        if !answer.is_success() {
            let said = element(answer.text(), "Message").unwrap_or_default();
            return Err(answer.fault(said));
        }
        let text = answer.text();
        let wanted = |name| {
            element(text, name)
                .map(str::to_owned)
                .ok_or_else(|| Fault::passing(format!("the answer has no {name}")))
        };
        self.fresh(Given {
            access_key_id: wanted("AccessKeyId")?,
            secret_access_key: Secret::new(wanted("SecretAccessKey")?),
            token: Some(Secret::new(wanted("SessionToken")?)),
            expiration: Some(wanted("Expiration")?),
        })
    }

    async fn ask_container(
        &self,
        url: &Url,
        token: Option<&Secret>,
        token_file: Option<&str>,
    ) -> Result<Fresh<Arc<Credentials>>, Fault> {
        let mut ask = Ask::new(Method::GET, url.clone());
        let from_file = token_file.map(read_token).transpose()?;
        if let Some(token) = from_file.as_ref().or(token) {
            ask = ask.secret_header("authorization", token);
        }
        let answer = self.http.ask(ask).await?;
        self.fresh(success(&answer)?.json()?)
    }

    async fn ask_instance(&self, base: &Url) -> Result<Fresh<Arc<Credentials>>, Fault> {
        let url = below(base, ["latest", "api", "token"]);
        let ask = Ask::new(Method::PUT, url)
            .header("x-aws-ec2-metadata-token-ttl-seconds", INSTANCE_SESSION);
        let answer = self.http.ask(ask).await?;
        let session = Secret::new(success(&answer)?.text().trim());
        let roles = ["latest", "meta-data", "iam", "security-credentials", ""];
        let read = async |url| {
            let ask = Ask::new(Method::GET, url);
            let ask = ask.secret_header("x-aws-ec2-metadata-token", &session);
            self.http.ask(ask).await
        };
        let answer = read(below(base, roles)).await?;
        let role = success(&answer)?.text().trim().to_owned();
        let answer = read(below(base, [&roles[..4], &[role.as_str()]].concat())).await?;
        self.fresh(success(&answer)?.json()?)
    }

    fn fresh(&self, given: Given) -> Result<Fresh<Arc<Credentials>>, Fault> {
        let ends = given.expiration.as_deref().map(end).transpose()?;
        if ends.is_some_and(|ends| ends <= (self.clock)()) {
            return Err(Fault::passing("the credentials given have ended already")
                .advise("check this machine's clock"));
        }
        let value = Arc::new(Credentials {
            access_key_id: given.access_key_id,
            secret_access_key: given.secret_access_key,
            session_token: given.token,
        });
        Ok(Fresh { value, ends })
    }
}

fn choose(sources: &AwsAmbient, region: &str) -> Result<Source, OpenError> {
    if let (Some(id), Some(secret)) = (&sources.access_key_id, &sources.secret_access_key) {
        return Ok(Source::Keys(Credentials {
            access_key_id: id.clone(),
            secret_access_key: secret.clone(),
            session_token: sources.session_token.clone(),
        }));
    }
    if let (Some(file), Some(role)) = (&sources.web_identity_token_file, &sources.role_arn) {
        let session = sources.role_session_name.as_deref();
        return Ok(Source::WebIdentity {
            sts: match &sources.sts_endpoint {
                Some(endpoint) => service_url("AWS_ENDPOINT_URL_STS", endpoint)?,
                None => regional("sts", region)?,
            },
            role_arn: role.clone(),
            session: session.unwrap_or(SESSION_NAME).to_owned(),
            token_file: file.clone(),
        });
    }
    let shared = sources.shared_file.as_ref().map(PathBuf::from);
    if let Some(path) = shared.filter(|path| path.is_file() || sources.profile.is_some()) {
        let profile = sources.profile.as_deref().unwrap_or("default").to_owned();
        return Ok(Source::SharedFile { path, profile });
    }
    let container = match (&sources.container_relative_uri, &sources.container_full_uri) {
        (Some(path), _) => Some(format!("{ECS_AGENT}{path}")),
        (None, full) => full.clone(),
    };
    if let Some(container) = container {
        return Ok(Source::Container {
            url: service_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)?,
            token: sources.container_token.clone(),
            token_file: sources.container_token_file.clone(),
        });
    }
    if sources.metadata_disabled {
        return Err(OpenError::Refused {
            reason: format!("no AWS credentials: {NONE_FOUND}"),
        });
    }
    let base = sources.metadata_endpoint.as_deref().unwrap_or(INSTANCE);
    Ok(Source::Instance {
        base: service_url("AWS_EC2_METADATA_SERVICE_ENDPOINT", base)?,
    })
}

/// Keys that stand in a profile of the shared file. Profiles that say how to get keys (roles,
/// sign-on, programs) are not followed.
fn from_file(path: &PathBuf, profile: &str) -> Result<Fresh<Arc<Credentials>>, Fault> {
    let what = format!("AWS credentials file {}", path.display());
    let text = std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| Fault::lasting(format!("{what}: {error}")))?;
    let mut inside = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = name.trim() == profile;
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else {
            continue;
        };
        let value = value.trim();
        match name.trim() {
            "aws_access_key_id" => id = Some(value.to_owned()),
            "aws_secret_access_key" => secret = Some(Secret::new(value)),
            "aws_session_token" => token = Some(Secret::new(value)),
            _ => {}
        }
    }
    let (Some(access_key_id), Some(secret_access_key)) = (id, secret) else {
        return Err(Fault::lasting(format!(
            "{what}: profile {profile} has no aws_access_key_id and aws_secret_access_key; other \
             ways of getting credentials by a profile are not supported"
        )));
    };
    let value = Arc::new(Credentials {
        access_key_id,
        secret_access_key,
        session_token: token,
    });
    Ok(Fresh { value, ends: None })
}

fn read_token(path: &str) -> Result<Secret, Fault> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::lasting(format!("token file {path}: {error}")))?;
    Ok(Secret::new(text.trim()))
}

fn success(answer: &Answer) -> Result<&Answer, Fault> {
    if answer.is_success() {
        return Ok(answer);
    }
    Err(answer.fault(""))
}

fn end(text: &str) -> Result<Timestamp, Fault> {
    let unreadable = || Fault::passing("the credentials' end is not a time");
    let time: jiff::Timestamp = text.parse().map_err(|_| unreadable())?;
    let millis = u64::try_from(time.as_millisecond()).map_err(|_| unreadable())?;
    Ok(Timestamp::from_millis(millis))
}

/// The text of the first element of a name. STS's answers have each once, without attributes.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}
