//! Basic validity: what the chain demands of a relay before it looks at anything else.

use thiserror::Error;

use crate::keys::{Address, AddressError};
use crate::message::{Relay, RelayRequest, RelayResponse, SessionHeader};

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
    /// The field has another value in the session, claim or proof that the relay should belong to.
    #[error("{0}: differs from the session's, claim's or proof's")]
    Differs(&'static str),
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

/// Compares a header with that of the session on chain, field by field.
///
/// # Errors
///
/// Names the first field that differs.
pub fn check_same_header(found: &SessionHeader, session: &SessionHeader) -> Result<(), FieldError> {
    let SessionHeader {
        application_address,
        service_id,
        session_id,
        session_start_block_height,
        session_end_block_height,
    } = session;
    let fields = [
        (
            "SessionHeader.application_address",
            found.application_address == *application_address,
        ),
        ("SessionHeader.service_id", found.service_id == *service_id),
        ("SessionHeader.session_id", found.session_id == *session_id),
        (
            "SessionHeader.session_start_block_height",
            found.session_start_block_height == *session_start_block_height,
        ),
        (
            "SessionHeader.session_end_block_height",
            found.session_end_block_height == *session_end_block_height,
        ),
    ];
    match fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(FieldError::Differs(field)),
        None => Ok(()),
    }
}

/// Checks what the chain demands of a proven relay besides its signatures and its place in the trie: both parts are
/// there and valid by themselves, both headers are the claim's, and the request was for the supplier that proves.
///
/// # Errors
///
/// Names the first field that breaks a rule.
pub fn check_proven<'a>(
    relay: &'a Relay,
    header: &SessionHeader,
    supplier_operator_address: &str,
) -> Result<(&'a RelayRequest, &'a RelayResponse), FieldError> {
    let request = relay.req.as_ref().ok_or(FieldError::Empty("Relay.req"))?;
    let response = relay.res.as_ref().ok_or(FieldError::Empty("Relay.res"))?;
    check_request(request)?;
    if request.meta.supplier_operator_address != supplier_operator_address {
        let field = "RelayRequestMetadata.supplier_operator_address";
        return Err(FieldError::Differs(field));
    }
    check_response(response)?;
    let headers = [&request.meta.session_header, &response.meta.session_header];
    for found in headers.into_iter().flatten() {
        check_same_header(found, header)?;
    }
    Ok((request, response))
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
pub(crate) fn quote(value: &str) -> String {
    value[..value.floor_char_boundary(QUOTE_MAX)].to_owned()
}
