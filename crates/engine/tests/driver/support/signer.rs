//! Signers without cryptography: the account stands in the signature.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use baton_model::{Address, B256, U256};
use baton_vault::{Signature, Signer, SignerError};

/// How a signer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Signs,
    Fails,
    Hangs,
    /// Panics once, then signs.
    Panics,
    /// Does not answer for the first question, and signs all others.
    HangsOnce,
}

/// Signs for one account.
pub(crate) struct FakeSigner {
    address: Address,
    mood: Mutex<Mood>,
    pub(crate) asked: AtomicUsize,
}

impl FakeSigner {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address,
            mood: Mutex::new(Mood::Signs),
            asked: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

/// Account number `index`.
pub(crate) fn account(index: u64) -> Address {
    Address::left_padding_from(&(0xacc0_0000 + index).to_be_bytes())
}

/// Whose signature has this `r`.
pub(crate) fn account_of(r: U256) -> Address {
    Address::from_word(B256::from(r))
}

#[async_trait]
impl Signer for FakeSigner {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign_hash(&self, hash: B256) -> Result<Signature, SignerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = {
            let mut mood = self.mood.lock().unwrap();
            let now = *mood;
            if matches!(now, Mood::Panics | Mood::HangsOnce) {
                *mood = Mood::Signs;
            }
            now
        };
        match mood {
            Mood::Signs => {}
            Mood::Fails => {
                return Err(SignerError::Unavailable {
                    reason: "scripted".to_owned(),
                });
            }
            Mood::Hangs | Mood::HangsOnce => std::future::pending().await,
            Mood::Panics => panic!("scripted panic of a signer"),
        }
        Ok(Signature {
            r: U256::from_be_bytes(self.address.into_word().0),
            s: U256::from_be_bytes(hash.0) >> 2,
            y_parity: false,
        })
    }
}
