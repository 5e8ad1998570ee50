//! HTTP inside relays: the payload of a request and of a response.
//!
//! Payloads are opaque to every hash, so encoders need not agree byte for byte. This one writes what Go's deterministic
//! marshalling writes: entries by name, each with both its key and its value.

use prost::encoding::{self, WireType};

use crate::message::{Header, PokthttpRequest, PokthttpResponse};
use crate::wire::{self, DecodeError, Fault, Fields, Key, Reader};

/// Most header names, and most values of one name. Go's server takes a megabyte of headers and web servers commonly 100
/// lines; a name costs a map entry of about 150 bytes, so this many cost less than the body that a relay may have.
pub const HEADERS_MAX: usize = 1024;

/// The place of a header map's name and value in its entry.
const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;

/// Decodes the payload of a request. Allocates at most what was given, twice, and [`HEADERS_MAX`] map entries with as
/// many values each.
///
/// # Errors
///
/// If the bytes are not a request, or it has too many headers: with the field and the offset.
pub fn decode_request(bytes: &[u8]) -> Result<PokthttpRequest, DecodeError> {
    wire::decode(bytes)
}

/// Decodes the payload of a response; allocates like [`decode_request`].
///
/// # Errors
///
/// If the bytes are not a response, or it has too many headers: with the field and the offset.
pub fn decode_response(bytes: &[u8]) -> Result<PokthttpResponse, DecodeError> {
    wire::decode(bytes)
}

/// Encodes the payload of a request.
#[must_use]
pub fn encode_request(request: &PokthttpRequest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(request.body_bz.len() + 512);
    encode_text(1, &request.method, &mut bytes);
    for (name, header) in &request.header {
        encode_entry(2, name, header, &mut bytes);
    }
    encode_text(3, &request.url, &mut bytes);
    if !request.body_bz.is_empty() {
        encoding::bytes::encode(4, &request.body_bz, &mut bytes);
    }
    bytes
}

/// Encodes the payload of a response.
#[must_use]
pub fn encode_response(response: &PokthttpResponse) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(response.body_bz.len() + 512);
    if response.status_code != 0 {
        encoding::uint32::encode(1, &response.status_code, &mut bytes);
    }
    for (name, header) in &response.header {
        encode_entry(2, name, header, &mut bytes);
    }
    if !response.body_bz.is_empty() {
        encoding::bytes::encode(3, &response.body_bz, &mut bytes);
    }
    bytes
}

/// Adds a header's value under the canonical form of its name.
pub fn add_header(
    headers: &mut std::collections::BTreeMap<String, Header>,
    name: &str,
    value: impl Into<String>,
) {
    let name = canonical_name(name);
    let header = headers.entry(name.clone()).or_insert_with(|| Header {
        key: name,
        values: Vec::new(),
    });
    header.values.push(value.into());
}

/// A header's name as Go writes it: `content-type` becomes `Content-Type`. A name with a character that no header name
/// may have stays as it is.
#[must_use]
pub fn canonical_name(name: &str) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(token) {
        return name.to_owned();
    }
    let mut upper = true;
    name.chars()
        .map(|c| {
            let canonical = if upper {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            upper = c == '-';
            canonical
        })
        .collect()
}

impl Fields for PokthttpRequest {
    const NAME: &'static str = "POKTHTTPRequest";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => reader.text(key, "POKTHTTPRequest.method", &mut self.method)?,
            2 => take_entry(key, "POKTHTTPRequest.header", reader, &mut self.header)?,
            3 => reader.text(key, "POKTHTTPRequest.url", &mut self.url)?,
            4 => reader.bytes(key, "POKTHTTPRequest.body_bz", &mut self.body_bz)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for PokthttpResponse {
    const NAME: &'static str = "POKTHTTPResponse";

    #[expect(
        clippy::cast_possible_truncation,
        reason = "protobuf keeps the low 32 bits of a longer number"
    )]
    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => {
                self.status_code = reader.number(key, "POKTHTTPResponse.status_code")? as u32;
            }
            2 => take_entry(key, "POKTHTTPResponse.header", reader, &mut self.header)?,
            3 => reader.bytes(key, "POKTHTTPResponse.body_bz", &mut self.body_bz)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Entry {
    name: String,
    header: Header,
}

impl Fields for Entry {
    const NAME: &'static str = "HeaderEntry";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            ENTRY_KEY => reader.text(key, "HeaderEntry.key", &mut self.name)?,
            ENTRY_VALUE => reader.message(key, "HeaderEntry.value", &mut self.header)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for Header {
    const NAME: &'static str = "Header";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => reader.text(key, "Header.key", &mut self.key)?,
            2 => {
                limit("Header.values", self.values.len(), reader)?;
                let mut value = String::new();
                reader.text(key, "Header.values", &mut value)?;
                self.values.push(value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn take_entry(
    key: Key,
    field: &'static str,
    reader: &mut Reader<'_>,
    headers: &mut std::collections::BTreeMap<String, Header>,
) -> Result<(), DecodeError> {
    limit(field, headers.len(), reader)?;
    let mut entry = Entry::default();
    reader.message(key, field, &mut entry)?;
    headers.insert(entry.name, entry.header);
    Ok(())
}

fn limit(field: &'static str, count: usize, reader: &Reader<'_>) -> Result<(), DecodeError> {
    if count < HEADERS_MAX {
        return Ok(());
    }
    Err(DecodeError {
        field,
        offset: reader.offset(),
        fault: Fault::Entries(HEADERS_MAX),
    })
}

fn encode_text(tag: u32, text: &String, bytes: &mut Vec<u8>) {
    if !text.is_empty() {
        encoding::string::encode(tag, text, bytes);
    }
}

fn encode_entry(tag: u32, name: &String, header: &Header, bytes: &mut Vec<u8>) {
    let length = encoding::string::encoded_len(ENTRY_KEY, name)
        + encoding::message::encoded_len(ENTRY_VALUE, header);
    encoding::encode_key(tag, WireType::LengthDelimited, bytes);
    encoding::encode_varint(length as u64, bytes);
    encoding::string::encode(ENTRY_KEY, name, bytes);
    encoding::message::encode(ENTRY_VALUE, header, bytes);
}
