//! Turnkey: stamped queries and activities.

use std::collections::BTreeMap;
use std::io;

use alloy_primitives::hex;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::{Value, json};

use super::control::{KeyFault, Step};
use super::key::ServiceKey;
use super::server::{Asked, Fake, Given, KeyService, now};

/// How far the time of an activity may be off, in milliseconds.
const SKEW_MAX: u64 = 3_600_000;

/// What the service is set up with.
#[derive(Clone, Debug)]
pub struct TurnkeyFake {
    /// Private keys by id; wallet accounts by address.
    pub keys: BTreeMap<String, ServiceKey>,
    /// Curve of all of them, as shown.
    pub curve: &'static str,
    /// Status of each activity; anything but `ACTIVITY_STATUS_COMPLETED` has no result.
    pub status: &'static str,
}

struct Server(TurnkeyFake);

impl TurnkeyFake {
    /// The organization.
    pub const ORGANIZATION_ID: &str = "f7ae5b1f-0d3c-4c1e-9f38-50d1cf2dbf1a";
    /// The API key's public half.
    pub const API_PUBLIC_KEY: &str =
        "031f9fc67de08a53c6fb976c3d58de62e7faafedd0f135df55c245137d79c78752";
    /// The API key's private half. It was made for these tests and opens nothing else.
    pub const API_PRIVATE_KEY: &str =
        "2769b03d1af0a96dad1af1593de46e1f64fa92f29b046020d502fd536a149b59";
    /// The public half with its second coordinate, which checking needs.
    const API_POINT: &str = "041f9fc67de08a53c6fb976c3d58de62e7faafedd0f135df55c245137d79c78752\
                             eade4f962ef62602649a0cb6e41c4cb7cc2fc65883d7e9ba5669f0706e5772bb";

    /// One key under an id.
    pub fn with_key(id: &str, key: ServiceKey) -> Self {
        Self {
            keys: BTreeMap::from([(id.to_owned(), key)]),
            curve: "CURVE_SECP256K1",
            status: "ACTIVITY_STATUS_COMPLETED",
        }
    }

    /// Starts the service.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(self) -> io::Result<KeyService> {
        KeyService::start(Server(self)).await
    }
}

impl Fake for Server {
    fn step(&self, asked: &Asked) -> Step {
        if asked.path.ends_with("/submit/sign_raw_payload") {
            Step::Sign
        } else {
            Step::Read
        }
    }

    fn answer(&self, asked: &Asked, fault: Option<&KeyFault>) -> Given {
        if !is_stamped(asked) {
            return self.error(401, "could not verify the API key's stamp");
        }
        let body = asked.json();
        if body["organizationId"] != TurnkeyFake::ORGANIZATION_ID {
            return self.error(403, "organization mismatch");
        }
        match asked.path.as_str() {
            "/public/v1/query/whoami" => Given::json(200, &json!({ "userId": "1" })),
            "/public/v1/query/get_private_key" => self.key(&body),
            "/public/v1/submit/sign_raw_payload" => self.sign(&body, fault),
            _ => self.error(404, "no such method"),
        }
    }

    fn error(&self, status: u16, text: &str) -> Given {
        let code = match status {
            400 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            429 => 8,
            _ => 13,
        };
        let body = json!({ "code": code, "message": text, "details": [] });
        Given::json(status, &body)
    }
}

impl Server {
    fn key(&self, body: &Value) -> Given {
        let id = body["privateKeyId"].as_str().unwrap_or_default();
        let Some(key) = self.0.keys.get(id) else {
            return self.error(404, &format!("private key not found: {id}"));
        };
        let key = json!({
            "privateKeyId": id, "publicKey": hex::encode(key.point()), "curve": self.0.curve,
            "addresses": [{ "format": "ADDRESS_FORMAT_ETHEREUM", "address": key.address() }],
        });
        Given::json(200, &json!({ "privateKey": key }))
    }

    fn sign(&self, body: &Value, fault: Option<&KeyFault>) -> Given {
        let time = body["timestampMs"].as_str().unwrap_or_default();
        let time: u64 = time.parse().unwrap_or_default();
        if time.abs_diff(now() * 1000) > SKEW_MAX {
            return self.error(400, "timestampMs is too far off");
        }
        let parameters = &body["parameters"];
        let fits = body["type"] == "ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_V2"
            && parameters["encoding"] == "PAYLOAD_ENCODING_HEXADECIMAL"
            && parameters["hashFunction"] == "HASH_FUNCTION_NO_OP";
        let with = parameters["signWith"].as_str().unwrap_or_default();
        let Some(key) = self.0.keys.get(with) else {
            return self.error(404, &format!("no such signWith: {with}"));
        };
        let payload = hex::decode(parameters["payload"].as_str().unwrap_or_default());
        let payload = payload.ok().filter(|payload| fits && payload.len() == 32);
        let Some(hash) = payload else {
            return self.error(400, "invalid payload");
        };
        let mut activity = json!({ "id": "1", "status": self.0.status });
        if self.0.status == "ACTIVITY_STATUS_COMPLETED" {
            let signature = key.sign_fixed(&hash, fault).unwrap_or_else(|| vec![0; 40]);
            let (r, s) = signature.split_at(signature.len() / 2);
            let result = json!({ "r": hex::encode(r), "s": hex::encode(s), "v": "00" });
            activity["result"] = json!({ "signRawPayloadResult": result });
        }
        Given::json(200, &json!({ "activity": activity }))
    }
}

fn is_stamped(asked: &Asked) -> bool {
    let Ok(stamp) = URL_SAFE_NO_PAD.decode(asked.header("x-stamp")) else {
        return false;
    };
    let stamp: Value = serde_json::from_slice(&stamp).unwrap_or_default();
    let signature = hex::decode(stamp["signature"].as_str().unwrap_or_default());
    let point = hex::decode(TurnkeyFake::API_POINT).expect("the point is hexadecimal digits");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    stamp["publicKey"] == TurnkeyFake::API_PUBLIC_KEY
        && stamp["scheme"] == "SIGNATURE_SCHEME_TK_API_P256"
        && signature.is_ok_and(|signature| key.verify(&asked.body, &signature).is_ok())
}
