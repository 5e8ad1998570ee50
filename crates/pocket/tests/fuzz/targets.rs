//! What every decoder must hold to, whatever it is given.

#[path = "gob.rs"]
mod proof;

use baton_pocket::keys::{SecretKey, SupplierKey, parse_key_file, parse_keys_file};
use baton_pocket::message::{Header, PokthttpRequest, PokthttpResponse, Relay, SessionHeader};
use baton_pocket::ring::{self, Ring, RingSignature};
use baton_pocket::stream::{Lines, Responses, frame};
use baton_pocket::{gob, http, relay};
use prost::Message;

/// Most bytes of a response in the stream under test.
const RESPONSE_MAX: usize = 1_000;

/// A decoder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A relay request.
    Request,
    /// A relay response.
    Response,
    /// A relay.
    Relay,
    /// The HTTP request in a payload.
    HttpRequest,
    /// The HTTP response in a payload.
    HttpResponse,
    /// A ring signature.
    Ring,
    /// A file with a list of keys.
    KeysFile,
    /// A file with one key.
    KeyFile,
    /// A stream of responses.
    Stream,
    /// The lines of a backend.
    Lines,
    /// A closest proof.
    Gob,
}

impl Target {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Request,
        Self::Response,
        Self::Relay,
        Self::HttpRequest,
        Self::HttpResponse,
        Self::Ring,
        Self::KeysFile,
        Self::KeyFile,
        Self::Stream,
        Self::Lines,
        Self::Gob,
    ];

    /// Decodes, and says whether the input was taken.
    pub(crate) fn decode(self, input: &[u8]) -> bool {
        match self {
            Self::Request => relay::decode_request(input).is_ok(),
            Self::Response => relay::decode_response(input).is_ok(),
            Self::Relay => relay::decode_relay(input).is_ok(),
            Self::HttpRequest => http::decode_request(input).is_ok(),
            Self::HttpResponse => http::decode_response(input).is_ok(),
            Self::Ring => RingSignature::parse(input).is_ok(),
            Self::KeysFile => str::from_utf8(input).is_ok_and(|text| parse_keys_file(text).is_ok()),
            Self::KeyFile => str::from_utf8(input).is_ok_and(|text| parse_key_file(text).is_ok()),
            Self::Stream => {
                let mut responses = Responses::new(RESPONSE_MAX);
                responses.push(input).is_ok() && responses.finish().is_ok()
            }
            Self::Lines => Lines::default().push(input).is_ok(),
            Self::Gob => gob::decode(input).is_ok(),
        }
    }

    /// The most memory that decoding so many bytes may take.
    pub(crate) fn memory(self, length: usize) -> usize {
        // An error, and what an allocator's blocks are rounded up to.
        let small = 4_096;
        match self {
            Self::Request | Self::Response | Self::Relay => 2 * length + small,
            // A map entry with its name, header and values for 6 bytes; a value for 2.
            Self::HttpRequest | Self::HttpResponse => 64 * length + small,
            // 40 bytes of scalar and pointer for 65, and 72 of the signature itself.
            Self::Ring => 2 * length + small,
            // What the YAML parser holds: tokens, and texts of its own.
            Self::KeysFile | Self::KeyFile => 64 * length + 8 * small,
            // What is held and what is given out, in buffers that double.
            Self::Stream | Self::Lines => 8 * length + small,
            // 24 bytes of pointers for each entry of two lists, in buffers that double.
            Self::Gob => length + 8 * small,
        }
    }

    /// Decodes, and checks what must be true of what was taken.
    pub(crate) fn run(self, input: &[u8]) -> bool {
        let taken = self.decode(input);
        if taken {
            self.check(input);
        }
        taken
    }

    fn check(self, input: &[u8]) {
        match self {
            Self::Request => {
                let request = relay::decode_request(input).expect("taken before");
                let again = request.encode_to_vec();
                assert_eq!(relay::decode_request(&again), Ok(request.clone()));
                let _ = (
                    relay::check_request(&request),
                    relay::request_hash(&request),
                );
            }
            Self::Response => {
                let response = relay::decode_response(input).expect("taken before");
                let again = response.encode_to_vec();
                assert_eq!(relay::decode_response(&again), Ok(response.clone()));
                let _ = (
                    relay::check_response(&response),
                    relay::response_hash(&response),
                );
            }
            Self::Relay => {
                let whole = relay::decode_relay(input).expect("taken before");
                assert_eq!(Relay::decode(input), Ok(whole.clone()), "prost agrees");
                let mined = relay::mine_relay(&whole);
                let kept = relay::decode_relay(&mined.bytes).expect("what is mined is a relay");
                assert_eq!(relay::mine_relay(&kept), mined);
            }
            Self::HttpRequest => {
                let request = http::decode_request(input).expect("taken before");
                assert_eq!(
                    http::decode_request(&http::encode_request(&request)),
                    Ok(request)
                );
            }
            Self::HttpResponse => {
                let response = http::decode_response(input).expect("taken before");
                assert_eq!(
                    http::decode_response(&http::encode_response(&response)),
                    Ok(response)
                );
            }
            Self::Ring => {
                let signature = RingSignature::parse(input).expect("taken before");
                assert_eq!(
                    signature.to_bytes(),
                    input,
                    "there is one form of a signature"
                );
            }
            Self::KeysFile | Self::KeyFile => {}
            Self::Stream => check_stream(input),
            Self::Lines => check_lines(input),
            Self::Gob => proof::check(input),
        }
    }
}

/// However a stream is cut into pieces, the same responses come out.
fn check_stream(input: &[u8]) {
    let whole = Responses::new(RESPONSE_MAX)
        .push(input)
        .expect("taken before");
    let mut responses = Responses::new(RESPONSE_MAX);
    let mut found = Vec::new();
    for piece in input.chunks(5) {
        found.extend(responses.push(piece).expect("taken in one piece"));
    }
    assert_eq!(found, whole);
    let again: Vec<u8> = whole
        .iter()
        .flat_map(|part| frame(part).expect("it was framed"))
        .collect();
    assert_eq!(again, input);
}

/// However a body is cut into pieces, the same lines come out.
fn check_lines(input: &[u8]) {
    let gather = |size: usize| {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in input.chunks(size) {
            found.extend(lines.push(piece).expect("taken in one piece").concat());
        }
        found.extend(lines.finish().unwrap_or_default());
        found
    };
    let whole = gather(input.len().max(1));
    assert_eq!(gather(3), whole);
    assert!(whole.is_empty() || whole.ends_with(b"\n"));
}

/// Inputs that a decoder takes.
pub(crate) fn seeds(target: Target) -> Vec<Vec<u8>> {
    let whole = example();
    let (request, response) = (whole.req.clone(), whole.res.clone());
    let http_request = PokthttpRequest {
        method: "POST".to_owned(),
        url: "/".to_owned(),
        header: headers(),
        body_bz: b"{}".to_vec(),
    };
    let http_response = PokthttpResponse {
        status_code: 200,
        header: headers(),
        body_bz: b"{}".to_vec(),
    };
    match target {
        Target::Request => vec![request.unwrap_or_default().encode_to_vec(), Vec::new()],
        Target::Response => vec![response.unwrap_or_default().encode_to_vec(), Vec::new()],
        Target::Relay => vec![whole.encode_to_vec(), Vec::new()],
        Target::HttpRequest => vec![http::encode_request(&http_request), Vec::new()],
        Target::HttpResponse => vec![http::encode_response(&http_response), Vec::new()],
        Target::Ring => (2..5).map(|count| signature(count).to_bytes()).collect(),
        Target::KeysFile => {
            let keys = (1..4).map(|key| format!("  - {key:064x}\n"));
            let yaml = format!("# keys\nkeys:\n{}", keys.collect::<String>());
            let json = format!("{{\"keys\": [\"0x{:064x}\"], \"a\": {{\"b\": [1, 2]}}}}", 7);
            vec![yaml.into_bytes(), json.into_bytes()]
        }
        Target::KeyFile => {
            let hex = format!("{:064x}", 5);
            let address = SupplierKey::parse(&hex).expect("a key").address();
            vec![format!("operator_address: {address}\nprivate_key_hex: {hex}\n").into_bytes()]
        }
        Target::Stream => {
            let parts = [&b"one"[..], b"", b"|two|", &[7; 900]];
            vec![
                parts
                    .iter()
                    .flat_map(|part| frame(part).expect("no delimiter"))
                    .collect(),
            ]
        }
        Target::Gob => proof::seeds(),
        Target::Lines => vec![
            b"data: 1\r\n\r\ndata: 2\n\nlast".to_vec(),
            b"\n".repeat(300),
        ],
    }
}

fn headers() -> std::collections::BTreeMap<String, Header> {
    let mut headers = std::collections::BTreeMap::new();
    http::add_header(&mut headers, "content-type", "application/json");
    http::add_header(&mut headers, "x", "1");
    http::add_header(&mut headers, "x", "2");
    headers
}

fn example() -> Relay {
    let key = SupplierKey::parse(&format!("{:064x}", 5)).expect("a key");
    let header = SessionHeader {
        application_address: key.address().to_string(),
        service_id: "svc1".to_owned(),
        session_id: "ab".repeat(32),
        session_start_block_height: 1,
        session_end_block_height: 4,
    };
    let mut request = relay::unsigned_request(header, key.address().to_string(), vec![1; 20]);
    request.meta.signature = signature(2).to_bytes();
    let response = relay::respond(&request, vec![2; 20], &key).expect("a payload");
    Relay {
        req: Some(request),
        res: Some(response),
    }
}

fn signature(count: u8) -> RingSignature {
    let secret = |seed: u8| SecretKey::from_known_text(&format!("fuzz key {seed}"));
    let ring = Ring::new((0..count).map(|seed| secret(seed).public_key()).collect());
    ring::sign(&ring, &secret(0), &[1; 32], &[2; 32]).expect("a member")
}
