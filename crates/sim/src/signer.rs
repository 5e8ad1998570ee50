//! Signers without cryptography: the account stands in the signature, so that a node can read it back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_model::{Address, B256, U256};
use baton_vault::{Signature, Signer, SignerError};

use crate::fault::{Effect, Fault};
use crate::gate::Gate;

/// Signs for one account in one process.
pub(crate) struct SimSigner {
    pub(crate) address: Address,
    pub(crate) gate: Arc<Gate>,
}

/// Account number `index`.
pub(crate) fn account(index: usize) -> Address {
    Address::left_padding_from(&(0xacc0_0000 + index as u64).to_be_bytes())
}

/// Whose signature has this `r`.
pub(crate) fn account_of(r: U256) -> Address {
    Address::from_word(B256::from(r))
}

#[async_trait]
impl Signer for SimSigner {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign_hash(&self, hash: B256) -> Result<Signature, SignerError> {
        self.gate.enter(Effect::Sign).await;
        if let Some(millis) = self.gate.delay(Fault::SignerSlow, &(1_000..=8_000)) {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        if self.gate.strikes(Fault::SignerFailed) {
            return Err(SignerError::Unavailable {
                reason: "simulated".to_owned(),
            });
        }
        self.gate.leave(Effect::Sign).await;
        self.gate.world().coverage.input("signed");
        Ok(Signature {
            r: U256::from_be_bytes(self.address.into_word().0),
            s: U256::from_be_bytes(hash.0) >> 2,
            y_parity: false,
        })
    }
}
