//! Which accounts are in an application's ring.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use thiserror::Error;

use super::{RING_MAX, Ring};
use crate::keys::{PublicKey, SecretKey};
use crate::message::Application;

/// What the placeholder's key is derived from: an application without gateways shares its ring with a key that
/// everybody knows, so that it has one.
pub const PLACEHOLDER_TEXT: &str = "placeholder_ring_key_for_apps_without_gateways";

/// The placeholder's address, for sorting only: it comes before every real one.
const PLACEHOLDER_ADDRESS: &str = "6178B12D0711F3A930A6133C39AE3B89E9E79A04";

static PLACEHOLDER: LazyLock<PublicKey> =
    LazyLock::new(|| SecretKey::from_known_text(PLACEHOLDER_TEXT).public_key());

/// The accounts whose keys may sign for an application in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingAccounts {
    addresses: BTreeSet<String>,
    placeholder: bool,
}

/// Why accounts make no ring.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RingAccountsError {
    /// An account's key is not known, or is not of secp256k1.
    #[error("account {0}: has no secp256k1 key")]
    NoKey(String),
    /// Too many accounts.
    #[error("{0} accounts, at most {RING_MAX} fit a ring")]
    TooMany(usize),
}

impl RingAccounts {
    /// The accounts in a session that ends at the height `session_end`: the application, its gateways, and the gateways
    /// that it left but that were still its own in that session.
    #[must_use]
    pub fn of(application: &Application, session_end: i64) -> Self {
        let session_end = u64::try_from(session_end).unwrap_or(0);
        let left = application
            .pending_undelegations
            .range(session_end..)
            .flat_map(|(_, list)| &list.gateway_addresses);
        let mut addresses: BTreeSet<String> = application
            .delegatee_gateway_addresses
            .iter()
            .chain(left)
            .cloned()
            .collect();
        let placeholder = addresses.is_empty();
        addresses.insert(application.address.clone());
        Self {
            addresses,
            placeholder,
        }
    }

    /// The addresses whose keys are needed, in the order of the ring.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(String::as_str)
    }

    /// Whether the placeholder's key stands in for gateways.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.placeholder
    }

    /// The ring, given each account's key.
    ///
    /// # Errors
    ///
    /// Names an account whose key `key` does not know; says if there are too many.
    pub fn ring(
        &self,
        mut key: impl FnMut(&str) -> Option<PublicKey>,
    ) -> Result<Ring, RingAccountsError> {
        let count = self.addresses.len() + usize::from(self.placeholder);
        if count > RING_MAX {
            return Err(RingAccountsError::TooMany(count));
        }
        let mut members = Vec::with_capacity(count);
        for address in &self.addresses {
            let found = key(address).ok_or_else(|| RingAccountsError::NoKey(address.clone()))?;
            members.push(found);
        }
        if self.placeholder {
            let before = |address: &&String| address.as_str() < PLACEHOLDER_ADDRESS;
            let place = self.addresses.iter().take_while(before).count();
            members.insert(place, *PLACEHOLDER);
        }
        Ok(Ring::new(members))
    }
}
