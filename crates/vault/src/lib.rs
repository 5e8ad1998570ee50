//! Signers and key stores. Secrets live here and nowhere else: never printed, zeroised on drop.

mod signer;

pub use signer::{Signature, Signer, SignerError};
