//! How calls to the service fail.

use std::borrow::Cow;

use baton_coord::StoreError;
use baton_edge::{ApiError, ErrorKind};
use baton_model::RequestId;
use baton_vault::SignerError;

use super::table::TableError;
use crate::registry::RegistryError;

/// Why a call has no result. The texts of what the caller can mend are fit for the caller.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The call can never work as it is; the text names field, rule and value.
    #[error("{0}")]
    Invalid(String),
    /// Understood, not allowed now.
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// A relayer is configured but cannot be served here.
    #[error("relayer {id} cannot be served now: {reason}")]
    Broken {
        /// Its id.
        id: String,
        /// Why, in words fit for the caller.
        reason: String,
    },
    /// The registry could not be read or changed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A signer did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Understood, and this program does not do it.
    #[error("{0}")]
    NotSupported(&'static str),
    /// The idempotency key was used with another body.
    #[error(
        "Idempotency-Key was already used for transaction {id} with another body; use a new key \
        for another transaction"
    )]
    KeyReused {
        /// The transaction that the key stands for.
        id: RequestId,
    },
    /// The store did not say whether a transaction was accepted.
    #[error("{}", unknown_accept(*.id, *.keyed))]
    UnknownAccept {
        /// The id under which it is found if it was.
        id: RequestId,
        /// Whether it came with an idempotency key.
        keyed: bool,
    },
    /// The store did not say whether a command was taken.
    #[error(
        "whether the command for transaction {id} was taken is unknown; look at the transaction, \
        and repeat the command if \
         nothing changed"
    )]
    UnknownCommand {
        /// The transaction.
        id: RequestId,
    },
    /// The store cannot take anything now; nothing was changed.
    #[error("the store takes nothing now and nothing was changed; try again: {0}")]
    Unavailable(String),
    /// A record could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// No node of the network answered.
    #[error("no node of network {network} answered")]
    Node {
        /// The network's name.
        network: String,
        /// What went wrong.
        source: baton_chain::RpcError,
    },
    /// A defect.
    #[error("{0}")]
    Defect(String),
}

impl ServiceError {
    pub(super) fn relayer_not_found(id: &str) -> Self {
        Self::NotFound(format!("Relayer with ID {id} not found"))
    }

    pub(super) fn transaction_not_found(id: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("Transaction with ID {id} not found"))
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        Self::Table(TableError::Store(error))
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let text = error.to_string();
        match error {
            ServiceError::Invalid(_) => Self::bad_request(text),
            ServiceError::Forbidden(_) => Self::forbidden(text),
            ServiceError::NotFound(_) => Self::not_found(text),
            ServiceError::KeyReused { .. } | ServiceError::Conflict(_) => Self::conflict(text),
            ServiceError::NotSupported(text) => Self::not_supported(text),
            ServiceError::Broken { .. } => Self::unavailable(text),
            ServiceError::Signer(error) => Self::from(error),
            ServiceError::Registry(error) => of_registry(error, text),
            ServiceError::UnknownAccept { .. } | ServiceError::UnknownCommand { .. } => {
                Self::unavailable(text.clone()).caused_by(text)
            }
            ServiceError::Unavailable(_) => {
                Self::unavailable("The store takes nothing now and nothing was changed; try again")
                    .caused_by(text)
            }
            ServiceError::Table(TableError::Store(error)) => Self::from(error),
            ServiceError::Table(TableError::TooMuch) => Self::bad_request(text),
            ServiceError::Table(error @ (TableError::Record { .. } | TableError::Index { .. })) => {
                Self::internal(error)
            }
            ServiceError::Node { source, .. } => {
                Self::new(ErrorKind::BadGateway, text).caused_by(source)
            }
            ServiceError::Defect(_) => Self::internal(text),
        }
    }
}

fn of_registry(error: RegistryError, text: String) -> ApiError {
    match error {
        RegistryError::Store(error) => ApiError::from(error),
        RegistryError::Unavailable(_) => {
            ApiError::unavailable("The store takes nothing now and nothing was changed; try again")
                .caused_by(text)
        }
        RegistryError::Unknown => ApiError::new(ErrorKind::BadGateway, text),
        RegistryError::Busy => ApiError::unavailable(text),
        RegistryError::Full => ApiError::bad_request(text),
        RegistryError::Refused(_) | RegistryError::Damaged(_) => ApiError::internal(text),
    }
}

fn unknown_accept(id: RequestId, keyed: bool) -> String {
    let way = if keyed {
        "repeat the request with the same Idempotency-Key"
    } else {
        "look it up before you send it again; with an Idempotency-Key it could simply be repeated"
    };
    format!("whether the transaction was accepted is unknown; if it was, its id is {id}: {way}")
}
