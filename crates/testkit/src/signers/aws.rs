//! AWS KMS with Signature Version 4, and the places where AWS gives credentials: STS for a web
//! identity, a container's agent, an instance's metadata.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::control::{KeyFault, Step};
use super::key::ServiceKey;
use super::server::{Asked, Fake, Given, KeyService, form, now};

/// How far the time of a request may be off, in seconds.
const SKEW_MAX: u64 = 300;

/// What the service is set up with.
#[derive(Clone, Debug)]
pub struct AwsFake {
    /// Region that requests must be signed for.
    pub region: &'static str,
    /// Keys by id; each also has an ARN. An `alias/` may stand for one.
    pub keys: BTreeMap<String, AwsKey>,
    /// How long credentials that are given out last, in seconds.
    pub session_seconds: u64,
}

/// A key of KMS.
#[derive(Clone, Debug)]
pub struct AwsKey {
    /// The key itself.
    pub key: ServiceKey,
    /// `KeySpec`, as shown.
    pub spec: &'static str,
    /// Whether it may be used.
    pub enabled: bool,
}

struct Server {
    setup: AwsFake,
    sessions: Arc<AtomicU64>,
}

/// The parts of an `Authorization` header.
struct Claimed<'a> {
    key_id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    names: Vec<&'a str>,
    signature: &'a str,
}

impl AwsFake {
    /// The access key that is good for ever.
    pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
    /// Its secret.
    pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    /// What a cluster gives its programs to show.
    pub const WEB_IDENTITY: &str = "header.web-identity.signature";
    /// What a container's agent wants to see.
    pub const CONTAINER_TOKEN: &str = "container-authorization";
    /// The role that web identities may take on.
    pub const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/baton";

    /// One key under an id, in `eu-west-1`.
    pub fn with_key(id: &str, key: ServiceKey) -> Self {
        let key = AwsKey {
            key,
            spec: "ECC_SECG_P256K1",
            enabled: true,
        };
        Self {
            region: "eu-west-1",
            keys: BTreeMap::from([(id.to_owned(), key)]),
            session_seconds: 3600,
        }
    }

    /// Starts the service.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(self) -> io::Result<KeyService> {
        KeyService::start(Server {
            setup: self,
            sessions: Arc::default(),
        })
        .await
    }

    fn arn(&self, id: &str) -> String {
        format!("arn:aws:kms:{}:123456789012:key/{id}", self.region)
    }
}

impl Fake for Server {
    fn step(&self, asked: &Asked) -> Step {
        match asked.header("x-amz-target") {
            "TrentService.Sign" => Step::Sign,
            "" => Step::Login,
            _ => Step::Read,
        }
    }

    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        match asked.path.as_str() {
            "/" if asked.header("x-amz-target").is_empty() => self.assume(asked),
            "/" => match self.check(asked) {
                Ok(()) => self.kms(asked, fault),
                Err((name, text)) => fail(400, name, &text),
            },
            "/container" if asked.header("authorization") == AwsFake::CONTAINER_TOKEN => {
                self.session("container")
            }
            "/latest/api/token" if asked.method == "PUT" => plain("instance-session"),
            "/latest/meta-data/iam/security-credentials/" if is_instance(asked) => plain("role-1"),
            "/latest/meta-data/iam/security-credentials/role-1" if is_instance(asked) => {
                self.session("instance")
            }
            _ => fail(403, "AccessDeniedException", "no"),
        }
    }

    fn error(&self, status: u16, text: &str) -> Given {
        let name = match status {
            // An outdated key is told with status 400; this stands for what 401 is elsewhere.
            401 => "ExpiredTokenException",
            403 => "AccessDeniedException",
            429 => "ThrottlingException",
            404 => "NotFoundException",
            400 => "ValidationException",
            _ => "KMSInternalException",
        };
        fail(status, name, text)
    }
}

impl Server {
    fn kms(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        let body = asked.json();
        let named = body["KeyId"].as_str().unwrap_or_default();
        let found = self
            .setup
            .keys
            .iter()
            .find(|(id, _)| named == id.as_str() || named == self.setup.arn(id));
        let Some((id, key)) = found else {
            return fail(400, "NotFoundException", "Invalid keyId");
        };
        if !key.enabled {
            return fail(400, "DisabledException", "the key is disabled");
        }
        if asked.header("x-amz-target") == "TrentService.GetPublicKey" {
            return amz(&json!({
                "KeyId": self.setup.arn(id),
                "PublicKey": STANDARD.encode(key.key.der()),
                "KeySpec": key.spec, "KeyUsage": "SIGN_VERIFY",
                "SigningAlgorithms": ["ECDSA_SHA_256"],
            }));
        }
        let hash = STANDARD.decode(body["Message"].as_str().unwrap_or_default());
        let hash = hash.ok().filter(|hash| hash.len() == 32);
        let plain = body["MessageType"] == "DIGEST" && body["SigningAlgorithm"] == "ECDSA_SHA_256";
        let Some(hash) = hash.filter(|_| plain) else {
            return fail(400, "ValidationException", "Digest is invalid length");
        };
        let signature = key
            .key
            .sign_der(&hash, fault)
            .unwrap_or_else(|| vec![0x30, 2, 1, 0]);
        amz(&json!({
            "KeyId": self.setup.arn(id), "Signature": STANDARD.encode(signature),
            "SigningAlgorithm": "ECDSA_SHA_256",
        }))
    }

    /// Computes the request's signature again.
    fn check(&self, asked: &Asked) -> Result<(), (&'static str, String)> {
        let incomplete = || ("IncompleteSignatureException", "Authorization".to_owned());
        let claimed = claimed(asked.header("authorization")).ok_or_else(incomplete)?;
        let date = asked.header("x-amz-date");
        if !date.starts_with(claimed.day) || age(date).is_none_or(|age| age > SKEW_MAX) {
            let text = format!("Signature expired or not yet current: {date}");
            return Err(("InvalidSignatureException", text));
        }
        let secret = self.secret(&claimed, asked).ok_or_else(|| {
            let text = "The security token included in the request is invalid.";
            ("UnrecognizedClientException", text.to_owned())
        })?;
        for needed in ["host", "x-amz-date", "content-type", "x-amz-target"] {
            if !claimed.names.contains(&needed) {
                return Err((
                    "InvalidSignatureException",
                    format!("{needed} is not signed"),
                ));
            }
        }
        if claimed.region != self.setup.region || claimed.service != "kms" {
            let text = format!("Credential should be scoped to {}/kms", self.setup.region);
            return Err(("InvalidSignatureException", text));
        }
        if signature(&claimed, &secret, asked) != claimed.signature {
            let text = "The request signature we calculated does not match the signature you \
                        provided.";
            return Err(("InvalidSignatureException", text.to_owned()));
        }
        Ok(())
    }

    /// The secret of the access key that signed. A session's needs its token, signed too.
    fn secret(&self, claimed: &Claimed<'_>, asked: &Asked) -> Option<String> {
        if claimed.key_id == AwsFake::ACCESS_KEY_ID {
            return Some(AwsFake::SECRET_ACCESS_KEY.to_owned());
        }
        let number: u64 = claimed.key_id.strip_prefix("ASIA")?.parse().ok()?;
        let token = asked.header("x-amz-security-token");
        let signed = claimed.names.contains(&"x-amz-security-token");
        let known = number <= self.sessions.load(Ordering::SeqCst);
        (known && signed && token == format!("session-token-{number}"))
            .then(|| format!("session-secret-{number}"))
    }

    fn assume(&self, asked: &Asked) -> Given {
        let fields = form(&asked.body);
        let wanted = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", AwsFake::ROLE_ARN),
            ("WebIdentityToken", AwsFake::WEB_IDENTITY),
        ];
        let given = |name| fields.get(name).map(String::as_str);
        if wanted
            .iter()
            .any(|(name, value)| given(*name) != Some(*value))
        {
            return Given {
                status: 400,
                kind: "text/xml",
                body: "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no such \
                       identity</Message></Error></ErrorResponse>"
                    .to_owned(),
            };
        }
        let (number, end) = self.next_session();
        Given {
            status: 200,
            kind: "text/xml",
            body: format!(
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                 <AccessKeyId>ASIA{number}</AccessKeyId>\
                 <SecretAccessKey>session-secret-{number}</SecretAccessKey>\
                 <SessionToken>session-token-{number}</SessionToken>\
                 <Expiration>{end}</Expiration></Credentials>\
                 </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            ),
        }
    }

    fn session(&self, kind: &str) -> Given {
        let (number, end) = self.next_session();
        Given::json(
            200,
            &json!({
                "Code": "Success", "Type": kind, "AccessKeyId": format!("ASIA{number}"),
                "SecretAccessKey": format!("session-secret-{number}"),
                "Token": format!("session-token-{number}"), "Expiration": end,
            }),
        )
    }

    fn next_session(&self) -> (u64, String) {
        let number = self.sessions.fetch_add(1, Ordering::SeqCst) + 1;
        let (year, month, day, second) = date(now() + self.setup.session_seconds);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let end = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        (number, end)
    }
}

fn is_instance(asked: &Asked) -> bool {
    asked.header("x-aws-ec2-metadata-token") == "instance-session"
}

fn claimed(header: &str) -> Option<Claimed<'_>> {
    let rest = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let mut parts = rest.split(',').map(str::trim);
    let credential = parts.next()?.strip_prefix("Credential=")?;
    let names = parts.next()?.strip_prefix("SignedHeaders=")?;
    let signature = parts.next()?.strip_prefix("Signature=")?;
    let scope: Vec<&str> = credential.split('/').collect();
    let [key_id, day, region, service, "aws4_request"] = scope[..] else {
        return None;
    };
    Some(Claimed {
        key_id,
        day,
        region,
        service,
        names: names.split(';').collect(),
        signature,
    })
}

fn signature(claimed: &Claimed<'_>, secret: &str, asked: &Asked) -> String {
    let mut canonical = format!("{}\n{}\n{}\n", asked.method, asked.path, asked.query);
    for name in &claimed.names {
        canonical += &format!("{name}:{}\n", asked.header(name).trim());
    }
    let body = hex::encode(Sha256::digest(&asked.body));
    canonical += &format!("\n{}\n{body}", claimed.names.join(";"));
    let scope = [claimed.day, claimed.region, claimed.service, "aws4_request"];
    let to_sign = [
        "AWS4-HMAC-SHA256",
        asked.header("x-amz-date"),
        &scope.join("/"),
        &hex::encode(Sha256::digest(canonical)),
    ];
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope {
        key = mac(&key, part);
    }
    hex::encode(mac(&key, &to_sign.join("\n")))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// How far a time like `20150830T123600Z` is from now, in seconds.
fn age(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let seconds = number(9..11)? * 3600 + number(11..13)? * 60 + number(13..15)?;
    let today = now() / 86_400;
    // Requests that are signed for another day than these three are too old anyhow.
    let days = [today - 1, today, today + 1];
    let of_day = days.into_iter().find(|at| {
        let (y, m, d, _) = date(at * 86_400);
        (y, m, d) == (year, month, day)
    })?;
    Some((of_day * 86_400 + seconds).abs_diff(now()))
}

/// Year, month, day and second of the day of a time since the Unix epoch.
fn date(time: u64) -> (u64, u64, u64, u64) {
    let (mut days, second) = (time / 86_400, time % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1, second)
}

fn plain(text: &str) -> Given {
    Given {
        status: 200,
        kind: "text/plain",
        body: text.to_owned(),
    }
}

fn amz(body: &Value) -> Given {
    Given {
        status: 200,
        kind: "application/x-amz-json-1.1",
        body: body.to_string(),
    }
}

fn fail(status: u16, name: &str, text: &str) -> Given {
    Given {
        status,
        kind: "application/x-amz-json-1.1",
        body: json!({ "__type": name, "message": text }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1, 0));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0));
        assert_eq!(date(1_440_938_160), (2015, 8, 30, 45_360));
        assert_eq!(date(1_767_225_599), (2025, 12, 31, 86_399));
    }
}
