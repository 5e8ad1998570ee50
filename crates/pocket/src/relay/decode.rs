//! Decoding relays that strangers sent.

use super::{Relay, RelayMinerError, RelayRequest, RelayRequestMetadata, RelayResponse};
use crate::message::{RelayResponseMetadata, SessionHeader};
use crate::wire::{self, DecodeError, Fields, Key, Reader};

/// Decodes a request. What is allocated is at most twice as many bytes as were given: each text or payload is copied,
/// and a field that comes again replaces its copy. The input's size is the caller's to limit.
///
/// # Errors
///
/// If the bytes are not a request: with the field and the offset.
pub fn decode_request(bytes: &[u8]) -> Result<RelayRequest, DecodeError> {
    wire::decode(bytes)
}

/// Decodes a response; allocates like [`decode_request`].
///
/// # Errors
///
/// If the bytes are not a response: with the field and the offset.
pub fn decode_response(bytes: &[u8]) -> Result<RelayResponse, DecodeError> {
    wire::decode(bytes)
}

/// Decodes a relay, as it is kept in a trie; allocates like [`decode_request`].
///
/// # Errors
///
/// If the bytes are not a relay: with the field and the offset.
pub fn decode_relay(bytes: &[u8]) -> Result<Relay, DecodeError> {
    wire::decode(bytes)
}

impl Fields for Relay {
    const NAME: &'static str = "Relay";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => reader.message(key, "Relay.req", self.req.get_or_insert_default())?,
            2 => reader.message(key, "Relay.res", self.res.get_or_insert_default())?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for RelayRequest {
    const NAME: &'static str = "RelayRequest";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => reader.message(key, "RelayRequest.meta", &mut self.meta)?,
            2 => reader.bytes(key, "RelayRequest.payload", &mut self.payload)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for RelayRequestMetadata {
    const NAME: &'static str = "RelayRequestMetadata";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => {
                let header = self.session_header.get_or_insert_default();
                reader.message(key, "RelayRequestMetadata.session_header", header)?;
            }
            2 => {
                let signature = &mut self.signature;
                reader.bytes(key, "RelayRequestMetadata.signature", signature)?;
            }
            3 => {
                let address = &mut self.supplier_operator_address;
                reader.text(
                    key,
                    "RelayRequestMetadata.supplier_operator_address",
                    address,
                )?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for RelayResponse {
    const NAME: &'static str = "RelayResponse";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => reader.message(key, "RelayResponse.meta", &mut self.meta)?,
            2 => reader.bytes(key, "RelayResponse.payload", &mut self.payload)?,
            3 => {
                let error = self.relay_miner_error.get_or_insert_default();
                reader.message(key, "RelayResponse.relay_miner_error", error)?;
            }
            4 => reader.bytes(key, "RelayResponse.payload_hash", &mut self.payload_hash)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for RelayResponseMetadata {
    const NAME: &'static str = "RelayResponseMetadata";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => {
                let header = self.session_header.get_or_insert_default();
                reader.message(key, "RelayResponseMetadata.session_header", header)?;
            }
            2 => {
                let signature = &mut self.supplier_operator_signature;
                reader.bytes(
                    key,
                    "RelayResponseMetadata.supplier_operator_signature",
                    signature,
                )?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for RelayMinerError {
    const NAME: &'static str = "RelayMinerError";

    #[expect(
        clippy::cast_possible_truncation,
        reason = "protobuf keeps the low 32 bits of a longer number"
    )]
    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => reader.text(key, "RelayMinerError.codespace", &mut self.codespace)?,
            2 => self.code = reader.number(key, "RelayMinerError.code")? as u32,
            3 => reader.text(key, "RelayMinerError.description", &mut self.description)?,
            4 => reader.text(key, "RelayMinerError.message", &mut self.message)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Fields for SessionHeader {
    const NAME: &'static str = "SessionHeader";

    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match key.number {
            1 => {
                let address = &mut self.application_address;
                reader.text(key, "SessionHeader.application_address", address)?;
            }
            2 => reader.text(key, "SessionHeader.service_id", &mut self.service_id)?,
            3 => reader.text(key, "SessionHeader.session_id", &mut self.session_id)?,
            4 => {
                let height = reader.number(key, "SessionHeader.session_start_block_height")?;
                self.session_start_block_height = height.cast_signed();
            }
            5 => {
                let height = reader.number(key, "SessionHeader.session_end_block_height")?;
                self.session_end_block_height = height.cast_signed();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
