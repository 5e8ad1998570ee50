//! Signers and key stores. Secrets live here and nowhere else: never printed, zeroised on drop.
//!
//! Nothing here reads the environment or a wall clock: values of variables and the time are handed in.
//! Randomness comes from the operating system, because a key made from anything else is not a key.

pub mod keys;
pub mod keystore;
mod local;
pub mod remote;
mod secret;
mod signer;

pub use local::{KeyError, LoadError, LocalSigner};
pub use secret::{API_KEY_CHARS_MIN, Secret, SecretBytes, TooShort};
pub use signer::{Signature, Signer, SignerError};
