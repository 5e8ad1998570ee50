//! AWS Signature Version 4 for requests with a known body.

use alloy_primitives::hex;
use baton_model::Timestamp;
use reqwest::Url;
use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::Secret;

/// An AWS key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
}

/// What is signed. Header names are in lower case and in order; `host` and the date come on top.
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The headers that a signed request carries besides its own.
#[derive(Debug)]
pub(super) struct SignedHeaders {
    pub(super) date: String,
    pub(super) authorization: String,
}

/// Signs a request at a time.
pub(super) fn sign(
    request: &Signable<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> SignedHeaders {
    let date = amz_date(now);
    let day = &date[..8];
    let (names, canonical) = canonical_request(request, credentials, &date);
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let key = signing_key(credentials, day, request);
    let signature = hex::encode(hmac::sign(&key, to_sign.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    );
    SignedHeaders {
        date,
        authorization,
    }
}

/// `20150830T123600Z`.
fn amz_date(now: Timestamp) -> String {
    let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The names of the signed headers, and the request in the form that is hashed.
fn canonical_request(
    request: &Signable<'_>,
    credentials: &Credentials,
    date: &str,
) -> (String, String) {
    let host = host(request.url);
    let mut headers = vec![("host", host.as_str()), ("x-amz-date", date)];
    headers.extend_from_slice(request.headers);
    let token = credentials.session_token.as_ref();
    headers.extend(token.map(|token| ("x-amz-security-token", token.expose())));
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut lines = String::new();
    for (name, value) in &headers {
        lines.push_str(&format!("{name}:{}\n", value.trim()));
    }
    let url = request.url;
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method,
        url.path(),
        canonical_query(url),
        sha256(request.body)
    );
    (names, canonical)
}

/// As the HTTP client sends it: with the port unless it is the scheme's.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The query's pairs in order. They are taken as encoded: no request of ours has one to encode.
fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<&str> = url.query().unwrap_or_default().split('&').collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn signing_key(credentials: &Credentials, day: &str, request: &Signable<'_>) -> hmac::Key {
    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret_access_key.expose()));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    for part in [day, request.region, request.service, "aws4_request"] {
        let tag = hmac::sign(&key, part.as_bytes());
        key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
    }
    key
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z.
    const NOW: Timestamp = Timestamp::from_millis(1_440_938_160_000);

    fn signature(method: &str, url: &str, headers: &[(&str, &str)], service: &str) -> String {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let url = Url::parse(url).unwrap();
        let request = Signable {
            method,
            url: &url,
            headers,
            body: b"",
            region: "us-east-1",
            service,
        };
        let signed = sign(&request, &credentials, NOW);
        assert_eq!(signed.date, "20150830T123600Z");
        let (_, signature) = signed.authorization.split_once("Signature=").unwrap();
        signature.to_owned()
    }

    /// Examples of AWS's own documentation and test suite.
    #[test]
    fn published_examples_come_out() {
        assert_eq!(
            signature("GET", "https://example.amazonaws.com/", &[], "service"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            signature("POST", "https://example.amazonaws.com/", &[], "service"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(
            signature(
                "GET",
                "https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers",
                &[("content-type", form)],
                "iam"
            ),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }
}
