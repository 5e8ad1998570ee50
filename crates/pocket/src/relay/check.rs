//! Basic validity: what the chain demands of a relay before it looks at anything else.

use thiserror::Error;

use crate::keys::{Address, AddressError};
use crate::message::{RelayRequest, RelayResponse, SessionHeader};

/// Most characters of a service id: the chain's limit.
pub const SERVICE_ID_MAX: usize = 42;

/// Most bytes of a value that an error repeats: enough to recognise it, and no more of what a stranger sent.
const QUOTE_MAX: usize = 64;

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The field must be there.
    #[error("{0}: must not be empty")]
    Empty(&'static str),
    /// The application's address is none.
    #[error("SessionHeader.application_address: {0}")]
    Application(AddressError),
    /// The service's id is none.
    #[error(
        "SessionHeader.service_id: must be 1 to {SERVICE_ID_MAX} letters, digits, '-' or '_', not {0:?}"
    )]
    ServiceId(String),
    /// A session starts at block 1 at the earliest.
    #[error("SessionHeader.session_start_block_height: must be above 0, not {0}")]
    Start(i64),
    /// A session ends after it starts.
    #[error("SessionHeader.session_end_block_height: must be above the start {start}, not {end}")]
    End {
        /// The first block.
        start: i64,
        /// The last block.
        end: i64,
    },
}

/// Basic validity of a request.
///
/// # Errors
///
/// Names the first field that breaks a rule.
pub fn check_request(request: &RelayRequest) -> Result<(), FieldError> {
    let meta = &request.meta;
    let field = "RelayRequestMetadata.session_header";
    check_header(
        meta.session_header
            .as_ref()
            .ok_or(FieldError::Empty(field))?,
    )?;
    if meta.signature.is_empty() {
        return Err(FieldError::Empty("RelayRequestMetadata.signature"));
    }
    if meta.supplier_operator_address.is_empty() {
        let field = "RelayRequestMetadata.supplier_operator_address";
        return Err(FieldError::Empty(field));
    }
    Ok(())
}

/// Basic validity of a response.
///
/// # Errors
///
/// Names the first field that breaks a rule.
pub fn check_response(response: &RelayResponse) -> Result<(), FieldError> {
    let meta = &response.meta;
    let field = "RelayResponseMetadata.session_header";
    check_header(
        meta.session_header
            .as_ref()
            .ok_or(FieldError::Empty(field))?,
    )?;
    if meta.supplier_operator_signature.is_empty() {
        let field = "RelayResponseMetadata.supplier_operator_signature";
        return Err(FieldError::Empty(field));
    }
    Ok(())
}

/// Basic validity of a session header.
///
/// # Errors
///
/// Names the first field that breaks a rule.
pub fn check_header(header: &SessionHeader) -> Result<(), FieldError> {
    let address: Result<Address, AddressError> = header.application_address.parse();
    address.map_err(FieldError::Application)?;
    if header.session_id.is_empty() {
        return Err(FieldError::Empty("SessionHeader.session_id"));
    }
    check_service_id(&header.service_id)?;
    let (start, end) = (
        header.session_start_block_height,
        header.session_end_block_height,
    );
    if start <= 0 {
        return Err(FieldError::Start(start));
    }
    if end <= start {
        return Err(FieldError::End { start, end });
    }
    Ok(())
}

/// Checks a service id: 1 to [`SERVICE_ID_MAX`] letters, digits, `-` or `_`.
///
/// # Errors
///
/// Shows the beginning of what is none.
pub fn check_service_id(id: &str) -> Result<(), FieldError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=SERVICE_ID_MAX).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(FieldError::ServiceId(quote(id)))
}

/// The beginning of a value, for an error.
fn quote(value: &str) -> String {
    value[..value.floor_char_boundary(QUOTE_MAX)].to_owned()
}
